package main

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// timeLayouts are how times can be written, the local ones without a zone.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02",
}

// maxSpan keeps sums of durations from running over.
const maxSpan = 100 * 365 * 24 * time.Hour

var daysOrWeeks = regexp.MustCompile(`^(\d{1,4})([dw])`)

// parseSpan reads a duration, which may begin with weeks or days: 2w, 90d,
// 1d12h, 30m.
func parseSpan(s string) (time.Duration, error) {
	var days time.Duration
	rest := s
	for _, unit := range []string{"w", "d"} {
		match := daysOrWeeks.FindStringSubmatch(rest)
		if match == nil || match[2] != unit {
			continue
		}
		n, err := strconv.Atoi(match[1])
		if err != nil {
			return 0, err
		}
		if unit == "w" {
			n *= 7
		}
		days += min(time.Duration(n)*24*time.Hour, maxSpan+1)
		rest = rest[len(match[0]):]
	}
	var d time.Duration
	if rest != "" || rest == s {
		var err error
		if d, err = time.ParseDuration(rest); err != nil || d < 0 || strings.HasPrefix(rest, "+") {
			return 0, errors.New("not a duration; want e.g. 90d, 2w or 1h30m")
		}
	}
	if days > maxSpan || d > maxSpan || days+d > maxSpan {
		return 0, errors.New("not a duration of less than 100 years")
	}
	return days + d, nil
}

// startOfDay returns the start of a day that a word names: today, yesterday, or the
// last day of that name, which is today if today has it.
func startOfDay(word string, now time.Time) (time.Time, bool) {
	now = now.Local()
	ago := -1
	switch word = strings.ToLower(word); word {
	case "today":
		ago = 0
	case "yesterday":
		ago = 1
	default:
		for i := range 7 {
			if name := strings.ToLower(now.AddDate(0, 0, -i).Weekday().String()); word == name || word == name[:3] {
				ago = i
			}
		}
	}
	return time.Date(now.Year(), now.Month(), now.Day()-ago, 0, 0, 0, 0, time.Local), ago >= 0
}

// parsePast reads a time: a date or time of day, local unless it says otherwise,
// the name of a day, or a duration, which is that long before now.
func parsePast(s string, now time.Time) (time.Time, error) {
	s = strings.TrimSpace(s)
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	if t, ok := startOfDay(s, now); ok {
		return t, nil
	}
	d, err := parseSpan(s)
	if err != nil {
		return time.Time{}, errors.New("not a time; want a date such as 2026-01-31, a time such as 2026-01-31T15:04:05, " +
			"a day such as monday or yesterday, or how long ago, such as 90d, 2w or 1h30m")
	}
	t := now.Add(-d)
	if t.Year() < 1970 {
		return time.Time{}, errors.New("not a time that Sentinel was there; want 1970 or later")
	}
	return t, nil
}

// timeFlag is a flag that takes what parsePast reads.
type timeFlag struct {
	text string
	now  func() time.Time
	t    time.Time
}

func (f *timeFlag) String() string { return f.text }
func (f *timeFlag) Type() string   { return "time" }

// Set reads the flag's value.
func (f *timeFlag) Set(s string) error {
	t, err := parsePast(s, f.now())
	if err == nil {
		f.text, f.t = s, t
	}
	return err
}
