package admin_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

type undoResult struct{ Restored, ChangedSince, Failed int }

// changeMany does an act to many bindings, and returns its name for undo.
func (s *site) changeMany(body map[string]any) (id string) {
	s.t.Helper()
	var got struct{ ID string }
	s.call(account.Operator, "POST", "/bindings/bulk", body).want(http.StatusOK).into(&got)
	return got.ID
}

func (s *site) undo(id string) (got undoResult) {
	s.t.Helper()
	s.call(account.Operator, "POST", "/bindings/bulk/"+id+"/undo", nil).want(http.StatusOK).into(&got)
	return got
}

func TestUndoBulk(t *testing.T) {
	all := map[string]any{"all": true}
	for _, tt := range []struct {
		name string
		body map[string]any
	}{
		{"ban", map[string]any{"filter": all, "act": "ban"}},
		{"edit", map[string]any{"filter": all, "act": "edit", "edit": map[string]any{"label": "x", "note": "y", "rule": map[string]any{"kind": "all"}}}},
		{"unbind", map[string]any{"filter": all, "act": "unbind"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			for n := range 1200 {
				s.bind(n, func(b *store.Binding) { b.Label, b.Note = "label", "of\nlines" })
			}
			before := s.all()
			if got, want := s.undo(s.changeMany(tt.body)), (undoResult{Restored: 1200}); got != want {
				t.Fatalf("got %+v, want %+v", got, want)
			}
			for i, is := range s.all() {
				was := before[i]
				was.Revision, was.CreatedAt, was.UpdatedAt = is.Revision, is.CreatedAt, is.UpdatedAt
				if !reflect.DeepEqual(was, is) {
					t.Fatalf("got %+v, want %+v", is, was)
				}
			}
			s.wantTrail(0, "token:operator binding.bulk", "token:operator binding.bulk", "token:operator binding.bulk", "token:operator binding.bulk")
		})
	}
}

func TestUndoBulkLeavesWhatHasChangedSince(t *testing.T) {
	s := newSite(t)
	for n := range 5 {
		s.bind(n)
	}
	id := s.changeMany(map[string]any{"filter": map[string]any{"all": true}, "act": "ban"})
	s.call(account.Operator, "PATCH", "/bindings/"+hashOf(0).String(), map[string]any{"label": "mine"}).want(http.StatusOK)
	s.call(account.Operator, "DELETE", "/bindings/"+hashOf(1).String(), nil).want(http.StatusNoContent)
	if got, want := s.undo(id), (undoResult{Restored: 3, ChangedSince: 2}); got != want || s.banned() != 1 {
		t.Errorf("got %+v, want %+v; %d are banned", got, want, s.banned())
	}
	if got, want := s.undo(id), (undoResult{ChangedSince: 5}); got != want {
		t.Errorf("the second time: got %+v, want %+v", got, want)
	}
}

func TestUndoBulkOfAKeyBoundAnew(t *testing.T) {
	s := newSite(t)
	s.bind(1)
	id := s.changeMany(map[string]any{"hashes": []string{hashOf(1).String()}, "act": "unbind"})
	s.bind(1, func(b *store.Binding) { b.Label = "anew" })
	if got, want := s.undo(id), (undoResult{ChangedSince: 1}); got != want || s.all()[0].Label != "anew" {
		t.Errorf("got %+v and the label %q, want %+v", got, s.all()[0].Label, want)
	}
}

func TestBadUndoIsRefused(t *testing.T) {
	s := newSite(t)
	s.bind(1)
	id := s.changeMany(map[string]any{"filter": map[string]any{"all": true}, "act": "ban"})
	if same := s.changeMany(map[string]any{"filter": map[string]any{"all": true}, "act": "ban"}); same != "" {
		t.Errorf("what changed nothing has the name %q", same)
	}
	undo := func(id string) *answer { return s.call(account.Operator, "POST", "/bindings/bulk/"+id+"/undo", nil) }
	undo(strings.Repeat("A", 26)).wantFault(http.StatusNotFound, "not_found")
	undo("x").wantFault(http.StatusUnprocessableEntity, "invalid", "path.id")
	s.call(account.Viewer, "POST", "/bindings/bulk/"+id+"/undo", nil).wantFault(http.StatusForbidden, "forbidden")
	s.undo(id)
	// What has taken something back is not taken back itself.
	trail := s.trail()
	undo(strings.TrimPrefix(trail[len(trail)-1].Target, "bulk:")).wantFault(http.StatusNotFound, "not_found")
	id = s.changeMany(map[string]any{"filter": map[string]any{"all": true}, "act": "ban"})
	s.advance(25 * time.Hour)
	undo(id).wantFault(http.StatusNotFound, "not_found")
	if s.banned() != 1 {
		t.Error("too late an undo has lifted the ban")
	}
}
