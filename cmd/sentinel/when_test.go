package main

import (
	"testing"
	"time"
)

func TestParsePast(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	local := func(year, month, day, hour, minute, second int) time.Time {
		return time.Date(year, time.Month(month), day, hour, minute, second, 0, time.Local)
	}
	tests := []struct {
		text string
		want time.Time // zero: refused
	}{
		{"90d", now.Add(-90 * 24 * time.Hour)},
		{"2w", now.Add(-14 * 24 * time.Hour)},
		{"1w2d3h", now.Add(-(9*24 + 3) * time.Hour)},
		{"1h30m", now.Add(-90 * time.Minute)},
		{" 0s ", now},
		{"2026-01-31", local(2026, 1, 31, 0, 0, 0)},
		{"2026-01-31 15:04", local(2026, 1, 31, 15, 4, 0)},
		{"2026-01-31T15:04:05", local(2026, 1, 31, 15, 4, 5)},
		{"2026-01-31T15:04:05Z", time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)},
		{"2026-01-31T15:04:05.5+08:00", time.Date(2026, 1, 31, 7, 4, 5, 5e8, time.UTC)},
		{"", time.Time{}},
		{"90", time.Time{}},
		{"d", time.Time{}},
		{"2d1w", time.Time{}},
		{"-1h", time.Time{}},
		{"+1h", time.Time{}},
		{"1d-1h", time.Time{}},
		{"9999d", now.Add(-9999 * 24 * time.Hour)},
		{"9999w", time.Time{}},
		{"5000w5000d", time.Time{}},
		{"2000000h", time.Time{}},
		{"99999d", time.Time{}},
		{"999999999d", time.Time{}},
		{"2026-02-30", time.Time{}},
		{"today", local(2026, 11, 26, 0, 0, 0)},
		{"yesterday", local(2026, 11, 25, 0, 0, 0)},
		{"Monday", local(2026, 11, 23, 0, 0, 0)},
		{"mon", local(2026, 11, 23, 0, 0, 0)},
		{"thursday", local(2026, 11, 26, 0, 0, 0)},
		{"friday", local(2026, 11, 20, 0, 0, 0)},
		{"tomorrow", time.Time{}},
		{"mond", time.Time{}},
	}
	for _, test := range tests {
		got, err := parsePast(test.text, now)
		if (err != nil) != test.want.IsZero() || !got.Equal(test.want) {
			t.Errorf("%q: got %v, %v, want %v", test.text, got, err, test.want)
		}
	}
}

func FuzzParsePast(f *testing.F) {
	for _, s := range []string{"90d", "1w2d3h4m", "2026-01-31", "2026-01-31T15:04:05Z", "-1d", "9999w9999d9999h"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parsePast(s, now)
		if err != nil && !at.IsZero() {
			t.Errorf("%q: got %v and %v", s, at, err)
		}
		if d, spanErr := parseSpan(s); spanErr == nil && d < 0 {
			t.Errorf("%q: got %v, which is to come", s, d)
		}
	})
}
