//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNumber(t *testing.T) {
	for _, test := range []struct {
		v    float64
		want string
	}{
		{0, "0"}, {5, "5"}, {300, "300"}, {0.0123, "0.012"}, {0.5, "0.5"}, {1.234, "1.23"}, {12.34, "12.3"}, {123.4, "123"},
		{999.7, "1,000"}, {2000, "2,000"}, {1234567, "1,234,567"}, {-1234.5, "-1,234"}, {-0.5, "-0.5"},
	} {
		if got := number(test.v); got != test.want {
			t.Errorf("number(%v): got %q, want %q", test.v, got, test.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		name          string
		figure        float64
		target        *target
		shown, zh, en string
	}{
		{"none", 5, nil, "", "", ""},
		{"below a ceiling", 0.9, atMost(1), "≤ 1 µs", "达标", "pass"},
		{"at a ceiling", 1, atMost(1), "≤ 1 µs", "达标", "pass"},
		{"above a ceiling", 1.01, atMost(1), "≤ 1 µs", "未达标", "miss"},
		{"above a floor", 2001, atLeast(2000), "≥ 2,000 µs", "达标", "pass"},
		{"below a floor", 1999, atLeast(2000), "≥ 2,000 µs", "未达标", "miss"},
		{"not a number", math.NaN(), atMost(1), "≤ 1 µs", "未达标", "miss"},
	} {
		r := result{Figure: test.figure, Unit: "µs", Target: test.target}
		if got := r.targetText(); got != test.shown {
			t.Errorf("%s: got target %q, want %q", test.name, got, test.shown)
		}
		if got := r.verdict(); got != (text{test.en, test.zh}) {
			t.Errorf("%s: got verdict %q", test.name, got)
		}
	}
}

// someReport has everything of every measurement.
func someReport() []section {
	here := machine{CPU: "Some CPU", Cores: 2, Memory: 8 << 30, Kernel: "6.1.0", FileSystem: "ext4", GoVersion: "go1.26"}
	var list []section
	for i, m := range measurements() {
		g := grid{Columns: []text{{}, {"peer", "对照"}, same("Sentinel")}}
		g.add(text{"row of " + m.name, "行 " + m.name}, math.NaN(), float64(i)+0.25)
		list = append(list, section{m.name, time.Date(2026, 1, 2, 23, 0, 0, 0, time.UTC), here, 0, outcome{
			Grids:   []grid{g},
			Results: []result{{text{"figure of " + m.name, "数值 " + m.name}, float64(i) + 0.5, "ms", atMost(3)}},
			Plots: []plot{{Name: "bench-" + m.name, Title: text{"plot of " + m.name, "图 " + m.name}, Bars: &barPlot{
				Unit: "s", Series: []text{same("GET")}, Groups: []barGroup{{same("Sentinel"), true, []float64{1}}},
			}}},
		}})
	}
	return list
}

func TestPagesHoldTheSame(t *testing.T) {
	b := book{filepath.Join(t.TempDir(), "docs", "benchmarks.md")}
	if err := b.add(someReport()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(b.page)
	en, zh := readPage(t, b.page), readPage(t, filepath.Join(dir, "zh", "benchmarks.md"))
	for _, want := range []string{
		"| Date | 2026-01-02 |", "| figure of cost | 0.5 ms | ≤ 3 ms | pass |", "| figure of growth | 7.50 ms | ≤ 3 ms | miss |", "make bench",
		"|  | peer | Sentinel |", "| row of streams | – | 1.25 |", "![plot of cost](images/bench-cost.svg)",
	} {
		if !strings.Contains(en, want) {
			t.Errorf("the English page does not hold %q", want)
		}
	}
	for _, want := range []string{
		"| 日期 | 2026-01-02 |", "| 数值 cost | 0.5 ms | ≤ 3 ms | 达标 |", "| 数值 growth | 7.50 ms | ≤ 3 ms | 未达标 |", "make bench",
		"|  | 对照 | Sentinel |", "| 行 streams | – | 1.25 |", "![图 cost](../images/bench-cost-zh.svg)",
	} {
		if !strings.Contains(zh, want) {
			t.Errorf("the Chinese page does not hold %q", want)
		}
	}
	if a, b := strings.Count(en, "\n"), strings.Count(zh, "\n"); a != b {
		t.Errorf("%d lines of English, %d of Chinese", a, b)
	}
	for _, picture := range []string{"bench-cost.svg", "bench-growth-zh.svg"} {
		readPage(t, filepath.Join(dir, "images", picture))
	}
	var table bytes.Buffer
	if err := printTable(&table, someReport()); err != nil || !strings.Contains(table.String(), "figure of cost") || !strings.Contains(table.String(), "row of cost") {
		t.Errorf("got %v, table\n%s", err, &table)
	}
}

func TestLaterResultsTakeThePlaceOfOlderOnes(t *testing.T) {
	b := book{filepath.Join(t.TempDir(), "benchmarks.md")}
	if err := b.add(someReport()); err != nil {
		t.Fatal(err)
	}
	again := someReport()[:7]
	again[0].Outcome.Results[0].Figure = 2.5
	for i := range again {
		again[i].Date = again[i].Date.AddDate(0, 0, 3)
		again[i].Machine.CPU = "Another CPU"
	}
	again[0].Stolen, again[1].Stolen = 0.124, 0.004
	one := someReport()[1:2] // on one more machine, which is not what the page is about
	one[0].Date, one[0].Machine.CPU = one[0].Date.AddDate(0, 0, 4), "A third CPU"
	if err := errors.Join(b.add(again), b.add(one)); err != nil {
		t.Fatal(err)
	}
	page := readPage(t, b.page)
	for _, want := range []string{
		"| Date | 2026-01-05 |", "| CPU | Another CPU, 2 × ", "| figure of cost | 2.50 ms |", "| figure of growth | 7.50 ms |",
		"*Measured on 2026-01-02 on another machine: Some CPU, 2 × ", "*Measured on 2026-01-06 on another machine: A third CPU, 2 × ",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not hold %q", want)
		}
	}
	if n := strings.Count(page, "Meanwhile the host gave 12 % of"); n != 1 || strings.Count(page, "Meanwhile the host") != 1 {
		t.Errorf("that a host took much of one measurement is told %d times, want once", n)
	}
	if n := strings.Count(page, "figure of cost"); n != 1 {
		t.Errorf("the cost is told %d times", n)
	}
	if err := os.WriteFile(b.kept(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.add(again); err == nil {
		t.Error("no error for kept results that cannot be read")
	}
}

// TestPagesAreWhatIsKept fails after a change of the texts: make docs writes the
// pages anew.
func TestPagesAreWhatIsKept(t *testing.T) {
	b := book{filepath.Join("..", "..", "docs", "benchmarks.md")}
	r, err := b.read()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Sections) == 0 {
		t.Skip("no results are kept: make bench")
	}
	for lang, path := range map[string]string{langEn: b.page, langZh: filepath.Join(filepath.Dir(b.page), langZh, filepath.Base(b.page))} {
		if readPage(t, path) != r.page(lang) {
			t.Errorf("%s is not what the kept results give: make docs", path)
		}
		for _, s := range r.Sections {
			for _, p := range s.Outcome.Plots {
				if readPage(t, filepath.Join(filepath.Dir(b.page), "images", p.file(lang))) != p.svg(lang) {
					t.Errorf("%s is not what the kept results give: make docs", p.file(lang))
				}
			}
		}
	}
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMeasurementsAreDescribedInBothLanguages(t *testing.T) {
	for _, m := range measurements() {
		if texts := []string{m.title.En, m.title.Zh, m.how.En, m.how.Zh}; slices.Contains(texts, "") || m.run == nil {
			t.Errorf("%s lacks a text or its run", m.name)
		}
	}
}

func TestPlots(t *testing.T) {
	bars := plot{Name: "b", Title: text{"a < b", "甲 < 乙"}, Bars: &barPlot{
		Unit: "s", Series: []text{same("GET"), same("POST")},
		Groups: []barGroup{{same("peer"), false, []float64{2, 4}}, {same("Sentinel"), true, []float64{1, 0}}},
	}}
	lines := plot{Name: "l", Title: same("growth"), Lines: &linePlot{X: same("n"), Y: same("MB"), Series: []lineSeries{
		{same("file"), [][2]float64{{1e3, 0.4}, {1e6, 400}}}, {same("memory"), [][2]float64{{1e3, 30}, {1e6, 30}}}, {same("none"), nil},
	}}}
	for _, test := range []struct {
		p    plot
		want []string
	}{
		{bars, []string{"a &lt; b", "prefers-color-scheme:dark", ">2 s<", ">4 s<", `class="end own"`}},
		{lines, []string{"<polyline", ">1,000,000<", ">0.1<", ">file<", ">memory<"}},
	} {
		svg := test.p.svg(langEn)
		for _, want := range test.want {
			if !strings.Contains(svg, want) {
				t.Errorf("%s does not hold %q", test.p.file(langEn), want)
			}
		}
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", test.p.file(langEn), err)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s: a place that is no number:\n%s", test.p.file(langEn), svg)
		}
	}
	if got := bars.svg(langZh); !strings.Contains(got, "甲 &lt; 乙") || bars.file(langZh) != "b-zh.svg" {
		t.Errorf("%s is not Chinese", bars.file(langZh))
	}
}

func TestShareThatTheHostTook(t *testing.T) {
	then := processors{User: 10, System: 5, Idle: 100, Steal: 1}
	for _, c := range []struct {
		name string
		now  processors
		want float64
	}{
		{"nothing was done", then, 0},
		{"none was taken", processors{User: 12, System: 6, Idle: 100, Steal: 1}, 0},
		{"idle time was not wanted", processors{User: 12, System: 6, SoftIRQ: 1, Idle: 900, Steal: 2}, 0.2},
	} {
		if got := c.now.stolenSince(then); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
