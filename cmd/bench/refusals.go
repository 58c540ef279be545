//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

var refusals = measurement{
	name:  "refusals",
	title: text{"Refusals", "拒绝"},
	how: text{
		"A data file with 100,000 keys bound to another address. 64 connections send 300,000 requests with one of these keys, then 200,000 with all of them in " +
			"turn; each gets 403, and an intercept record (those of one key, address and second become one with a count). Sentinel's own count must " +
			"agree. Memory is the peak resident set (VmHWM) during each part. Records that could not be kept would be shown as dropped.",
		"数据文件含 100,000 个绑定到另一地址的密钥。64 个连接先用其中一个密钥发 300,000 个请求，再轮流用全部密钥发 200,000 个；每个都得到 403 和一条拦截记录" +
			"（同一密钥、地址、同一秒内的合并为一条并计数），且须与 Sentinel 自己的计数一致。内存为各阶段的常驻集峰值（VmHWM）。未能保留的记录会计为丢弃。",
	},
	run: runRefusals,
}

func runRefusals(ctx context.Context, b *bench) (results []result, err error) {
	r, err := b.newRig("refusals")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	keys := b.size(100_000, 1_000)
	if err := fill(ctx, r.dataDir(), keys, other); err != nil {
		return nil, fmt.Errorf("make the data file: %w", err)
	}
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	before, err := readMemory(r.PID())
	if err != nil {
		return nil, err
	}
	results = []result{{text{"403: memory before", "403：之前的内存"}, before.rss / mega, "MB", nil}}
	one, many := b.size(300_000, 2_000), b.size(200_000, 2_000)
	for _, part := range []struct {
		name     text
		requests int
		pick     func(i int) string
	}{
		{text{"403, one key", "403，一个密钥"}, one, func(int) string { return wire.Key(storedSeries, 0) }},
		{text{"403, 100,000 keys", "403，100,000 个密钥"}, many, func(i int) string { return wire.Key(storedSeries, i%keys) }},
	} {
		more, err := r.refuse(ctx, part.name, part.requests, part.pick)
		results = append(results, more...)
		if err != nil {
			return results, fmt.Errorf("%s: %w", part.name.en, err)
		}
	}
	counts, err := r.Counts(ctx)
	if err != nil {
		return results, err
	}
	results = append(results, result{text{"403: intercept records dropped", "403：丢弃的拦截记录"}, float64(counts["intercepts_dropped"]), "", nil})
	return results, r.wantCount(ctx, "intercepted", one+many)
}

func (r *rig) refuse(ctx context.Context, name text, requests int, pick func(i int) string) ([]result, error) {
	cpu, err := readCPU(r.PID())
	if err != nil {
		return nil, err
	}
	var seen loadResult
	peak, err := peakDuring(ctx, r.PID(), func(ctx context.Context) (err error) {
		seen, err = load{addr: r.Addr(), from: home, want: http.StatusForbidden, total: requests, request: chatWith(pick)}.run(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	after, err := readCPU(r.PID())
	if err != nil {
		return nil, err
	}
	return []result{
		{text{name.en + ": rate", name.zh + "：速率"}, seen.perSecond(), "/s", nil},
		{text{name.en + ": CPU for 10,000", name.zh + "：每 10,000 个的 CPU"}, (after - cpu) * 10_000 / float64(seen.requests), "s", nil},
		{text{name.en + ": peak of memory", name.zh + "：内存峰值"}, peak.rss / mega, "MB", nil},
	}, nil
}
