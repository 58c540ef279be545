package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// tellEvery is how often a node tells what it has let pass.
	tellEvery = 200 * time.Millisecond
	// maxUses is how much one message tells of.
	maxUses = 20_000
	// quietTime is after how long without a message one asks whether the server is still
	// there.
	quietTime = 3 * time.Second
	// useBytes are those of a Use in a message.
	useBytes = 12
)

// Use is what a node has let pass: so many requests of whom Key stands for.
type Use struct {
	Key uint64
	N   uint32
}

// outbox is what is to be told.
type outbox struct {
	mu       sync.Mutex
	revision uint64 // the last one; what is before it says nothing more
	told     uint64
	wake     chan struct{}
}

func newOutbox() outbox { return outbox{wake: make(chan struct{}, 1)} }

func (c *Client) channel(name string) string { return "sentinel:" + c.opts.Namespace + ":" + name }

// TellRevision tells the other nodes that there is a change. It does not wait; while Redis
// is away it does nothing.
func (c *Client) TellRevision(revision uint64) {
	c.outbox.mu.Lock()
	c.outbox.revision = max(c.outbox.revision, revision)
	c.outbox.mu.Unlock()
	select {
	case c.outbox.wake <- struct{}{}:
	default: // it has not yet seen the last call
	}
}

// publish tells revisions until the client is closed.
func (c *Client) publish() {
	for {
		select {
		case <-c.outbox.wake:
		case <-c.ctx.Done():
			return
		}
		c.outbox.mu.Lock()
		revision := c.outbox.revision
		isNews := revision != c.outbox.told
		c.outbox.told = revision
		c.outbox.mu.Unlock()
		if isNews {
			_ = c.send("changes", []byte(strconv.FormatUint(revision, 10))) // who does not hear of it looks by itself
		}
	}
}

// send sends a message, with who sends it before it.
func (c *Client) send(channel string, text []byte) error {
	message := append(binary.AppendUvarint(nil, uint64(len(c.opts.Node))), c.opts.Node...)
	return c.call(c.ctx, func(ctx context.Context, db goredis.UniversalClient) error {
		return db.Publish(ctx, c.channel(channel), append(message, text...)).Err()
	})
}

// TellUses tells the other nodes, every tellEvery until ctx is done, what take returns:
// what was let pass since the call before, of at most so many. It is not called while
// Redis is away: what was let pass then is told of when it is back, as far as the caller
// still knows it.
func (c *Client) TellUses(ctx context.Context, take func(limit int) []Use) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		case <-c.ctx.Done():
			return
		}
		if c.breaker.open() != nil {
			continue
		}
		if uses := take(maxUses); len(uses) > 0 {
			_ = c.send("uses", encodeUses(uses)) // Health says that it did not arrive
		}
	}
}

func encodeUses(uses []Use) []byte {
	text := make([]byte, 0, len(uses)*useBytes)
	for _, u := range uses {
		text = binary.BigEndian.AppendUint64(text, u.Key)
		text = binary.BigEndian.AppendUint32(text, u.N)
	}
	return text
}

// decodeUses returns nil for what is none.
func decodeUses(text []byte) []Use {
	if len(text)%useBytes != 0 || len(text) > maxUses*useBytes {
		return nil
	}
	uses := make([]Use, 0, len(text)/useBytes)
	for ; len(text) > 0; text = text[useBytes:] {
		uses = append(uses, Use{binary.BigEndian.Uint64(text), binary.BigEndian.Uint32(text[8:])})
	}
	return uses
}

// subscribe hears what other nodes tell, until the client is closed.
func (c *Client) subscribe() {
	for {
		c.listen()
		if !c.pause(probeEvery) {
			return
		}
	}
}

// listen hears on one connection, until that fails. A connection that hangs tells nothing
// by itself, so it is asked now and then.
func (c *Client) listen() {
	ps := c.db.Subscribe(c.ctx, c.channel("changes"), c.channel("uses"))
	defer func() { _ = ps.Close() }() // it has served
	// What it waits for does not heed the context.
	defer context.AfterFunc(c.ctx, func() { _ = ps.Close() })()
	asked := false
	for {
		got, err := ps.ReceiveTimeout(c.ctx, quietTime)
		switch {
		case c.ctx.Err() != nil:
			return
		case err == nil:
			asked = false
			if m, ok := got.(*goredis.Message); ok {
				c.hear(m.Channel, []byte(m.Payload))
			}
		case asked || !isTimeout(err):
			return
		default:
			ctx, cancel := context.WithTimeout(c.ctx, c.opts.Timeout)
			err := ps.Ping(ctx)
			cancel()
			if err != nil {
				return
			}
			asked = true
		}
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// hear does as a message says, unless it is of this node or cannot be read.
func (c *Client) hear(channel string, message []byte) {
	n, size := binary.Uvarint(message)
	if size <= 0 || n > uint64(len(message)-size) { // #nosec G115 -- not negative: size is of the message
		return
	}
	node, text := string(message[size:size+int(n)]), message[size+int(n):] // #nosec G115 -- of the message's length
	if node == c.opts.Node {
		return
	}
	switch channel {
	case c.channel("changes"):
		if revision, err := strconv.ParseUint(string(text), 10, 64); err == nil {
			c.opts.OnRevision(revision)
		}
	case c.channel("uses"):
		if uses := decodeUses(text); len(uses) > 0 {
			c.opts.OnUses(uses)
		}
	}
}
