//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

var cost = measurement{
	name:  "cost",
	title: text{"Cost of an allowed request", "放行请求的成本"},
	how: text{
		"64 connections send requests of 1,000 bound keys in a closed loop: GETs with an answer of 100 bytes, and POSTs of a small JSON. The same load goes to the downstream " +
			"itself, to a plain proxy (Go's `httputil.ReverseProxy` with the default transport, which is only allowed to keep 64 idle connections; it decides and records nothing), to Sentinel, and, " +
			"where it is installed, to nginx with `proxy_pass` and keep-alive. They take turns of a second and a half, three times, so that all meet the same noise. " +
			"CPU time is that of the proxy's process (utime and stime). The ratio is Sentinel's CPU time to the plain proxy's.",
		"64 个连接以闭环方式发送 1,000 个已绑定密钥的请求：应答约 100 字节的 GET，以及小 JSON 的 POST。同样的负载分别发往下游本身、" +
			"一个普通代理（Go 的 `httputil.ReverseProxy`，默认 transport，仅允许保留 64 个空闲连接；不做判定也不记录）、Sentinel，以及（若已安装）使用 `proxy_pass` 和 keep-alive 的 nginx。" +
			"各轮流一秒半，共三轮，使干扰对所有对象相同。CPU 时间为代理进程的 utime 与 stime 之和。比值为 Sentinel 的 CPU 时间除以普通代理的。",
	},
	run: runCost,
}

const (
	costKeys   = 1_000
	costRounds = 3
)

// costTarget is what the load is sent to.
type costTarget struct {
	name text
	addr string
	pid  int // 0: its CPU time is not of interest

	requests int
	elapsed  time.Duration
	cpu      float64 // seconds
}

func (t *costTarget) cpuPer10k() float64 { return t.cpu * 10_000 / float64(max(1, t.requests)) }
func (t *costTarget) perSecond() float64 {
	return float64(t.requests) / max(t.elapsed.Seconds(), 1e-9)
}

func runCost(ctx context.Context, b *bench) (results []result, err error) {
	r, err := b.started(ctx, "cost")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	plain, err := startPlainProxy(ctx, r.up.url())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, plain.stop()) }()
	nginx, err := startNginx(ctx, r.dir, r.up.addr())
	if err != nil {
		return nil, err
	}
	if nginx != nil {
		defer func() { err = errors.Join(err, nginx.stop()) }()
	}
	for _, shape := range []struct{ name, path, body string }{{"GET", pathModels, ""}, {"POST", pathChat, chatBody}} {
		targets := []*costTarget{
			{name: text{"plain proxy", "普通代理"}, addr: plain.addr, pid: plain.pid()},
			{name: text{"Sentinel", "Sentinel"}, addr: r.Addr(), pid: r.PID()},
			{name: text{"downstream itself", "下游本身"}, addr: r.up.addr()},
		}
		if nginx != nil {
			targets = append(targets, &costTarget{name: text{"nginx", "nginx"}, addr: nginx.addr, pid: nginx.pid()})
		}
		request := func(buf []byte, _, i int) []byte {
			return wire.AppendRequest(buf, shape.path, wire.Key("c", i%costKeys), shape.body)
		}
		if err := b.takeTurns(ctx, targets, request); err != nil {
			return results, fmt.Errorf("%s: %w", shape.name, err)
		}
		results = append(results, costResults(shape.name, targets)...)
	}
	return results, nil
}

// takeTurns sends the load to each target in turn, after one turn that does not
// count: it opens connections and binds the keys.
func (b *bench) takeTurns(ctx context.Context, targets []*costTarget, request func([]byte, int, int) []byte) error {
	for _, t := range targets {
		if _, err := (load{addr: t.addr, from: home, want: http.StatusOK, total: 2 * costKeys, request: request}).run(ctx); err != nil {
			return fmt.Errorf("%s: %w", t.name.en, err)
		}
	}
	lasts := time.Duration(b.size(1500, 50)) * time.Millisecond
	for range costRounds {
		for _, t := range targets {
			if err := t.turn(ctx, load{addr: t.addr, from: home, want: http.StatusOK, lasts: lasts, request: request}); err != nil {
				return fmt.Errorf("%s: %w", t.name.en, err)
			}
		}
	}
	return nil
}

func (t *costTarget) turn(ctx context.Context, l load) error {
	var before, after float64
	var err error
	if t.pid != 0 {
		if before, err = readCPU(t.pid); err != nil {
			return err
		}
	}
	seen, err := l.run(ctx)
	if err != nil {
		return err
	}
	if t.pid != 0 {
		if after, err = readCPU(t.pid); err != nil {
			return err
		}
	}
	t.requests += seen.requests
	t.elapsed += seen.elapsed
	t.cpu += after - before
	return nil
}

// costResults expects the plain proxy first and Sentinel second.
func costResults(shape string, targets []*costTarget) []result {
	var results []result
	for _, t := range targets {
		if t.pid != 0 {
			results = append(results, result{
				text{shape + ", " + t.name.en + ": CPU for 10,000", shape + "，" + t.name.zh + "：每 10,000 个的 CPU"}, t.cpuPer10k(), "s", nil,
			})
		}
	}
	results = append(results, result{
		text{shape + ": CPU of Sentinel to plain proxy", shape + "：Sentinel 与普通代理的 CPU 之比"},
		targets[1].cpuPer10k() / max(targets[0].cpuPer10k(), 1e-9), "×", nil,
	})
	for _, t := range targets {
		results = append(results, result{
			text{shape + ", " + t.name.en + ": throughput", shape + "，" + t.name.zh + "：吞吐量"}, t.perSecond(), "/s", nil,
		})
	}
	return results
}
