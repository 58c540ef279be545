package engine_test

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

func (r *rig) stored(key string) store.Binding {
	r.t.Helper()
	b, err := r.store.Store.Binding(r.t.Context(), r.hash(key))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func TestEditChangesWhatItSays(t *testing.T) {
	banned, rule := store.StatusBanned, single("198.51.100.0/24")
	label, note := " lab \t", "\r\nfirst\r\n\tsecond\n"
	cases := []struct {
		name   string
		edit   engine.BindingEdit
		change func(*store.Binding)
		action event.Action
	}{
		{"status", engine.BindingEdit{Status: &banned}, func(b *store.Binding) { b.Status = banned }, event.Banned},
		{"rule", engine.BindingEdit{Rule: &rule}, func(b *store.Binding) { b.Rule = rule }, event.Edited},
		{"label", engine.BindingEdit{Label: &label}, func(b *store.Binding) { b.Label = "lab" }, event.Edited},
		{"note", engine.BindingEdit{Note: &note}, func(b *store.Binding) { b.Note = "first\n\tsecond" }, event.Edited},
		{
			"all", engine.BindingEdit{Status: &banned, Rule: &rule, Label: &label, Note: &note},
			func(b *store.Binding) { b.Status, b.Rule, b.Label, b.Note = banned, rule, "lab", "first\n\tsecond" }, event.Banned,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t).bound(keyA)
			events, cancel := r.Events().Subscribe(8)
			defer cancel()
			was := r.stored(keyA)
			want := was
			c.change(&want)
			before, after, err := r.Edit(t.Context(), r.hash(keyA), c.edit)
			if err != nil || !reflect.DeepEqual(before, was) || after.Revision <= before.Revision {
				t.Fatalf("got %+v, then %+v, %v", before, after, err)
			}
			want.Revision, want.UpdatedAt = after.Revision, after.UpdatedAt
			if !reflect.DeepEqual(after, want) || !reflect.DeepEqual(r.stored(keyA), want) {
				t.Errorf("got %+v, stored %+v, want %+v", after, r.stored(keyA), want)
			}
			told := event.Binding{Action: c.action, Hash: after.Hash, Hint: after.Hint, Label: after.Label, Revision: after.Revision}
			if got := (<-events).Data; got != told {
				t.Errorf("told of %+v, want %+v", got, told)
			}
		})
	}
}

func TestAnEditThatChangesNothingWritesNothing(t *testing.T) {
	r := newRig(t).bound(keyA)
	events, cancel := r.Events().Subscribe(8)
	defer cancel()
	b := r.stored(keyA)
	empty := "  "
	for _, edit := range []engine.BindingEdit{
		{}, {Status: &b.Status, Rule: &b.Rule, Label: &empty, Note: &b.Note, Revision: b.Revision},
	} {
		before, after, err := r.Edit(t.Context(), r.hash(keyA), edit)
		if err != nil || !reflect.DeepEqual(before, b) || !reflect.DeepEqual(after, b) {
			t.Errorf("got %+v, then %+v, %v", before, after, err)
		}
	}
	if got := r.stored(keyA); !reflect.DeepEqual(got, b) {
		t.Errorf("stored %+v, want %+v", got, b)
	}
	if len(events) != 0 {
		t.Errorf("told of %+v", <-events)
	}
}

func TestAnEditOfAnotherRevisionIsRefused(t *testing.T) {
	r := newRig(t).bound(keyA)
	stale := r.stored(keyA).Revision
	r.ban(keyA)
	label := "late"
	_, _, err := r.Edit(t.Context(), r.hash(keyA), engine.BindingEdit{Revision: stale, Label: &label})
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("edit: got %v", err)
	}
	if _, err := r.Unbind(t.Context(), r.hash(keyA), stale); !errors.Is(err, store.ErrConflict) {
		t.Errorf("unbind: got %v", err)
	}
	b := r.stored(keyA)
	if b.Label != "" || b.Status != store.StatusBanned {
		t.Errorf("stored %+v", b)
	}
	if _, _, err := r.Edit(t.Context(), r.hash(keyA), engine.BindingEdit{Revision: b.Revision, Label: &label}); err != nil {
		t.Errorf("of the right revision: %v", err)
	}
	b = r.stored(keyA)
	if before, err := r.Unbind(t.Context(), r.hash(keyA), b.Revision); err != nil || !reflect.DeepEqual(before, b) {
		t.Errorf("unbind of the right revision: %+v, %v, want %+v", before, err, b)
	}
}

func TestEditsThatAreRefused(t *testing.T) {
	text := func(s string) *string { return &s }
	status, rule := store.Status("paused"), store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}}
	cases := []struct {
		name string
		edit engine.BindingEdit
		want string
	}{
		{"status", engine.BindingEdit{Status: &status}, `status "paused"`},
		{"rule", engine.BindingEdit{Rule: &rule}, "meant is 10.0.0.0/8"},
		{"line in a label", engine.BindingEdit{Label: text("a\nb")}, "label has the control character U+000A"},
		{"escape in a note", engine.BindingEdit{Note: text("a\x1b[31m")}, "note has the control character U+001B"},
		{"lone carriage return", engine.BindingEdit{Note: text("a\rb")}, "note has the control character U+000D"},
		{"reversed text", engine.BindingEdit{Label: text("a\u202eb")}, "label has the control character U+202E"},
		{"line separator", engine.BindingEdit{Note: text("a\u2028b")}, "note has the control character U+2028"},
		{"broken UTF-8", engine.BindingEdit{Label: text("a\xff")}, "label is not valid UTF-8"},
		{"long label", engine.BindingEdit{Label: text(strings.Repeat("x", store.MaxLabelBytes+1))}, "label of 257 bytes"},
		{"long note", engine.BindingEdit{Note: text(strings.Repeat("x", store.MaxNoteBytes+1))}, "note of 4097 bytes"},
	}
	r := newRig(t).bound(keyA)
	was := r.stored(keyA)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := r.Edit(t.Context(), r.hash(keyA), c.edit)
			if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
			}
			if got := r.stored(keyA); !reflect.DeepEqual(got, was) {
				t.Errorf("stored %+v", got)
			}
		})
	}
}

