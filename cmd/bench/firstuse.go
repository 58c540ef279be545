//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

var firstUse = measurement{
	name:  "first-use",
	title: text{"First use under load", "负载下的首次使用"},
	how: text{
		"With 100,000 bindings there already, 64 connections send 10,000 new keys, each once, as fast as the answers come. An answer reaches the client only after its binding " +
			"is on disk (fsync); bindings that arrive together share one. Afterwards Sentinel's own count says how many were bound. For scale, " +
			"the disk is asked for the same thing plainly: write 4 KiB, fsync, again, for two seconds.",
		"在已有 100,000 条绑定时，64 个连接发送 10,000 个新密钥，每个一次，收到应答后立即发下一个。绑定落盘（fsync）之后应答才会到达客户端；同时到达的绑定共用一次 fsync。" +
			"之后用 Sentinel 自己的计数核对绑定数。作为参照，另外直接测磁盘：写 4 KiB、fsync，如此重复两秒。",
	},
	run: runFirstUse,
}

func runFirstUse(ctx context.Context, b *bench) (o outcome, err error) {
	r, err := b.loaded(ctx, "first-use")
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	syncs, err := syncRate(r.dir, time.Duration(b.size(2000, 100))*time.Millisecond)
	if err != nil {
		return o, err
	}
	n := b.size(10_000, 500)
	seen, err := load{
		addr: r.Addr(), from: home, want: 200, total: n,
		request: chatWith(func(i int) string { return wire.Key("n", i) }),
	}.run(ctx)
	if err != nil {
		return o, err
	}
	o.Results = []result{
		{text{"first use: keys bound", "首次使用：每秒绑定数"}, seen.perSecond(), "/s", atLeast(2000)},
		{text{"first use: latency p50", "首次使用：延迟 p50"}, seen.quantile(0.5), "ms", nil},
		{text{"first use: latency p99", "首次使用：延迟 p99"}, seen.quantile(0.99), "ms", nil},
		{text{"the same disk: plain fsync of 4 KiB", "同一磁盘：4 KiB 直接 fsync"}, syncs, "/s", nil},
	}
	return o, r.wantCount(ctx, "bound", n)
}

// syncRate returns how many times a second 4 KiB can be written durably.
func syncRate(dir string, lasts time.Duration) (rate float64, err error) {
	path := filepath.Join(dir, "fsync")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- in a temporary directory
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	block := make([]byte, 4<<10)
	start, n := time.Now(), 0
	for time.Since(start) < lasts {
		if _, err := f.WriteAt(block, int64(n%256)*int64(len(block))); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds(), nil
}
