//go:build unix

package replica_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/replica"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// TestConformance has one node be what any store is.
func TestConformance(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) store.Store {
		opts := options()
		opts.AuthorityTimeout = 10 * time.Second
		n := start(tb, database(tb), tb.TempDir(), opts)
		awaitLevel(tb, n)
		return flushing{n}
	})
}

// flushing is a node that returns when the authority has what it was told.
type flushing struct{ *node }

func (f flushing) AddUsage(ctx context.Context, batch store.UsageBatch) error {
	return errors.Join(f.node.AddUsage(ctx, batch), f.flush())
}

// PutIntercepts gives the IDs of the authority, which are the same ones as those of the
// only node of a new database but for OwnIDs.
func (f flushing) PutIntercepts(ctx context.Context, recs []store.Intercept) error {
	for i := range recs {
		if recs[i].ID > 0 {
			recs[i].ID += replica.OwnIDs
		}
	}
	err := f.node.PutIntercepts(ctx, recs)
	for i := range recs {
		recs[i].ID -= min(recs[i].ID, replica.OwnIDs)
	}
	return errors.Join(err, f.flush())
}

func (f flushing) AppendAudit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	e, err := f.node.AppendAudit(ctx, e)
	e.ID -= min(e.ID, replica.OwnIDs)
	return e, errors.Join(err, f.flush())
}

func (f flushing) flush() error {
	if f.Away() != nil {
		return nil
	}
	return f.Flush(context.Background())
}

// TestPropagation has each kind of change reach the other nodes, which are told of it.
func TestPropagation(t *testing.T) {
	dsn := database(t)
	a, b, c := join(t, dsn, options()), join(t, dsn, options()), join(t, dsn, options())
	ctx := t.Context()
	bind(t, a, 1, 2, 3)
	ban(t, a, 1)
	gone := must(a.Binding(ctx, storetest.Hash(2)))(t)
	must(a.DeleteBinding(ctx, gone.Hash, gone.Revision))(t)
	check(t, a.PutSetting(ctx, "mode", []byte("observe")))
	d := must(a.PutDocument(ctx, store.Document{Kind: "account", ID: "ada", Body: []byte("1")}))(t)
	at := gone.CreatedAt.AddDate(1, 0, 0)
	must(a.ArchiveBindings(ctx, []store.KeyHash{storetest.Hash(3)}, at, at))(t)
	for _, n := range []*node{a, b, c} {
		awaitLevel(t, n)
		if _, err := n.Binding(ctx, gone.Hash); !errors.Is(err, store.ErrNotFound) || !isBanned(n, 1) {
			t.Errorf("a key that was removed: %v, one that was banned: %v", err, isBanned(n, 1))
		}
		if got := must(n.Document(ctx, "account", "ada"))(t); got.Revision != d.Revision {
			t.Errorf("document %+v", got)
		}
		must(n.Archived(ctx, storetest.Hash(3)))(t)
		if got := must(n.Setting(ctx, "mode"))(t); string(got) != "observe" {
			t.Errorf("setting %q", got)
		}
		if revisions, _ := n.Lag(); revisions != 0 {
			t.Errorf("lag of %d", revisions)
		}
	}
	kinds := map[store.ChangeKind]bool{}
	changes, _ := b.told()
	for _, c := range changes {
		kinds[c.Kind] = true
	}
	for _, kind := range []store.ChangeKind{store.ChangeBindingPut, store.ChangeArchivedPut, store.ChangeDocumentPut, store.ChangeSettingPut} {
		if !kinds[kind] {
			t.Errorf("not told of %s: %v", kind, slices.Collect(maps.Keys(kinds)))
		}
	}
}

// TestOwnChangesAreNotTold has a node that is slower to hear of its own changes than to
// make them.
func TestOwnChangesAreNotTold(t *testing.T) {
	dsn := database(t)
	opts := options()
	a, b := join(t, dsn, opts), join(t, dsn, opts)
	const keys = 200
	for n := range keys {
		bind(t, a, n)
	}
	ban(t, a, 1)
	wantSame(t, a, b)
	own, _ := a.told()
	if len(own) > keys/2 {
		t.Errorf("told of %d of %d own changes", len(own), keys)
	}
	seen := map[store.KeyHash]bool{}
	others, _ := b.told()
	for _, c := range others {
		seen[c.Hash] = true
	}
	if len(seen) != keys {
		t.Errorf("told of %d of %d keys of another node", len(seen), keys)
	}
}

// TestFirstUseRace has three nodes bind the same keys at once: each has one winner, whom
// all of them know.
func TestFirstUseRace(t *testing.T) {
	dsn := database(t)
	nodes := []*node{join(t, dsn, options()), join(t, dsn, options()), join(t, dsn, options())}
	const keys = 100
	var wg sync.WaitGroup
	var mu sync.Mutex
	winners := map[store.KeyHash]int{}
	for i, n := range nodes {
		for half := range 2 {
			wg.Go(func() {
				for k := range keys {
					b := storetest.Binding(k)
					b.Label = fmt.Sprint(i, half)
					got, created, err := n.Bind(context.Background(), b)
					if err != nil {
						t.Errorf("bind: %v", err)
						return
					}
					if created {
						mu.Lock()
						winners[b.Hash]++
						mu.Unlock()
					}
					if there, err := n.Binding(context.Background(), b.Hash); err != nil || there.Label != got.Label {
						t.Errorf("in the copy: %q, %v, after %q was answered", there.Label, err, got.Label)
					}
				}
			})
		}
	}
	wg.Wait()
	for hash, n := range winners {
		if n != 1 {
			t.Errorf("key %s: %d winners", hash, n)
		}
	}
	if len(winners) != keys {
		t.Errorf("%d of %d keys were won", len(winners), keys)
	}
	wantSame(t, nodes...)
}

// TestConflictCatchesUp changes a binding by what an old copy has.
func TestConflictCatchesUp(t *testing.T) {
	dsn := database(t)
	opts := options()
	a, b := join(t, dsn, opts), join(t, dsn, opts)
	old := bind(t, a, 1)[0]
	ban(t, a, 1)
	if _, err := b.ReplaceBinding(t.Context(), old); !errors.Is(err, store.ErrConflict) {
		t.Errorf("replace of an old revision: %v", err)
	}
	if _, err := b.DeleteBinding(t.Context(), old.Hash, old.Revision); !errors.Is(err, store.ErrConflict) {
		t.Errorf("delete of an old revision: %v", err)
	}
	eventually(t, "the ban has come", func() bool { return isBanned(b, 1) })
}
