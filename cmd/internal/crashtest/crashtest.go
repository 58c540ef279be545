// Package crashtest holds the built binary to two promises, from outside, over
// real connections: no key that a client saw accepted is unbound after a
// kill -9, and of two addresses racing for one new key exactly one wins.
package crashtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/process"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

const connections = 64

// The two addresses that requests come from.
var (
	home  = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	other = netip.AddrFrom4([4]byte{127, 0, 0, 2})
)

// environment is what a process runs in.
type environment struct {
	options process.Options
	log     io.Writer
}

func newEnvironment(binary, dir string, down *downstream, log io.Writer) environment {
	if log == nil {
		log = io.Discard
	}
	return environment{
		options: process.Options{
			Binary: binary, Downstream: down.URL(), DataDir: filepath.Join(dir, "data"),
			Secret: strings.Repeat("crash test secret, ", 3) + "!", LogFile: filepath.Join(dir, "sentinel.log"),
		},
		log: log,
	}
}

func (e environment) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(e.log, format+"\n", args...) // what is printed is for reading along
}

// forEach calls do with 0 to n-1 from as many goroutines as there are
// connections, each with a client of its own, until one returns an error.
func forEach(ctx context.Context, n int, addr string, local netip.Addr, do func(ctx context.Context, c *wire.Client, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(connections, n) {
		group.Go(func() error {
			c := wire.NewClient(addr, local)
			defer func() { _ = c.Close() }()
			for {
				i := int(next.Add(1) - 1)
				if i >= n || ctx.Err() != nil {
					return ctx.Err()
				}
				if err := do(ctx, c, i); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// use sends one request with a key.
func use(ctx context.Context, c *wire.Client, key string) (wire.Answer, error) {
	return c.Do(ctx, wire.AppendChat(nil, key))
}

// wantStatus uses a key and returns an error if the answer is another one.
func wantStatus(ctx context.Context, c *wire.Client, key string, want int) error {
	a, err := use(ctx, c, key)
	if err != nil {
		return err
	}
	if a.Status != want {
		return fmt.Errorf("status %d, want %d: %s", a.Status, want, a.Body)
	}
	return nil
}

// list collects faults, up to a number that can still be read.
type list struct {
	mu   sync.Mutex
	errs []error
	more int
}

const maxFaults = 20

func (l *list) addf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) == maxFaults {
		l.more++
		return
	}
	l.errs = append(l.errs, fmt.Errorf(format, args...))
}

func (l *list) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more > 0 {
		return errors.Join(append(l.errs[:len(l.errs):len(l.errs)], fmt.Errorf("and %d more", l.more))...)
	}
	return errors.Join(l.errs...)
}
