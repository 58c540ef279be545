//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
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
		r := result{figure: test.figure, unit: "µs", target: test.target}
		if got := r.targetText(); got != test.shown {
			t.Errorf("%s: got target %q, want %q", test.name, got, test.shown)
		}
		if got := r.verdict(); got != (text{test.en, test.zh}) {
			t.Errorf("%s: got verdict %q", test.name, got)
		}
	}
}

func TestParseBenchmark(t *testing.T) {
	const output = `goos: linux
cpu: Some CPU
BenchmarkDecisionHit/bindings=1000         	 1000000	      1066 ns/op	       0 B/op	       0 allocs/op
BenchmarkDecisionHit/bindings=1000000-2    	  900000	      987.5 ns/op	       5 B/op	       1 allocs/op
PASS`
	got, err := parseBenchmark(output)
	if want := (benchmarkLine{1_000_000, 987.5, 5, 1}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	line := "BenchmarkDecisionHit/bindings=1000000-2 \t 1 \t %d ns/op \t 0 B/op \t 0 allocs/op\n"
	runs := fmt.Sprintf(strings.Repeat(line, 5), 900, 5000, 800, 1000, 950)
	if got, err := parseBenchmark(runs); err != nil || got.nsPerOp != 950 {
		t.Errorf("of five runs: got %v ns/op, %v, want the median, 950", got.nsPerOp, err)
	}
	if _, err := parseBenchmark("PASS\nok engine 0.1s\n"); err == nil {
		t.Error("no error for an output without the benchmark")
	}
}

func TestParseProc(t *testing.T) {
	m, err := parseStatus("Name:\tx\nVmHWM:\t   30 kB\nVmRSS:\t   20 kB\nRssAnon:\t 12 kB\nRssFile:\t  8 kB\nRssShmem:\t 0 kB\n")
	if want := (memory{rss: 20 << 10, anon: 12 << 10, file: 8 << 10, peak: 30 << 10}); err != nil || m != want {
		t.Errorf("got %+v, %v, want %+v", m, err, want)
	}
	for _, bad := range []string{"", "Name:\tkthreadd\n", "VmHWM: x kB\nVmRSS: 1 kB\nRssAnon: 1 kB\nRssFile: 1 kB\n"} {
		if m, err := parseStatus(bad); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, m)
		}
	}
	seconds, err := parseStat("42 (a) b (c)) S 1 42 42 0 -1 4194304 9 0 0 0 150 250 7 8 20 0 9 0 1 2 3")
	if err != nil || seconds != 4 {
		t.Errorf("got %v, %v, want 4 s", seconds, err)
	}
	for _, bad := range []string{"", "42 (x) S 1", "42 (x) S 1 1 1 1 1 1 1 1 1 1 1 u 2 3"} {
		if s, err := parseStat(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, s)
		}
	}
}

func TestProcOfThisProcess(t *testing.T) {
	m, err := readMemory(os.Getpid())
	if err != nil || m.rss <= 0 || m.peak < m.rss/2 || m.anon <= 0 {
		t.Errorf("got %+v, %v", m, err)
	}
	if _, err := readCPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if machine := thisMachine(t.TempDir()); machine.memory == 0 || machine.cores == 0 {
		t.Errorf("got %+v", machine)
	}
}

func TestKernelVersionNamesNobody(t *testing.T) {
	if got := kernelVersion("6.18.44-somebody-17\n"); got != "6.18.44" {
		t.Errorf("got %q", got)
	}
}

func TestQuantile(t *testing.T) {
	var r loadResult
	if got := r.quantile(0.5); got != 0 {
		t.Errorf("of nothing: got %v", got)
	}
	for i := range 100 {
		r.latencies = append(r.latencies, time.Duration(i+1)*time.Millisecond)
	}
	for _, test := range []struct{ share, want float64 }{{0, 1}, {0.5, 51}, {0.99, 100}, {1, 100}} {
		if got := r.quantile(test.share); got != test.want {
			t.Errorf("quantile(%v): got %v, want %v", test.share, got, test.want)
		}
	}
}

