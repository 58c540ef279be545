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
// answer of the last one is there.
type load struct {
	addr    string
	from    netip.Addr
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
func (r loadResult) quantile(share float64) float64 {
	if len(r.latencies) == 0 {
		return 0
	}
	i := min(int(share*float64(len(r.latencies))), len(r.latencies)-1)
	return float64(r.latencies[i].Microseconds()) / 1000
}

func (l load) run(ctx context.Context) (loadResult, error) {
	if l.total == 0 && l.lasts == 0 {
		return loadResult{}, errors.New("load without an end")
	}
	var next atomic.Int64
	latencies := make([][]time.Duration, connections)
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for worker := range connections {
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
	client := wire.NewClient(l.addr, l.from)
	defer func() { _ = client.Close() }()
	var latencies []time.Duration
	var buf []byte
	for ctx.Err() == nil {
		i := int(next.Add(1) - 1)
		if l.total > 0 && i >= l.total || l.lasts > 0 && time.Since(start) >= l.lasts {
			break
		}
		buf = l.request(buf[:0], worker, i)
		sent := time.Now()
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

// chatWith returns requests with the key that pick chooses for each.
func chatWith(pick func(i int) string) func(buf []byte, worker, i int) []byte {
	return func(buf []byte, _, i int) []byte { return wire.AppendRequest(buf, pathChat, pick(i), chatBody) }
}
