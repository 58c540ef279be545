//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

// load is a closed loop: each of 64 connections sends its next request when the
// answer of the last one is there. With a rate, it waits until the request is due.
type load struct {
	addr    string
	addrs   []string // in place of addr: the connections are divided among them
	from    netip.Addr
	conns   int                                    // 0: 64
	rate    float64                                // requests a second of all connections together; 0: no limit
	want    int                                    // status of every answer
	request func(buf []byte, worker, i int) []byte // appends the i-th of all requests; i begins with 0
	total   int                                    // ends after so many; 0: no such end
	lasts   time.Duration                          // ends after so long; 0: no such end
}

// loadResult is what a load has seen.
type loadResult struct {
	requests  int
	elapsed   time.Duration
	latencies []time.Duration // sorted
}

func (r loadResult) perSecond() float64 { return float64(r.requests) / r.elapsed.Seconds() }

// quantile returns the latency that a share of the requests did not exceed, in
// milliseconds.
func (r loadResult) quantile(share float64) float64 { return quantile(r.latencies, share) }

// quantile returns what a share of sorted durations does not exceed, in milliseconds;
// 0 of none.
func quantile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := min(int(share*float64(len(sorted))), len(sorted)-1)
	return float64(sorted[i].Microseconds()) / 1000
}

func (l load) run(ctx context.Context) (loadResult, error) {
	if l.total == 0 && l.lasts == 0 {
		return loadResult{}, errors.New("load without an end")
	}
	var next atomic.Int64
	if l.conns == 0 {
		l.conns = connections
	}
	latencies := make([][]time.Duration, l.conns)
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for worker := range l.conns {
		group.Go(func() (err error) {
			latencies[worker], err = l.work(ctx, worker, &next, start)
			return err
		})
	}
	err := group.Wait()
	r := loadResult{elapsed: time.Since(start)}
	for _, list := range latencies {
		r.requests += len(list)
	}
	r.latencies = slices.Concat(latencies...)
	slices.Sort(r.latencies)
	return r, err
}

// work is one connection of the load.
func (l load) work(ctx context.Context, worker int, next *atomic.Int64, start time.Time) ([]time.Duration, error) {
	addr := l.addr
	if len(l.addrs) > 0 {
		addr = l.addrs[worker%len(l.addrs)]
	}
	client := wire.NewClient(addr, l.from)
	defer func() { _ = client.Close() }()
	var latencies []time.Duration
	var buf []byte
	for ctx.Err() == nil {
		i := int(next.Add(1) - 1)
		if l.total > 0 && i >= l.total || l.lasts > 0 && time.Since(start) >= l.lasts {
			break
		}
		buf = l.request(buf[:0], worker, i)
		sent, err := l.await(ctx, start, i)
		if err != nil {
			return latencies, err
		}
		a, err := client.Do(ctx, buf)
		if err != nil {
			return latencies, err
		}
		if a.Status != l.want {
			return latencies, fmt.Errorf("status %d, want %d: %s", a.Status, l.want, a.Body)
		}
		latencies = append(latencies, time.Since(sent))
	}
	return latencies, ctx.Err()
}

// await waits until the i-th request is due, and returns the moment from which its
// latency counts: now, or, if it is late because the connection was in use, when it
// was due.
func (l load) await(ctx context.Context, start time.Time, i int) (time.Time, error) {
	now := time.Now()
	if l.rate == 0 {
		return now, nil
	}
	due := start.Add(time.Duration(float64(i) / l.rate * float64(time.Second)))
	if !now.Before(due) {
		return due, nil
	}
	err := pause(ctx, due.Sub(now))
	return time.Now(), err
}

// chatWith returns requests with the key that pick chooses for each.
func chatWith(pick func(i int) string) func(buf []byte, worker, i int) []byte {
	return func(buf []byte, _, i int) []byte { return wire.AppendRequest(buf, pathChat, pick(i), chatBody) }
}
