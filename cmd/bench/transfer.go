//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

var transfer = measurement{
	name:  "transfer",
	title: text{"One GiB through it", "传输 1 GiB"},
	how: text{
		"With `SENTINEL_MAX_BODY=2GiB`: a request with a body of 1 GiB of known length, then one without a length (chunked), then an answer of 1 GiB. The other side counts the bytes. " +
			"Memory is the growth of the peak resident set (VmHWM) over the resident set before, after a thousand small requests.",
		"设置 `SENTINEL_MAX_BODY=2GiB`：先发送长度已知的 1 GiB 请求体，再发送长度未知（chunked）的 1 GiB 请求体，最后接收 1 GiB 应答；对端核对字节数。" +
			"内存为常驻集峰值（VmHWM）相对之前常驻集的增长；之前先发一千个小请求。",
	},
	run: runTransfer,
}

func runTransfer(ctx context.Context, b *bench) (results []result, err error) {
	r, err := b.started(ctx, "transfer", "SENTINEL_MAX_BODY=2GiB")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.warmUp(ctx); err != nil {
		return nil, err
	}
	before, err := readMemory(r.PID())
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: chunkBytes, ReadBufferSize: chunkBytes}}
	defer client.CloseIdleConnections()
	size := int64(b.size(1<<30, 16<<20))
	for _, way := range []struct {
		name text
		do   func(ctx context.Context) error
	}{
		{text{"1 GiB up", "上传 1 GiB"}, func(ctx context.Context) error { return upload(ctx, client, r.Addr(), size, size) }},
		{text{"1 GiB up, chunked", "上传 1 GiB（chunked）"}, func(ctx context.Context) error { return upload(ctx, client, r.Addr(), size, -1) }},
		{text{"1 GiB down", "下载 1 GiB"}, func(ctx context.Context) error { return download(ctx, client, r.Addr(), size) }},
	} {
		start := time.Now()
		peak, err := peakDuring(ctx, r.PID(), way.do)
		if err != nil {
			return results, fmt.Errorf("%s: %w", way.name.en, err)
		}
		rate := float64(size) / mega / time.Since(start).Seconds()
		results = append(results,
			result{text{way.name.en + ": growth of memory", way.name.zh + "：内存增长"}, max(0, peak.rss-before.rss) / mega, "MB", atMost(16)},
			result{text{way.name.en + ": throughput", way.name.zh + "：吞吐量"}, rate, "MB/s", nil})
	}
	return results, nil
}

// warmUp sends small requests with one key, so that what every process needs is
// there.
func (r *rig) warmUp(ctx context.Context) error {
	_, err := load{
		addr: r.Addr(), from: home, want: http.StatusOK, total: r.bench.size(1_000, 100),
		request: chatWith(func(int) string { return wire.Key("w", 0) }),
	}.run(ctx)
	return err
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// upload sends size bytes; a length of -1 is not told.
func upload(ctx context.Context, client *http.Client, addr string, size, length int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+pathUpload, io.LimitReader(zeros{}, size))
	if err != nil {
		return err
	}
	req.ContentLength = length
	body, err := send(client, req)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // only read
	answer, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf(`{"bytes":%d}`, size); strings.TrimSpace(string(answer)) != want {
		return fmt.Errorf("the downstream answered %s, want %s", answer, want)
	}
	return nil
}

func download(ctx context.Context, client *http.Client, addr string, size int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s%s?bytes=%d", addr, pathDownload, size), nil)
	if err != nil {
		return err
	}
	body, err := send(client, req)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // only read
	n, err := io.CopyBuffer(writerOnly{io.Discard}, body, make([]byte, chunkBytes))
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%d bytes came, want %d", n, size)
	}
	return nil
}

// send sends a request with the key of warmUp, and returns the body of a 200
// answer.
func send(client *http.Client, req *http.Request) (io.ReadCloser, error) {
	req.Header.Set("Authorization", "Bearer "+wire.Key("w", 0))
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("status %d", res.StatusCode), res.Body.Close())
	}
	return res.Body, nil
}
