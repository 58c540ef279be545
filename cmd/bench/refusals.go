//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

var refusals = measurement{
	name:  "refusals",
	title: text{"Refusals", "拒绝"},
	how: text{
		"A data file with 1,000,000 keys bound to another address. First, refused POSTs of one key and allowed ones of another take turns of two seconds in a closed loop of 64 connections. " +
			"Then three floods of refusals come, in the same loop, as fast as they are answered: 300,000 requests with one key, 200,000 with 100,000 keys, and 3,000,000 with the million keys, each from an " +
			"address of its own (told in X-Real-IP by a trusted proxy). Each refusal gets 403, and an intercept record (those of one key, address and second become one with a count); Sentinel's own count must agree. Memory " +
			"is the peak resident set (VmHWM) of each flood; how flat it stays, the highest resident set of the second half of the last one to that of its first: what is remembered of keys and addresses has a limit each, " +
			"and it takes about a minute to come near them. Records that could not be kept in time are counted as " +
			"dropped; what was written to disk is the kernel's count (write_bytes). Last, 500 allowed requests a second are sent on 16 connections, for three seconds without and three with a flood beside them, " +
			"five times each; and the same of nginx, if it is installed, as a proxy that refuses those keys by a pattern and logs each, but keeps nothing else. That flood is held to 4,000 a second, or the clients, which share two cores with Sentinel, would be what the allowed requests wait for. " +
			"Their latency counts from when each was due.",
		"数据文件含 1,000,000 个绑定到另一地址的密钥。首先，用一个密钥的被拒 POST 与另一个密钥的放行 POST 以 64 个连接的闭环轮流发送，每轮两秒。" +
			"然后是三波拒绝洪水，同样闭环、尽快发送：一个密钥 300,000 个请求；100,000 个密钥 200,000 个请求；这一百万个密钥发 3,000,000 个请求，每个来自各自的地址（由受信代理在 X-Real-IP 中给出）。" +
			"每个拒绝都得到 403 和一条拦截记录（同一密钥、地址、同一秒内的合并为一条并计数），且须与 Sentinel 自己的计数一致。内存为每波的常驻集峰值（VmHWM）；" +
			"是否平稳，看最后一波后半段常驻集最高值与前半段之比：所记住的密钥和地址各有上限，约一分钟接近。未能及时保留的记录计为丢弃；写盘量为内核的计数（write_bytes）。最后，在 16 个连接上每秒发送 500 个放行请求，" +
			"三秒无洪水、三秒有洪水，各五次；若装有 nginx，也同样测量它：作为代理按模式拒绝这些密钥并逐条记日志，除此之外什么都不保存。此时洪水限制为每秒 4,000 个，否则与 Sentinel 共用两个核心的客户端本身就会成为瓶颈。延迟从每个请求应当发出的时刻算起。",
	},
	run: runRefusals,
}

// floodProxy tells the addresses of the flood that comes from many.
var floodProxy = netip.AddrFrom4([4]byte{127, 0, 0, 3})

const (
	floodKeys   = 1_000_000
	floodRate   = 4_000 // beside allowed requests
	besideRate  = 500   // of these
	besideConns = 16

	besideRounds = 5 // more than elsewhere: a p99 rests on few requests
)

// flood is one kind of requests that are refused.
type flood struct {
	name text
	load load // without an address and an end
	n    int  // how many make the flood
}

// floods returns the three kinds, with so many keys in the data file.
func (b *bench) floods(keys int) []flood {
	some := min(keys, loadedKeys)
	refused := func(from netip.Addr, request func(buf []byte, worker, i int) []byte) load {
		return load{from: from, want: http.StatusForbidden, request: request}
	}
	return []flood{
		{
			text{"403, one key", "403，一个密钥"},
			refused(home, chatWith(func(int) string { return wire.Key(storedSeries, 0) })), b.size(300_000, 2_000),
		},
		{
			text{"403, 100,000 keys", "403，100,000 个密钥"},
			refused(home, chatWith(func(i int) string { return wire.Key(storedSeries, i%some) })), b.size(200_000, 2_000),
		},
		{
			text{"403, a million keys, as many addresses as requests", "403，一百万个密钥，每个请求一个地址"},
			refused(floodProxy, func(buf []byte, _, i int) []byte {
				from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) // #nosec G115 -- its bytes
				return wire.AppendRequest(buf, pathChat, wire.Key(storedSeries, i%keys), chatBody, "X-Real-IP: "+from.String())
			}), b.size(3_000_000, 12_000),
		},
	}
}

