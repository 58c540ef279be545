package clientip

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	unnamedKeys   = 5 // distinct keys that make a peer look like a proxy
	unnamedPeers  = 1024
	unnamedWindow = time.Hour
)

// UnnamedProxy notices peers that look like a proxy that nobody named in the
// trusted ones: many keys arrive from one internal address, with forwarding
// headers. Then all clients behind it share its address, and each key is bound
// to the proxy, which protects nobody.
//
// The zero value is ready. It is safe for concurrent use, and keeps at most
// five key hashes of each of 1,024 peers.
type UnnamedProxy struct {
	mu    sync.Mutex
	peers map[netip.Addr]*sighting
}

// sighting is what one peer has shown since a time.
type sighting struct {
	since  time.Time
	keys   [unnamedKeys]store.KeyHash
	n      int // how many of keys are set
	warned bool
}

// Observe notes a request with a key, and reports whether its peer has just
// been found to look like a proxy: at the fifth distinct key within an hour,
// and at most once an hour for a peer. The clock is only asked where it matters.
func (u *UnnamedProxy) Observe(p Peer, h http.Header, key store.KeyHash, clock func() time.Time) (warn bool) {
	if p.Trusted || !p.Addr.IsValid() || !isInternal(p.Addr) || key.IsZero() || !forwards(h) {
		return false
	}
	now := clock()
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.peers[p.Addr]
	switch {
	case s == nil:
		if !u.makeRoomLocked(now) {
			return false
		}
		s = &sighting{since: now}
		u.peers[p.Addr] = s
	case s.expired(now):
		*s = sighting{since: now}
	}
	return s.note(key, now)
}

// forwards reports whether h has one of the headers that proxies add.
func forwards(h http.Header) bool {
	return len(h[forwardedFor]) > 0 || len(h[realIP]) > 0 || len(h["Forwarded"]) > 0 ||
		len(h["Cf-Connecting-Ip"]) > 0 || len(h["True-Client-Ip"]) > 0 || len(h["X-Client-Ip"]) > 0
}

// makeRoomLocked makes room for one more peer, if it can: of expired peers all
// go, else the oldest that has not been warned of. Warned ones stay, or they
// would be warned of again within the hour.
func (u *UnnamedProxy) makeRoomLocked(now time.Time) bool {
	if u.peers == nil {
		u.peers = make(map[netip.Addr]*sighting)
	}
	if len(u.peers) < unnamedPeers {
		return true
	}
	var oldest netip.Addr
	for addr, s := range u.peers {
		switch {
		case s.expired(now):
			delete(u.peers, addr)
		case !s.warned && (!oldest.IsValid() || s.since.Before(u.peers[oldest].since)):
			oldest = addr
		}
	}
	if len(u.peers) >= unnamedPeers {
		delete(u.peers, oldest) // of no peer, if all have been warned of
	}
	return len(u.peers) < unnamedPeers
}

func (s *sighting) expired(now time.Time) bool {
	return now.Sub(s.since) >= unnamedWindow
}

// note adds a key, and reports whether it is the one that makes the peer
// suspicious. The hour of silence begins then.
func (s *sighting) note(key store.KeyHash, now time.Time) bool {
	if s.warned {
		return false
	}
	for _, known := range s.keys[:s.n] {
		if known == key {
			return false
		}
	}
	s.keys[s.n] = key
	if s.n++; s.n < unnamedKeys {
		return false
	}
	s.warned, s.since = true, now
	return true
}
