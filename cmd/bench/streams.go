//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var streams = measurement{
	name:  "streams",
	title: text{"Event streams", "事件流"},
	how: text{
		"500 event streams with one event per 100 ms each, then 5,000 with one per second each: 5,000 events a second either way, through HAProxy (if it is installed) and Sentinel in turn. " +
			"Each stream has a bound key and a connection of its own; they are opened one after the other within one second, or five, and then all stay open for five. Each event says when the downstream " +
			"had it, and the client, whose clock is the same, how long it took. Time to first byte is from the request to the first byte of the answer. A stream that ends by itself is cut " +
			"short; one from which an event is missing fails the measurement. An idle stream is one of 5,000 that get one event and then none: the growth of the resident set, from before the first of " +
			"them to when all have been open for five seconds, divided by their number; and the same of its peak (VmHWM), with the garbage of opening them.",
		"先是 500 个事件流（每个 100 毫秒一个事件），然后 5,000 个（每个每秒一个），总共都是每秒 5,000 个事件；依次经过 HAProxy（若已安装）和 Sentinel。" +
			"每个流有各自的已绑定密钥和连接；它们在一秒（或五秒）内依次打开，然后全部保持五秒。每个事件写明下游产生它的时刻，客户端使用同一时钟计算延迟。" +
			"首字节时间从发出请求算到应答的第一个字节。自行结束的流计为中断；丢失事件则整项测试失败。空闲流：打开 5,000 个只收到一个事件、之后不再有事件的流，" +
			"取常驻集从第一个流之前到全部打开五秒后的增长，除以流数；另给出其峰值（VmHWM）的同样数值，含打开过程产生的垃圾。",
	},
	run: runStreams,
}

const (
	fewStreams  = 500
	manyStreams = 5_000
)

func runStreams(ctx context.Context, b *bench) (o outcome, err error) {
	r, err := b.loaded(ctx, "streams")
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	idle, err := r.idleStreams(ctx)
	if err != nil {
		return o, fmt.Errorf("idle streams: %w", err)
	}
	peers, err := startPeers(ctx, r.dir, r.up.Addr(), startHAProxy)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, stopAll(peers)) }()
	list := append(subjects(peers), r.subject())
	for i := range list {
		list[i].settles = 0 // the streams go on, and are not counted any more
	}
	g := grid{Columns: []text{{}}}
	for _, s := range list {
		g.Columns = append(g.Columns, s.name)
	}
	for _, l := range []streamLoad{
		{n: b.size(fewStreams, 20), interval: 100 * time.Millisecond, opening: time.Second},
		{n: b.size(manyStreams, 50), interval: time.Duration(b.size(1000, 100)) * time.Millisecond, opening: time.Duration(b.size(5000, 500)) * time.Millisecond},
	} {
		seen, err := b.streamTurns(ctx, list, l)
		if err != nil {
			return o, fmt.Errorf("%d streams: %w", l.n, err)
		}
		o.Results = append(o.Results, streamResults(&g, l.n, seen)...)
	}
	o.Grids, o.Results = []grid{g}, append(o.Results, idle...)
	return o, nil
}

// streamTurn is what was seen of a subject in one round.
type streamTurn struct {
	streamsSeen
	cpu float64 // seconds while all were open
}

func (t streamTurn) cpuPer10k() float64 { return t.cpu * 10_000 / float64(max(1, len(t.delays))) }

// streamTurns has each subject carry the streams in turn.
func (b *bench) streamTurns(ctx context.Context, list []subject, l streamLoad) ([][]streamTurn, error) {
	hold := time.Duration(b.size(5000, 300)) * time.Millisecond
	seen := make([][]streamTurn, len(list))
	for range rounds {
		for i, s := range list {
			l.addr = s.addr
			var t streamTurn
			var err error
			t.streamsSeen, err = l.run(ctx, func(ctx context.Context) (err error) {
				t.cpu, err = s.cpuDuring(ctx, func() error { return pause(ctx, hold) })
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name.En, err)
			}
			seen[i] = append(seen[i], t)
		}
	}
	return seen, nil
}