func runRefusals(ctx context.Context, b *bench) (o outcome, err error) {
	r, err := b.newRig("refusals")
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	keys := b.size(floodKeys, 2_000)
	if err := fill(ctx, r.dataDir(), keys, other); err != nil {
		return o, fmt.Errorf("make the data file: %w", err)
	}
	if err := r.start(ctx, "TRUSTED_PROXY_IPS="+floodProxy.String()); err != nil {
		return o, err
	}
	compared, refused, err := r.refusedToAllowed(ctx)
	if err != nil {
		return o, fmt.Errorf("refused to allowed: %w", err)
	}
	floods := grid{Columns: []text{{}}}
	for _, f := range b.floods(keys) {
		floods.Columns = append(floods.Columns, f.name)
	}
	flat, err := r.floodAll(ctx, &floods, b.floods(keys))
	if err != nil {
		return o, err
	}
	for _, f := range b.floods(keys) {
		refused += f.n
	}
	if err := r.wantCount(ctx, "intercepted", refused); err != nil {
		return o, err
	}
	beside, err := r.allowedBeside(ctx, &floods, b.floods(keys))
	o.Grids = []grid{floods}
	o.Results = append(append(compared, flat...), beside...)
	return o, err
}

// refusedToAllowed compares the cost of refusals with that of allowed requests, and
// returns how many were refused.
func (r *rig) refusedToAllowed(ctx context.Context) (results []result, refused int, err error) {
	lasts := time.Duration(r.bench.size(2000, 100)) * time.Millisecond
	loads := []load{
		{want: http.StatusOK, request: chatWith(func(int) string { return wire.Key("w", 0) })},
		{want: http.StatusForbidden, request: chatWith(func(int) string { return wire.Key(storedSeries, 0) })},
	}
	seen := make([]turns, len(loads))
	for round := range rounds + 1 { // the first one does not count: it binds the key
		for i, l := range loads {
			l.addr, l.from, l.lasts = r.Addr(), home, lasts
			var t turn
			s := r.subject()
			s.settles = 0 // of one key there is little to write
			if t.cpu, err = s.cpuDuring(ctx, func() (err error) {
				t.loadResult, err = l.run(ctx)
				return err
			}); err != nil {
				return nil, 0, err
			}
			if i == 1 {
				refused += t.requests
			}
			if round > 0 {
				seen[i] = append(seen[i], t)
			}
		}
	}
	rate := func(t turn) float64 { return t.perSecond() }
	return []result{
		{text{"403: requests per second", "403：每秒请求数"}, seen[1].median(rate), "/s", nil},
		{text{"403: requests per second to those allowed", "403：每秒请求数与放行请求之比"}, seen[1].median(rate) / seen[0].median(rate), "×", atLeast(1)},
		{text{"403: CPU for 10,000", "403：每 10,000 个的 CPU"}, seen[1].median(turn.cpuPer10k), "s", nil},
		{text{"403: CPU to that of an allowed request", "403：CPU 与放行请求之比"}, seen[1].median(turn.cpuPer10k) / seen[0].median(turn.cpuPer10k), "×", atMost(1)},
	}, refused, nil
}

// floodSeen is what was seen of one flood.
type floodSeen struct {
	turn
	memory  course
	written float64 // bytes
	dropped float64 // records
}

// floodAll sends the floods one after the other, and adds what was seen to the grid.
func (r *rig) floodAll(ctx context.Context, g *grid, floods []flood) (results []result, err error) {
	before, err := readMemory(r.PID())
	if err != nil {
		return nil, err
	}
	seen := make([]floodSeen, len(floods))
	for i, f := range floods {
		if seen[i], err = r.flood(ctx, f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name.En, err)
		}
	}
	row := func(name text, figure func(s floodSeen) float64) {
		var figures []float64
		for _, s := range seen {
			figures = append(figures, figure(s))
		}
		g.add(name, figures...)
	}
	row(text{"requests per second", "每秒请求数"}, func(s floodSeen) float64 { return s.perSecond() })
	row(text{"CPU for 10,000, s", "每 10,000 个的 CPU，秒"}, func(s floodSeen) float64 { return s.cpuPer10k() })
	row(text{"peak of memory, MB", "内存峰值，MB"}, func(s floodSeen) float64 { return s.memory.rss / mega })
	row(text{"of it, Sentinel's own (RssAnon), MB", "其中 Sentinel 自身（RssAnon），MB"}, func(s floodSeen) float64 { return s.memory.anon / mega })
	row(text{"written to disk for 10,000, MB", "每 10,000 个的写盘量，MB"}, func(s floodSeen) float64 { return s.written / mega * 10_000 / float64(s.requests) })
	row(text{"records dropped", "丢弃的记录"}, func(s floodSeen) float64 { return s.dropped })
	last := seen[len(seen)-1]
	return []result{
		{text{"memory before the floods", "洪水之前的内存"}, before.rss / mega, "MB", nil},
		{text{"a million keys, three million addresses: memory of the second half to the first", "一百万个密钥、三百万个地址：后半段内存与前半段之比"}, last.memory.growth(), "×", atMost(1.1)},
	}, nil
}

