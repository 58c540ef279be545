//go:build linux

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/Shopify/toxiproxy/v2"
)

// fault is something that happens to a cluster.
type fault struct {
	name string
	// begin has it happen; what it returns ends it.
	begin func(ctx context.Context, r *run) (end func(ctx context.Context) error, err error)
	// cutsOff means that nodes do not hear of changes until it is over.
	cutsOff bool
	// ofRedis means that it takes one.
	ofRedis bool
	// ofClock means that it takes a program with a clock that can be set.
	ofClock bool
	// losesRecords means that a node may end with records that it had no time to keep.
	losesRecords bool
}

var faults = []fault{
	{name: "none", begin: nothing},
	{name: "postgres-killed", begin: killPostgres, cutsOff: true},
	{name: "postgres-frozen", begin: freezePostgres, cutsOff: true},
	{name: "postgres-slow", begin: slowPostgres, cutsOff: true},
	{name: "postgres-read-only", begin: readOnlyPostgres, cutsOff: true},
	{name: "postgres-full", begin: fillPostgres, cutsOff: true},
	{name: "postgres-failover", begin: failOver, cutsOff: true},
	{name: "node-cut-off", begin: cutOffNode, cutsOff: true},
	{name: "node-black-hole", begin: blackHoleNode, cutsOff: true},
	{name: "node-killed", begin: killNode, cutsOff: true, losesRecords: true},
	{name: "node-frozen", begin: freezeNode, cutsOff: true},
	{name: "clock-ahead", begin: clockOff(time.Hour), ofClock: true},
	{name: "clock-behind", begin: clockOff(-time.Hour), ofClock: true},
	{name: "redis-killed", begin: killRedis, ofRedis: true},
	{name: "redis-frozen", begin: freezeRedis, ofRedis: true},
	{name: "redis-flushed", begin: flushRedis, ofRedis: true},
	{name: "redis-cut-off", begin: cutOffRedis, ofRedis: true},
	{name: "both-frozen", begin: freezeBoth, ofRedis: true, cutsOff: true},
}

func nothing(context.Context, *run) (func(context.Context) error, error) {
	return func(context.Context) error { return nil }, nil
}

// killPostgres is kill -9 of all its processes, and a restart.
func killPostgres(_ context.Context, r *run) (func(context.Context) error, error) {
	r.postgres.Kill()
	return func(context.Context) error { return r.postgres.Restart() }, nil
}

// freezePostgres stops all its processes: connections hang and do not fail.
func freezePostgres(_ context.Context, r *run) (func(context.Context) error, error) {
	r.postgres.Freeze()
	return func(context.Context) error { r.postgres.Thaw(); return nil }, nil
}

// slowPostgres has everything take two seconds longer, each way one.
func slowPostgres(ctx context.Context, r *run) (func(context.Context) error, error) {
	var errs []error
	for _, n := range r.nodes {
		errs = append(errs, poison(n.links.postgres, "latency", map[string]int{"latency": 1_000}))
	}
	return func(context.Context) error {
		for _, n := range r.nodes {
			n.cure(ctx)
		}
		return nil
	}, errors.Join(errs...)
}

// readOnlyPostgres is a server that takes no changes, such as one whose disk is full.
func readOnlyPostgres(_ context.Context, r *run) (func(context.Context) error, error) {
	set := func(value string) error {
		return errors.Join(
			r.postgres.Do(database, "ALTER SYSTEM SET default_transaction_read_only = "+value),
			r.postgres.Do(database, "SELECT pg_reload_conf()"))
	}
	return func(context.Context) error { return set("off") }, set("on")
}

// fillPostgres takes all connections, and ends those of the nodes.
func fillPostgres(ctx context.Context, r *run) (func(context.Context) error, error) {
	release, err := r.postgres.Fill(ctx, database)
	return func(context.Context) error { return release() }, err
}

// failOver kills the server, and has the nodes find another one in its place that has
// all its commits.
func failOver(_ context.Context, r *run) (func(context.Context) error, error) {
	r.postgres.Kill()
	return func(ctx context.Context) error {
		if err := r.postgres.Move(); err != nil {
			return err
		}
		for _, n := range r.nodes {
			if err := redirect(ctx, n.links.postgres, hostOf(r.postgres.TCP(database))); err != nil {
				return fmt.Errorf("lead %s to the other server: %w", n.name, err)
			}
		}
		return nil
	}, nil
}

