//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

var growth = measurement{
	name:  "growth",
	title: text{"From 1,000 to 10,000,000 bindings", "从 1,000 到 10,000,000 条绑定"},
	how: text{
		"A data file for each size, with all bindings used once. The start is from the exec of the binary to the end of the first proxied answer, with the file in the page cache; memory after the start is " +
			"Sentinel's own (RssAnon). Then one connection sends requests one after the other: 5,000 with one key (a hit, answered from the cache), 1,000 with one key after the other " +
			"that has not been used since the start (a miss, which reads the file; up to 150,000 bindings, the cache has read all of them at the start), and 500 with a new key each (a first use, durable before it is answered); the figures are the medians of the whole request, with the " +
			"forwarding and the downstream's answer. Memory after the load is Sentinel's own after 64 connections have sent 100,000 requests with keys chosen at random. At the largest size, Sentinel is then started again " +
			"with `GOMEMLIMIT=512MiB`, and gets 200,000 such requests.",
		"每个规模各有一个数据文件，其中所有绑定都使用过一次。启动时间从执行二进制算到第一个代理应答收完，文件在页缓存中；启动后内存为 Sentinel 自身的内存（RssAnon）。" +
			"随后一个连接依次发送请求：同一密钥 5,000 个（命中，由缓存回答）；启动后未用过的密钥依次 1,000 个（未命中，要读文件；不超过 150,000 条绑定时，缓存在启动时已全部读入）；每个都是新密钥的 500 个（首次使用，落盘后才应答）；" +
			"数值为整个请求（含转发与下游应答）的中位数。负载后内存为 64 个连接用随机密钥发送 100,000 个请求之后 Sentinel 自身的内存。在最大规模下，Sentinel 再以 `GOMEMLIMIT=512MiB` 启动，" +
			"并接收 200,000 个这样的请求。",
	},
	run: runGrowth,
}

// growthSizes are the numbers of bindings.
func (b *bench) growthSizes() []int {
	if b.quick {
		return []int{100, 1_000, 3_000}
	}
	return []int{1_000, 10_000, 100_000, 1_000_000, 10_000_000}
}

// grown is what was seen at one size.
type grown struct {
	bindings             int
	file                 float64 // bytes
	memory, loaded       float64 // bytes
	start                time.Duration
	hit, miss, first     float64 // ms
	limited, limitedPeak float64 // requests a second and bytes, under the limit
}

func runGrowth(ctx context.Context, b *bench) (o outcome, err error) {
	sizes := b.growthSizes()
	var list []grown
	for i, n := range sizes {
		seen, err := b.grow(ctx, n, i == len(sizes)-1)
		if err != nil {
			return o, fmt.Errorf("%d bindings: %w", n, err)
		}
		list = append(list, seen)
	}
	g := grid{Columns: []text{{"bindings", "绑定数"}}}
	for _, s := range list {
		g.Columns = append(g.Columns, same(number(float64(s.bindings))))
	}
	row := func(name text, figure func(s grown) float64) lineSeries {
		var figures []float64
		line := lineSeries{Name: name}
		for _, s := range list {
			figures = append(figures, figure(s))
			line.Points = append(line.Points, [2]float64{float64(s.bindings), math.Max(figure(s), 1e-3)})
		}
		g.add(name, figures...)
		return line
	}
	bindings := text{"bindings", "绑定数"}
	sizesPlot := &linePlot{X: bindings, Y: same("MB")}
	sizesPlot.Series = append(sizesPlot.Series,
		row(text{"data file, MB", "数据文件，MB"}, func(s grown) float64 { return s.file / mega }),
		row(text{"memory at start, MB", "启动后内存，MB"}, func(s grown) float64 { return s.memory / mega }),
		row(text{"memory after load, MB", "负载后内存，MB"}, func(s grown) float64 { return s.loaded / mega }))
	timesPlot := &linePlot{X: bindings, Y: text{"ms", "毫秒"}}
	timesPlot.Series = append(timesPlot.Series,
		row(text{"start, ms", "启动，毫秒"}, func(s grown) float64 { return float64(s.start.Microseconds()) / 1000 }),
		row(text{"hit, ms", "命中，毫秒"}, func(s grown) float64 { return s.hit }),
		row(text{"miss, ms", "未命中，毫秒"}, func(s grown) float64 { return s.miss }),
		row(text{"first use, ms", "首次使用，毫秒"}, func(s grown) float64 { return s.first }))
	last := list[len(list)-1]
	o.Grids = []grid{g}
	o.Results = []result{
		{text{"10,000,000 bindings, GOMEMLIMIT=512MiB: requests with random keys", "10,000,000 条绑定，GOMEMLIMIT=512MiB：随机密钥请求"}, last.limited, "/s", nil},
		{text{"10,000,000 bindings, GOMEMLIMIT=512MiB: peak of Sentinel's own memory (RssAnon)", "10,000,000 条绑定，GOMEMLIMIT=512MiB：Sentinel 自身内存峰值（RssAnon）"},
			last.limitedPeak / (1 << 20), "MiB", atMost(512)},
	}
	o.Plots = []plot{
		{Name: "bench-growth-size", Title: text{"Data file and memory by the number of bindings", "数据文件与内存随绑定数的变化"}, Lines: sizesPlot},
		{Name: "bench-growth-time", Title: text{"Start and latency by the number of bindings", "启动时间与延迟随绑定数的变化"}, Lines: timesPlot},
	}
	return o, nil
}

