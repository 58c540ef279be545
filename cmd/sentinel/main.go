// Command sentinel stands in front of an LLM gateway, and ties every API key
// to the network it is used from.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // an image of the program alone, and Windows, have no time zones of their own
)

// Exit codes; api.go has those of the commands that speak to a server.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // a second signal, while the first was being obeyed
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitInterrupted)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run does what the arguments say and returns the exit code. It ends soon after
// ctx does. Errors go to stderr, one line each.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRootCommand(args)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(&pipeWriter{stdout})
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	code := exitCodeOf(err)
	if code == exitOK {
		return code
	}
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintf(stderr, "sentinel: %s\n", strings.TrimRight(line, "\n"))
	}
	return code
}

// usageError is a fault of the arguments or settings rather than of the work:
// exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}
