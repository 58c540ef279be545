//go:build unix

package replica_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/postgres/pgtest"
	"github.com/key-ip-sentinel/sentinel/store/replica"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// ownServer starts a server that a test may harm, and returns how to reach it.
func ownServer(t *testing.T) (*pgtest.Server, string) {
	t.Helper()
	s := must(pgtest.Start(pgtest.Options{Fsync: true}))(t)
	t.Cleanup(func() {
		s.Thaw()
		check(t, s.Stop())
	})
	check(t, s.Create("cluster"))
	return s, s.TCP("cluster")
}

// wantAway has a node that goes on from its copy, and changes nothing.
func wantAway(t *testing.T, n *node, known, unknown int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // so that a hanging call fails the test
	defer cancel()
	before := must(n.CountBindings(ctx))(t)
	b := must(n.Binding(ctx, storetest.Hash(known)))(t)
	for what, change := range map[string]func() error{
		"bind":     func() error { _, _, err := n.Bind(ctx, storetest.Binding(unknown)); return err },
		"replace":  func() error { _, err := n.ReplaceBinding(ctx, b); return err },
		"delete":   func() error { _, err := n.DeleteBinding(ctx, b.Hash, b.Revision); return err },
		"setting":  func() error { return n.PutSetting(ctx, "mode", nil) },
		"document": func() error { return n.DeleteDocument(ctx, "account", "ada", 1) },
		"restore":  func() error { _, err := n.RestoreBinding(ctx, b.Hash, time.Now()); return err },
	} {
		if err := change(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s while the authority is away: %v", what, err)
		}
	}
	if after := must(n.CountBindings(ctx))(t); after != before {
		t.Errorf("%d bindings, and %d after changes that failed", before, after)
	}
	must(n.FindBindings(ctx, store.BindingQuery{}))(t)
	must(n.ListDocuments(ctx, "account"))(t)
	must(n.Usage(ctx, b.Hash))(t)
	must(n.ListAudit(ctx, store.AuditFilter{}))(t)
	must(n.ListIntercepts(ctx, store.InterceptFilter{}))(t)
	check(t, n.Probe(ctx))
}

func TestServerKilled(t *testing.T) {
	s, dsn := ownServer(t)
	nodes := []*node{join(t, dsn, options()), join(t, dsn, options()), join(t, dsn, options())}
	bind(t, nodes[0], 1, 2)
	wantSame(t, nodes...)
	for round := range 2 {
		s.Kill()
		for _, n := range nodes {
			wantAway(t, n, 1, 100)
		}
		check(t, s.Restart())
		for _, n := range nodes {
			awaitLevel(t, n)
		}
		bind(t, nodes[round], 10+round)
		wantSame(t, nodes...)
	}
	ban(t, nodes[2], 1)
	for _, n := range nodes {
		eventually(t, "banned", func() bool { return isBanned(n, 1) })
	}
}

// TestServerFrozen has the server hang: one change finds that out, and the others do not
// even ask.
func TestServerFrozen(t *testing.T) {
	s, dsn := ownServer(t)
	a, b := join(t, dsn, options()), join(t, dsn, options())
	bind(t, a, 1)
	wantSame(t, a, b)
	s.Freeze()
	wantAway(t, a, 1, 100)
	if a.Away() == nil {
		t.Error("not away, with a server that is frozen")
	}
	seen := a.authority.seen()
	for range 100 {
		if _, _, err := a.Bind(t.Context(), storetest.Binding(100)); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("bind: %v", err)
		}
	}
	if n := a.authority.seen() - seen; n > 0 {
		t.Errorf("%d of 100 changes asked a server that is known to hang", n)
	}
	s.Thaw()
	awaitLevel(t, a)
	ban(t, a, 1)
	eventually(t, "banned at the other node", func() bool { return isBanned(b, 1) })
	wantSame(t, a, b)
}

