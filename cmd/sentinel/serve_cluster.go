package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/follow"
	"github.com/key-ip-sentinel/sentinel/engine/rebind"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
	"github.com/key-ip-sentinel/sentinel/store/replica"
)

const (
	// firstCopyWait is how long a start waits for PostgreSQL where there is no copy yet
	// to start from.
	firstCopyWait = 2 * time.Minute
	// authorityWait is how long it waits where there is one.
	authorityWait = 3 * time.Second
	// waitingNotice is how often it says that it waits.
	waitingNotice = 10 * time.Second
	// scopeDigits of the number of a data file tell nodes of one name apart.
	scopeDigits = 8
)

// openData opens the file in the data directory, as what this node has alone, or as its
// copy of what the nodes of a cluster share.
func (n *node) openData(ctx context.Context) error {
	var err error
	if n.file, err = openStore(n.cfg.DataDir, n.logger); err != nil {
		return err
	}
	n.store = n.file
	if n.cfg.PostgresDSN == "" {
		return refuseCopy(ctx, n.file, n.cfg.DataDir)
	}
	hasCopy, err := n.checkCopy(ctx)
	if err != nil {
		return err
	}
	options := postgres.Options{DSN: n.cfg.PostgresDSN.Reveal(), ListenDSN: n.cfg.PostgresListenDSN.Reveal(), Logger: n.logger}
	if err := options.Validate(); err != nil {
		return fmt.Errorf("PG_DSN: %w", err)
	}
	n.follower = follow.New(n.logger)
	n.cluster, err = replica.Open(ctx, replica.Options{
		Local: n.file, Node: n.name(), MaxStaleness: n.cfg.MaxStaleness, OwnSettings: []string{engine.ClockMark}, Logger: n.logger,
		Connect: func(ctx context.Context) (store.Authority, error) {
			authority, err := postgres.Open(ctx, options)
			if err != nil {
				return nil, err
			}
			return authority, nil
		},
		OnChange: n.follower.Changed, OnReplace: n.follower.Replaced, OnWritten: n.tellRevision,
	})
	if err != nil {
		return err
	}
	n.store = n.cluster
	if hasCopy {
		return n.awaitAuthority(ctx)
	}
	return n.awaitCopy(ctx)
}

// refuseCopy returns an error if a file is the copy of a node of a cluster. To change it
// alone would make it something that no other node has.
func refuseCopy(ctx context.Context, s *bolt.Store, dir string) error {
	_, of, err := s.CopyPosition(ctx)
	if err != nil || of == "" {
		return err
	}
	return fmt.Errorf("the data in %s are a node's copy of what a cluster shares in PostgreSQL: start sentinel with PG_DSN, or with another SENTINEL_DATA_DIR", dir)
}

// checkCopy reports whether the file is a copy of an authority already. A file that was
// kept by a Sentinel alone is none, and must not become one: what it holds would be gone.
func (n *node) checkCopy(ctx context.Context) (hasCopy bool, err error) {
	_, of, err := n.file.CopyPosition(ctx)
	if err != nil || of != "" {
		return of != "", err
	}
	return false, refuseAlone(ctx, n.file, n.cfg.DataDir)
}

// refuseAlone returns an error if a file that is no copy was kept by a Sentinel alone.
func refuseAlone(ctx context.Context, s *bolt.Store, dir string) error {
	isUsed, err := engine.HasSecret(ctx, s)
	if !isUsed {
		return err
	}
	return fmt.Errorf("PG_DSN: the data in %s are those of a sentinel that ran alone, which a cluster has no part of: "+
		"move them with sentinel migrate bolt-to-postgres, and then the file %s aside; or start with another SENTINEL_DATA_DIR", dir, dataFileName)
}

// awaitCopy waits for the first copy, without which nothing can be decided.
func (n *node) awaitCopy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, firstCopyWait)
	defer cancel()
	n.logger.Info("taking the first copy of what the cluster shares: requests are served once it is there")
	tick := time.NewTicker(waitingNotice)
	defer tick.Stop()
	done := make(chan error, 1)
	go func() { done <- n.cluster.AwaitCopy(ctx) }()
	for {
		select {
		case <-tick.C:
			if err := n.cluster.Away(); errors.Is(err, store.ErrNewer) {
				return fmt.Errorf("PG_DSN: %w", err) // and will not become older
			}
			n.logger.Warn("waiting for PostgreSQL (PG_DSN): this node has no copy to start from yet", "error", n.cluster.Away())
		case err := <-done:
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("PG_DSN: no copy of what the cluster shares within %s, and this node has none to start from: %w", firstCopyWait, n.whyAway())
			}
			return err
		}
	}
}

