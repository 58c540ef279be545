//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

var cost = measurement{
	name:  "cost",
	title: text{"Cost of an allowed request", "放行请求的成本"},
	how: text{
		"64 connections send requests in a closed loop: GETs of one key with an answer of 100 bytes, and POSTs of a small JSON with 100,000 keys in turn, all of which are bound. " +
			"The same load goes to the downstream itself and, where they are installed, to nginx and HAProxy as plain proxies with keep-alive, which look at no key; to nginx with an " +
			"`auth_request` to a small Go service that does an HMAC, looks the key up in a map and checks a prefix, as somebody would build who has no Sentinel; to a plain proxy " +
			"(Go's `httputil.ReverseProxy` with the default transport, allowed to keep 64 idle connections), and to Sentinel. A turn takes two seconds. To Sentinel's CPU time belong " +
			"the five seconds after its turn, in which it writes the usage of the keys; to that of nginx with the service, both.",
		"64 个连接以闭环方式发送请求：单个密钥的 GET（应答 100 字节），以及轮流使用 100,000 个密钥（均已绑定）的小 JSON POST。同样的负载分别发往下游本身；" +
			"（若已安装）作为普通代理、保持连接且不检查密钥的 nginx 与 HAProxy；用 `auth_request` 询问一个小型 Go 服务的 nginx（该服务做一次 HMAC、查一次 map、检查一个前缀，" +
			"即没有 Sentinel 的人会自己搭建的方案）；普通代理（Go 的 `httputil.ReverseProxy`，默认 transport，允许保留 64 个空闲连接）；以及 Sentinel。每轮两秒。" +
			"Sentinel 的 CPU 时间包含其后写入密钥用量的五秒；带鉴权服务的 nginx 则两个进程都计入。",
	},
	run: runCost,
}

// loadedKeys is how many keys are bound in the data file of most measurements.
const loadedKeys = 100_000

// loaded returns a rig that runs with 100,000 keys bound to home.
func (b *bench) loaded(ctx context.Context, name string, env ...string) (*rig, error) {
	r, err := b.newRig(name)
	if err != nil {
		return nil, err
	}
	if err = fill(ctx, r.dataDir(), b.keys(), home); err == nil {
		err = r.start(ctx, env...)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// keys is how many are bound in a loaded rig.
func (b *bench) keys() int { return b.size(loadedKeys, 1_000) }

// shape is one kind of request.
type shape struct {
	name       string
	path, body string
	keys       int // in turn
}

// request returns the i-th request, whose keys are made beforehand: the clients take
// their share of the machine.
func (s shape) request() func(buf []byte, _, i int) []byte {
	keys := make([]string, s.keys)
	for i := range keys {
		keys[i] = wire.Key(storedSeries, i)
	}
	return func(buf []byte, _, i int) []byte { return wire.AppendRequest(buf, s.path, keys[i%len(keys)], s.body) }
}

func runCost(ctx context.Context, b *bench) (o outcome, err error) {
	r, err := b.loaded(ctx, "cost")
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	peers, err := startPeers(ctx, r.dir, r.up.Addr(), startNginx, startHAProxy, startNginxAuth, startPlainProxy)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, stopAll(peers)) }()
	list := append([]subject{{name: text{"downstream itself", "下游本身"}, addr: r.up.Addr()}}, subjects(peers)...)
	list = append(list, r.subject())
	if err := r.useAll(ctx); err != nil {
		return o, err
	}
	c := newCostTable(list)
	lasts := time.Duration(b.size(2000, 50)) * time.Millisecond
	for _, s := range []shape{{"GET", pathModels, "", 1}, {"POST", pathChat, chatBody, b.keys()}} {
		seen, err := takeTurns(ctx, list, allowed(lasts, s.request()))
		if err != nil {
			return o, fmt.Errorf("%s: %w", s.name, err)
		}
		c.add(s.name, seen)
	}
	return c.outcome(), nil
}

// useAll uses each of the bound keys once, so that none of what follows is its first
// use since the start.
func (r *rig) useAll(ctx context.Context) error {
	s := shape{path: pathChat, body: chatBody, keys: r.bench.keys()}
	all := allowed(0, s.request())
	all.addr, all.total = r.Addr(), s.keys
	_, err := all.run(ctx)
	return err
}

// costTable gathers what the subjects cost.
type costTable struct {
	list    []subject
	grid    grid
	results []result
	bars    barPlot
}

func newCostTable(list []subject) *costTable {
	c := &costTable{list: list, grid: grid{Columns: []text{{}}}, bars: barPlot{Unit: "s"}}
	for _, s := range list {
		c.grid.Columns = append(c.grid.Columns, s.name)
		if s.cpu != nil {
			c.bars.Groups = append(c.bars.Groups, barGroup{Name: s.name, Own: s.own})
		}
	}
	return c
}

// add takes in the turns of one kind of request. Sentinel is the last subject.
func (c *costTable) add(shape string, seen []turns) {
	row := func(en, zh string, figure func(turn) float64) []float64 {
		figures := make([]float64, len(seen))
		for i, ts := range seen {
			figures[i] = ts.median(figure)
		}
		c.grid.add(text{shape + en, shape + zh}, figures...)
		return figures
	}
	cpu := row(": CPU for 10,000, s", "：每 10,000 个的 CPU，秒", turn.cpuPer10k)
	row(": requests per second", "：每秒请求数", func(t turn) float64 { return t.perSecond() })
	row(": latency p50, ms", "：延迟 p50，毫秒", func(t turn) float64 { return t.quantile(0.5) })
	row(": latency p99, ms", "：延迟 p99，毫秒", func(t turn) float64 { return t.quantile(0.99) })
	own := cpu[len(cpu)-1]
	ratios := make([]float64, len(cpu))
	for i := range cpu {
		ratios[i] = own / cpu[i]
	}
	c.grid.add(text{shape + ": CPU of Sentinel to it, ×", shape + "：Sentinel 与其 CPU 之比，×"}, ratios...)

	c.results = append(c.results, result{text{shape + ": CPU for 10,000", shape + "：每 10,000 个的 CPU"}, own, "s", atMost(0.45)})
	c.bars.Series = append(c.bars.Series, same(shape))
	group := 0
	for i, s := range c.list {
		if s.cpu == nil {
			continue
		}
		c.bars.Groups[group].Values = append(c.bars.Groups[group].Values, cpu[i])
		group++
		if s.name == nginxAuthName {
			c.results = append(c.results, result{
				text{shape + ": CPU to that of nginx with the service", shape + "：与带鉴权服务的 nginx 的 CPU 之比"}, ratios[i], "×", atMost(0.5),
			})
		}
	}
}

func (c *costTable) outcome() outcome {
	return outcome{
		Grids: []grid{c.grid}, Results: c.results,
		Plots: []plot{{
			Name: "bench-cost", Bars: &c.bars,
			Title: text{"CPU time for 10,000 allowed requests, less is better", "每 10,000 个放行请求的 CPU 时间，越少越好"},
		}},
	}
}
