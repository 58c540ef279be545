package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

const (
	progressEvery = 100 * time.Millisecond
	clearLine     = "\r\x1b[K"
)

// progress is a line on standard error that tells how far long work is. It is
// only there for people: on a terminal.
type progress struct {
	out   io.Writer // nil: nobody looks
	width int
	now   func() time.Time
	shown time.Time // when the line was last written
	there bool      // a line stands there
}

// newProgress returns one that is silent unless wanted.
func newProgress(cmd *cobra.Command, wanted bool) *progress {
	p := &progress{now: time.Now}
	if wanted && isTerminal(cmd.ErrOrStderr()) {
		p.out, p.width = cmd.ErrOrStderr(), terminalWidth(cmd.ErrOrStderr())
	}
	return p
}

// show replaces the line, if the one that stands there has stood long enough.
func (p *progress) show(format string, args ...any) {
	if now := p.now(); p.out != nil && now.Sub(p.shown) >= progressEvery {
		p.shown = now
		p.replace(fmt.Sprintf(format, args...))
	}
}

// say replaces the line whenever it was written.
func (p *progress) say(format string, args ...any) {
	if p.out != nil {
		p.replace(fmt.Sprintf(format, args...))
	}
}

func (p *progress) replace(text string) {
	text = client.Printable(text)
	if p.width > 0 {
		text = cells.Truncate(text, p.width-1, "…")
	}
	_, _ = io.WriteString(p.out, clearLine+text)
	p.there = true
}

// end removes the line.
func (p *progress) end() {
	if p.there {
		_, _ = io.WriteString(p.out, clearLine)
		p.there = false
	}
}

// grouped writes a count as people do: 1,234,567.
func grouped[N int | int64 | uint64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// countingReader tells how much of a file was read.
type countingReader struct {
	r    io.Reader
	n    int64
	tell func(n int64)
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.tell(c.n)
	return n, err
}

// rowCounter counts the lines of JSON Lines, or the rows of CSV without the head,
// where a line end in quotes is part of a cell.
type rowCounter struct {
	csv    bool
	quoted bool
	lines  int
	tell   func(rows int)
}

func (c *rowCounter) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '"' && c.csv:
			c.quoted = !c.quoted
		case b == '\n' && !c.quoted:
			c.lines++
		}
	}
	rows := c.lines
	if c.csv {
		rows = max(rows-1, 0)
	}
	c.tell(rows)
	return len(p), nil
}
