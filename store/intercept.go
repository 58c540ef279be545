package store

import (
	"net/netip"
	"time"
)

// Reason is the machine-readable cause of a refusal.
type Reason string

// Why a request is refused by a binding.
const (
	ReasonIPNotAllowed Reason = "ip_not_allowed"  // the rule does not cover the client IP
	ReasonKeyBanned    Reason = "key_banned"      // the key is banned
	ReasonLostRace     Reason = "lost_race"       // another address bound the key while this request was answered
	ReasonCut          Reason = "stream_cut"      // an open stream was ended by a change of the binding
	ReasonBlocked      Reason = "network_blocked" // the client IP is in a blocked network
)

// BasisKind is what a decision can rest on.
type BasisKind string

// What decisions rest on.
const (
	BasisRule      BasisKind = "rule"            // the rule's own prefixes; the name is its kind
	BasisNetwork   BasisKind = "network"         // a network that the rule names; its name
	BasisException BasisKind = "exception"       // its ID
	BasisBlocked   BasisKind = "blocked_network" // the prefix that covers the client IP
	BasisBan       BasisKind = "ban"
)

// Basis is what one decision rested on.
type Basis struct {
	Kind BasisKind `json:"kind"`
	Name string    `json:"name,omitempty"`
}

// Intercept is the record of refused requests of one key from one address for
// one reason within one second.
type Intercept struct {
	ID     uint64    `json:"id"`
	At     time.Time `json:"at"`   // of the first one; milliseconds, UTC
	Last   time.Time `json:"last"` // of the last one
	Count  uint64    `json:"count"`
	Reason Reason    `json:"reason"`
	// Observed is set where the request was passed all the same, because
	// Sentinel only observes.
	Observed bool `json:"observed,omitempty"`
	// Basis is what the decision rested on; zero in records from before there was one.
	Basis Basis `json:"basis,omitzero"`

	Hash     KeyHash    `json:"hash"`
	Hint     string     `json:"hint"`
	ClientIP netip.Addr `json:"clientIp"`
	PeerIP   netip.Addr `json:"peerIp"`

	// Of the first request. The path is without the query, which may hold keys.
	Method    string `json:"method"`
	Host      string `json:"host"`
	Path      string `json:"path"`
	UserAgent string `json:"userAgent,omitempty"`
	RequestID string `json:"requestId"`
}

// InterceptFilter chooses records; its zero fields choose all.
type InterceptFilter struct {
	Before  uint64       // only IDs below this one
	After   uint64       // only IDs above this one
	Time    TimeRange    // only records with At within
	Hash    KeyHash      // only records of this key
	Network netip.Prefix // only records with a client IP in this network
	Reason  Reason       // only records of this reason
	Path    string       // only records whose path has this part, in any case
	Limit   int          // 1 to MaxPage; 0: DefaultPage
}

// InterceptPage is one page of records.
type InterceptPage struct {
	Records []Intercept
	Next    uint64 // Before of the next page; 0: this is the last one
}

// Matches reports whether the filter chooses a record, but for its Limit.
func (f InterceptFilter) Matches(r Intercept) bool {
	return (f.Before == 0 || r.ID < f.Before) && r.ID > f.After &&
		f.Time.Contains(r.At) &&
		(f.Hash.IsZero() || r.Hash == f.Hash) &&
		(!f.Network.IsValid() || f.Network.Contains(r.ClientIP)) &&
		(f.Reason == "" || r.Reason == f.Reason) &&
		HasText(r.Path, f.Path)
}
