package follow

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const patience = 10 * time.Second

func put(kind string) store.Change {
	return store.Change{Kind: store.ChangeDocumentPut, Document: store.Document{Kind: kind, ID: "x"}}
}

// await fails the test unless something comes.
func await[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("never: %s", what)
		panic("unreachable")
	}
}

func TestChangesReachWhatFollows(t *testing.T) {
	reloaded, bindings, everything := make(chan string, 10), make(chan []store.Change, 10), make(chan struct{}, 10)
	tell := func(what string) Reload {
		return func(context.Context) error {
			reloaded <- what
			return nil
		}
	}
	f := New(slog.New(slog.DiscardHandler))
	t.Cleanup(f.Close)
	f.Changed([]store.Change{put("network")}) // nobody is there yet
	f.Replaced()
	f.Start(Parts{
		Bindings: func(c []store.Change) { bindings <- c }, Everything: func() { everything <- struct{}{} }, Streams: tell("streams"),
		Documents: map[string]Reload{"network": tell("network"), "alert": tell("alert")},
		Settings:  map[string]Reload{"mark": tell("mark")},
	})
	wantAll := func() {
		t.Helper()
		await(t, "everything", everything)
		seen := map[string]bool{}
		for range 4 {
			seen[await(t, "reload", reloaded)] = true
		}
		if len(seen) != 4 {
			t.Errorf("read again: %v", seen)
		}
	}
	wantAll() // what changed before the start
	for kind, want := range map[string]string{"network": "network", "alert.node-1": "alert"} {
		f.Changed([]store.Change{put(kind)})
		if got := await(t, kind, reloaded); got != want {
			t.Errorf("a change of %s: %s was read again", kind, got)
		}
	}
	f.Changed([]store.Change{{Kind: store.ChangeSettingRemoved, Setting: store.Setting{Name: "mark"}}})
	if got := await(t, "mark", reloaded); got != "mark" {
		t.Errorf("got %s", got)
	}
	f.Changed([]store.Change{
		put("of a later version"), {Kind: store.ChangeArchivedPut}, {Kind: store.ChangeBindingPut, Revision: 1}, {Kind: store.ChangeBindingRemoved, Revision: 2},
	})
	if got := await(t, "bindings", bindings); len(got) != 2 || got[0].Revision != 1 || got[1].Revision != 2 {
		t.Errorf("got %v", got)
	}
	f.Replaced()
	wantAll()
}

// TestOneKindDoesNotHoldUpAnother has a kind be read for long, as while a change of this
// process is under way that waits for who tells of changes.
func TestOneKindDoesNotHoldUpAnother(t *testing.T) {
	release, reloaded := make(chan struct{}), make(chan struct{}, 10)
	f := New(slog.New(slog.DiscardHandler))
	t.Cleanup(f.Close)
	f.Start(Parts{
		Bindings: func([]store.Change) {}, Everything: func() {}, Streams: Nothing,
		Documents: map[string]Reload{
			"slow": func(context.Context) error { <-release; return nil },
			"fast": func(context.Context) error { reloaded <- struct{}{}; return nil },
		},
	})
	await(t, "the start", reloaded)
	for range 100 { // more than could be queued
		f.Changed([]store.Change{put("slow")})
	}
	f.Changed([]store.Change{put("fast")})
	await(t, "the other kind", reloaded)
	close(release)
}

func TestWhatFailsIsReadAgain(t *testing.T) {
	var log bytes.Buffer
	var tries atomic.Int64
	done := make(chan struct{})
	f := New(slog.New(slog.NewTextHandler(&log, nil)))
	f.Start(Parts{
		Bindings: func([]store.Change) {}, Everything: func() {}, Streams: Nothing,
		Documents: map[string]Reload{"network": func(context.Context) error {
			if tries.Add(1) == 1 {
				return errors.New("the disk is on fire")
			}
			close(done)
			return nil
		}},
	})
	await(t, "second try", done)
	f.Close()
	if !strings.Contains(log.String(), "the disk is on fire") || !strings.Contains(log.String(), "network") {
		t.Errorf("log: %s", &log)
	}
	f.Changed([]store.Change{put("network"), {Kind: store.ChangeBindingPut}}) // nothing follows any more
}
