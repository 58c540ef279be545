//go:build linux

// Package faulttest holds several nodes of the built binary on one PostgreSQL to
// their promises while parts of it fail, from outside, over real connections:
//
//   - No request of a known key fails, on a node that runs, because of the authority.
//   - No key is ever bound to two addresses, and nothing that an administrator was told
//     is done is lost: all first uses, bans and answers are a history that a checker of
//     linearizability must explain (history.go).
//   - A ban is in force on every connected node within Bound after it was acknowledged,
//     and within Bound after a node was connected again or thawed.
//   - Each refusal that a client saw is in the records once.
//
// Each fault is a step of faults.go, with servers that are started for it, and a TCP
// proxy between each node and its servers.
package faulttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Options of Run. Binary and Dir are required.
type Options struct {
	Binary string        // path of the executable
	Dir    string        // an empty directory for data and logs
	Faults []string      // names of faults, in order; nil: all
	Nodes  int           // 0: DefaultNodes
	Redis  bool          // have one, and its faults
	Keys   int           // that are known to all nodes; 0: DefaultKeys
	Rate   int           // requests a second with known keys, of all nodes together; 0: DefaultRate
	Hold   time.Duration // how long each fault lasts; 0: DefaultHold
	Rivals int           // keys that two addresses compete for in each fault; 0: DefaultRivals
	Seed   uint64        // decides who asks which node
	Log    io.Writer     // hears of every fault; nil: nobody does
}

// Defaults of Options.
const (
	DefaultNodes  = 3
	DefaultKeys   = 300
	DefaultRate   = 500
	DefaultHold   = 4 * time.Second
	DefaultRivals = 40
)

// Bound is how long after its acknowledgement a ban may take to reach a connected
// node.
const Bound = time.Second

// Report is what Run has seen.
type Report struct {
	Faults  []FaultReport
	Bans    int // acknowledged ones
	Winners int // keys that one address has won
	// BanDelay is how long after their acknowledgement bans were in force on each of the
	// other nodes, without a fault, in order.
	BanDelay []time.Duration
}

// FaultReport is what became of the steady load during one fault.
type FaultReport struct {
	Name     string
	Requests int
	Slow     int // took longer than 250 ms
	P99, Max time.Duration
}

func (r FaultReport) String() string {
	return fmt.Sprintf("%-22s %6d requests of known keys, none failed, p99 %v, longest %v, %d above 250ms",
		r.Name, r.Requests, r.P99.Round(10*time.Microsecond), r.Max.Round(time.Millisecond), r.Slow)
}

func (o *Options) setDefaults() {
	setDefault(&o.Nodes, DefaultNodes)
	setDefault(&o.Keys, DefaultKeys)
	setDefault(&o.Rate, DefaultRate)
	setDefault(&o.Hold, DefaultHold)
	setDefault(&o.Rivals, DefaultRivals)
	if o.Log == nil {
		o.Log = io.Discard
	}
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// Names returns the names of all faults, in the order of Run.
func Names() []string {
	names := make([]string, len(faults))
	for i, f := range faults {
		names[i] = f.name
	}
	return names
}

// has reports whether a fault is one of those to have.
func (o *Options) has(f fault) bool {
	return slices.Contains(o.Faults, f.name) || o.Faults == nil && (o.Redis || !f.ofRedis)
}

// Run starts the cluster, and has one fault after the other happen to it. The error
// names what was promised and not so.
func Run(ctx context.Context, opts Options) (report Report, err error) {
	opts.setDefaults()
	for _, name := range opts.Faults {
		if !slices.Contains(Names(), name) {
			return Report{}, fmt.Errorf("no fault %q: want one of %s", name, strings.Join(Names(), ", "))
		}
	}
	c, err := startCluster(ctx, opts)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if slices.ContainsFunc(faults, func(f fault) bool { return f.ofClock && opts.has(f) }) {
		if c.shifted, err = BuildWithClock(ctx, opts.Dir); err != nil {
			return Report{}, err
		}
	}
	r := &run{cluster: c, opts: opts, random: rand.New(rand.NewPCG(opts.Seed, opts.Seed))} // #nosec G404 -- a test that can be repeated
	if err := r.introduce(ctx); err != nil {
		return r.report, err
	}
	if err := r.measureBans(ctx); err != nil {
		return r.report, err
	}
	for _, f := range faults {
		if !opts.has(f) {
			continue
		}
		if err := r.have(ctx, f); err != nil {
			return r.report, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return r.report, nil
}

// run is one Run under way.
type run struct {
	*cluster
	opts   Options
	random *rand.Rand // of the goroutine of Run alone
	report Report
}

// have has one fault happen, with the load going on before, in it and after.
func (r *run) have(ctx context.Context, f fault) error {
	_, _ = fmt.Fprintf(r.opts.Log, "%s\n", f.name) // what is printed is for reading along
	load := r.startLoad(ctx)
	h := newHistory(r)
	h.compete(ctx, r.opts.Rivals/2, time.Second)
	undo, err := f.begin(ctx, r)
	if err != nil {
		return errors.Join(err, load.stop().err)
	}
	h.compete(ctx, r.opts.Rivals, r.opts.Hold)
	if err := undo(ctx); err != nil {
		return errors.Join(fmt.Errorf("end of the fault: %w", err), load.stop().err)
	}
	if err := r.awaitLevel(ctx); err != nil {
		return errors.Join(err, load.stop().err)
	}
	h.healed()
	h.compete(ctx, r.opts.Rivals/2, time.Second)
	seen := load.stop()
	seen.report.Name = f.name
	r.report.Faults = append(r.report.Faults, seen.report)
	if seen.err != nil {
		return seen.err
	}
	_, _ = fmt.Fprintf(r.opts.Log, "  %s\n", seen.report) // as above
	if err := h.check(ctx, f); err != nil {
		return err
	}
	r.report.Bans += h.acknowledged()
	r.report.Winners += h.won()
	return nil
}
