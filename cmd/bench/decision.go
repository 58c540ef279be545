//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

var decision = measurement{
	name:  "decision",
	title: text{"Decision", "判定"},
	how: text{
		"`go test -bench BenchmarkDecision -benchmem -cpu 2 -count 5 ./cmd/bench`, the medians, with 1,000,000 bindings in the data file and in the cache: client IP, " +
			"finding and reading the credentials, HMAC, cache, rule, usage, and being found by a later ban. Keys are chosen at random. " +
			"This is what a request of a bound key costs on top of net/http's own work. On two processors, the time is that between two decisions of either. While bindings are being changed, " +
			"64 goroutines change those very bindings (their labels), each change durable (fsync) before the next; the time is that of the decisions, which share the two processors with the changes. " +
			"The large rules and the block list are measured with 1,000 bindings, and compared with a hit among as many.",
		"`go test -bench BenchmarkDecision -benchmem -cpu 2 -count 5 ./cmd/bench` 的中位数，数据文件和缓存中有 1,000,000 条绑定：包括客户端 IP、" +
			"查找并读取凭据、HMAC、缓存、规则、用量统计，以及登记以便之后的封禁能找到它。密钥随机选取。这是已绑定密钥的请求在 net/http 自身开销之外的成本。" +
			"双处理器时，时间为任一处理器上两次判定的间隔。修改绑定期间，64 个 goroutine 修改的正是这些绑定（的标签），每次修改落盘（fsync）后才进行下一次；" +
			"时间为判定的时间，判定与修改共用两个处理器。大规则和封锁列表以 1,000 条绑定测量，并与同样数量下的命中比较。",
	},
	run: runDecision,
}

// Names of the benchmarks, without what go test puts before and behind.
const (
	benchHit      = "DecisionHit/bindings=1000000"
	benchParallel = "DecisionHitParallel"
	benchChanging = "DecisionHitWhileChanging"
	benchFew      = "DecisionHit/bindings=1000"
	benchRule     = "DecisionHitLargeRule"
	benchBlocked  = "DecisionHitBlockList"
)

func runDecision(ctx context.Context, b *bench) (o outcome, err error) {
	const chosen = "^BenchmarkDecisionHit(Parallel|WhileChanging|LargeRule|BlockList)?$"
	args := []string{"test", "-run", "^$", "-benchmem", "-cpu", "2", "-count", "5", "-bench", chosen, "-timeout", "30m"}
	if b.quick {
		args = append(args, "-benchtime", "100x", "-count", "1", "-short")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/bench")...) // #nosec G204 -- constant words
	cmd.Env = append(os.Environ(), "TMPDIR="+b.dir)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return o, fmt.Errorf("go test: %w\n%s", err, bytes.TrimSpace(output))
	}
	seen := parseBenchmarks(string(output))
	if len(seen) == 0 {
		return o, fmt.Errorf("no benchmark in the output of go test:\n%s", bytes.TrimSpace(output))
	}
	us := func(name string) float64 { return seen.median(name, "ns/op") / 1000 }
	more := func(name, base string) float64 { return us(name) - us(base) }
	o.Results = []result{
		{text{"a hit", "命中"}, us(benchHit), "µs", atMost(0.5)},
		{text{"a hit: heap allocations", "命中：堆分配次数"}, seen.median(benchHit, "allocs/op"), "", atMost(0)},
		{text{"a hit, on two processors", "命中，双处理器"}, us(benchParallel), "µs", atMost(0.5)},
		{text{"a hit, on two processors: heap allocations", "命中，双处理器：堆分配次数"}, seen.median(benchParallel, "allocs/op"), "", atMost(0)},
		{text{"a hit while bindings are being changed", "修改绑定期间的命中"}, us(benchChanging), "µs", nil},
		{text{"a hit while bindings are being changed: longer by", "修改绑定期间的命中：增加"}, more(benchChanging, benchHit), "µs", atMost(1)},
		{text{"changes meanwhile", "其间的修改"}, seen.median(benchChanging, "changes/s"), "/s", nil},
		{text{"a hit, rule of 1,000 CIDRs: longer by", "命中，1,000 个 CIDR 的规则：增加"}, more(benchRule, benchFew), "µs", atMost(1)},
		{text{"a hit, block list of 100,000 CIDRs: longer by", "命中，100,000 个 CIDR 的封锁列表：增加"}, more(benchBlocked, benchFew), "µs", atMost(1)},
	}
	for _, r := range o.Results {
		if math.IsNaN(r.Figure) {
			return o, fmt.Errorf("%s: not in the output of go test:\n%s", r.Name.En, bytes.TrimSpace(output))
		}
	}
	return o, nil
}

// benchmarks are the figures of go test -bench by name and unit, one of each run.
type benchmarks map[string]map[string][]float64

func (b benchmarks) median(name, unit string) float64 { return median(b[name][unit]) }

// parseBenchmarks reads lines such as
//
//	BenchmarkName/case-2   1000   987.5 ns/op   0 B/op   0 allocs/op
func parseBenchmarks(output string) benchmarks {
	seen := benchmarks{}
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "Benchmark")
		if !ok || len(fields) < 4 {
			continue
		}
		name, _, _ = strings.Cut(name, "-")
		name = strings.Fields(name)[0]
		if seen[name] == nil {
			seen[name] = map[string][]float64{}
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				seen[name][fields[i+1]] = append(seen[name][fields[i+1]], v)
			}
		}
	}
	return seen
}
