package alert

import (
	"context"

	"github.com/key-ip-sentinel/sentinel/store"
)

// TestResult is what came of trying a channel.
type TestResult struct {
	OK     bool   `json:"ok"`
	Status int    `json:"status,omitempty"` // of HTTP or SMTP
	Answer string `json:"answer,omitempty"` // the beginning of it
	Error  string `json:"error,omitempty"`
	TookMs int64  `json:"tookMs"`
}

// Test sends a message to a channel at once, even if it is switched off, and
// returns what the receiver said. The error is store.ErrNotFound, ErrSealed or
// that of ctx; what went wrong with the receiver is in the result.
func (c *Center) Test(ctx context.Context, id string) (TestResult, error) {
	c.mu.Lock()
	r := c.receivers[id]
	if r == nil || c.closed {
		c.mu.Unlock()
		return TestResult{}, store.ErrNotFound
	}
	if r.fault != nil {
		c.mu.Unlock()
		return TestResult{}, r.fault
	}
	m, l := c.testMessageLocked(r), c.lanes[id]
	l.sent = append(l.sent, c.now())
	c.mu.Unlock()
	began := c.now()
	answer, err := c.sender.Send(ctx, r.target, m)
	if err != nil && ctx.Err() != nil {
		return TestResult{}, ctx.Err()
	}
	result := TestResult{OK: err == nil, Status: answer.Status, Answer: answer.Text, TookMs: c.now().Sub(began).Milliseconds()}
	if err != nil {
		result.Error = err.Error()
		return result, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.restLocked(c.stamp())
	l.poke()
	return result, nil
}
