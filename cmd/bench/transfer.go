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
		"With `SENTINEL_MAX_BODY=2GiB`: a request with a body of 1 GiB of known length, then one without a length (chunked), then an answer of 1 GiB; through nginx, if it is installed, and " +
			"Sentinel in turn. The other side counts the bytes. " +
			"Memory is the growth of the peak resident set (VmHWM) over the resident set before, after a thousand small requests.",
		"设置 `SENTINEL_MAX_BODY=2GiB`：先发送长度已知的 1 GiB 请求体，再发送长度未知（chunked）的 1 GiB 请求体，最后接收 1 GiB 应答；依次经过 nginx（若已安装）和 Sentinel。对端核对字节数。" +
			"内存为常驻集峰值（VmHWM）相对之前常驻集的增长；之前先发一千个小请求。",
	},
	run: runTransfer,
}

// way is one direction of a transfer.
type way struct {
	name text
	do   func(ctx context.Context, client *http.Client, addr string, size int64) error
}

func transferWays() []way {
	return []way{
		{text{"up", "上传"}, func(ctx context.Context, c *http.Client, addr string, size int64) error {
			return upload(ctx, c, addr, size, size)
		}},
		{text{"up, chunked", "上传（chunked）"}, func(ctx context.Context, c *http.Client, addr string, size int64) error {
			return upload(ctx, c, addr, size, -1)
		}},
		{text{"down", "下载"}, download},
	}
}

func runTransfer(ctx context.Context, b *bench) (o outcome, err error) {
	r, err := b.started(ctx, "transfer", "SENTINEL_MAX_BODY=2GiB")
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	peers, err := startPeers(ctx, r.dir, r.up.Addr(), startNginx)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, stopAll(peers)) }()
	if err := r.warmUp(ctx); err != nil {
		return o, err
	}
	list := append(subjects(peers), r.subject())
	g := grid{Columns: []text{{}}}
	for _, s := range list {
		g.Columns = append(g.Columns, s.name)
	}
	for _, w := range transferWays() {
		rates, growth, err := r.transferTurns(ctx, list, w)
		if err != nil {
			return o, fmt.Errorf("%s: %w", w.name.En, err)
		}
		g.add(text{w.name.En + ", MB/s", w.name.Zh + "，MB/s"}, rates...)
		if own := len(rates) - 1; own > 0 {
			o.Results = append(o.Results, result{text{w.name.En + ": throughput to that of nginx", w.name.Zh + "：吞吐量与 nginx 之比"}, rates[own] / rates[0], "×", atLeast(0.8)})
		}
		o.Results = append(o.Results, result{text{w.name.En + ": growth of memory", w.name.Zh + "：内存增长"}, growth / mega, "MB", atMost(16)})
	}
	o.Grids = []grid{g}
	return o, nil
}

// transferTurns has each subject carry the transfer in turn. It returns the MB a
// second of each, and by how many bytes Sentinel's memory grew at most.
func (r *rig) transferTurns(ctx context.Context, list []subject, w way) (rates []float64, growth float64, err error) {
	client := &http.Client{Transport: &http.Transport{WriteBufferSize: chunkBytes, ReadBufferSize: chunkBytes}}
	defer client.CloseIdleConnections()
	before, err := readMemory(r.PID())
	if err != nil {
		return nil, 0, err
	}
	size := int64(r.bench.size(1<<30, 16<<20))
	seen := make([][]float64, len(list))
	for range rounds {
		for i, s := range list {
			start := time.Now()
			peak, err := peakDuring(ctx, r.PID(), func(ctx context.Context) error { return w.do(ctx, client, s.addr, size) })
			if err != nil {
				return nil, 0, fmt.Errorf("%s: %w", s.name.En, err)
			}
			seen[i] = append(seen[i], float64(size)/mega/time.Since(start).Seconds())
			growth = max(growth, peak.rss-before.rss)
		}
	}
	for _, figures := range seen {
		rates = append(rates, median(figures))
	}
	return rates, growth, nil
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
