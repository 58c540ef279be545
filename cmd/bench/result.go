//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// text is one text in the languages of the documentation.
type text struct{ en, zh string }

func (t text) in(lang string) string {
	if lang == langZh {
		return t.zh
	}
	return t.en
}

const (
	langEn = "en"
	langZh = "zh"
)

// target is what a figure is held against.
type target struct {
	atLeast bool // otherwise at most
	value   float64
}

func atMost(v float64) *target  { return &target{value: v} }
func atLeast(v float64) *target { return &target{atLeast: true, value: v} }

func (t *target) met(figure float64) bool {
	if t.atLeast {
		return figure >= t.value
	}
	return figure <= t.value
}

// result is one figure.
type result struct {
	name   text
	figure float64
	unit   string
	target *target // nil: none
}

// targetText is the target with its unit, or empty.
func (r result) targetText() string {
	switch {
	case r.target == nil:
		return ""
	case r.target.atLeast:
		return withUnit("≥ ", r.target.value, r.unit)
	default:
		return withUnit("≤ ", r.target.value, r.unit)
	}
}

func (r result) verdict() text {
	switch {
	case r.target == nil:
		return text{}
	case r.target.met(r.figure):
		return text{"pass", "达标"}
	default:
		return text{"miss", "未达标"}
	}
}

func withUnit(sign string, v float64, unit string) string {
	return strings.TrimSpace(sign + number(v) + " " + unit)
}

// number prints three significant digits, and all those before the point.
func number(v float64) string {
	switch size := math.Abs(v); {
	case v == math.Trunc(v) && size < 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size < 1:
		return strconv.FormatFloat(v, 'g', 2, 64)
	case size < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case size < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	}
}

func thousands(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// section is what one measurement has found.
type section struct {
	measurement measurement
	results     []result
}

func (r report) printTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range r.machine.lines() {
		_, _ = fmt.Fprintf(t, "%s\t%s\n", line.name.en, line.value) // its error comes with Flush
	}
	_, _ = fmt.Fprintf(t, "\nmeasurement\tfigure\ttarget\tverdict\n")
	for _, s := range r.sections {
		for _, res := range s.results {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", res.name.en, withUnit("", res.figure, res.unit), res.targetText(), res.verdict().en)
		}
	}
	return t.Flush()
}