func TestPagesHoldTheSameTable(t *testing.T) {
	r := report{
		date:    time.Date(2026, 1, 2, 23, 0, 0, 0, time.UTC),
		machine: machine{cpu: "Some CPU", cores: 2, memory: 8 << 30, kernel: "6.1.0", fileSystem: "ext4", goVersion: "go1.26"},
	}
	for i, m := range measurements() {
		r.sections = append(r.sections, section{m, []result{
			{name: text{"figure of " + m.name, "数值 " + m.name}, figure: float64(i) + 0.5, unit: "ms", target: atMost(3)},
		}})
	}
	path := filepath.Join(t.TempDir(), "docs", "benchmarks.md")
	if err := r.writePages(path); err != nil {
		t.Fatal(err)
	}
	en, zh := readPage(t, path), readPage(t, filepath.Join(filepath.Dir(path), "zh", "benchmarks.md"))
	for _, want := range []string{"| Date | 2026-01-02 |", "| figure of decision | 0.5 ms | ≤ 3 ms | pass |", "| figure of refusals | 6.50 ms | ≤ 3 ms | miss |", "make bench"} {
		if !strings.Contains(en, want) {
			t.Errorf("the English page does not hold %q", want)
		}
	}
	for _, want := range []string{"| 日期 | 2026-01-02 |", "| 数值 decision | 0.5 ms | ≤ 3 ms | 达标 |", "| 数值 refusals | 6.50 ms | ≤ 3 ms | 未达标 |", "make bench"} {
		if !strings.Contains(zh, want) {
			t.Errorf("the Chinese page does not hold %q", want)
		}
	}
	if a, b := strings.Count(en, "\n"), strings.Count(zh, "\n"); a != b {
		t.Errorf("%d lines of English, %d of Chinese", a, b)
	}
	var table bytes.Buffer
	if err := r.printTable(&table); err != nil || !strings.Contains(table.String(), "figure of cost") {
		t.Errorf("got %v, table\n%s", err, &table)
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

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		args   string
		chosen int // 0: refused
	}{
		{"", len(measurements())},
		{"-only transfer,cost", 2},
		{"-only transfer -quick", 1},
		{"-write p", len(measurements())},
		{"-only nothing", 0},
		{"-only transfer,", 0},
		{"-write p -quick", 0},
		{"-write p -only cost", 0},
		{"word", 0},
		{"-unknown", 0},
	} {
		o, err := parseFlags(strings.Fields(test.args), io.Discard)
		switch {
		case test.chosen == 0 && !errors.Is(err, errUsage):
			t.Errorf("%q: got %v, want a usage error", test.args, err)
		case test.chosen > 0 && (err != nil || len(o.chosen) != test.chosen):
			t.Errorf("%q: got %d measurements, %v, want %d", test.args, len(o.chosen), err, test.chosen)
		}
	}
}

func TestMeasurementsAreDescribedInBothLanguages(t *testing.T) {
	for _, m := range measurements() {
		if texts := []string{m.title.en, m.title.zh, m.how.en, m.how.zh}; slices.Contains(texts, "") || m.run == nil {
			t.Errorf("%s lacks a text or its run", m.name)
		}
	}
}

func TestFillMakesWhatSentinelOpens(t *testing.T) {
	dir := t.TempDir()
	addr := netip.MustParseAddr("192.0.2.7")
	if err := fill(t.Context(), dir, 300, addr); err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(filepath.Join(dir, bolt.FileName), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if isNew, err := engine.CheckSecret(t.Context(), s, engine.Secrets{Current: []byte(secret)}); isNew || err != nil {
		t.Error(isNew, err)
	}
	if n, err := s.CountBindings(t.Context()); err != nil || n != 300 {
		t.Errorf("got %d bindings, %v", n, err)
	}
	keys, err := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	hash, _, err := keys.HashKey(wire.Key(storedSeries, 299))
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Binding(t.Context(), hash)
	if err != nil || len(b.Rule.Prefixes) != 1 || b.Rule.Prefixes[0] != netip.PrefixFrom(addr, 32) {
		t.Errorf("got %+v, %v", b, err)
	}
	if u, err := s.Usage(t.Context(), hash); err != nil || u.Hits != 1 || u.LastIP != addr {
		t.Errorf("got %+v, %v", u, err)
	}
}

func TestLoadCountsAndStops(t *testing.T) {
	up, err := startUpstream()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = up.close() }()
	request := chatWith(func(i int) string { return wire.Key("t", i) })
	r, err := load{addr: up.addr(), from: home, want: 200, total: 500, request: request}.run(t.Context())
	if err != nil || r.requests != 500 || len(r.latencies) != 500 || !slices.IsSorted(r.latencies) {
		t.Errorf("got %d requests, %d latencies, %v", r.requests, len(r.latencies), err)
	}
	r, err = load{addr: up.addr(), from: home, want: 200, lasts: time.Millisecond, request: request}.run(t.Context())
	if err != nil || r.elapsed < time.Millisecond {
		t.Errorf("got %v, %v", r.elapsed, err)
	}
	if _, err := (load{addr: up.addr(), from: home, want: 403, total: 5, request: request}).run(t.Context()); err == nil {
		t.Error("no error for answers of another status")
	}
	if _, err := (load{addr: up.addr(), from: home, want: 200, request: request}).run(t.Context()); err == nil {
		t.Error("no error for a load without an end")
	}
}

func TestFillDir(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"fill", "-data-dir", dir, "-bindings", "50", "-oldest", "2400h", "-newest", "2000h"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(filepath.Join(dir, bolt.FileName), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	page, err := s.FindBindings(t.Context(), store.BindingQuery{Limit: 100})
	if err != nil || len(page.Rows) != 50 {
		t.Fatalf("got %d bindings, %v", len(page.Rows), err)
	}
	addresses := map[netip.Addr]bool{}
	for _, row := range page.Rows {
		age := time.Since(row.Usage.LastUsed)
		if age < 1999*time.Hour || age > 2401*time.Hour || !row.Binding.Rule.Prefixes[0].Contains(row.Usage.LastIP) {
			t.Errorf("got %+v, used %v ago", row, age)
		}
		addresses[row.Usage.LastIP] = true
	}
	if len(addresses) != 50 {
		t.Errorf("they are of %d addresses", len(addresses))
	}
	for _, args := range [][]string{{}, {"-data-dir", dir, "-bindings", "0"}, {"-data-dir", dir, "-oldest", "1h", "-newest", "2h"}, {"-data-dir", dir, "more"}} {
		if err := run(t.Context(), append([]string{"fill"}, args...), io.Discard, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%v: got %v, want a usage error", args, err)
		}
	}
}
