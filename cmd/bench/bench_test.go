//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

func TestParseBenchmarks(t *testing.T) {
	const output = `goos: linux
cpu: Some CPU
BenchmarkDecisionHit/bindings=1000         	 1000000	      1066 ns/op	       0 B/op	       0 allocs/op
BenchmarkDecisionHit/bindings=1000000-2    	  900000	      987.5 ns/op	       5 B/op	       1 allocs/op
BenchmarkDecisionHit/bindings=1000000-2    	  900000	      5000 ns/op	       5 B/op	       1 allocs/op
BenchmarkDecisionHit/bindings=1000000-2    	  900000	      950 ns/op	       5 B/op	       1 allocs/op
BenchmarkChanging-2 	  900000	      1200 ns/op	   4990 changes/s	   5 B/op	       1 allocs/op
BenchmarkBroken
--- FAIL: BenchmarkBroken
PASS`
	seen := parseBenchmarks(output)
	for _, test := range []struct {
		name, unit string
		want       float64
	}{
		{"DecisionHit/bindings=1000", "ns/op", 1066},
		{"DecisionHit/bindings=1000000", "ns/op", 987.5},
		{"DecisionHit/bindings=1000000", "B/op", 5},
		{"DecisionHit/bindings=1000000", "allocs/op", 1},
		{"Changing", "changes/s", 4990},
	} {
		if got := seen.median(test.name, test.unit); got != test.want {
			t.Errorf("%s: got %v %s, want %v", test.name, got, test.unit, test.want)
		}
	}
	if got := seen.median("Broken", "ns/op"); !math.IsNaN(got) {
		t.Errorf("of a benchmark that failed: got %v", got)
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		of   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 3}, 2}} {
		if got := median(test.of); got != test.want {
			t.Errorf("median(%v): got %v, want %v", test.of, got, test.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("of nothing: got %v", got)
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
	if machine := thisMachine(t.TempDir()); machine.Memory == 0 || machine.Cores == 0 {
		t.Errorf("got %+v", machine)
	}
}

func TestKernelVersionNamesNobody(t *testing.T) {
	if got := kernelVersion("6.18.44-somebody-17\n"); got != "6.18.44" {
		t.Errorf("got %q", got)
	}
}

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		args   string
		chosen int // 0: refused
	}{
		{"", len(measurements()) - 2}, // all but the growth and the cluster
		{"-only growth", 1},
		{"-only transfer,cost", 2},
		{"-only transfer -quick", 1},
		{"-write p", len(measurements()) - 2},
		{"-write p -only cost", 1},
		{"-only nothing", 0},
		{"-only transfer,", 0},
		{"-write p -quick", 0},
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

func TestCourseGrowth(t *testing.T) {
	for _, test := range []struct {
		samples []float64
		want    float64
	}{{nil, 1}, {[]float64{5}, 1}, {[]float64{4, 4, 5, 4}, 1.25}, {[]float64{4, 4, 2, 2}, 0.5}} {
		if got := (course{samples: test.samples}).growth(); got != test.want {
			t.Errorf("%v: got %v, want %v", test.samples, got, test.want)
		}
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
