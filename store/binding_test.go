package store_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

func validBinding() store.Binding {
	return store.Binding{Hash: store.KeyHash{1}, Status: store.StatusActive, Rule: store.Rule{Kind: store.RuleAll}}
}

func TestBindingValidate(t *testing.T) {
	if err := validBinding().Validate(); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		change func(b *store.Binding)
		want   string // a part of the error; empty: none
	}{
		{"no hash", func(b *store.Binding) { b.Hash = store.KeyHash{} }, "hash"},
		{"hint at the limit", func(b *store.Binding) { b.Hint = strings.Repeat("x", store.MaxHintBytes) }, ""},
		{"long hint", func(b *store.Binding) { b.Hint = strings.Repeat("x", store.MaxHintBytes+1) }, "hint of 65 bytes"},
		{"long label", func(b *store.Binding) { b.Label = strings.Repeat("x", store.MaxLabelBytes+1) }, "label of 257 bytes"},
		{"label counted in bytes", func(b *store.Binding) { b.Label = strings.Repeat("…", store.MaxLabelBytes/2) }, "label of 384 bytes"},
		{"long note", func(b *store.Binding) { b.Note = strings.Repeat("x", store.MaxNoteBytes+1) }, "note of 4097 bytes"},
		{"no status", func(b *store.Binding) { b.Status = "" }, "status"},
		{"unknown status", func(b *store.Binding) { b.Status = "paused" }, `"paused"`},
		{"banned", func(b *store.Binding) { b.Status = store.StatusBanned }, ""},
		{"invalid rule", func(b *store.Binding) { b.Rule = store.Rule{} }, "rule"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := validBinding()
			c.change(&b)
			err := b.Validate()
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
			}
		})
	}
}

func TestBindingStored(t *testing.T) {
	given := validBinding()
	given.CreatedAt = time.Date(2026, 1, 2, 3, 4, 5, 999_999_999, time.FixedZone("", 3600))
	given.Rule = store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	stored := given.Stored()
	if want := time.Date(2026, 1, 2, 2, 4, 5, 999_000_000, time.UTC); stored.CreatedAt != want {
		t.Errorf("created at %v, want %v", stored.CreatedAt, want)
	}
	if !stored.UpdatedAt.IsZero() {
		t.Errorf("the zero time became %v", stored.UpdatedAt)
	}
	stored.Rule.Prefixes[0] = netip.Prefix{}
	if !given.Rule.Prefixes[0].IsValid() {
		t.Error("the prefixes are shared")
	}
}

func TestBindingJSON(t *testing.T) {
	text, err := json.Marshal(validBinding())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"hash":"01` + strings.Repeat("00", 31) + `","hint":"","status":"active","rule":{"kind":"all"},` +
		`"createdAt":"0001-01-01T00:00:00Z","updatedAt":"0001-01-01T00:00:00Z","revision":0}`
	if string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

// FuzzParseKeyHash reads texts: those it takes are 64 hex digits, and come back
// in lower case.
func FuzzParseKeyHash(f *testing.F) {
	for _, text := range []string{"", "00", strings.Repeat("aF", 32), strings.Repeat("g", 64), strings.Repeat("00", 33)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := store.ParseKeyHash(text)
		isHash := len(text) == 64 && strings.Trim(text, "0123456789abcdefABCDEF") == ""
		if (err == nil) != isHash {
			t.Fatalf("%q: got error %v, want one: %v", text, err, !isHash)
		}
		if err == nil && h.String() != strings.ToLower(text) {
			t.Errorf("%q came back as %q", text, h)
		}
	})
}

func TestValidateName(t *testing.T) {
	for length, valid := range map[int]bool{0: false, 1: true, store.MaxNameBytes: true, store.MaxNameBytes + 1: false} {
		if err := store.ValidateName(strings.Repeat("n", length)); (err == nil) != valid || err != nil && !errors.Is(err, store.ErrInvalid) {
			t.Errorf("name of %d bytes: got %v", length, err)
		}
	}
}
