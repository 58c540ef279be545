//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

var cluster = measurement{
	name:  "cluster",
	title: text{"Several nodes", "多节点"},
	how: text{
		"All nodes, PostgreSQL (with fsync), Redis, the downstream and the clients share this machine, so a site with a machine for each has more. A ban is sent to one node; the other " +
			"nodes are asked with the key every millisecond (every five, where they only poll) until the last one refuses it. Without notifications, nodes listen at a database in which nothing is told, as behind a PgBouncer. " +
			"First uses come through the nodes by 64 connections, each with a new key; by the store alone, 64 callers of three stores bind. A node from nothing begins with an empty data directory; " +
			"one that is behind was stopped for as long as it took to make the changes. For the cost of a hit, a Sentinel alone and a node of three, with Redis, take turns with the same POSTs of 5,000 bound keys. " +
			"Idle is five seconds in which nobody asks.",
		"所有节点、PostgreSQL（启用 fsync）、Redis、下游和客户端共用这台机器，因此各占一台机器的站点会更快。封禁发给一个节点；随后每毫秒（仅轮询时每五毫秒）用该密钥询问其他节点，直到最后一个拒绝为止。" +
			"没有通知时，节点在另一个没有任何通知的数据库上监听，如同经过 PgBouncer。首次使用由 64 个连接经各节点发出，每次都是新密钥；仅存储时，由三个存储的 64 个调用者绑定。" +
			"从零开始的节点使用空数据目录；落后的节点在产生这些变更期间被暂停。命中的成本：单独运行的 Sentinel 与三节点之一（有 Redis）轮流接受同样的 POST（5,000 个已绑定密钥）。空闲指五秒内无人请求。",
	},
	run: runCluster,
}

// clusterNodes is how many nodes there are where nothing else is said.
const clusterNodes = 3

func runCluster(ctx context.Context, b *bench) (o outcome, err error) {
	for _, part := range []func(context.Context, *bench, *outcome) error{
		measureSpread, measureHits, measureGrowingCluster, measureStoreBinds, measureCatchUp,
	} {
		if err := part(ctx, b, &o); err != nil {
			return o, err
		}
	}
	return o, nil
}

