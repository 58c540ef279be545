//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

// streamLoad opens many event streams, each with a key and a connection of its own.
type streamLoad struct {
	addr     string
	n        int
	interval time.Duration // between two events of one stream
	opening  time.Duration // in which they are opened, one after the other
}

// streamsSeen is what was seen of the streams while all were open.
type streamsSeen struct {
	firstBytes []time.Duration // from the request to the first byte of the answer
	delays     []time.Duration // of events, from when the downstream had each
	cut        int             // streams that ended by themselves
}

// Phases of the streams.
const (
	phaseOpening = iota
	phaseOpen    // all are
	phaseOver
)

// openTimeout is how long it may take until all streams are open, from when the last
// one should be.
const openTimeout = 30 * time.Second

// openStreams are those of one run.
type openStreams struct {
	streamLoad
	phase atomic.Int32
	ready sync.WaitGroup // each stream, once it has its first event or has failed
	seen  []streamSeen   // each belongs to its goroutine
}

type streamSeen struct {
	firstByte time.Duration
	delays    []time.Duration
	cut       bool
	err       error // what came was not what was sent
}

// run opens the streams, and ends them when while has returned, which is called once
// all are open.
func (l streamLoad) run(ctx context.Context, while func(ctx context.Context) error) (streamsSeen, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &openStreams{streamLoad: l, seen: make([]streamSeen, l.n)}
	var running sync.WaitGroup
	s.ready.Add(l.n)
	for i := range l.n {
		running.Go(func() { s.stream(ctx, i) })
	}
	allReady := make(chan struct{})
	go func() {
		s.ready.Wait()
		close(allReady)
	}()
	var err error
	select {
	case <-allReady:
		s.phase.Store(phaseOpen)
		err = while(ctx)
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(l.opening + openTimeout):
		err = fmt.Errorf("not all of %d streams are open after %v", l.n, l.opening+openTimeout)
	}
	s.phase.Store(phaseOver)
	cancel()
	running.Wait()
	return s.sum(err)
}

func (s *openStreams) sum(err error) (streamsSeen, error) {
	var sum streamsSeen
	for i := range s.seen {
		one := &s.seen[i]
		sum.firstBytes = append(sum.firstBytes, one.firstByte)
		sum.delays = append(sum.delays, one.delays...)
		if one.cut {
			sum.cut++
		}
		if err == nil && one.err != nil {
			err = fmt.Errorf("stream %d: %w", i, one.err)
		}
	}
	slices.Sort(sum.firstBytes)
	slices.Sort(sum.delays)
	return sum, err
}

// stream is the life of one stream.
func (s *openStreams) stream(ctx context.Context, i int) {
	told := sync.OnceFunc(s.ready.Done)
	defer told()
	err := pause(ctx, time.Duration(i)*s.opening/time.Duration(s.n))
	if err == nil {
		err = s.read(ctx, i, told)
	}
	var wrong *wrongStreamError
	switch {
	case errors.As(err, &wrong):
		s.seen[i].err = err
	case s.phase.Load() != phaseOver:
		s.seen[i].cut = true
	}
}

// wrongStreamError is an answer that is not the stream of events that was sent.
type wrongStreamError struct{ what string }

// Error says what came instead.
func (e *wrongStreamError) Error() string { return e.what }

// read reads a stream until it ends, and calls began after its first event.
func (s *openStreams) read(ctx context.Context, i int, began func()) error {
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(home, 0))}
	conn, err := dialer.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // ends a Read
	defer func() { _ = conn.Close() }()
	path := fmt.Sprintf("%s?interval=%s", pathEvents, s.interval)
	start := time.Now()
	if _, err := conn.Write(wire.AppendRequest(nil, path, wire.Key(storedSeries, i), chatBody)); err != nil {
		return err
	}
	const buffer = 1 << 10 // there are thousands
	r := bufio.NewReaderSize(conn, buffer)
	if _, err := r.Peek(1); err != nil {
		return err
	}
	seen := &s.seen[i]
	seen.firstByte = time.Since(start)
	status, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return &wrongStreamError{fmt.Sprintf("status line %q", status)}
	}
	for next := 0; ; {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if !isEvent(line) {
			continue
		}
		n, sent, err := parseEvent(line)
		if err != nil || n != next {
			return &wrongStreamError{fmt.Sprintf("event %d is %q: %v", next, line, err)}
		}
		if next++; next == 1 {
			began()
		}
		if s.phase.Load() == phaseOpen {
			seen.delays = append(seen.delays, time.Since(sent))
		}
	}
}
