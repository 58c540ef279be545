//go:build linux

package main

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// Parts of an event, which says which one of its stream it is, and when it was sent.
const (
	eventBegin  = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","n":`
	eventMiddle = `,"sent":`
	eventEnd    = `,"choices":[{"index":0,"delta":{"content":"hello "}}]}`
)

// appendEvent appends the n-th event of a stream, with the blank line that ends it.
func appendEvent(buf []byte, n int, sent time.Time) []byte {
	buf = strconv.AppendInt(append(buf, eventBegin...), int64(n), 10)
	buf = strconv.AppendInt(append(buf, eventMiddle...), sent.UnixNano(), 10)
	return append(append(buf, eventEnd...), "\n\n"...)
}

// isEvent reports whether a line is the first one of an event, rather than a blank
// line or the frame of a chunk.
func isEvent(line []byte) bool { return bytes.HasPrefix(line, []byte("data:")) }

// parseEvent reads the line of an event.
func parseEvent(line []byte) (n int, sent time.Time, err error) {
	rest, begins := bytes.CutPrefix(bytes.TrimRight(line, "\r\n"), []byte(eventBegin))
	rest, ends := bytes.CutSuffix(rest, []byte(eventEnd))
	number, at, ok := bytes.Cut(rest, []byte(eventMiddle))
	if !begins || !ends || !ok {
		return 0, time.Time{}, fmt.Errorf("got event %q", line)
	}
	n, err = strconv.Atoi(string(number))
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("got event %q", line)
	}
	nanos, err := strconv.ParseInt(string(at), 10, 64)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("got event %q", line)
	}
	return n, time.Unix(0, nanos), nil
}
