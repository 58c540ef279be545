//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var decision = measurement{
	name:  "decision",
	title: text{"Decision on a hit", "命中时的判定"},
	how: text{
		"`go test -bench BenchmarkDecisionHit -benchmem -count 5 ./cmd/bench`, the median, with 1,000,000 bindings in the data file and in the cache: client IP, " +
			"finding and reading the credentials, HMAC, cache, rule, usage, and being found by a later ban. Keys are chosen at random. " +
			"This is what a request of a bound key costs on top of net/http's own work.",
		"`go test -bench BenchmarkDecisionHit -benchmem -count 5 ./cmd/bench` 的中位数，数据文件和缓存中有 1,000,000 条绑定：包括客户端 IP、" +
			"查找并读取凭据、HMAC、缓存、规则、用量统计，以及登记以便之后的封禁能找到它。密钥随机选取。这是已绑定密钥的请求在 net/http 自身开销之外的成本。",
	},
	run: runDecision,
}

func runDecision(ctx context.Context, b *bench) ([]result, error) {
	args := []string{"test", "-run", "^$", "-bench", "^BenchmarkDecisionHit$", "-benchmem", "-count", "5"}
	if b.quick {
		args = append(args, "-benchtime", "100x", "-count", "1", "-bench", "^BenchmarkDecisionHit$/^bindings=1000$")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/bench")...) // #nosec G204 -- constant words
	cmd.Env = append(os.Environ(), "TMPDIR="+b.dir)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test: %w\n%s", err, bytes.TrimSpace(output))
	}
	line, err := parseBenchmark(string(output))
	if err != nil {
		return nil, err
	}
	return []result{
		{text{"decision on a hit", "命中判定"}, line.nsPerOp / 1000, "µs", atMost(1)},
		{text{"decision on a hit: heap allocations", "命中判定：堆分配次数"}, line.allocsPerOp, "", atMost(0)},
		{text{"decision on a hit: bytes allocated", "命中判定：分配字节数"}, line.bytesPerOp, "B", nil},
	}, nil
}

// benchmarkLine is one line of go test -bench.
type benchmarkLine struct {
	bindings                         int
	nsPerOp, bytesPerOp, allocsPerOp float64
}

var benchmarkPattern = regexp.MustCompile(
	`(?m)^BenchmarkDecisionHit/bindings=(\d+)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op\s+([\d.]+) B/op\s+([\d.]+) allocs/op`)

// parseBenchmark returns the line with the most bindings; of several runs, the
// one with the median time.
func parseBenchmark(output string) (benchmarkLine, error) {
	var lines []benchmarkLine
	for _, m := range benchmarkPattern.FindAllStringSubmatch(output, -1) {
		bindings, err := strconv.Atoi(m[1])
		line := benchmarkLine{bindings: bindings}
		errs := []error{err}
		for i, field := range []*float64{&line.nsPerOp, &line.bytesPerOp, &line.allocsPerOp} {
			*field, err = strconv.ParseFloat(m[2+i], 64)
			errs = append(errs, err)
		}
		if err := errors.Join(errs...); err != nil {
			return benchmarkLine{}, err
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return benchmarkLine{}, fmt.Errorf("no benchmark in the output of go test:\n%s", strings.TrimSpace(output))
	}
	slices.SortFunc(lines, func(a, b benchmarkLine) int {
		return cmp.Or(cmp.Compare(b.bindings, a.bindings), cmp.Compare(a.nsPerOp, b.nsPerOp))
	})
	most := slices.IndexFunc(lines, func(l benchmarkLine) bool { return l.bindings < lines[0].bindings })
	if most < 0 {
		most = len(lines)
	}
	return lines[most/2], nil
}
