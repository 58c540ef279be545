//go:build unix

// Package pgtest starts PostgreSQL servers for tests: real ones, of Debian's
// packages, in a directory and on a port of their own.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store/testserver"
)

// installs is what a reader does where the binaries are missing.
const installs = "apt-get install postgresql (15 or newer)"

// patience bounds every wait for a server.
const patience = 60 * time.Second

// Options for Start; the zero value is good for tests, in which nothing has to
// survive the machine.
type Options struct {
	Fsync    bool     // as in production
	Settings []string // such as "max_connections=10"
}

// Server is one PostgreSQL server, which belongs to the process that started it
// and ends with it.
type Server struct {
	dir      string
	bin      string
	port     int
	password string
	opts     Options
	user     *syscall.Credential // nil: as who we are

	process   *testserver.Process
	databases atomic.Int64
}

// Start makes a cluster of databases and starts its server. Who calls it calls
// Stop.
func Start(opts Options) (*Server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, opts: opts, password: rand.Text()}
	if s.user, err = unprivileged(); err != nil {
		return nil, err
	}
	// The path of a socket is short.
	if s.dir, err = os.MkdirTemp("", "pgtest"); err != nil {
		return nil, err
	}
	s.process = &testserver.Process{Name: "postgres", LogFile: filepath.Join(s.dir, "log"), Patience: patience, Orphaned: syscall.SIGQUIT}
	if err := errors.Join(s.initdb(), s.pickPort(), s.Restart()); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Main runs the tests of a package with a server of their own, which it puts into server
// and prepares first, and returns the code to exit with.
func Main(m *testing.M, server **Server, prepare func() error) (code int) {
	s, err := Start(Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*server, code = s, 1
	if err = prepare(); err == nil {
		code = m.Run()
	}
	if err := errors.Join(err, s.Stop()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// findBinaries returns the directory of the newest server that is installed.
func findBinaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // fails for a bad pattern only
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no PostgreSQL server here: %s", installs)
	}
	slices.SortFunc(found, func(a, b string) int { return major(b) - major(a) })
	return filepath.Dir(found[0]), nil
}

func major(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 where the path has none
	return n
}

// initdb makes the files. PostgreSQL reaches them as another user than root.
func (s *Server) initdb() error {
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(s.password), 0o600); err != nil {
		return err
	}
	if s.user != nil {
		for _, path := range []string{s.dir, password} {
			if err := os.Chown(path, int(s.user.Uid), int(s.user.Gid)); err != nil {
				return err
			}
		}
	}
	cmd := s.command("initdb", "--pgdata", s.data(), "--username", "sentinel", "--pwfile", password, "--no-sync",
		"--encoding", "UTF8", "--locale", "C", "--auth-local", "trust", "--auth-host", "scram-sha-256")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command returns a command of the server's.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...) // #nosec G204 -- ours
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	return cmd
}

func (s *Server) pickPort() (err error) {
	s.port, err = testserver.FreePort()
	return err
}

// Restart starts the server again after Kill or Halt, with its old files, and
// waits until it answers. Settings that are given replace the earlier ones.
func (s *Server) Restart(settings ...string) error {
	if len(settings) > 0 {
		s.opts.Settings = settings
	}
	args := []string{"-D", s.data(), "-k", s.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)}
	on := "off"
	if s.opts.Fsync {
		on = "on"
	}
	for _, setting := range append([]string{"fsync=" + on, "full_page_writes=" + on, "max_connections=60", "shared_buffers=64MB"}, s.opts.Settings...) {
		args = append(args, "-c", setting)
	}
	return s.process.Start(func() *exec.Cmd { return s.command("postgres", args...) }, s.answers, s.Kill)
}

func (s *Server) answers(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err == nil {
		err = conn.Close(context.Background())
	}
	return err
}

// Password is that of the user sentinel, whom connections by TCP need it for.
func (s *Server) Password() string { return s.password }

// DSN is how to reach a database by the server's socket.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("postgresql://sentinel@/%s?host=%s&port=%d", database, url.QueryEscape(s.dir), s.port)
}

// TCP is how to reach a database by the loopback address.
func (s *Server) TCP(database string) string {
	return fmt.Sprintf("postgresql://sentinel:%s@127.0.0.1:%d/%s", s.password, s.port, database)
}

// NewDatabase makes a database, a copy of another one that nobody is connected
// to, and returns its name. The test's end drops it.
func (s *Server) NewDatabase(tb testing.TB, template string) string {
	tb.Helper()
	name := "db" + strconv.FormatInt(s.databases.Add(1), 10)
	s.Exec(tb, "postgres", "CREATE DATABASE "+name+" TEMPLATE "+template)
	tb.Cleanup(func() { s.Exec(tb, "postgres", "DROP DATABASE "+name+" WITH (FORCE)") })
	return name
}