// whyAway returns why there is no copy yet.
func (n *node) whyAway() error {
	if err := n.cluster.Away(); err != nil {
		return err
	}
	return errors.New("PostgreSQL answers, and the copy is not done")
}

// awaitAuthority gives PostgreSQL a moment, so that a start while it is there is not told
// as one while it is away.
func (n *node) awaitAuthority(ctx context.Context) error {
	timed, cancel := context.WithTimeout(ctx, authorityWait)
	defer cancel()
	if err := n.cluster.AwaitAuthority(timed); err != nil && ctx.Err() == nil {
		_, level := n.cluster.Lag()
		n.logger.Warn("PostgreSQL (PG_DSN) is away: starting from the copy of this node", "level", level, "stale", n.cluster.IsStale(), "error", n.cluster.Away())
	}
	return ctx.Err()
}

// claimSecrets checks that this node has the secrets of the others.
func (n *node) claimSecrets(ctx context.Context) error {
	_, err := engine.ClaimSecret(ctx, n.store, n.hmacSecrets())
	if refused := (*engine.OtherSecretError)(nil); errors.As(err, &refused) {
		return fmt.Errorf("SENTINEL_HMAC_SECRET is not that of the cluster: %w; give this node the same one as the others. %s", err, waysOn(refused))
	}
	if err != nil {
		return err
	}
	isOther, err := engine.NoteSessionSecret(ctx, n.store, []byte(n.secrets.AdminJWTSecret.Reveal()))
	if isOther {
		n.logger.Warn("ADMIN_JWT_SECRET is not the one that the last node was started with: sessions hold only at nodes that have the same one")
	}
	if errors.Is(err, store.ErrUnavailable) {
		return nil // it is a hint, and the next start gives it
	}
	return err
}

// sessionSecretChanged warns if a node was started with another secret of sessions.
func (n *node) sessionSecretChanged(ctx context.Context) error {
	isOther, err := engine.IsOtherSessionSecret(ctx, n.store, []byte(n.secrets.AdminJWTSecret.Reveal()))
	if isOther {
		n.logger.Warn("another node was started with another ADMIN_JWT_SECRET: sessions hold only at nodes that have the same one")
	}
	return err
}

// startFollowing has what other nodes change in force here.
func (n *node) startFollowing() {
	if n.cluster == nil {
		return
	}
	n.follower.Start(n.followed())
}

// followed is what there is of the store in memory.
func (n *node) followed() follow.Parts {
	documents := n.engine.FollowedDocuments()
	quick := func(do func()) follow.Reload {
		return func(context.Context) error {
			do()
			return nil
		}
	}
	documents[account.AccountKind] = quick(n.accounts.Changed)
	documents[account.TokenKind] = quick(n.accounts.Changed)
	documents[alert.ChannelKind] = n.alerts.ReloadChannels
	documents[alert.AlertKind] = n.shared.Reload
	documents[alert.DeliveryKind] = n.shared.Reload
	documents[rebind.DocumentKind] = n.links.Reload
	documents[admin.EndedKind] = quick(n.adminAPI.SessionsChanged)
	documents[runtimeKind] = n.settings.Reload
	documents[engine.SecretKind] = n.sessionSecretChanged
	return follow.Parts{
		Bindings: n.engine.Follow, Everything: n.engine.FollowAll, Streams: n.engine.FollowStreams,
		Documents: documents, Settings: n.engine.FollowedSettings(),
	}
}

// tolerateAway returns the errors of an end. While PostgreSQL is away, what could not be
// written there is no reason to call a stop a failure: what must not get lost is in the
// outbox, and comes with the next start.
func (n *node) tolerateAway(errs []error) []error {
	err := errors.Join(errs...)
	if n.cluster == nil || n.cluster.Away() == nil || err == nil {
		return errs
	}
	n.logger.Warn("stopped while PostgreSQL is away: counts of the last minutes, and changes of alerts, are not written", "error", err)
	return nil
}

// name returns what this server is called.
func (n *node) name() string {
	if n.cfg.NodeName != "" {
		return n.cfg.NodeName
	}
	return hostName()
}

// scope tells what this node keeps for itself in what the nodes share; empty: it shares
// nothing.
func (n *node) scope() string {
	if n.cluster == nil {
		return ""
	}
	name, number, _ := strings.Cut(n.cluster.NodeID(), "/")
	return name + "-" + strings.ToLower(number[:min(len(number), scopeDigits)])
}
