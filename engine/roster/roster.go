// Package roster tells which nodes there are, and how they are.
//
// Each node tells the authority every few seconds how it is, its heartbeat. Whoever asks
// gets what all have told; while the authority is away, what was last heard of the others.
package roster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	beatEvery = 3 * time.Second
	// LostAfter is how long a node is not heard of until it is taken for lost.
	LostAfter = 15 * time.Second
)

// State says whether a node is there.
type State string

// The states.
const (
	Here State = "here"
	Lost State = "lost" // not heard of for LostAfter
)

// Node is a node as the others know it.
type Node struct {
	store.NodeState
	State State
	// SeenAt is when it was last heard of, by the clock of this node, in milliseconds.
	SeenAt time.Time
	IsSelf bool
}

// Options of a Roster.
type Options struct {
	// Authority keeps what all nodes tell; nil: this is the only one.
	Authority store.Roster
	// Self returns how this node is. It must not wait.
	Self   func() store.NodeState
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Roster tells of this node, and of the others. It is safe for concurrent use.
type Roster struct {
	opts Options

	mu      sync.Mutex
	last    []Node // of the others, as they were last heard of
	current bool   // that was by the last question
	failing bool

	cancel  context.CancelFunc
	stopped sync.WaitGroup
}

// Start begins to tell; Close ends it.
func Start(opts Options) *Roster {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	r := &Roster{opts: opts, current: opts.Authority == nil}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	if opts.Authority != nil {
		r.stopped.Go(func() { r.run(ctx) })
	}
	return r
}

func (r *Roster) run(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		err := r.opts.Authority.Beat(ctx, r.opts.Self())
		if err == nil {
			err = r.ask(ctx)
		}
		r.note(ctx, err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// note tells once that heartbeats do not arrive.
func (r *Roster) note(ctx context.Context, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.current = false
	}
	if err != nil && !r.failing && ctx.Err() == nil {
		r.opts.Logger.Warn("the other nodes do not hear of this one", "error", err)
	}
	r.failing = err != nil
}

// ask asks the authority of the others.
func (r *Roster) ask(ctx context.Context) error {
	list, err := r.opts.Authority.Nodes(ctx)
	if err != nil {
		return err
	}
	now, self := r.opts.Now(), r.opts.Self().ID
	others := make([]Node, 0, len(list))
	for _, beat := range list {
		if beat.ID != self {
			others = append(others, Node{NodeState: beat.NodeState, SeenAt: store.StoredTime(now.Add(-beat.Silence))})
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.current = others, true
	return nil
}

// List returns all nodes in the order of their names, and whether the others are as the
// authority tells now.
func (r *Roster) List(ctx context.Context) (list []Node, isCurrent bool) {
	if r.opts.Authority != nil {
		if err := r.ask(ctx); err != nil {
			r.note(ctx, err)
		}
	}
	r.mu.Lock()
	list, isCurrent = slices.Clone(r.last), r.current
	r.mu.Unlock()
	now := store.StoredTime(r.opts.Now())
	list = append(list, Node{NodeState: r.opts.Self(), SeenAt: now, IsSelf: true})
	for i := range list {
		list[i].State = Here
		if now.Sub(list[i].SeenAt) > LostAfter {
			list[i].State = Lost
		}
	}
	slices.SortFunc(list, func(a, b Node) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list, isCurrent
}

// Self returns how this node is. It does not wait.
func (r *Roster) Self() store.NodeState { return r.opts.Self() }

// AllTold returns why not everything that all nodes have counted may have come to the
// authority: one was not heard of, or cannot reach it. A node that is gone for good holds
// that up for store.NodeAge.
func (r *Roster) AllTold(ctx context.Context) error {
	list, isCurrent := r.List(ctx)
	if !isCurrent {
		return fmt.Errorf("%w: the authority does not tell which nodes there are", store.ErrUnavailable)
	}
	var errs []error
	for _, n := range list {
		if n.State == Lost || n.Authority.State == store.HealthAway {
			errs = append(errs, fmt.Errorf("%w: node %s is away, and may have counted what nobody knows of", store.ErrUnavailable, n.Name))
		}
	}
	return errors.Join(errs...)
}

// Close ends the heartbeats.
func (r *Roster) Close() {
	r.cancel()
	r.stopped.Wait()
}