// grow measures one size, and the largest one under a limit too.
func (b *bench) grow(ctx context.Context, n int, limit bool) (seen grown, err error) {
	r, err := b.newRig(fmt.Sprintf("growth-%d", n))
	if err != nil {
		return seen, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := fill(ctx, r.dataDir(), n, home); err != nil {
		return seen, fmt.Errorf("make the data file: %w", err)
	}
	stat, err := os.Stat(filepath.Join(r.dataDir(), bolt.FileName))
	if err != nil {
		return seen, err
	}
	seen.bindings, seen.file = n, float64(stat.Size())
	if seen.start, err = r.firstAnswer(ctx); err != nil {
		return seen, err
	}
	m, err := readMemory(r.PID())
	if err != nil {
		return seen, err
	}
	seen.memory = m.anon
	if err := r.growthLatencies(ctx, &seen); err != nil {
		return seen, err
	}
	if _, err := r.randomLoad(n, b.size(100_000, 1_000)).run(ctx); err != nil {
		return seen, err
	}
	if m, err = readMemory(r.PID()); err != nil {
		return seen, err
	}
	seen.loaded = m.anon
	if limit {
		err = r.underLimit(ctx, &seen)
	}
	return seen, err
}

// growthLatencies measures a hit, a miss and a first use.
func (r *rig) growthLatencies(ctx context.Context, seen *grown) error {
	one := load{addr: r.Addr(), from: home, want: http.StatusOK, conns: 1}
	n := seen.bindings
	for _, part := range []struct {
		median *float64
		total  int
		key    func(i int) string
	}{
		{&seen.hit, r.bench.size(5_000, 50), func(int) string { return wire.Key(storedSeries, 0) }},
		// Key 0 was used by the start.
		{&seen.miss, min(r.bench.size(1_000, 50), n-1), func(i int) string { return wire.Key(storedSeries, 1+i*((n-1)/min(1_000, n-1))) }},
		{&seen.first, r.bench.size(500, 20), func(i int) string { return wire.Key("n", i) }},
	} {
		l := one
		l.total, l.request = part.total, chatWith(part.key)
		got, err := l.run(ctx)
		if err != nil {
			return err
		}
		*part.median = got.quantile(0.5)
	}
	return nil
}

// randomLoad sends requests with keys chosen at random of n.
func (r *rig) randomLoad(n, total int) load {
	return load{
		addr: r.Addr(), from: home, want: http.StatusOK, total: total,
		request: chatWith(func(int) string {
			return wire.Key(storedSeries, rand.IntN(n)) // #nosec G404 -- a load
		}),
	}
}

// memoryLimit is for Go's runtime.
const memoryLimit = "GOMEMLIMIT=512MiB"

// underLimit starts Sentinel again with a limit of memory, and has it serve.
func (r *rig) underLimit(ctx context.Context, seen *grown) error {
	if err := r.Stop(); err != nil {
		return err
	}
	if err := r.start(ctx, memoryLimit); err != nil {
		return err
	}
	var got loadResult
	peak, err := peakDuring(ctx, r.PID(), func(ctx context.Context) (err error) {
		got, err = r.randomLoad(seen.bindings, r.bench.size(200_000, 1_000)).run(ctx)
		return err
	})
	seen.limited, seen.limitedPeak = got.perSecond(), peak.anon
	return err
}