// flood sends one flood, and waits until what is known of it is written.
func (r *rig) flood(ctx context.Context, f flood) (seen floodSeen, err error) {
	counts, err := r.Counts(ctx)
	if err != nil {
		return seen, err
	}
	written, err := readWritten(r.PID())
	if err != nil {
		return seen, err
	}
	l := f.load
	l.addr, l.total = r.Addr(), f.n
	seen.cpu, err = r.subject().cpuDuring(ctx, func() (err error) {
		seen.memory, err = peakDuring(ctx, r.PID(), func(ctx context.Context) (err error) {
			seen.loadResult, err = l.run(ctx)
			return err
		})
		return err
	})
	if err != nil {
		return seen, err
	}
	if seen.written, err = readWritten(r.PID()); err != nil {
		return seen, err
	}
	after, err := r.Counts(ctx)
	seen.written -= written
	seen.dropped = float64(after["intercepts_dropped"] - counts["intercepts_dropped"])
	return seen, err
}

// besideSeen is the p99 of allowed requests of each round, in milliseconds.
type besideSeen struct{ quiet, during []float64 }

// allowedBeside compares the latency of allowed requests beside each flood with that
// of the same requests without one; and does so with nginx, which tells how much of
// the difference is the machine's.
func (r *rig) allowedBeside(ctx context.Context, g *grid, floods []flood) (results []result, err error) {
	peers, err := startPeers(ctx, r.dir, r.up.Addr(), startNginxRefusing(storedSeries))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopAll(peers)) }()
	asked := append(subjects(peers), r.subject())
	seen := make([][]besideSeen, len(asked))
	for i := range seen {
		seen[i] = make([]besideSeen, len(floods))
	}
	for range besideRounds {
		for i, f := range floods {
			for j, s := range asked {
				if err := r.besideOnce(ctx, s.addr, f, &seen[j][i]); err != nil {
					return nil, fmt.Errorf("%s: beside %s: %w", s.name.En, f.name.En, err)
				}
			}
		}
	}
	for j, s := range asked {
		var alone, beside, times []float64
		for i, f := range floods {
			alone, beside = append(alone, median(seen[j][i].quiet)), append(beside, median(seen[j][i].during))
			times = append(times, beside[i]/alone[i])
			if s.own {
				results = append(results, result{
					text{"allowed requests p99 beside it, to without: " + f.name.En, "其间放行请求的 p99 与无洪水时之比：" + f.name.Zh},
					times[i], "×", atMost(2),
				})
			}
		}
		g.add(text{s.name.En + ": allowed requests p99 without it, ms", s.name.Zh + "：无洪水时放行请求 p99，毫秒"}, alone...)
		g.add(text{s.name.En + ": allowed requests p99 beside it, ms", s.name.Zh + "：洪水期间放行请求 p99，毫秒"}, beside...)
		g.add(text{s.name.En + ": beside it, to without, ×", s.name.Zh + "：两者之比，×"}, times...)
	}
	return results, nil
}

// besideOnce measures once without a flood and once with it.
func (r *rig) besideOnce(ctx context.Context, addr string, f flood, seen *besideSeen) error {
	alone, err := r.paced(ctx, addr, nil)
	if err != nil {
		return err
	}
	beside, err := r.paced(ctx, addr, &f)
	if err != nil {
		return err
	}
	seen.quiet, seen.during = append(seen.quiet, alone.quantile(0.99)), append(seen.during, beside.quantile(0.99))
	return nil
}

// paced sends allowed requests at their rate, and a flood beside them, if there is
// one.
func (r *rig) paced(ctx context.Context, addr string, f *flood) (seen loadResult, err error) {
	lasts := time.Duration(r.bench.size(3000, 200)) * time.Millisecond
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		seen, err = load{
			addr: addr, from: home, want: http.StatusOK, conns: besideConns, rate: besideRate, lasts: lasts,
			request: chatWith(func(int) string { return wire.Key("w", 0) }),
		}.run(ctx)
		return err
	})
	if f != nil {
		l := f.load
		l.addr, l.rate, l.lasts = addr, floodRate, lasts
		group.Go(func() error {
			_, err := l.run(ctx)
			return err
		})
	}
	return seen, group.Wait()
}
