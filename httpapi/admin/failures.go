package admin

import (
	"net/netip"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	failureWindow = 15 * time.Minute
	// failuresPerClient and failuresInAll bound how many failed logins of one
	// network and of all are written to the audit trail within failureWindow.
	failuresPerClient = 10
	failuresInAll     = 200
)

// failureLog decides which failed logins get an entry of their own in the audit
// trail. Anybody who reaches the login can make them fail, and each entry is a
// durable write: without a bound the trail could be flooded, and what matters in
// it buried. Those without an entry are counted, and the next entry says how
// many they were.
type failureLog struct {
	mu         sync.Mutex
	began      time.Time
	written    int
	clients    map[netip.Prefix]int // at most failuresInAll
	unrecorded uint64
}

func newFailureLog() *failureLog { return &failureLog{clients: make(map[netip.Prefix]int)} }

// skip counts a failure that gets no entry.
func (l *failureLog) skip() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unrecorded++
}

// admit reports whether a failure gets an entry, and if so, how many before it
// got none.
func (l *failureLog) admit(client netip.Addr, now time.Time) (unrecorded uint64, record bool) {
	network := store.NetworkOf(client) // the zero Prefix for the local socket
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := now.Sub(l.began); age < 0 || age >= failureWindow {
		l.began, l.written = now, 0
		clear(l.clients)
	}
	if l.written >= failuresInAll || l.clients[network] >= failuresPerClient {
		l.unrecorded++
		return 0, false
	}
	l.written++
	l.clients[network]++
	unrecorded, l.unrecorded = l.unrecorded, 0
	return unrecorded, true
}
