package engine

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/key-ip-sentinel/sentinel/engine/bindcache"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Limits of what a client may write into a record, in bytes.
const (
	maxRecordedPath      = 512
	maxRecordedHost      = 255
	maxRecordedUserAgent = 256
	maxRecordedMethod    = 32
)

// intercept records that a key of an exchange was refused, or would have been; the
// key's binding is the one that entry is of.
func (e *Engine) intercept(x *Exchange, i int, entry *bindcache.Entry, reason store.Reason, basis store.Basis, observed bool) {
	if observed {
		e.usage.count(CountObserved)
	} else {
		e.usage.count(CountIntercepted)
	}
	e.usage.refuse(entry)
	x.settled = x.settled || !observed
	e.record(x, i, entry.Hash, reason, basis, observed)
}

func (e *Engine) record(x *Exchange, i int, hash store.KeyHash, reason store.Reason, basis store.Basis, observed bool) {
	r := x.request
	e.recorder.Add(store.Intercept{
		At: e.now(), Reason: reason, Basis: basis, Observed: observed,
		Hash: hash, Hint: x.keys.Hint(i), ClientIP: x.ClientIP, PeerIP: x.peer.Addr,
		Method: clip(r.Method, maxRecordedMethod), Host: clip(r.Host, maxRecordedHost),
		Path: clip(r.URL.Path, maxRecordedPath), UserAgent: clip(r.UserAgent(), maxRecordedUserAgent),
		RequestID: x.RequestID(),
	})
}

// recordCut records that a change of a binding ended an exchange: as a stream
// that was cut, or as a refusal where no answer had begun.
func (e *Engine) recordCut(x *Exchange) {
	c := x.cut.Load()
	e.usage.count(CountCut)
	switch {
	case x.answered.Load():
		e.record(x, c.key, c.entry.Hash, store.ReasonCut, c.basis, false) // it was let pass, and is counted so
	case x.pending && c.decision.Refused == IPNotAllowed:
		e.intercept(x, c.key, c.entry, store.ReasonLostRace, c.basis, false)
	default:
		e.intercept(x, c.key, c.entry, interceptReason(c.decision.Refused), c.basis, false)
	}
}

// clip copies s up to n bytes, without half a character at the end, and with
// everything replaced that is broken UTF-8 or could mislead who reads it in a
// terminal or a console: s is the client's.
func clip(s string, n int) string {
	var b strings.Builder
	for _, r := range s {
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		if b.Len()+utf8.RuneLen(r) > n {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
