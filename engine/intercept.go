package engine

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Limits of what a client may write into a record, in bytes.
const (
	maxRecordedPath      = 512
	maxRecordedHost      = 255
	maxRecordedUserAgent = 256
	maxRecordedMethod    = 32
)

// intercept records that a key of an exchange was refused, or would have been.
func (e *Engine) intercept(x *Exchange, i int, reason store.Reason, observed bool) {
	if observed {
		e.usage.count(CountObserved)
	} else {
		e.usage.count(CountIntercepted)
	}
	x.recorded = true
	r := x.request
	e.recorder.Add(store.Intercept{
		At: e.now(), Reason: reason, Observed: observed,
		Hash: x.keys.Hash(i), Hint: x.keys.Hint(i), ClientIP: x.ClientIP, PeerIP: x.peer.Addr,
		Method: clip(r.Method, maxRecordedMethod), Host: clip(r.Host, maxRecordedHost),
		Path: clip(r.URL.Path, maxRecordedPath), UserAgent: clip(r.UserAgent(), maxRecordedUserAgent),
		RequestID: x.RequestID(),
	})
}

// recordCut records that a change of a binding ended an exchange: as a stream
// that was cut, or as a refusal where no answer had begun.
func (e *Engine) recordCut(x *Exchange) {
	c := x.cut.Load()
	reason := interceptReason(c.decision.Refused)
	switch {
	case x.answered.Load():
		reason = store.ReasonCut
	case x.pending && c.decision.Refused == IPNotAllowed:
		reason = store.ReasonLostRace
	}
	e.usage.count(CountCut)
	e.intercept(x, c.key, reason, false)
}

// clip copies at most n bytes of s, without half a character at the end, and
// with control characters and broken UTF-8 replaced: s is the client's.
func clip(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.Clone(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s))
}
