//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// text is one text in the languages of the documentation.
type text struct {
	En string `json:"en"`
	Zh string `json:"zh"`
}

// same is a text that needs no translation.
func same(s string) text { return text{s, s} }

func (t text) in(lang string) string {
	if lang == langZh {
		return t.Zh
	}
	return t.En
}

const (
	langEn = "en"
	langZh = "zh"
)

// outcome is what a measurement has found.
type outcome struct {
	Grids   []grid   `json:"grids,omitempty"`
	Results []result `json:"results,omitempty"`
	Plots   []plot   `json:"plots,omitempty"`
}

// grid is a table whose columns are compared with each other.
type grid struct {
	Columns []text    `json:"columns"` // the first one is that of the rows' names
	Rows    []gridRow `json:"rows"`
}

type gridRow struct {
	Name  text     `json:"name"`
	Cells []string `json:"cells"` // one less than there are columns
}

// add adds a row of figures; of those that are not a number, nothing is shown.
func (g *grid) add(name text, figures ...float64) {
	row := gridRow{Name: name}
	for _, v := range figures {
		cell := "–"
		if !math.IsNaN(v) {
			cell = number(v)
		}
		row.Cells = append(row.Cells, cell)
	}
	g.Rows = append(g.Rows, row)
}

// target is what a figure is held against.
type target struct {
	AtLeast bool    `json:"atLeast,omitempty"` // otherwise at most
	Value   float64 `json:"value"`
}

func atMost(v float64) *target  { return &target{Value: v} }
func atLeast(v float64) *target { return &target{AtLeast: true, Value: v} }

func (t *target) met(figure float64) bool {
	if t.AtLeast {
		return figure >= t.Value
	}
	return figure <= t.Value
}

// result is one figure.
type result struct {
	Name   text    `json:"name"`
	Figure float64 `json:"figure"`
	Unit   string  `json:"unit,omitempty"`
	Target *target `json:"target,omitempty"` // nil: none
}

// targetText is the target with its unit, or empty.
func (r result) targetText() string {
	switch {
	case r.Target == nil:
		return ""
	case r.Target.AtLeast:
		return withUnit("≥ ", r.Target.Value, r.Unit)
	default:
		return withUnit("≤ ", r.Target.Value, r.Unit)
	}
}

func (r result) verdict() text {
	switch {
	case r.Target == nil:
		return text{}
	case r.Target.met(r.Figure):
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

// median returns the middle one of figures, of an even number the lower of two;
// not a number if there are none.
func median(figures []float64) float64 {
	if len(figures) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[(len(sorted)-1)/2]
}

// printTable prints what a terminal can show: all but the plots.
func printTable(w io.Writer, sections []section) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range sections {
		_, _ = fmt.Fprintf(t, "\n%s\n", s.Name) // its error comes with Flush
		for _, g := range s.Outcome.Grids {
			for i, c := range g.Columns {
				_, _ = fmt.Fprint(t, tabBefore(i), c.En)
			}
			_, _ = fmt.Fprintln(t)
			for _, r := range g.Rows {
				_, _ = fmt.Fprintf(t, "%s\t%s\n", r.Name.En, strings.Join(r.Cells, "\t"))
			}
			_, _ = fmt.Fprintln(t)
		}
		for _, r := range s.Outcome.Results {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Name.En, withUnit("", r.Figure, r.Unit), r.targetText(), r.verdict().En)
		}
	}
	return t.Flush()
}

func tabBefore(i int) string {
	if i == 0 {
		return ""
	}
	return "\t"
}
