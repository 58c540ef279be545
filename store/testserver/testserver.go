//go:build unix

// Package testserver runs servers of other programs for tests, as processes that end with
// the one that has started them.
package testserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	answerTimeout = time.Second
	pollEvery     = 10 * time.Millisecond
)

// Process is that of one server, again and again. Its methods are safe for concurrent use.
type Process struct {
	Name     string         // of the program, in errors
	LogFile  string         // what it prints is appended there
	Patience time.Duration  // bounds every wait for it
	Orphaned syscall.Signal // ends it when this process was killed; on Linux only

	mu     sync.Mutex
	cmd    *exec.Cmd     // nil: none runs
	exited chan struct{} // closed when cmd has ended
}

// Start runs what command returns, and waits until it answers. While another process has
// its port or its memory it ends at once: then kill does away with what is left of it, and
// it is run again.
func (p *Process) Start(command func() *exec.Cmd, answers func(context.Context) error, kill func()) error {
	deadline := time.Now().Add(p.Patience)
	for {
		exited, err := p.launch(command())
		if err != nil {
			return err
		}
		err = p.await(deadline, exited, answers)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		kill()
	}
}

func (p *Process) launch(cmd *exec.Cmd) (exited <-chan struct{}, err error) {
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has it
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	endOrphan(cmd.SysProcAttr, p.Orphaned)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	over := make(chan struct{})
	p.cmd, p.exited = cmd, over
	go func() {
		_ = cmd.Wait() // how it ends is what the test is about
		close(over)
	}()
	return over, nil
}

// await returns when the server answers, or has ended, or the time is over.
func (p *Process) await(deadline time.Time, exited <-chan struct{}, answers func(context.Context) error) error {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
		err := answers(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w\n%s", p.Name, err, p.Log())
		}
		select {
		case <-exited:
			return fmt.Errorf("%s has ended\n%s", p.Name, p.Log())
		case <-time.After(pollEvery):
		}
	}
}

// Log returns what the server has printed.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.LogFile)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// PID returns the process ID; 0: none runs.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Signal signals the process, if one runs.
func (p *Process) Signal(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(signal) // it may be gone already
	}
}

// Wait waits until the process is gone.
func (p *Process) Wait() {
	p.mu.Lock()
	exited := p.exited
	p.cmd, p.exited = nil, nil
	p.mu.Unlock()
	if exited != nil {
		<-exited
	}
}

// FreePort returns a port of the loopback address that nobody listens on at the moment.
func FreePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
