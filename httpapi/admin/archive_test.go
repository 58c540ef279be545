package admin_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

// archived stores an entry of the archive.
func (s *site) archived(n int, at time.Time) store.Binding {
	s.t.Helper()
	b := s.bind(n, func(b *store.Binding) { b.CreatedAt = at.AddDate(-1, 0, 0) })
	s.use(b, 3, at.AddDate(0, -6, 0))
	moved, err := s.store.ArchiveBindings(s.t.Context(), []store.KeyHash{b.Hash}, at.AddDate(0, -3, 0), at)
	must(s.t, err)
	if len(moved) != 1 {
		s.t.Fatal("not archived")
	}
	return b
}

func TestArchive(t *testing.T) {
	s := newSite(t)
	may, june := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	one, two := s.archived(1, may), s.archived(2, june)
	s.archived(3, june)

	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"", []string{"team 1", "team 2", "team 3"}},
		{"?label=2", []string{"team 2"}},
		{"?network=10.1.0.0/16&archivedBefore=2026-05-02T00:00:00Z", []string{"team 1"}},
		{"?archivedSince=2026-05-02T00:00:00Z", []string{"team 2", "team 3"}},
		{"?limit=2", []string{"team 1", "team 2"}},
	} {
		var got bindingList
		s.call(account.Viewer, "GET", "/archive"+tt.query, nil).want(http.StatusOK).into(&got)
		if !slices.Equal(got.labels(), tt.want) || (got.Total != nil) != (tt.query == "" || tt.query == "?limit=2") || (got.Next != "") != (tt.query == "?limit=2") {
			t.Errorf("%q: got %+v", tt.query, got)
		}
	}
	var got struct {
		Label, ArchivedAt string
		Bound             bool
		Usage             struct{ Hits int }
	}
	s.call(account.Viewer, "GET", "/archive/"+one.Hash.String(), nil).want(http.StatusOK).into(&got)
	if got.Label != "team 1" || got.ArchivedAt != "2026-05-01T00:00:00Z" || got.Bound || got.Usage.Hits != 3 {
		t.Errorf("got %+v", got)
	}

	var restored bindingBody
	a := s.call(account.Operator, "POST", "/archive/"+one.Hash.String()+"/restore", nil).want(http.StatusOK).into(&restored)
	if restored.Label != "team 1" || a.header.Get("ETag") == "" {
		t.Errorf("got %s", a.body)
	}
	s.wantTrail(0, "token:operator binding.restore binding:"+one.Hash.String())
	s.call(account.Viewer, "GET", "/archive/"+one.Hash.String(), nil).wantFault(http.StatusNotFound, "not_found")

	s.bind(2)
	s.call(account.Operator, "POST", "/archive/"+two.Hash.String()+"/restore", nil).wantFault(http.StatusConflict, "already_bound")
	s.call(account.Viewer, "GET", "/archive/"+two.Hash.String(), nil).want(http.StatusOK).into(&got)
	var shown bindingBody
	s.call(account.Viewer, "GET", "/bindings/"+two.Hash.String(), nil).want(http.StatusOK).into(&shown)
	if !got.Bound || shown.ArchivedAt != "2026-06-01T00:00:00Z" {
		t.Errorf("of a key that was bound anew: got bound %v, archived at %q", got.Bound, shown.ArchivedAt)
	}
	s.call(account.Operator, "POST", "/archive/"+hashOf(9).String()+"/restore", nil).wantFault(http.StatusNotFound, "not_found")
	s.call(account.Operator, "POST", "/archive/beef/restore", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "path.hash")
	s.wantTrail(1)
}

func TestUndoRestore(t *testing.T) {
	s := newSite(t)
	b := s.archived(1, s.now().AddDate(0, -1, 0))
	path := "/archive/" + b.Hash.String() + "/restore"
	undo := path + "/undo"
	s.call(account.Operator, "POST", undo, nil).wantFault(http.StatusNotFound, "not_found")
	etag := s.call(account.Operator, "POST", path, nil).want(http.StatusOK).header.Get("ETag")
	s.call(account.Viewer, "POST", undo, nil).wantFault(http.StatusForbidden, "forbidden")
	s.call(account.Operator, "POST", undo, nil, `If-Match: "1"`).wantFault(http.StatusPreconditionFailed, "changed_meanwhile")
	s.call(account.Operator, "POST", undo, nil, "If-Match: "+etag).want(http.StatusNoContent)
	s.call(account.Viewer, "GET", "/archive/"+b.Hash.String(), nil).want(http.StatusOK)
	s.call(account.Viewer, "GET", "/bindings/"+b.Hash.String(), nil).wantFault(http.StatusNotFound, "not_found")

	etag = s.call(account.Operator, "POST", path, nil).want(http.StatusOK).header.Get("ETag")
	s.use(b, 1, s.now().Add(time.Second))
	s.call(account.Operator, "POST", undo, nil, "If-Match: "+etag).wantFault(http.StatusConflict, "used_since")
	target := " binding:" + b.Hash.String()
	s.wantTrail(0, "token:operator binding.restore"+target, "token:operator binding.restore_undo"+target, "token:operator binding.restore"+target)
}

func TestArchiveRefusesBadFilters(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct{ name, value string }{
		{"archivedSince", "long ago"}, {"network", "10.0.0.1/8"}, {"after", "zz"}, {"limit", "0"}, {"sort", "created"},
	} {
		s.call(account.Viewer, "GET", "/archive"+query(tt.name, tt.value), nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query."+tt.name)
	}
}

func TestHousekeepingOnDemand(t *testing.T) {
	s := newSite(t)
	must(t, s.engine.SetRetention(engine.Retention{ArchiveDays: 90}))
	s.bind(1, func(b *store.Binding) { b.CreatedAt = s.now().AddDate(0, -6, 0) })
	s.bind(2)
	for i, path := range []string{"/archive/run", "/maintenance/housekeeping"} {
		var got struct{ Archived int }
		s.call(account.Admin, "POST", path, nil).want(http.StatusOK).into(&got)
		if got.Archived != 1-i {
			t.Errorf("%s: got %+v", path, got)
		}
		s.call(account.Operator, "POST", path, nil).wantFault(http.StatusForbidden, "forbidden")
	}
	s.wantTrail(0, "token:admin housekeeping.run", "token:admin housekeeping.run")
}
