package fold_test

import (
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt/fold"
)

// FuzzIn compares with the slow and obvious way.
func FuzzIn(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""}, {"sk-ab…9fQ2", "9FQ"}, {"sk-ab…9fQ2", "…"}, {"aab", "ab"}, {"Kelvin \u212a", "k"}, {"\u212a", "K"},
		{"ÉQUIPE", "équipe"}, {"İ", "i"}, {"ẞ", "ß"}, {"bad \xff\xfe", "\ufffd"}, {"bad \xff", "\xff"}, {"\ufffd", "\ufffd"}, {"short", "shorter"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, part string) {
		p := fold.New(part)
		want := store.HasText(text, part)
		if got := p.In([]byte(text)); got != want {
			t.Errorf("%q in %q: got %v, want %v", part, text, got, want)
		}
		if fold.IsSimple([]byte(text)) && p.InSimple([]byte(text)) != want {
			t.Errorf("%q in %q, which is simple: got %v, want %v", part, text, !want, want)
		}
	})
}

func TestIsSimple(t *testing.T) {
	for text, want := range map[string]bool{"": true, "sk-AB…9fQ2": true, "中文": true, "É": false, "\xff": false, "\u212a": false} {
		if got := fold.IsSimple([]byte(text)); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestInAllocatesNothing(t *testing.T) {
	p, text := fold.New("9FQ"), []byte("sk-ab…9fQ2")
	if n := testing.AllocsPerRun(100, func() { p.In(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
