//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

var streams = measurement{
	name:  "streams",
	title: text{"Open event streams", "打开的事件流"},
	how: text{
		"2,000 event streams, each with a key and a connection of its own, are opened through Sentinel, which binds the 2,000 keys on the way. Each gets three events at " +
			"once and then one every second; all stay open for five seconds more. Memory is the growth of the peak resident set (VmHWM), " +
			"from before the first stream, divided by their number: goroutines, buffers and sockets' state of both sides, and the garbage of opening them.",
		"经 Sentinel 打开 2,000 个事件流，每个使用各自的密钥和连接，途中绑定这 2,000 个密钥。每个流先立即收到三个事件，之后每秒一个；全部再保持五秒。" +
			"内存为常驻集峰值（VmHWM）相对打开第一个流之前的增长，除以流数：包括两侧的 goroutine、缓冲区和连接状态，以及打开过程产生的垃圾。",
	},
	run: runStreams,
}

func runStreams(ctx context.Context, b *bench) (results []result, err error) {
	r, err := b.started(ctx, "streams")
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
	s := &streamLoad{addr: r.Addr(), n: b.size(2_000, 50), hold: time.Duration(b.size(5_000, 100)) * time.Millisecond}
	peak, err := peakDuring(ctx, r.PID(), s.run)
	if err != nil {
		return nil, err
	}
	return []result{
		{text{"2,000 event streams: memory of each", "2,000 个事件流：每个占用内存"}, (peak.rss - before.rss) / float64(s.n) / kilo, "KB", atMost(60)},
		{text{"2,000 event streams: events passed on while all are open", "2,000 个事件流：全部打开期间转发的事件"},
			float64(s.events.Load()) / s.hold.Seconds(), "/s", nil},
	}, r.wantCount(ctx, "bound", s.n+1)
}

// streamLoad keeps many streams open.
type streamLoad struct {
	addr   string
	n      int
	hold   time.Duration
	events atomic.Int64 // since all are open
}

func (s *streamLoad) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var reading sync.WaitGroup
	defer reading.Wait() // after cancel, which ends them
	defer cancel()

	opening, openCtx := errgroup.WithContext(ctx)
	opening.SetLimit(connections)
	var allOpen atomic.Bool
	broken := make(chan error, s.n)
	for i := range s.n {
		opening.Go(func() error {
			if openCtx.Err() != nil {
				return openCtx.Err()
			}
			res, events, err := s.open(ctx, client, wire.Key("s", i))
			if err != nil {
				return fmt.Errorf("stream %d: %w", i, err)
			}
			reading.Go(func() { broken <- s.read(ctx, res, events, &allOpen) })
			return nil
		})
	}
	if err := opening.Wait(); err != nil {
		return err
	}
	allOpen.Store(true)
	select {
	case <-time.After(s.hold):
		allOpen.Store(false)
		return nil
	case err := <-broken:
		return fmt.Errorf("a stream ended: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open opens a stream and waits for its first events.
func (s *streamLoad) open(ctx context.Context, client *http.Client, key string) (*http.Response, *bufio.Reader, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+pathEvents, strings.NewReader(chatBody))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, nil, errors.Join(fmt.Errorf("status %d", res.StatusCode), res.Body.Close())
	}
	events := bufio.NewReader(res.Body)
	for range firstEvents {
		if err := readEvent(events); err != nil {
			return nil, nil, errors.Join(err, res.Body.Close())
		}
	}
	return res, events, nil
}

// read counts events until the stream ends.
func (s *streamLoad) read(ctx context.Context, res *http.Response, events *bufio.Reader, counting *atomic.Bool) error {
	defer func() { _ = res.Body.Close() }() // only read
	for {
		if err := readEvent(events); err != nil {
			return errors.Join(err, ctx.Err())
		}
		if counting.Load() {
			s.events.Add(1)
		}
	}
}

// readEvent reads one event and its blank line.
func readEvent(r *bufio.Reader) error {
	data, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if _, err := r.ReadString('\n'); err != nil {
		return err
	}
	if data+"\n" != event {
		return fmt.Errorf("got event %q, want %q", data, event)
	}
	return nil
}
