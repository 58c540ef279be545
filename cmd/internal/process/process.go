// Package process runs the built binary as a process of its own, so that
// benchmarks and end-to-end tests see what a user sees.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// startTimeout is how long a start may take until the process is healthy.
	startTimeout = 30 * time.Second
	// stopTimeout is how long a stop may take before it becomes a kill.
	stopTimeout = 40 * time.Second
	pollEvery   = 2 * time.Millisecond
	portTries   = 3
	tailBytes   = 2 << 10
)

// Options of Start and Launch. All but Env are required.
type Options struct {
	Binary     string   // path of the executable
	Downstream string   // URL that requests are forwarded to
	DataDir    string   // made if it is missing
	Secret     string   // HMAC secret, the same at every start on one data directory
	LogFile    string   // what the process prints is appended here
	Env        []string // further settings, NAME=value
}

// Process is one running binary. Its methods are safe for concurrent use.
type Process struct {
	opts    Options
	addr    string
	started time.Time
	cmd     *exec.Cmd
	exited  chan struct{} // closed when err is set
	err     error
}

// Start launches the binary on a free port and waits until it is healthy.
// The process ends with ctx, if nothing else ends it before.
func Start(ctx context.Context, opts Options) (*Process, error) {
	for try := 1; ; try++ {
		p, err := Launch(ctx, opts)
		if err != nil {
			return nil, err
		}
		err = p.awaitHealth(ctx)
		if err == nil {
			return p, nil
		}
		err = errors.Join(err, p.Kill())
		// Somebody else may have taken the port between finding and using it.
		if try == portTries || !strings.Contains(p.tail(), "another program has this port") {
			return nil, fmt.Errorf("%w; its last output:\n%s", err, p.tail())
		}
	}
}

// Launch starts the binary on a free port and does not wait for it to listen.
func Launch(ctx context.Context, opts Options) (*Process, error) {
	binary, err := filepath.Abs(opts.Binary)
	if err != nil {
		return nil, fmt.Errorf("find binary: %w", err)
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	log, err := os.OpenFile(opts.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer func() { _ = log.Close() }() // the process has a copy

	p := &Process{opts: opts, addr: addr, exited: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, binary, "serve") // #nosec G204 -- the binary under test, named by who runs it
	p.cmd.Dir = filepath.Dir(opts.LogFile)            // where no .env lies
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"DOWNSTREAM_URL=" + opts.Downstream,
		"SENTINEL_LISTEN=" + addr,
		"SENTINEL_DATA_DIR=" + opts.DataDir,
		"SENTINEL_HMAC_SECRET=" + opts.Secret,
	}, opts.Env...)
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(binary), err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// freeAddr returns a loopback address that nothing listens on at the moment.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// Addr returns the host and port of the public listener.
func (p *Process) Addr() string { return p.addr }

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Started returns the moment just before the binary was executed.
func (p *Process) Started() time.Time { return p.started }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

func (p *Process) awaitHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if _, err := p.get(ctx, "/health", ""); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("the process ended before it was healthy: %w", p.exitError())
		case <-ctx.Done():
			return fmt.Errorf("wait until the process is healthy: %w", ctx.Err())
		}
	}
}

func (p *Process) exitError() error {
	if p.err != nil {
		return p.err
	}
	return errors.New("exit status 0")
}

// get returns the body of a 200 answer.
func (p *Process) get(ctx context.Context, path, token string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+path, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: status %d", path, res.StatusCode)
	}
	return io.ReadAll(res.Body)
}

// Counts returns what the process has counted since its start, by name.
func (p *Process) Counts(ctx context.Context) (map[string]uint64, error) {
	token, err := os.ReadFile(filepath.Join(p.opts.DataDir, "local-token"))
	if err != nil {
		return nil, fmt.Errorf("read local token: %w", err)
	}
	body, err := p.get(ctx, "/admin/api/counts", strings.TrimSpace(string(token)))
	if err != nil {
		return nil, err
	}
	counts := make(map[string]uint64)
	if err := json.Unmarshal(body, &counts); err != nil {
		return nil, fmt.Errorf("read counts: %w", err)
	}
	return counts, nil
}

// Kill ends the process as kill -9 does, and returns when it is gone. Killing
// one that has ended is no error.
func (p *Process) Kill() error {
	err := p.cmd.Process.Kill()
	<-p.exited
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill: %w", err)
	}
	return nil
}

// Stop ends the process as an operator does, and returns an error, with the end
// of its output, if it did not end well.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop: %w", err)
	}
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("not ended %v after SIGTERM", stopTimeout), p.Kill())
	}
	if p.err != nil {
		return fmt.Errorf("stopped badly: %w; its last output:\n%s", p.err, p.tail())
	}
	return nil
}

// tail is the end of what the process has printed.
func (p *Process) tail() string {
	f, err := os.Open(p.opts.LogFile)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }() // only read
	if end, err := f.Stat(); err == nil && end.Size() > tailBytes {
		if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}
