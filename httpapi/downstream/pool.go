package downstream

import (
	"sync"
	"time"
)

// reapings is how often the reaper comes while a connection grows too old.
const reapings = 4

// pool holds the connections that wait, the one that was used last on top: so
// the others age, and go. Their age is counted in visits of the reaper, which
// spares every request a look at the clock.
type pool struct {
	max int
	age time.Duration

	mu     sync.Mutex
	conns  []*conn
	visits uint64 // of the reaper
	closed bool
	reaper *time.Timer // nil: none is due
}

// take returns a connection on which the downstream has neither spoken nor
// closed, or nil.
func (p *pool) take() *conn {
	for {
		p.mu.Lock()
		n := len(p.conns)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.conns[n-1]
		p.conns[n-1] = nil
		p.conns = p.conns[:n-1]
		p.mu.Unlock()
		if c.read.IsQuiet() {
			return c
		}
		c.close()
	}
}

// put takes a connection back that is clean.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	if p.closed || len(p.conns) >= p.max {
		p.mu.Unlock()
		c.close()
		return
	}
	c.since = p.visits
	p.conns = append(p.conns, c)
	if p.reaper == nil && p.age > 0 {
		p.reaper = time.AfterFunc(p.age/reapings, p.reap)
	}
	p.mu.Unlock()
}

// reap closes what has waited for too long: from IdleAge to a quarter more.
func (p *pool) reap() {
	p.mu.Lock()
	p.visits++
	n := 0
	for n < len(p.conns) && p.visits-p.conns[n].since > reapings {
		n++
	}
	old := append([]*conn(nil), p.conns[:n]...)
	p.conns = append(p.conns[:0], p.conns[n:]...)
	clear(p.conns[len(p.conns):cap(p.conns)])
	p.reaper = nil
	if len(p.conns) > 0 && !p.closed {
		p.reaper = time.AfterFunc(p.age/reapings, p.reap)
	}
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	old := p.conns
	p.conns, p.closed = nil, true
	if p.reaper != nil {
		p.reaper.Stop()
	}
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}
