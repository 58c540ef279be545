package alert

import (
	"net/netip"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Kind says what an alert is about.
type Kind string

// The kinds of alerts.
const (
	KeyRefused        Kind = "key_refused"        // many requests of one key are refused
	NewBinding        Kind = "new_binding"        // a key was bound
	ReturnedBinding   Kind = "returned_binding"   // a key was bound that had been archived
	StoreFailing      Kind = "store_failing"      // the store does not take writes
	DownstreamFailing Kind = "downstream_failing" // the downstream does not answer
	LoginLockout      Kind = "login_lockout"      // an account is locked after wrong passwords
	UnknownKeys       Kind = "unknown_keys"       // one address tries keys that the downstream refuses
	FirstUseHeld      Kind = "first_use_held"     // keys are not bound, as the client IP is not their users'
	ManyBindings      Kind = "many_bindings"      // many keys were bound from one address
	KeyShared         Kind = "key_shared"         // several people seem to use one key
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{
		KeyRefused, NewBinding, ReturnedBinding, StoreFailing, DownstreamFailing, LoginLockout, UnknownKeys,
		FirstUseHeld, ManyBindings, KeyShared,
	}
}

// isMoment reports whether an alert of the kind tells of a moment: then it is
// told of once, and closes in silence.
func (k Kind) isMoment() bool { return k == NewBinding || k == ReturnedBinding }

// State of an alert.
type State string

// The states.
const (
	Open   State = "open"
	Closed State = "closed"
)

// Event is a transition of an alert that channels are told of.
type Event string

// The events.
const (
	Opened   Event = "opened"
	Reminder Event = "reminder"
	Ended    Event = "closed"
	Tested   Event = "test" // no transition: somebody tries a channel
)

// Subject is whom or what an alert is about: a key, an address, an account, or
// nothing but what its kind says.
type Subject struct {
	Hash  store.KeyHash `json:"hash,omitzero"`
	Hint  string        `json:"hint,omitempty"`
	Label string        `json:"label,omitempty"`
	// Network is a single IPv4 address or an IPv6 /64, as one host has it.
	Network netip.Prefix `json:"network,omitzero"`
	Account string       `json:"account,omitempty"`
	// Collective is set where so many alerts of the kind are open that the
	// others share this one.
	Collective bool `json:"collective,omitempty"`
}

// identity is what tells subjects of one kind apart.
func (s Subject) identity() string {
	switch {
	case s.Collective:
		return "*"
	case !s.Hash.IsZero():
		return s.Hash.String()
	case s.Network.IsValid():
		return s.Network.String()
	}
	return s.Account
}

// Alert is what is known of one.
type Alert struct {
	ID      string  `json:"id"` // ascending with the time it opened
	Kind    Kind    `json:"kind"`
	Subject Subject `json:"subject"`
	State   State   `json:"state"`
	Node    string  `json:"node,omitempty"`

	OpenedAt time.Time `json:"openedAt"` // milliseconds, UTC, as the others
	LastAt   time.Time `json:"lastAt"`   // when it last happened
	ClosedAt time.Time `json:"closedAt,omitzero"`
	// Count is how often it happened, that which opened it included.
	Count     uint64 `json:"count"`
	Reminders int    `json:"reminders"`
	// Subjects is about how many subjects share a collective alert.
	Subjects uint64 `json:"subjects,omitempty"`

	// AcknowledgedBy says who stopped the reminders.
	AcknowledgedBy string    `json:"acknowledgedBy,omitempty"`
	AcknowledgedAt time.Time `json:"acknowledgedAt,omitzero"`

	Evidence Evidence `json:"evidence"`
}

func (a Alert) clone() Alert {
	a.Evidence.Addresses = slices.Clone(a.Evidence.Addresses)
	a.Evidence.Networks = slices.Clone(a.Evidence.Networks)
	return a
}

// maxAddresses is how many addresses evidence counts, and networks it names.
const maxAddresses = 16

// Evidence is what an alert rests on. Its texts come from whoever sends
// requests.
type Evidence struct {
	// Addresses are those it came from, the most frequent first. Of more than 16
	// the counts of those that came late may be too high.
	Addresses []AddressCount `json:"addresses,omitempty"`
	Reason    store.Reason   `json:"reason,omitempty"` // of the last refusal
	Method    string         `json:"method,omitempty"`
	Path      string         `json:"path,omitempty"`
	// Observed is set if the last request was passed, as Sentinel only observes.
	Observed bool `json:"observed,omitempty"`
	// Error is why the store or the downstream fails.
	Error string `json:"error,omitempty"`
	// ArchivedBefore is when an earlier binding of the key was archived.
	ArchivedBefore time.Time `json:"archivedBefore,omitzero"`
	// Hint is that of the last key whose first use was held, and Held why: one of
	// the reasons in package engine.
	Hint string `json:"hint,omitempty"`
	Held string `json:"held,omitempty"`
	// Bindings is how many keys were bound within an hour, at the worst of it.
	Bindings int `json:"bindings,omitempty"`
	// Networks are those that a key was used from by turns, for so many minutes;
	// at most 16.
	Networks []netip.Prefix `json:"networks,omitempty"`
	Minutes  int            `json:"minutes,omitempty"`
}

// AddressCount is how often it came from an address.
type AddressCount struct {
	Address netip.Addr `json:"address"`
	Count   uint64     `json:"count"`
}

// addAddress counts an address, in the place of the least frequent one if there
// are too many.
func (e *Evidence) addAddress(address netip.Addr, n uint64) {
	if !address.IsValid() {
		return
	}
	i := slices.IndexFunc(e.Addresses, func(c AddressCount) bool { return c.Address == address })
	switch {
	case i >= 0:
		e.Addresses[i].Count += n
	case len(e.Addresses) < maxAddresses:
		e.Addresses = append(e.Addresses, AddressCount{address, n})
		i = len(e.Addresses) - 1
	default:
		i = len(e.Addresses) - 1 // the least frequent, as they are in order
		e.Addresses[i] = AddressCount{address, e.Addresses[i].Count + n}
	}
	for ; i > 0 && e.Addresses[i].Count > e.Addresses[i-1].Count; i-- {
		e.Addresses[i], e.Addresses[i-1] = e.Addresses[i-1], e.Addresses[i]
	}
}

// merge takes over what other, which is newer, says.
func (e *Evidence) merge(other Evidence) {
	for _, a := range other.Addresses {
		e.addAddress(a.Address, a.Count)
	}
	if other.Reason != "" {
		e.Reason, e.Method, e.Path, e.Observed = other.Reason, other.Method, other.Path, other.Observed
	}
	if other.Error != "" {
		e.Error = other.Error
	}
	if !other.ArchivedBefore.IsZero() {
		e.ArchivedBefore = other.ArchivedBefore
	}
	if other.Held != "" {
		e.Hint, e.Held = other.Hint, other.Held
	}
	e.Bindings = max(e.Bindings, other.Bindings)
	if len(other.Networks) > 0 {
		e.Networks, e.Minutes = other.Networks, other.Minutes
	}
}

// transition is something to be told that has not become deliveries yet.
type transition struct {
	Number   int       `json:"number"`
	Event    Event     `json:"event"`
	At       time.Time `json:"at"`
	Alert    *Alert    `json:"alert"`    // as it was then
	Channels []string  `json:"channels"` // that are to hear of it
}

// alertRecord is the body of an alert's document.
type alertRecord struct {
	Alert
	ToldAt      time.Time    `json:"toldAt,omitzero"` // the last transition
	Transitions int          `json:"transitions"`     // so far
	Waiting     []transition `json:"waiting,omitempty"`
}
