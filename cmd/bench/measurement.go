//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/process"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/upstream"
)

// measurement is one subject of the table.
type measurement struct {
	name  string // for -only
	title text
	how   text
	run   func(ctx context.Context, b *bench) (outcome, error)
}

// measurements returns all of them, in the order of the page.
func measurements() []measurement {
	return []measurement{cost, streams, decision, refusals, firstUse, transfer, million, growth, cluster}
}

func measurementNames() []string {
	var names []string
	for _, m := range measurements() {
		names = append(names, m.name)
	}
	return names
}

const (
	connections = 64
	mega        = 1e6
	kilo        = 1e3
)

// The two addresses that requests come from.
var (
	home  = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	other = netip.AddrFrom4([4]byte{127, 0, 0, 2})
)

// secret is the HMAC secret of all measurements.
var secret = strings.Repeat("a secret for benchmarks only ", 2) + "!"

// bench is what measurements have in common.
type bench struct {
	binary string
	dir    string // removed at the end
	quick  bool
}

// size is a number, or a smaller one in a quick run.
func (b *bench) size(full, quick int) int {
	if b.quick {
		return quick
	}
	return full
}

// rig is one sentinel with a downstream of its own.
type rig struct {
	bench *bench
	dir   string
	up    *upstream.Server
	*process.Process
}

// newRig returns a rig whose sentinel is not yet started, so that its data can
// be made first.
func (b *bench) newRig(name string) (*rig, error) {
	r := &rig{bench: b, dir: filepath.Join(b.dir, name)}
	if err := os.MkdirAll(r.dataDir(), 0o700); err != nil {
		return nil, err
	}
	var err error
	r.up, err = startUpstream()
	return r, err
}

func (r *rig) dataDir() string { return filepath.Join(r.dir, "data") }

// options of the process, with further settings.
func (r *rig) options(env ...string) process.Options {
	return process.Options{
		Binary: r.bench.binary, Downstream: r.up.URL(), DataDir: r.dataDir(), Secret: secret,
		LogFile: filepath.Join(r.dir, "sentinel.log"), Env: env,
	}
}

// start starts sentinel and waits until it is healthy.
func (r *rig) start(ctx context.Context, env ...string) error {
	p, err := process.Start(ctx, r.options(env...))
	r.Process = p
	return err
}

// started returns a rig that runs.
func (b *bench) started(ctx context.Context, name string, env ...string) (*rig, error) {
	r, err := b.newRig(name)
	if err != nil {
		return nil, err
	}
	if err := r.start(ctx, env...); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// close stops what runs, and removes the data.
func (r *rig) close() error {
	var err error
	if r.Process != nil {
		err = r.Stop()
	}
	return errors.Join(err, r.up.Close(), os.RemoveAll(r.dir))
}

// wantCount returns an error if sentinel has not counted so many of something.
func (r *rig) wantCount(ctx context.Context, name string, want int) error {
	counts, err := r.Counts(ctx)
	if err != nil {
		return err
	}
	if got := counts[name]; got != uint64(want) { // #nosec G115 -- a count
		return fmt.Errorf("sentinel counts %d %s, want %d", got, name, want)
	}
	return nil
}
