package gateway

import (
	"testing"
	"time"
)

func TestDashboardTokensExpire(t *testing.T) {
	g, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	issued := time.Unix(1700000000, 0)
	claims := dashboardClaims{NotBefore: issued.Unix(), ExpiresAt: issued.Add(dashboardLifetime).Unix()}
	token, err := g.sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]bool{
		-time.Second: false, 0: true, dashboardLifetime - time.Second: true, dashboardLifetime: false,
	} {
		g.now = func() time.Time { return issued.Add(after) }
		if got := g.valid(token, claims); got != want {
			t.Errorf("after %v: got %v, want %v", after, got, want)
		}
	}
}

func TestPathMatches(t *testing.T) {
	tests := []struct {
		pattern, path string
		want          bool
	}{
		{"/a", "/a", true},
		{"/a", "/a/", false},
		{"/a", "a", false},
		{"/a/*", "/a/b", true},
		{"/a/*", "/a/", false},
		{"/a/*", "/a", false},
		{"/a/*", "/a/b/c", false},
		{"/*/c", "/a/c", true},
		{"/a/**", "/a/b/c", true},
		{"/a/**", "/a/", true},
		{"/a/**", "/a", false},
		{"/a/", "/a/", true},
		{"/a/", "/a", false},
	}
	for _, tt := range tests {
		if got := pathMatches(tt.pattern, tt.path); got != tt.want {
			t.Errorf("pathMatches(%q, %q): got %v, want %v", tt.pattern, tt.path, got, tt.want)
		}
	}
}
