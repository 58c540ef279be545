package store

import "context"

// Leadership makes one of the nodes that share an authority the leader, which does what
// is to be done once. It is safe for concurrent use.
type Leadership interface {
	// Lead calls do whenever this node has become the leader, with a context that ends
	// when it no longer is; do then returns, and the node is a candidate again. Lead
	// returns when ctx is done. It is called once.
	Lead(ctx context.Context, do func(ctx context.Context))
	// IsLeader reports whether this node is the leader now. It asks whoever decides that,
	// and never goes by what it knew before: a process that was frozen for a while hears
	// of it before it does anything as the leader it was. So who does something as the
	// leader asks before each step. It is false if the answer does not come soon.
	IsLeader(ctx context.Context) bool
}

// Alone is the Leadership of a node that shares its store with nobody.
type Alone struct{}

// Lead is part of Leadership.
func (Alone) Lead(ctx context.Context, do func(ctx context.Context)) {
	do(ctx)
	<-ctx.Done()
}

// IsLeader is part of Leadership.
func (Alone) IsLeader(context.Context) bool { return true }