// redirect has a way lead to another server. It listens anew for that, and somebody else
// may have taken its port for a moment.
func redirect(ctx context.Context, link *toxiproxy.Proxy, to string) (err error) {
	other := toxiproxy.Proxy{Listen: link.Listen, Upstream: to, Enabled: true}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(pollEvery) {
		if err = link.Update(&other); err == nil {
			return nil
		}
	}
	return errors.Join(err, ctx.Err())
}

// cutOffNode resets the connections of one node to PostgreSQL.
func cutOffNode(_ context.Context, r *run) (func(context.Context) error, error) {
	n := r.nodes[len(r.nodes)-1]
	return func(ctx context.Context) error { n.cure(ctx); return nil }, poison(n.links.postgres, "reset_peer", map[string]int{"timeout": 0})
}

// blackHoleNode has nothing come through between one node and PostgreSQL, and no
// connection end.
func blackHoleNode(_ context.Context, r *run) (func(context.Context) error, error) {
	n := r.nodes[len(r.nodes)-1]
	return func(ctx context.Context) error { n.cure(ctx); return nil }, poison(n.links.postgres, "timeout", map[string]int{"timeout": 0})
}

// killNode is kill -9 of one node, and a start.
func killNode(_ context.Context, r *run) (func(context.Context) error, error) {
	n := r.nodes[0]
	n.isOut.Store(true)
	return func(ctx context.Context) error {
		if err := n.start(ctx); err != nil {
			return err
		}
		n.isOut.Store(false)
		return nil
	}, n.process.Kill()
}

// freezeNode stops one node, and lets it go on: it has a copy of another time then, and
// does not know.
func freezeNode(_ context.Context, r *run) (func(context.Context) error, error) {
	n := r.nodes[len(r.nodes)-1]
	n.isOut.Store(true)
	return func(context.Context) error {
		err := syscall.Kill(n.process.PID(), syscall.SIGCONT)
		n.isOut.Store(false)
		return err
	}, syscall.Kill(n.process.PID(), syscall.SIGSTOP)
}

// clockOff has the wall clock of one node jump, while it runs, and back.
func clockOff(ahead time.Duration) func(context.Context, *run) (func(context.Context) error, error) {
	return func(ctx context.Context, r *run) (func(context.Context) error, error) {
		n := r.nodes[len(r.nodes)-1]
		clock := Clock(filepath.Join(r.opts.Dir, n.name+".clock"))
		if err := clock.Set(0); err != nil {
			return nil, err
		}
		n.isOut.Store(true) // for as long as the other program takes to start
		if err := n.process.Stop(); err != nil {
			return nil, err
		}
		n.options.Binary = r.shifted
		n.options.Env = append(n.options.Env, clock.Env())
		if err := n.start(ctx); err != nil {
			return nil, err
		}
		if err := r.awaitLevel(ctx); err != nil {
			return nil, err
		}
		n.isOut.Store(false)
		return func(context.Context) error { return clock.Set(0) }, clock.Set(ahead)
	}
}

// killRedis is kill -9, and a start without what it knew.
func killRedis(_ context.Context, r *run) (func(context.Context) error, error) {
	r.redis.Kill()
	return func(context.Context) error { return r.redis.Restart() }, nil
}

// freezeRedis has connections hang.
func freezeRedis(_ context.Context, r *run) (func(context.Context) error, error) {
	r.redis.Freeze()
	return func(context.Context) error { r.redis.Thaw(); return nil }, nil
}

// flushRedis has it forget everything.
func flushRedis(_ context.Context, r *run) (func(context.Context) error, error) {
	return func(context.Context) error { return nil }, r.redis.Do("FLUSHALL")
}

// cutOffRedis has nothing come through between one node and Redis.
func cutOffRedis(_ context.Context, r *run) (func(context.Context) error, error) {
	n := r.nodes[len(r.nodes)-1]
	return func(ctx context.Context) error { n.cure(ctx); return nil }, poison(n.links.redis, "timeout", map[string]int{"timeout": 0})
}

// freezeBoth leaves the nodes on their own.
func freezeBoth(ctx context.Context, r *run) (func(context.Context) error, error) {
	thawRedis, _ := freezeRedis(ctx, r)
	thawPostgres, _ := freezePostgres(ctx, r)
	return func(ctx context.Context) error { return errors.Join(thawRedis(ctx), thawPostgres(ctx)) }, nil
}
