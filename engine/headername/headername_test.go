package headername_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/headername"
)

func TestSet(t *testing.T) {
	set := headername.NewSet("X-Real-IP", "authorization", "X_Odd_Name", "", "x-real-ip")
	tests := []struct {
		name       string
		has, alias bool
	}{
		{"X-Real-Ip", true, false},
		{"x-real-ip", true, false},
		{"X-REAL-IP", true, false},
		{"X_Real_IP", true, true},
		{"X-Real_Ip", true, true},
		{"x.real.ip", true, true},
		{"X~Real`Ip", true, true},
		{"Authorization", true, false},
		{"x-odd-name", true, true},
		{"X_odd_name", true, false},
		{"X-Real-I", false, false},
		{"X-Real-IPs", false, false},
		{"XaRealaIp", false, false},
		{"", false, false},
		{strings.Repeat("x", 1000), false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := set.Has(tt.name); got != tt.has {
				t.Errorf("Has(%q) = %v, want %v", tt.name, got, tt.has)
			}
			if got := set.HasAlias(tt.name); got != tt.alias {
				t.Errorf("HasAlias(%q) = %v, want %v", tt.name, got, tt.alias)
			}
		})
	}
}

func TestEmptySet(t *testing.T) {
	var none *headername.Set
	for _, set := range []*headername.Set{none, {}, headername.NewSet()} {
		for _, name := range []string{"", "A", "X-Real-Ip"} {
			if set.Has(name) || set.HasAlias(name) {
				t.Errorf("empty set has %q", name)
			}
		}
	}
}

func TestSetDoesNotAllocate(t *testing.T) {
	set := headername.NewSet("X-Real-IP", "X-Forwarded-For")
	allocs := testing.AllocsPerRun(100, func() {
		if !set.HasAlias("X_Forwarded_For") || set.Has("Content-Length") {
			t.Error("wrong answer")
		}
	})
	if allocs != 0 {
		t.Errorf("got %v allocations, want 0", allocs)
	}
}

// FuzzSet compares with the rule written plainly.
func FuzzSet(f *testing.F) {
	for _, s := range []string{"X-Real-Ip", "x_real_ip", "X.Forwarded-For", "", "é"} {
		f.Add(s)
	}
	names := []string{"X-Real-IP", "X-Forwarded-For", "Forwarded"}
	set := headername.NewSet(names...)
	f.Fuzz(func(t *testing.T, name string) {
		var want, same bool
		for _, n := range names {
			equal := plain(n) == plain(name)
			if got := headername.Equal(name, n); got != equal {
				t.Errorf("Equal(%q, %q) = %v, want %v", name, n, got, equal)
			}
			want = want || equal
			same = same || http.CanonicalHeaderKey(n) == http.CanonicalHeaderKey(name)
		}
		if got := set.Has(name); got != want {
			t.Errorf("Has(%q) = %v, want %v", name, got, want)
		}
		if got := set.HasAlias(name); got != (want && !same) {
			t.Errorf("HasAlias(%q) = %v, want %v", name, got, want && !same)
		}
	})
}

func plain(name string) string {
	const kept = "abcdefghijklmnopqrstuvwxyz0123456789"
	out := ""
	for i := range len(name) {
		c := strings.ToLower(string(rune(name[i])))
		if name[i] > 127 || !strings.Contains(kept, c) {
			c = "-"
		}
		out += c
	}
	return out
}

func BenchmarkHas(b *testing.B) {
	set := headername.NewSet("X-Real-IP", "X-Forwarded-For", "Forwarded", "True-Client-IP", "CF-Connecting-IP")
	b.ReportAllocs()
	for b.Loop() {
		set.Has("Accept-Encoding")
	}
}

// A header whose real name has an underscore is not its own alias.
func TestARealNameIsNoAlias(t *testing.T) {
	s := headername.NewSet("litellm_user_api_key", "X-Api-Key")
	for name, want := range map[string]bool{
		"Litellm_user_api_key": false, "Litellm-User-Api-Key": true, "X-Api-Key": false, "X_api_key": true, "x-api-key": false,
	} {
		if got := s.HasAlias(name); got != want {
			t.Errorf("HasAlias(%q): got %v, want %v", name, got, want)
		}
	}
}