// TestBreaker has writes fail while reads of the feed work, as with a server that has
// become read-only.
func TestBreaker(t *testing.T) {
	dsn := database(t)
	a, b := join(t, dsn, options()), join(t, dsn, options())
	cause := errors.New("cannot execute in a read-only transaction")
	a.authority.fail(errors.Join(store.ErrUnavailable, cause))
	for range 3 {
		if _, _, err := a.Bind(t.Context(), storetest.Binding(1)); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, cause) {
			t.Errorf("bind: %v", err)
		}
	}
	if n := a.authority.seen(); n != 1 {
		t.Errorf("the authority was asked %d times", n)
	}
	bind(t, b, 1)
	eventually(t, "following goes on", func() bool { _, err := a.Binding(t.Context(), storetest.Hash(1)); return err == nil })
	a.authority.fail(nil)
	eventually(t, "the breaker is closed", func() bool { return a.Away() == nil })
	bind(t, a, 2)
}

// TestRestartWhileAway starts a node with its copy, and no server.
func TestRestartWhileAway(t *testing.T) {
	s, dsn := ownServer(t)
	dir := t.TempDir()
	n := start(t, dsn, dir, options())
	awaitLevel(t, n)
	bind(t, n, 1)
	mustClose(t, n)
	s.Kill()
	n = start(t, dsn, dir, options())
	defer mustClose(t, n)
	check(t, n.AwaitCopy(t.Context()))
	must(n.Binding(t.Context(), storetest.Hash(1)))(t)
	if _, _, err := n.Bind(t.Context(), storetest.Binding(2)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("bind: %v", err)
	}
	check(t, s.Restart())
	awaitLevel(t, n)
	bind(t, n, 2)
	if _, replaced := n.told(); replaced != 0 {
		t.Error("a new copy was taken without need")
	}
}

// TestStale has copies that are older than is allowed, and one of which nobody knows how
// old it is.
func TestStale(t *testing.T) {
	dsn := database(t)
	dir := t.TempDir()
	for name, level := range map[string]string{
		"old":     time.Now().Add(-2 * time.Hour).Format(time.RFC3339),
		"unknown": "yesterday",
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, dsn, dir, options())
			awaitLevel(t, n)
			_, _, err := n.Bind(t.Context(), storetest.Binding(1))
			check(t, err)
			mustClose(t, n)
			local := must(bolt.Open(filepath.Join(dir, bolt.FileName), bolt.Options{}))(t)
			check(t, local.PutSetting(t.Context(), store.NodeSettingPrefix+"level", []byte(level)))
			opts := options()
			opts.Local = local
			reachable := make(chan struct{})
			opts.Connect = func(ctx context.Context) (store.Authority, error) {
				select {
				case <-reachable:
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				return connect(ctx, dsn)
			}
			s := must(replica.Open(t.Context(), opts))(t)
			defer func() { check(t, s.Close()) }()
			if _, err := s.Binding(t.Context(), storetest.Hash(1)); !errors.Is(err, store.ErrUnavailable) || !s.IsStale() {
				t.Errorf("binding from a copy that is too old: %v", err)
			}
			close(reachable)
			eventually(t, "level", func() bool { return !s.IsStale() })
			must(s.Binding(t.Context(), storetest.Hash(1)))(t)
		})
	}
}

// TestFeedTrimmed has a node that was away for longer than the feed is kept.
func TestFeedTrimmed(t *testing.T) {
	dsn := database(t)
	a := join(t, dsn, options())
	dir := t.TempDir()
	b := start(t, dsn, dir, options())
	bind(t, a, 1, 2)
	wantSame(t, a, b)
	mustClose(t, b)
	ban(t, a, 1)
	gone := must(a.Binding(t.Context(), storetest.Hash(2)))(t)
	must(a.DeleteBinding(t.Context(), gone.Hash, gone.Revision))(t)
	bind(t, a, 3)
	must(a.authority.TrimFeed(t.Context(), time.Now().Add(time.Hour), 100))(t)
	b = start(t, dsn, dir, options())
	defer mustClose(t, b)
	wantSame(t, a, b)
	if _, replaced := b.told(); replaced != 1 || !isBanned(b, 1) {
		t.Errorf("%d new copies, banned: %v", replaced, isBanned(b, 1))
	}
	bind(t, a, 4)
	eventually(t, "followed", func() bool { _, err := b.Binding(t.Context(), storetest.Hash(4)); return err == nil })
}

