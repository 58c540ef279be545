//go:build unix

// Package redistest starts Redis servers for tests: real ones, in a directory and on ports
// of their own.
package redistest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// installs is what a reader does where the binary is missing.
const installs = "apt-get install redis-server"

// patience bounds every wait for a server.
const patience = 30 * time.Second

// Options for Start; the zero value is a server without password and TLS.
type Options struct {
	Password string
	// TLS has the server take TLS only, with a certificate of its own: see CA.
	TLS bool
	// Config are further lines of redis.conf.
	Config []string
}

// Server is one Redis server, which belongs to the process that started it and ends with
// it.
type Server struct {
	dir  string
	bin  string
	port int
	opts Options
	ca   []byte
	role string // argument; empty: a server

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

// Find returns where the binary is.
func Find() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Redis server here: %s", installs)
}

// Start starts a server, and waits until it answers. Who calls it calls Stop.
func Start(opts Options) (*Server, error) {
	s, err := prepare(opts)
	if err != nil {
		return nil, err
	}
	if err := s.Restart(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func prepare(opts Options) (*Server, error) {
	bin, err := Find()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, opts: opts}
	if s.dir, err = os.MkdirTemp("", "redistest"); err != nil {
		return nil, err
	}
	if s.port, err = freePort(); err == nil && opts.TLS {
		s.ca, err = makeCertificate(s.dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// freePort returns one whose port 10,000 above, where a Redis Cluster has its bus, is one
// too.
func freePort() (int, error) {
	for range 100 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close() // it was only to find one
		if port > 55_000 {
			continue
		}
		if bus, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port+10_000)); err == nil {
			return port, bus.Close()
		}
	}
	return 0, errors.New("no port is free")
}

// config are the lines of redis.conf.
func (s *Server) config() string {
	lines := []string{"bind 127.0.0.1", "dir " + s.dir, "save \"\"", "appendonly no", "daemonize no", "protected-mode no"}
	port := "port " + strconv.Itoa(s.port)
	if s.opts.TLS {
		lines = append(lines, "port 0", "tls-port "+strconv.Itoa(s.port), "tls-cert-file "+filepath.Join(s.dir, certFile),
			"tls-key-file "+filepath.Join(s.dir, keyFile), "tls-auth-clients no")
	} else {
		lines = append(lines, port)
	}
	if s.opts.Password != "" {
		lines = append(lines, "requirepass "+s.opts.Password, "masterauth "+s.opts.Password)
	}
	return strings.Join(append(lines, s.opts.Config...), "\n") + "\n"
}

func (s *Server) configPath() string { return filepath.Join(s.dir, "redis.conf") }

// Restart starts the server again after Kill, without its data, on the same port.
func (s *Server) Restart() error {
	// Sentinels and the nodes of a Redis Cluster write into their files.
	if _, err := os.Stat(s.configPath()); err != nil || s.role == "" {
		if err := os.WriteFile(s.configPath(), []byte(s.config()), 0o600); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(patience)
	for {
		exited, err := s.launch()
		if err != nil {
			return err
		}
		err = s.await(deadline, exited)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		s.Kill() // another process has its port at this moment
	}
}

func (s *Server) launch() (exited <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has it
	args := []string{s.configPath()}
	if s.role != "" {
		args = append(args, s.role)
	}
	s.cmd = exec.Command(s.bin, args...) // #nosec G204 -- ours
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{}
	dieWithParent(s.cmd.SysProcAttr)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	over := make(chan struct{})
	s.exited = over
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // how it ends is what the test is about
		close(over)
	}(s.cmd)
	return over, nil
}

// await returns when the server answers, or has ended, or the time is over.
func (s *Server) await(deadline time.Time, exited <-chan struct{}) error {
	db := s.Connect()
	defer func() { _ = db.Close() }() // it has served
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := db.Ping(ctx).Err()
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("redis does not answer: %w\n%s", err, s.Log())
		}
		select {
		case <-exited:
			return fmt.Errorf("redis has ended\n%s", s.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Connect returns a client of the server, as a test looks at it. Who calls it closes it.
func (s *Server) Connect() *goredis.Client {
	o := &goredis.Options{Addr: s.Addr(), Password: s.opts.Password, DisableIdentity: true, MaxRetries: -1}
	if s.role != "" {
		o.Password = ""
	}
	if s.opts.TLS {
		o.TLSConfig = &tls.Config{InsecureSkipVerify: true} // #nosec G402 -- the test's own, on this machine
	}
	return goredis.NewClient(o)
}

// Do does a command, with a client of its own.
func (s *Server) Do(args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db := s.Connect()
	return errors.Join(db.Do(ctx, args...).Err(), db.Close())
}

// Addr is host:port.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// CA is whom the certificate comes from, as PEM; nil without TLS.
func (s *Server) CA() []byte { return s.ca }

// Log returns what the server has logged.
func (s *Server) Log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	s.Kill()
	return os.RemoveAll(s.dir)
}

// Kill ends the server as kill -9 does, and waits until it is gone.
func (s *Server) Kill() {
	s.signal(syscall.SIGKILL)
	s.mu.Lock()
	exited := s.exited
	s.cmd, s.exited = nil, nil
	s.mu.Unlock()
	if exited != nil {
		<-exited
	}
}

// Freeze stops the server's process: connections hang.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig) // it may be gone already
	}
}

// NewPassword returns one that no other server has.
func NewPassword() string { return rand.Text() }
