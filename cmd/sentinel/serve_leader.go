package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/clock"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/engine/roster"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
)

// alerts is an alert.Center, or in a cluster an alert.Shared.
type alerts interface {
	engine.Watcher
	admin.Alerts
	Lockout(name string, from netip.Addr)
	SetSettings(s alert.Settings) error
	PublishTo(bus *event.Bus)
	ReloadChannels(ctx context.Context) error
	Reseal(ctx context.Context) (n int, err error)
	Close(ctx context.Context) error
}

// openLeadership makes this node a candidate, or the leader where it is alone.
func (n *node) openLeadership() error {
	n.leadership = store.Alone{}
	if n.cluster == nil {
		return nil
	}
	dsn := n.cfg.PostgresDSN
	if n.cfg.PostgresListenDSN != "" {
		dsn = n.cfg.PostgresListenDSN
	}
	leader, err := postgres.NewLeader(postgres.LeaderOptions{DSN: dsn.Reveal(), Key: n.cfg.ArchiveSchedulerLockKey, Logger: n.logger})
	if err != nil {
		return fmt.Errorf("PG_DSN: %w", err)
	}
	n.leadership = leader
	return nil
}

// openSharedAlerts opens the alerts of all nodes of a cluster.
func (n *node) openSharedAlerts(ctx context.Context, options alert.Options) error {
	shared := alert.SharedOptions{Options: options, Leadership: n.leadership, Mailbox: n.cluster, CatchUp: n.cluster.CatchUp}
	if n.redis != nil {
		shared.Counts = n.redis.Counts("alert")
	}
	var err error
	n.shared, err = alert.NewShared(ctx, shared)
	if err == nil {
		n.alerts = n.shared
	}
	return err
}

// startTogether begins what the nodes of a cluster do together.
func (n *node) startTogether() {
	if n.cluster == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.endTogether = cancel
	n.together.Go(func() { n.leadership.Lead(ctx, n.lead) })
	if n.redis != nil && n.limiter.Load() != nil {
		n.together.Go(func() { n.tellUses(ctx) })
	}
}

// lead is what the leader does beside the housekeeping, which asks by itself.
func (n *node) lead(ctx context.Context) {
	n.leads.Store(true)
	defer n.leads.Store(false)
	n.shared.Lead(ctx)
}

// openClock begins to keep the time of the cluster, or the own one.
func (n *node) openClock(ctx context.Context) {
	n.clock = new(clock.Clock)
	if n.cluster != nil {
		n.clock = clock.Start(ctx, n.cluster, n.logger)
	}
}

// openRoster begins to tell which nodes there are.
func (n *node) openRoster() {
	options := roster.Options{Self: n.self, Logger: n.logger, Now: n.clock.Now}
	if n.cluster != nil {
		options.Authority = n.cluster
	}
	n.roster = roster.Start(options)
}

// allTold returns why what all nodes have counted may not be in the store.
func (n *node) allTold(ctx context.Context) error {
	if n.cluster == nil {
		return nil
	}
	if err := n.cluster.Flush(ctx); err != nil {
		return err
	}
	return n.roster.AllTold(ctx)
}

// self returns how this node is.
func (n *node) self() store.NodeState {
	s := store.NodeState{
		ID: n.name(), Name: n.name(), Version: currentBuild().Version, Address: n.public.Addr().String(), Started: n.started,
		Leader: true, Authority: store.Health{State: store.HealthNone}, Redis: n.redisHealth(),
	}
	if n.cluster == nil {
		return s
	}
	s.ID, s.Leader, s.Position = n.cluster.NodeID(), n.leads.Load(), n.cluster.Position()
	behind, level := n.cluster.Lag()
	if s.Behind, s.Lag = behind, time.Since(level); level.IsZero() {
		s.Lag = -1
	}
	if size, err := n.cluster.OutboxSize(context.Background()); err == nil {
		s.Waiting = size.Batches
	}
	if ahead, isKnown := n.clock.Ahead(); isKnown {
		s.Ahead = &ahead
	}
	s.Authority.State = store.HealthGood
	if err := n.cluster.Away(); err != nil {
		s.Authority = store.Health{State: store.HealthAway, Error: err.Error()}
	}
	return s
}
