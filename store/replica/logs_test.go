//go:build unix

package replica_test

import (
	"errors"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/replica"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// TestListsAreNotMixed reads the log across an outage: what a node shows of its own and
// what the authority shows have different IDs, and no list goes over from one to the other.
func TestListsAreNotMixed(t *testing.T) {
	s, dsn := ownServer(t)
	n := join(t, dsn, options())
	ctx := t.Context()
	put := func(key int) store.Intercept {
		recs := []store.Intercept{storetest.Intercept(key)}
		check(t, n.PutIntercepts(ctx, recs))
		must(n.AppendAudit(ctx, storetest.AuditEntry(key)))(t)
		return recs[0]
	}
	list := func(f store.InterceptFilter) []store.Intercept {
		t.Helper()
		return must(n.ListIntercepts(ctx, f))(t).Records
	}
	told := []store.Intercept{put(1), put(2), put(3)}
	check(t, n.Flush(ctx))
	before := list(store.InterceptFilter{Limit: 2})
	if len(before) != 2 || before[0].ID >= replica.OwnIDs || told[2].ID <= replica.OwnIDs {
		t.Fatalf("told of ID %d, listed as %v", told[2].ID, before)
	}
	// By the ID that the node has told, it finds its own record.
	if got := list(store.InterceptFilter{Before: told[1].ID + 1, After: told[1].ID - 1}); len(got) != 1 || got[0].Hash != told[1].Hash || got[0].ID != told[1].ID {
		t.Errorf("by the ID that was told: %v", got)
	}

	s.Kill()
	own := put(4)
	eventually(t, "away", func() bool {
		records := list(store.InterceptFilter{})
		return len(records) == 4 && records[0].ID == own.ID
	})
	if got := list(store.InterceptFilter{After: before[0].ID}); len(got) != 0 {
		t.Errorf("newer than a record of the authority: %v of this node", got)
	}
	if _, err := n.ListIntercepts(ctx, store.InterceptFilter{Before: before[1].ID}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("older than a record of the authority: %v", err)
	}
	if _, err := n.ListAudit(ctx, store.AuditFilter{Before: 3}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("older than an audit entry of the authority: %v", err)
	}
	page := must(n.ListIntercepts(ctx, store.InterceptFilter{Limit: 3}))(t)
	if rest := list(store.InterceptFilter{Before: page.Next}); page.Next <= replica.OwnIDs || len(rest) != 1 || rest[0].ID != told[0].ID {
		t.Errorf("next %d: %v", page.Next, rest)
	}
	audit := must(n.ListAudit(ctx, store.AuditFilter{Limit: 3}))(t)
	if rest := must(n.ListAudit(ctx, store.AuditFilter{Before: audit.Next}))(t).Entries; len(rest) != 1 || rest[0].ID <= replica.OwnIDs {
		t.Errorf("next %d: %v", audit.Next, rest)
	}

	check(t, s.Restart())
	check(t, n.Flush(ctx))
	awaitLevel(t, n)
	if got := list(store.InterceptFilter{After: before[0].ID}); len(got) != 1 || got[0].Hash != own.Hash || got[0].ID >= replica.OwnIDs {
		t.Errorf("newer, when the authority is back: %v", got)
	}
	if got := list(store.InterceptFilter{After: told[2].ID}); len(got) != 1 || got[0].ID != own.ID {
		t.Errorf("newer, of the list of this node: %v", got)
	}
	grown := own
	grown.Count++
	check(t, n.PutIntercepts(ctx, []store.Intercept{grown}), n.Flush(ctx))
	if got := list(store.InterceptFilter{Limit: 1}); len(got) != 1 || got[0].Count != grown.Count {
		t.Errorf("grown: %v", got)
	}
	if err := n.PutIntercepts(ctx, before[:1]); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a record of the authority that a node has made grow: %v", err)
	}
}
