package engine_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

// rowsOf makes rows of the keys from first on, with the label "imported".
func rowsOf(first, n int) (rows []engine.ImportRow) {
	for i := range n {
		rows = append(rows, engine.ImportRow{Row: i + 1, Binding: store.Binding{
			Hash: numbered(first + i), Hint: fmt.Sprintf("sk-%d", first+i), Label: " imported ", Status: store.StatusActive,
			Rule: single("198.51.100.0/24"),
		}})
	}
	return rows
}

func TestImport(t *testing.T) {
	cases := []struct {
		conflict engine.ImportConflict
		first    int // rows for 200 keys from this one on; those below 300 are bound
		want     engine.ImportResult
	}{
		{engine.ImportRefuse, 300, engine.ImportResult{Rows: 200, Created: 200}},
		{engine.ImportSkip, 200, engine.ImportResult{Rows: 200, Created: 100, Skipped: 100}},
		{engine.ImportReplace, 200, engine.ImportResult{Rows: 200, Created: 100, Replaced: 100}},
		{engine.ImportSkip, 0, engine.ImportResult{Rows: 200, Skipped: 200}},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s from %d", c.conflict, c.first), func(t *testing.T) {
			r := newRig(t)
			r.preset(300)
			rows := rowsOf(c.first, 200)
			if got, err := r.Import(t.Context(), rows, c.conflict, true, nil); err != nil || got != c.want {
				t.Errorf("dry run: got %+v, %v, want %+v", got, err, c.want)
			}
			if n := r.countWhere(store.BindingFilter{Label: "imported"}); n != 0 {
				t.Fatalf("a dry run stored %d", n)
			}
			events, cancel := r.Events().Subscribe(8)
			defer cancel()
			if got, err := r.Import(t.Context(), rows, c.conflict, false, nil); err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
			if n := r.countWhere(store.BindingFilter{Label: "imported"}); n != c.want.Created+c.want.Replaced {
				t.Errorf("stored %d", n)
			}
			for _, told := range []event.Binding{{Action: event.Preset, Count: c.want.Created}, {Action: event.Edited, Count: c.want.Replaced}} {
				if told.Count == 0 {
					continue
				}
				if got := (<-events).Data; got != told {
					t.Errorf("told of %+v, want %+v", got, told)
				}
			}
			if len(events) > 0 {
				t.Errorf("told of %+v as well", <-events)
			}
		})
	}
}

func TestAnImportedRowReplacesAllButTheHint(t *testing.T) {
	r := newRig(t).bound(keyA)
	was := r.stored(keyA)
	row := store.Binding{Hash: was.Hash, Note: "from the list", Status: store.StatusBanned, Rule: store.Rule{Kind: store.RuleAll}}
	got, err := r.Import(t.Context(), []engine.ImportRow{{Row: 1, Binding: row}}, engine.ImportReplace, false, nil)
	if err != nil || got.Replaced != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	b := r.stored(keyA)
	want := was
	want.Note, want.Status, want.Rule = row.Note, row.Status, row.Rule
	want.Revision, want.UpdatedAt, want.Rule.Prefixes = b.Revision, b.UpdatedAt, b.Rule.Prefixes
	if !reflect.DeepEqual(b, want) {
		t.Errorf("got %+v, want %+v", b, want)
	}
	wantReason(t, "afterwards", r.use(atHome, keyA), engine.KeyBanned)
	got, err = r.Import(t.Context(), []engine.ImportRow{{Row: 1, Binding: row}}, engine.ImportReplace, false, nil)
	if err != nil || got != (engine.ImportResult{Rows: 1, Skipped: 1}) {
		t.Errorf("a second time: got %+v, %v, want it left as it is", got, err)
	}
}