// TestOtherCluster starts a node with the file of a node of another cluster.
func TestOtherCluster(t *testing.T) {
	here, there := database(t), database(t)
	other := start(t, there, t.TempDir(), options())
	awaitLevel(t, other)
	bind(t, other, 1, 2, 3, 4, 5)
	a := join(t, here, options())
	bind(t, a, 7)
	dir := t.TempDir()
	copyFile(t, other.local, filepath.Join(dir, bolt.FileName))
	mustClose(t, other)
	n := start(t, here, dir, options())
	defer mustClose(t, n)
	wantSame(t, a, n)
	bind(t, n, 1) // which only the other cluster has bound
	eventually(t, "bound", func() bool { _, err := a.Binding(t.Context(), storetest.Hash(1)); return err == nil })
	wantSame(t, a, n)
}

func copyFile(t *testing.T, from *bolt.Store, path string) {
	t.Helper()
	f := must(os.Create(path))(t) // #nosec G304 -- of the test
	_, err := from.Snapshot(t.Context(), io.Writer(f))
	check(t, err, f.Close())
}

// TestBackupRestored has the database go back, and then another way, while the node is
// away: what was lost there is lost here, whether the copy had read of it or was told
// beforehand.
func TestBackupRestored(t *testing.T) {
	for name, deaf := range map[string]bool{"read": false, "told beforehand": true} {
		t.Run(name, func(t *testing.T) {
			before, backup := database(t), database(t)
			dir := t.TempDir()
			opts := options()
			if deaf {
				opts.PollInterval = time.Hour
			}
			n := startNode(t, &node{deaf: deaf}, before, dir, opts)
			awaitLevel(t, n)
			bind(t, n, 1, 2, 3)
			if !deaf {
				eventually(t, "read", func() bool { return n.Position() == 3 })
			}
			identity := must(n.authority.Identity(t.Context()))(t)
			mustClose(t, n)
			sql(t, backup, `UPDATE sentinel.head SET identity = '%s'`, identity)
			a := join(t, backup, options())
			bind(t, a, 1)
			n = start(t, backup, dir, options())
			defer mustClose(t, n)
			awaitLevel(t, n)
			wantSame(t, a, n)
			if got := must(n.CountBindings(t.Context()))(t); got != 1 {
				t.Errorf("%d bindings", got)
			}
			bind(t, n, 2)
			wantSame(t, a, n)
		})
	}
}

// TestNoCopy does not throw away what an authority of its own has.
func TestNoCopy(t *testing.T) {
	local := must(bolt.Open(filepath.Join(t.TempDir(), bolt.FileName), bolt.Options{}))(t)
	defer func() { check(t, local.Close()) }()
	bind(t, local, 1)
	_, err := replica.Open(t.Context(), replica.Options{Local: local})
	if !errors.Is(err, replica.ErrNoCopy) {
		t.Errorf("open: %v", err)
	}
	must(local.Binding(t.Context(), storetest.Hash(1)))(t)
}

// TestOwnSettings keeps settings of a node at the node.
func TestOwnSettings(t *testing.T) {
	dsn := database(t)
	opts := options()
	opts.OwnSettings = []string{"clock"}
	a, b := join(t, dsn, opts), join(t, dsn, opts)
	for _, name := range []string{"clock", store.NodeSettingPrefix + "x"} {
		check(t, a.PutSetting(t.Context(), name, []byte("a")), b.PutSetting(t.Context(), name, []byte("b")))
		if got := must(a.Setting(t.Context(), name))(t); string(got) != "a" {
			t.Errorf("setting %s of a is %q", name, got)
		}
		check(t, a.DeleteSetting(t.Context(), name))
		if got := must(b.Setting(t.Context(), name))(t); string(got) != "b" {
			t.Errorf("setting %s of b is %q", name, got)
		}
	}
	if position := must(a.authority.Position(t.Context()))(t); position != 0 {
		t.Errorf("the authority has %d changes", position)
	}
}