// measureSpread measures bans by each of the ways by which nodes hear of changes.
func measureSpread(ctx context.Context, b *bench, o *outcome) error {
	g := grid{Columns: []text{{"a ban across 3 nodes", "封禁传遍 3 个节点"}}}
	var seen []spread
	for _, mode := range []struct {
		name text
		site siteOptions
		spreadOptions
	}{
		{text{"Redis and NOTIFY", "Redis 和 NOTIFY"}, siteOptions{redis: true}, spreadOptions{bans: b.size(300, 6), lanes: 1, ask: time.Millisecond}},
		{text{"Redis alone", "仅 Redis"}, siteOptions{redis: true, isDeaf: true}, spreadOptions{bans: b.size(300, 6), lanes: 1, ask: time.Millisecond}},
		{text{"NOTIFY alone", "仅 NOTIFY"}, siteOptions{}, spreadOptions{bans: b.size(300, 6), lanes: 1, ask: time.Millisecond}},
		{text{"polling alone", "仅轮询"}, siteOptions{isDeaf: true}, spreadOptions{bans: b.size(200, 6), lanes: 6, ask: 5 * time.Millisecond}},
	} {
		mode.site.nodes = clusterNodes
		err := b.atSite(ctx, "spread", mode.site, func(s *site) (err error) {
			one, err := s.banSome(ctx, mode.spreadOptions)
			seen = append(seen, one)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", mode.name.En, err)
		}
		g.Columns = append(g.Columns, mode.name)
	}
	row := func(name text, figure func(spread) float64) {
		var figures []float64
		for _, s := range seen {
			figures = append(figures, figure(s))
		}
		g.add(name, figures...)
	}
	row(text{"acknowledged, p50, ms", "得到确认，p50，毫秒"}, func(s spread) float64 { return quantile(s.acknowledged, 0.5) })
	row(text{"in force everywhere, p50, ms", "处处生效，p50，毫秒"}, func(s spread) float64 { return quantile(s.inForce, 0.5) })
	row(text{"in force everywhere, p99, ms", "处处生效，p99，毫秒"}, func(s spread) float64 { return quantile(s.inForce, 0.99) })
	row(text{"after the acknowledgement, p50, ms", "确认之后，p50，毫秒"}, func(s spread) float64 { return quantile(s.after, 0.5) })
	row(text{"after the acknowledgement, p99, ms", "确认之后，p99，毫秒"}, func(s spread) float64 { return quantile(s.after, 0.99) })
	o.Grids = append(o.Grids, g)
	for i, s := range seen {
		o.Results = append(o.Results, result{text{"a ban after its acknowledgement, p99, " + g.Columns[i+1].En, "封禁确认之后，p99，" + g.Columns[i+1].Zh},
			quantile(s.after, 0.99), "ms", atMost(1000)})
	}
	return nil
}

// measureHits compares a node of a cluster with a Sentinel alone.
func measureHits(ctx context.Context, b *bench, o *outcome) (err error) {
	s := shape{path: pathChat, body: chatBody, keys: b.size(5_000, 200)}
	alone, err := b.started(ctx, "alone", "SENTINEL_BIND_BURST=0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, alone.close()) }()
	return b.atSite(ctx, "hits", siteOptions{nodes: clusterNodes, redis: true}, func(at *site) error {
		list := []subject{alone.subject(), at.nodes[0].subject(b)}
		list[0].name, list[1].name = text{"alone", "单独运行"}, text{"node of a cluster", "集群节点"}
		for _, one := range list { // so that none of what follows is a first use
			all := allowed(0, s.request())
			all.addr, all.total = one.addr, s.keys
			if _, err := all.run(ctx); err != nil {
				return err
			}
		}
		seen, err := takeTurns(ctx, list, allowed(time.Duration(b.size(2000, 50))*time.Millisecond, s.request()))
		if err != nil {
			return err
		}
		g := grid{Columns: []text{{"a hit", "命中"}, list[0].name, list[1].name}}
		row := func(name text, figure func(turn) float64) []float64 {
			figures := []float64{seen[0].median(figure), seen[1].median(figure)}
			g.add(name, figures...)
			return figures
		}
		row(text{"CPU for 10,000 requests and the usage after them, s", "每 10,000 个请求及其后写入用量的 CPU，秒"}, turn.cpuPer10k)
		row(text{"requests per second", "每秒请求数"}, func(t turn) float64 { return t.perSecond() })
		half := row(text{"latency p50, ms", "延迟 p50，毫秒"}, func(t turn) float64 { return t.quantile(0.5) })
		row(text{"latency p99, ms", "延迟 p99，毫秒"}, func(t turn) float64 { return t.quantile(0.99) })
		o.Grids = append(o.Grids, g)
		o.Results = append(o.Results, result{text{"a hit: latency of a node of a cluster to that of one alone", "命中：集群节点与单独运行的延迟之比"}, half[1] / half[0], "×", atMost(1.1)})
		return nil
	})
}

// grownCluster is what was seen of so many nodes.
type grownCluster struct {
	nodes                                          int
	binds, half, most, statements, cpu, memory, ms float64
}

// measureGrowingCluster measures what grows with the nodes.
func measureGrowingCluster(ctx context.Context, b *bench, o *outcome) error {
	sizes := []int{1, 2, 3, 4, 8}
	if b.quick {
		sizes = []int{1, 2}
	}
	g := grid{Columns: []text{{"nodes", "节点数"}}}
	var list []grownCluster
	for _, n := range sizes {
		var one grownCluster
		err := b.atSite(ctx, "growing", siteOptions{nodes: n, redis: true}, func(s *site) (err error) {
			one, err = s.grown(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("%d nodes: %w", n, err)
		}
		list = append(list, one)
		g.Columns = append(g.Columns, same(number(float64(n))))
		if n == clusterNodes {
			o.Results = append(o.Results, result{text{"first use by 3 nodes: keys bound", "3 个节点的首次使用：每秒绑定数"}, one.binds, "/s", nil})
		}
	}
	row := func(name text, figure func(grownCluster) float64) {
		var figures []float64
		for _, one := range list {
			figures = append(figures, figure(one))
		}
		g.add(name, figures...)
	}
	row(text{"first use: keys bound per second, by all", "首次使用：所有节点每秒绑定数"}, func(s grownCluster) float64 { return s.binds })
	row(text{"first use: latency p50, ms", "首次使用：延迟 p50，毫秒"}, func(s grownCluster) float64 { return s.ms })
	row(text{"a ban in force everywhere, p50, ms", "封禁处处生效，p50，毫秒"}, func(s grownCluster) float64 { return s.half })
	row(text{"a ban in force everywhere, p99, ms", "封禁处处生效，p99，毫秒"}, func(s grownCluster) float64 { return s.most })
	row(text{"idle: transactions per second in PostgreSQL", "空闲：PostgreSQL 每秒事务数"}, func(s grownCluster) float64 { return s.statements })
	row(text{"idle: CPU of PostgreSQL, % of a core", "空闲：PostgreSQL 的 CPU，占一个核心的 %"}, func(s grownCluster) float64 { return s.cpu })
	row(text{"memory of a node of its own, MB", "每个节点自身的内存，MB"}, func(s grownCluster) float64 { return s.memory })
	o.Grids = append(o.Grids, g)
	return nil
}

// grown measures the nodes of a site.
func (s *site) grown(ctx context.Context) (seen grownCluster, err error) {
	seen.nodes = len(s.nodes)
	if seen.statements, seen.cpu, err = s.idle(ctx, time.Duration(s.bench.size(5000, 500))*time.Millisecond); err != nil {
		return seen, err
	}
	m, err := readMemory(s.nodes[0].PID())
	if err != nil {
		return seen, err
	}
	seen.memory = m.anon / mega
	if seen.binds, seen.ms, err = s.bindMany(ctx, "g", s.bench.size(8_000, 200)); err != nil {
		return seen, err
	}
	seen.half, seen.most = math.NaN(), math.NaN()
	if len(s.nodes) == 1 {
		return seen, nil // there is nobody to hear of it
	}
	bans, err := s.banSome(ctx, spreadOptions{bans: s.bench.size(100, 6), lanes: 1, ask: time.Millisecond})
	seen.half, seen.most = quantile(bans.inForce, 0.5), quantile(bans.inForce, 0.99)
	return seen, err
}

// idle measures what PostgreSQL does while nobody asks.
func (s *site) idle(ctx context.Context, lasts time.Duration) (transactions, cpu float64, err error) {
	const count = `SELECT sum(xact_commit + xact_rollback)::float8 FROM pg_stat_database`
	if err := pause(ctx, time.Second); err != nil { // so that the start is over
		return 0, 0, err
	}
	look := func() (n, seconds float64, err error) {
		if n, err = s.postgres.Number(siteDatabase, count); err == nil {
			seconds, err = readCPU(s.postgres.PID())
		}
		return n, seconds, err
	}
	n, seconds, err := look()
	if err == nil {
		err = pause(ctx, lasts)
	}
	if err != nil {
		return 0, 0, err
	}
	after, secondsAfter, err := look()
	return (after - n) / lasts.Seconds(), (secondsAfter - seconds) / lasts.Seconds() * 100, err
}

// bindMany has all nodes see new keys, each once, and returns how many are bound in a
// second, and the median latency in ms.
func (s *site) bindMany(ctx context.Context, series string, total int) (perSecond, half float64, err error) {
	seen, err := load{
		addrs: s.addrs(), from: home, want: 200, total: total,
		request: chatWith(func(i int) string { return wire.Key(series, i) }),
	}.run(ctx)
	return seen.perSecond(), seen.quantile(0.5), err
}
