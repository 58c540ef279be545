package sharing_test

import (
	"errors"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/sharing"
	"github.com/key-ip-sentinel/sentinel/store"
)

// TestTwoNodesSuspectOneKey has two watches of one store see the same key: neither loses
// what the other one has seen, and who is told of the other's can store its own.
func TestTwoNodesSuspectOneKey(t *testing.T) {
	a := newPost(t, 1)
	b := &post{t: t, store: a.store, now: a.now}
	b.open()
	for range 5 {
		a.minute(0, home, cafe)
	}
	b.now = a.now
	for range 5 {
		b.now = b.now.Add(time.Minute)
		b.Use(hashOf(0), home)
		b.Use(hashOf(0), away)
		if _, err := b.End(t.Context(), b.now, 5); err != nil && !errors.Is(err, store.ErrConflict) {
			t.Fatal(err)
		}
	}
	reload := func(p *post) {
		t.Helper()
		if err := p.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	reload(b)
	if got := b.list(); len(got) != 1 || got[0].Minutes <= 5 {
		t.Fatalf("the second node has %+v, want the minutes of both", got)
	}
	before := b.list()[0].Minutes
	b.minute(0, home, away) // stores what it has, with one minute more
	reload(a)
	if got := a.list(); len(got) != 1 || got[0].Minutes != before+1 || !got[0].Last.Equal(b.list()[0].Last) {
		t.Errorf("the first node has %+v, want %d minutes", got, before+1)
	}
	if _, err := a.Dismiss(t.Context(), hashOf(0)); err != nil {
		t.Fatal(err)
	}
	reload(b)
	if got := b.list(); len(got) != 0 {
		t.Errorf("dismissed at the first node, and the second has %+v", got)
	}
}

// TestUnreadableSuspicionIsLeftOut has a node meet what it cannot read.
func TestUnreadableSuspicionIsLeftOut(t *testing.T) {
	p := newPost(t, 1)
	for range 5 {
		p.minute(0, home, cafe)
	}
	if _, err := p.store.PutDocument(t.Context(), store.Document{Kind: sharing.Kind, ID: hashOf(7).String(), Body: []byte(`[]`)}); err != nil {
		t.Fatal(err)
	}
	if err := p.Reload(t.Context()); !errors.Is(err, store.ErrDamaged) || len(p.list()) != 1 {
		t.Errorf("got %v, and %+v", err, p.list())
	}
}