func TestLabelsMayBeOfAnyScript(t *testing.T) {
	r := newRig(t).bound(keyA)
	for _, label := range []string{"实验室", "équipe", "👩‍💻 dev", "שלום", strings.Repeat("x", store.MaxLabelBytes)} {
		if _, b, err := r.Edit(t.Context(), r.hash(keyA), engine.BindingEdit{Label: &label}); err != nil || b.Label != label {
			t.Errorf("%q became %q, %v", label, b.Label, err)
		}
	}
}

func TestRestore(t *testing.T) {
	r := newRig(t).bound(keyA)
	hash := r.hash(keyA)
	if _, err := r.Restore(t.Context(), hash); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of nothing: got %v", err)
	}
	was := r.stored(keyA)
	r.archiveNow(keyA)
	wantReason(t, "while it is archived", r.serve(elsewhere, request(t, pathChat, bearer(keyA)), false), "")
	events, cancel := r.Events().Subscribe(8)
	defer cancel()
	f := r.open(elsewhere, request(t, pathChat, bearer(keyA))) // nobody's yet
	b, err := r.Restore(t.Context(), hash)
	if err != nil || !reflect.DeepEqual(b.Rule, was.Rule) || b.Revision <= was.Revision {
		t.Fatalf("got %+v, %v", b, err)
	}
	if got, ok := (<-events).Data.(event.Binding); !ok || got.Action != event.Restored || got.Hash != hash {
		t.Errorf("told of %+v", got)
	}
	if d, cut := f.Cut(); !cut || d.Refused != engine.IPNotAllowed {
		t.Errorf("under way: got %+v, cut %v", d, cut)
	}
	f.done()
	wantReason(t, "from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
	wantReason(t, "from home", r.use(atHome, keyA), "")
	if _, err := r.Restore(t.Context(), hash); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second time: got %v", err)
	}
}

// TestUndoRestore: the entry is as it was; what was used or changed since stays.
func TestUndoRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		days := new(calendar)
		r := newRig(t, days.set).bound(keyA)
		hash := r.hash(keyA)
		days.forward(day)
		r.archiveNow(keyA)
		was, err := r.store.Archived(t.Context(), hash)
		if err != nil {
			t.Fatal(err)
		}
		days.forward(day)
		restored := r.mustRestore(keyA)
		if _, err := r.UndoRestore(t.Context(), hash, restored.Revision+1); !errors.Is(err, store.ErrConflict) {
			t.Errorf("of another revision: got %v", err)
		}
		events, cancel := r.Events().Subscribe(8)
		defer cancel()
		if _, err := r.UndoRestore(t.Context(), hash, restored.Revision); err != nil {
			t.Fatal(err)
		}
		if got, ok := (<-events).Data.(event.Binding); !ok || got.Action != event.Archived || got.Hash != hash {
			t.Errorf("told of %+v", got)
		}
		is, err := r.store.Archived(t.Context(), hash)
		if err != nil || !reflect.DeepEqual(is.Binding.Rule, was.Binding.Rule) || is.Binding.Label != was.Binding.Label || !reflect.DeepEqual(is.Usage, was.Usage) {
			t.Errorf("got %+v, %v, want %+v", is, err, was)
		}
		if _, err := r.UndoRestore(t.Context(), hash, 0); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a second time: got %v", err)
		}
		restored = r.mustRestore(keyA)
		days.forward(time.Second)
		wantReason(t, "use", r.use(atHome, keyA), "")
		if _, err := r.UndoRestore(t.Context(), hash, restored.Revision); !errors.Is(err, engine.ErrUsedSince) {
			t.Errorf("used since: got %v", err)
		}
		wantReason(t, "from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
		r.close()
	})
}

func (r *rig) mustRestore(key string) store.Binding {
	r.t.Helper()
	b, err := r.Restore(r.t.Context(), r.hash(key))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func TestRestoreOfAKeyThatIsBoundAnew(t *testing.T) {
	r := newRig(t).bound(keyA)
	r.archiveNow(keyA)
	wantReason(t, "use", r.use(elsewhere, keyA), "")
	if b := r.stored(keyA); b.ArchivedBefore.IsZero() {
		t.Errorf("bound anew without a mark: %+v", b)
	}
	if _, err := r.Restore(t.Context(), r.hash(keyA)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("got %v", err)
	}
}

func TestHashKey(t *testing.T) {
	r := newRig(t)
	want, wantHint, err := r.keys.HashKey(keyA)
	if err != nil {
		t.Fatal(err)
	}
	for _, spelled := range []string{keyA, "sk-" + keyA, " Bearer sk-" + keyA + "\n"} {
		if hash, hint, err := r.HashKey(spelled); err != nil || hash != want || hint != wantHint {
			t.Errorf("got %v, %q, %v, want %v, %q", hash, hint, err, want, wantHint)
		}
	}
	for _, spelled := range []string{"", "  ", keyA + "é"} {
		_, _, err := r.HashKey(spelled)
		var ce *credential.Error
		if !errors.Is(err, store.ErrInvalid) || !errors.As(err, &ce) || strings.Contains(err.Error(), keyA[:8]) {
			t.Errorf("%q: got %v", spelled, err)
		}
	}
}
