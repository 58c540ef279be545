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
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/key-ip-sentinel/sentinel/store/testserver"
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

	process *testserver.Process
}

// find returns where the binary is.
func find() (string, error) {
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
	bin, err := find()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, opts: opts}
	if s.dir, err = os.MkdirTemp("", "redistest"); err != nil {
		return nil, err
	}
	s.process = &testserver.Process{Name: "redis", LogFile: filepath.Join(s.dir, "log"), Patience: patience, Orphaned: syscall.SIGKILL}
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
		port, err := testserver.FreePort()
		if err != nil {
			return 0, err
		}
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
	db := s.Connect()
	defer func() { _ = db.Close() }() // it has served
	return s.process.Start(s.command, func(ctx context.Context) error { return db.Ping(ctx).Err() }, s.Kill)
}

func (s *Server) command() *exec.Cmd {
	args := []string{s.configPath()}
	if s.role != "" {
		args = append(args, s.role)
	}
	return exec.Command(s.bin, args...) // #nosec G204 -- ours
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
func (s *Server) Log() string { return s.process.Log() }

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	s.Kill()
	return os.RemoveAll(s.dir)
}

// Kill ends the server as kill -9 does, and waits until it is gone.
func (s *Server) Kill() {
	s.process.Signal(syscall.SIGKILL)
	s.process.Wait()
}

// Freeze stops the server's process: connections hang.
func (s *Server) Freeze() { s.process.Signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (s *Server) Thaw() { s.process.Signal(syscall.SIGCONT) }

// NewPassword returns one that no other server has.
func NewPassword() string { return rand.Text() }