func TestImportsThatAreRefused(t *testing.T) {
	change := func(at int, do func(b *store.Binding)) func([]engine.ImportRow) {
		return func(rows []engine.ImportRow) { do(&rows[at].Binding) }
	}
	cases := []struct {
		name string
		do   func([]engine.ImportRow)
		want engine.RowFault
	}{
		{"no key", change(1, func(b *store.Binding) { b.Hash = store.KeyHash{} }), engine.RowFault{Row: 2, Column: "hash", Fault: "hash is empty"}},
		{"the same key", change(3, func(b *store.Binding) { b.Hash = numbered(301) }), engine.RowFault{Row: 4, Column: "hash", Fault: "row 4 is of the same key as row 2"}},
		{"bound", change(2, func(b *store.Binding) { b.Hash = numbered(7) }), engine.RowFault{Row: 3, Column: "hash", Fault: "the key has a binding already"}},
		{"hint", change(0, func(b *store.Binding) { b.Hint = "a\nb" }), engine.RowFault{Row: 1, Column: "hint", Fault: "hint has the control character U+000A"}},
		{"label", change(0, func(b *store.Binding) { b.Label = strings.Repeat("x", 300) }), engine.RowFault{Row: 1, Column: "label", Fault: "label of 300 bytes, at most 256"}},
		{"note", change(0, func(b *store.Binding) { b.Note = "\xff" }), engine.RowFault{Row: 1, Column: "note", Fault: "note is not valid UTF-8"}},
		{"status", change(0, func(b *store.Binding) { b.Status = "" }), engine.RowFault{Row: 1, Column: "status", Fault: `status "", want "active" or "banned"`}},
		{"rule", change(0, func(b *store.Binding) { b.Rule.Kind = store.RuleAll }), engine.RowFault{Row: 1, Column: "rule", Fault: `rule "all" takes no prefixes, has 1`}},
	}
	r := newRig(t)
	r.preset(300)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rows := rowsOf(300, 5)
			c.do(rows)
			_, err := r.Import(t.Context(), rows, engine.ImportRefuse, false, nil)
			var refused *engine.ImportError
			if !errors.As(err, &refused) || !errors.Is(err, store.ErrInvalid) {
				t.Fatalf("got %v", err)
			}
			if refused.Total != 1 || !reflect.DeepEqual(refused.Faults, []engine.RowFault{c.want}) {
				t.Errorf("got %+v, want %+v", refused.Faults, c.want)
			}
			if n := r.countWhere(store.BindingFilter{}); n != 300 {
				t.Errorf("%d bindings, want 300 as before", n)
			}
		})
	}
	if _, err := r.Import(t.Context(), nil, "merge", false, nil); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("unknown conflict: got %v", err)
	}
}

func TestFaultsOfAnImportAreBounded(t *testing.T) {
	r := newRig(t)
	r.preset(300)
	_, err := r.Import(t.Context(), rowsOf(0, 300), engine.ImportRefuse, false, nil)
	var refused *engine.ImportError
	if !errors.As(err, &refused) || refused.Total != 300 || len(refused.Faults) != 100 || refused.Faults[99].Row != 100 {
		t.Errorf("got %v", err)
	}
}

func TestAnImportThatEndsInTheMiddle(t *testing.T) {
	r := newRig(t)
	binds := 0
	r.store.set(func(s *faultyStore) {
		s.bind = func(store.KeyHash) error {
			r.store.mu.Lock()
			defer r.store.mu.Unlock()
			if binds++; binds > 50 {
				return errors.Join(store.ErrUnavailable, errBroken)
			}
			return nil
		}
	})
	rows := rowsOf(0, 400)
	got, err := r.Import(t.Context(), rows, engine.ImportRefuse, false, nil)
	var unfinished *engine.ImportUnfinishedError
	if !errors.As(err, &unfinished) || unfinished.Stored != 50 || unfinished.Rows != 400 || got.Created != 50 || !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if text := err.Error(); !strings.Contains(text, "50 of 400") || !strings.Contains(text, `"skip"`) {
		t.Errorf("the error does not say what to do: %s", text)
	}
	r.store.set(func(s *faultyStore) { s.bind = nil })
	if got, err := r.Import(t.Context(), rows, engine.ImportSkip, false, nil); err != nil || got.Created != 350 || got.Skipped != 50 {
		t.Errorf("again: got %+v, %v", got, err)
	}
}

// TestABindingMadeDuringAnImport: a key that is bound by a first use after the
// check is left alone, or replaced, as the import says.
func TestABindingMadeDuringAnImport(t *testing.T) {
	for _, conflict := range []engine.ImportConflict{engine.ImportRefuse, engine.ImportSkip, engine.ImportReplace} {
		t.Run(string(conflict), func(t *testing.T) {
			r := newRig(t)
			other := store.Binding{Hash: numbered(0), Label: "faster", Status: store.StatusActive, Rule: single("192.0.2.1/32")}
			r.store.set(func(s *faultyStore) {
				s.bind = func(store.KeyHash) error {
					_, _, err := r.store.Store.Bind(context.Background(), other)
					return err
				}
			})
			got, err := r.Import(t.Context(), rowsOf(0, 1), conflict, false, nil)
			b, readErr := r.store.Store.Binding(t.Context(), numbered(0))
			if readErr != nil {
				t.Fatal(readErr)
			}
			switch conflict {
			case engine.ImportRefuse:
				if !errors.Is(err, store.ErrConflict) || b.Label != "faster" {
					t.Errorf("got %+v, %v, stored %+v", got, err, b)
				}
			case engine.ImportSkip:
				if err != nil || got.Skipped != 1 || b.Label != "faster" {
					t.Errorf("got %+v, %v, stored %+v", got, err, b)
				}
			case engine.ImportReplace:
				if err != nil || got.Replaced != 1 || b.Label != "imported" {
					t.Errorf("got %+v, %v, stored %+v", got, err, b)
				}
			}
		})
	}
}
