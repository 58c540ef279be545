package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseExpiry(t *testing.T) {
	zone := time.FixedZone("UTC+8", 8*3600)
	now := time.Date(2026, 11, 26, 15, 0, 0, 0, zone)
	tests := []struct {
		text  string
		at    time.Time
		never bool
		fault string
	}{
		{"90d", now.AddDate(0, 0, 90), false, ""},
		{"12h", now.Add(12 * time.Hour), false, ""},
		{" 1h30m ", now.Add(90 * time.Minute), false, ""},
		{"2026-11-26", time.Date(2026, 11, 27, 0, 0, 0, 0, zone), false, ""}, // today, to its end
		{"2027-01-31", time.Date(2027, 2, 1, 0, 0, 0, 0, zone), false, ""},
		{"2026-11-26T08:00:00Z", time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC), false, ""},
		{"never", time.Time{}, true, ""},
		{"Never", time.Time{}, true, ""},
		{"", time.Time{}, false, "is missing"},
		{"2026-11-25", time.Time{}, false, "is over already"},
		{"2026-11-26T07:00:00Z", time.Time{}, false, "is over already"}, // this very moment
		{"-1h", time.Time{}, false, "is over already"},
		{"0d", time.Time{}, false, "not a number of days"},
		{"99999d", time.Time{}, false, "not a number of days"},
		{"1.5d", time.Time{}, false, "not a number of days"},
		{"soon", time.Time{}, false, "neither a duration nor a date"},
		{"90", time.Time{}, false, "neither a duration nor a date"},
	}
	for _, test := range tests {
		at, never, err := parseExpiry(test.text, now)
		switch {
		case test.fault != "":
			if err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%q: got %v, want %q", test.text, err, test.fault)
			}
		case err != nil || !at.Equal(test.at) || never != test.never:
			t.Errorf("%q: got %v, %v, %v, want %v, %v", test.text, at, never, err, test.at, test.never)
		}
	}
}

func TestTokenOrderTellsAllFaults(t *testing.T) {
	now := time.Now()
	_, err := orderToken("ci", "root", "10.0.0.1/8, x", "yesterday", now)
	if err == nil {
		t.Fatal("taken")
	}
	for _, part := range []string{`--role="root"`, `"10.0.0.1/8" has host bits set`, `"x" is no IP address`, `--expires="yesterday"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want %q in it", err, part)
		}
	}
	order, err := orderToken("ci", "operator", "10.0.0.7, 2001:db8::/32", "never", now)
	if err != nil || !order.NeverExpires || !slices.Equal(order.Networks, []string{"10.0.0.7", "2001:db8::/32"}) {
		t.Errorf("got %+v, %v", order, err)
	}
}