// streamResults adds the rows of so many streams. Sentinel is the last subject, and
// HAProxy the first if there are two.
func streamResults(g *grid, n int, seen [][]streamTurn) []result {
	prefix := text{number(float64(n)) + " streams: ", number(float64(n)) + " 个流："}
	row := func(name text, figure func(streamTurn) float64) (figures []float64) {
		for _, ts := range seen {
			var list []float64
			for _, t := range ts {
				list = append(list, figure(t))
			}
			figures = append(figures, median(list))
		}
		g.add(text{prefix.En + name.En, prefix.Zh + name.Zh}, figures...)
		return figures
	}
	row(text{"time to first byte p50, ms", "首字节时间 p50，毫秒"}, func(t streamTurn) float64 { return quantile(t.firstBytes, 0.5) })
	first := row(text{"time to first byte p99, ms", "首字节时间 p99，毫秒"}, func(t streamTurn) float64 { return quantile(t.firstBytes, 0.99) })
	row(text{"delay of an event p50, ms", "事件延迟 p50，毫秒"}, func(t streamTurn) float64 { return quantile(t.delays, 0.5) })
	delay := row(text{"delay of an event p99, ms", "事件延迟 p99，毫秒"}, func(t streamTurn) float64 { return quantile(t.delays, 0.99) })
	cpu := row(text{"CPU for 10,000 events, s", "每 10,000 个事件的 CPU，秒"}, streamTurn.cpuPer10k)
	own, cut := len(seen)-1, 0
	for _, t := range seen[own] {
		cut += t.cut
	}
	results := []result{
		{text{prefix.En + "CPU for 10,000 events", prefix.Zh + "每 10,000 个事件的 CPU"}, cpu[own], "s", atMost(0.65)},
		{text{prefix.En + "streams cut short, of all rounds", prefix.Zh + "各轮中断的流"}, float64(cut), "", atMost(0)},
	}
	if own > 0 {
		results = append(results,
			result{text{prefix.En + "time to first byte p99 to that of HAProxy", prefix.Zh + "首字节时间 p99 与 HAProxy 之比"}, first[own] / first[0], "×", atMost(1)},
			result{text{prefix.En + "delay p99 to that of HAProxy", prefix.Zh + "事件延迟 p99 与 HAProxy 之比"}, delay[own] / delay[0], "×", atMost(1)})
	}
	return results
}

// idleStreams measures what an open stream takes of memory on which nothing happens.
func (r *rig) idleStreams(ctx context.Context) ([]result, error) {
	if err := r.warmUp(ctx); err != nil {
		return nil, err
	}
	before, err := readMemory(r.PID())
	if err != nil {
		return nil, err
	}
	l := streamLoad{addr: r.Addr(), n: r.bench.size(manyStreams, 50), interval: time.Hour, opening: time.Duration(r.bench.size(5000, 100)) * time.Millisecond}
	var open memory
	seen, err := peakDuring(ctx, r.PID(), func(ctx context.Context) error {
		_, err := l.run(ctx, func(ctx context.Context) (err error) {
			if err = pause(ctx, time.Duration(r.bench.size(5000, 100))*time.Millisecond); err == nil {
				open, err = readMemory(r.PID())
			}
			return err
		})
		return err
	})
	each := func(rss float64) float64 { return (rss - before.rss) / float64(l.n) / kilo }
	return []result{
		{text{"an idle stream, of 5,000: memory", "空闲流（共 5,000 个）：每个占用内存"}, each(open.rss), "KB", atMost(40)},
		{text{"an idle stream, of 5,000: memory at the peak", "空闲流（共 5,000 个）：峰值时每个占用内存"}, each(seen.rss), "KB", nil},
	}, err
}
