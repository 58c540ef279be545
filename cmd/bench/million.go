//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/process"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

var million = measurement{
	name:  "million",
	title: text{"One million bindings", "一百万条绑定"},
	how: text{
		"A data file with 1,000,000 bindings that have all been used once. The first start finds none of the file in the page cache, the " +
			"second one all of it; the time runs from the exec of the binary to the end of the first proxied answer for a bound key. Then " +
			"64 connections send 200,000 requests with keys chosen at random, so that nearly every one reads the file, and seven seconds more " +
			"are watched, in which the usage of all these keys is written. Memory is the highest resident set (VmHWM). Its file part is the binary and those pages of " +
			"the data file that happen to be mapped, which the kernel takes back when it needs them; the rest is Sentinel's own.",
		"数据文件含 1,000,000 条绑定，全部使用过一次。第一次启动时文件完全不在页缓存中，第二次则全部在内；时间从执行二进制开始，到某个已绑定密钥的" +
			"第一个代理应答收完为止。随后 64 个连接用随机密钥发送 200,000 个请求（几乎每个都要读文件），并再观察七秒，其间会写入这些密钥的用量。" +
			"内存取常驻集峰值（VmHWM）。其中文件部分是二进制本身和恰好映射进来的数据文件页，内核需要时可以收回；其余才是 Sentinel 自己的内存。",
	},
	run: runMillion,
}

// afterLoad is longer than the interval at which usage is written.
const afterLoad = 7 * time.Second

func runMillion(ctx context.Context, b *bench) (o outcome, err error) {
	r, err := b.newRig("million")
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	n := b.size(1_000_000, 5_000)
	if err := fill(ctx, r.dataDir(), n, home); err != nil {
		return o, fmt.Errorf("make the data file: %w", err)
	}
	path := filepath.Join(r.dataDir(), bolt.FileName)
	stat, err := os.Stat(path)
	if err != nil {
		return o, err
	}
	if err := evict(path); err != nil {
		return o, err
	}
	cold, err := r.firstAnswer(ctx)
	if err != nil {
		return o, err
	}
	if err := r.Stop(); err != nil {
		return o, err
	}
	warm, err := r.firstAnswer(ctx)
	if err != nil {
		return o, err
	}
	o.Results = []result{
		{text{"1,000,000 bindings: data file", "一百万绑定：数据文件"}, float64(stat.Size()) / mega, "MB", atMost(500)},
		{text{"1,000,000 bindings: exec to first answer, file not in memory", "一百万绑定：从执行到首个应答，文件不在内存"}, cold.Seconds(), "s", atMost(2)},
		{text{"1,000,000 bindings: exec to first answer, file in memory", "一百万绑定：从执行到首个应答，文件在内存"}, warm.Seconds(), "s", atMost(2)},
	}
	more, err := r.memoryOfMillion(ctx, n)
	o.Results = append(o.Results, more...)
	return o, err
}

// evict makes the kernel forget the cached pages of a file that is written.
func evict(path string) (err error) {
	f, err := os.Open(path) // #nosec G304 -- in a temporary directory
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // #nosec G115 -- a descriptor fits
}

// firstAnswer starts sentinel and returns the time until it has answered.
func (r *rig) firstAnswer(ctx context.Context) (time.Duration, error) {
	p, err := process.Launch(ctx, r.options())
	if err != nil {
		return 0, err
	}
	r.Process = p
	client := wire.NewClient(p.Addr(), home)
	defer func() { _ = client.Close() }()
	request := wire.AppendRequest(nil, pathChat, wire.Key(storedSeries, 0), chatBody)
	for {
		a, err := client.Do(ctx, request)
		switch {
		case err == nil && a.Status == http.StatusOK:
			return time.Since(p.Started()), nil
		case err == nil:
			return 0, fmt.Errorf("first answer: status %d: %s", a.Status, a.Body)
		case !errors.Is(err, syscall.ECONNREFUSED):
			return 0, err
		}
		select {
		case <-p.Exited():
			return 0, p.Stop()
		case <-time.After(time.Millisecond):
		}
	}
}

func (r *rig) memoryOfMillion(ctx context.Context, n int) ([]result, error) {
	before, err := readMemory(r.PID())
	if err != nil {
		return nil, err
	}
	var seen loadResult
	after, err := peakDuring(ctx, r.PID(), func(ctx context.Context) (err error) {
		seen, err = r.randomLoad(n, r.bench.size(200_000, 2_000)).run(ctx)
		if err != nil {
			return err
		}
		return pause(ctx, time.Duration(r.bench.size(int(afterLoad), 0)))
	})
	return []result{
		{text{"1,000,000 bindings: memory after the start", "一百万绑定：启动后内存"}, before.rss / mega, "MB", atMost(300)},
		{text{"1,000,000 bindings: memory over 200,000 requests", "一百万绑定：200,000 个请求期间内存"}, after.rss / mega, "MB", atMost(300)},
		{text{"of it, Sentinel's own (RssAnon)", "其中 Sentinel 自身（RssAnon）"}, after.anon / mega, "MB", nil},
		{text{"of it, mapped files (RssFile)", "其中映射的文件（RssFile）"}, after.file / mega, "MB", nil},
		{text{"1,000,000 bindings: requests with random keys", "一百万绑定：随机密钥请求"}, seen.perSecond(), "/s", nil},
	}, err
}