// Create makes an empty database.
func (s *Server) Create(database string) error {
	return s.exec("postgres", "CREATE DATABASE "+database)
}

// Do runs a statement on a connection of its own.
func (s *Server) Do(database, sql string) error { return s.exec(database, sql) }

// Fill takes all connections of the server, those of others too, and returns what gives
// them back.
func (s *Server) Fill(ctx context.Context, database string) (release func() error, err error) {
	const endOthers = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND application_name <> 'fill'`
	var taken []*pgx.Conn
	release = func() error {
		var errs []error
		for _, conn := range taken {
			errs = append(errs, conn.Close(context.Background()))
		}
		return errors.Join(errs...)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		conn, err := pgx.Connect(ctx, s.DSN(database)+"&application_name=fill")
		if err == nil {
			taken = append(taken, conn)
			continue
		}
		if len(taken) == 0 {
			return release, err
		}
		var ended int
		if err := taken[0].QueryRow(ctx, endOthers).Scan(&ended); err != nil {
			return release, errors.Join(err, release())
		}
		if ended == 0 {
			return release, nil
		}
	}
	return release, errors.Join(fmt.Errorf("not all connections could be taken in %v", patience), release())
}

// Exec runs a statement on a connection of its own.
func (s *Server) Exec(tb testing.TB, database, sql string) {
	tb.Helper()
	if err := s.exec(database, sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

func (s *Server) exec(database, sql string) error {
	return s.connected(database, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

// Number returns the one number that a statement tells.
func (s *Server) Number(database, sql string) (n float64, err error) {
	err = s.connected(database, func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, sql).Scan(&n) })
	return n, err
}

// connected does something on a connection of its own.
func (s *Server) connected(database string, do func(ctx context.Context, conn *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN(database))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // it has served
	return do(ctx, conn)
}

// PID returns the process ID of the server, whose children its other processes are.
func (s *Server) PID() int { return s.process.PID() }

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	s.Halt()
	return os.RemoveAll(s.dir)
}

// Halt ends the server as its operator does: connections are cut, nothing is lost.
func (s *Server) Halt() { s.end(syscall.SIGINT) }

// Kill ends the server as kill -9 of all its processes does.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// end signals the server, and waits until its processes are gone.
func (s *Server) end(signal syscall.Signal) {
	pids := s.processes()
	deadline := time.Now().Add(patience)
	if len(pids) > 0 {
		_ = syscall.Kill(pids[0], signal) // it may be gone already
	}
	if signal == syscall.SIGKILL {
		signalAll(pids, signal)
	}
	for slices.ContainsFunc(pids, isAlive) {
		if time.Now().After(deadline) {
			signalAll(pids, syscall.SIGKILL)
			return
		}
		time.Sleep(5 * time.Millisecond) // a process has no channel to wait on
	}
	s.process.Wait()
}

// Move has another server, with another port, take the place of one that was killed or
// halted: a stand-by that had got every commit.
func (s *Server) Move() error {
	s.Halt()
	if err := s.pickPort(); err != nil {
		return err
	}
	return s.Restart()
}

// Freeze stops all processes of the server: connections hang.
func (s *Server) Freeze() { signalAll(s.processes(), syscall.SIGSTOP) }

// Thaw lets them go on.
func (s *Server) Thaw() { signalAll(s.processes(), syscall.SIGCONT) }

func signalAll(pids []int, signal syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, signal) // it may be gone already
	}
}

// processes returns the server's process and then its children, which are in
// groups of their own.
func (s *Server) processes() []int {
	pid := s.process.PID()
	if pid == 0 {
		return nil
	}
	list := []int{pid}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // fails for a bad pattern only
	for _, stat := range stats {
		if parent, _ := parentAndState(stat); parent == pid {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat))) // of digits
			list = append(list, child)
		}
	}
	return list
}

// isAlive reports whether a process runs: one that has ended may be there as a
// zombie until it is waited for.
func isAlive(pid int) bool {
	parent, state := parentAndState(fmt.Sprintf("/proc/%d/stat", pid))
	return parent != 0 && state != "Z" && state != "X"
}

// parentAndState reads what proc(5) says of a process, which comes behind a name
// in parentheses.
func parentAndState(path string) (parent int, state string) {
	text, err := os.ReadFile(path) // #nosec G304 -- of /proc
	if err != nil {
		return 0, ""
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 {
		return 0, ""
	}
	parent, _ = strconv.Atoi(fields[1]) // a number always
	return parent, fields[0]
}
