package rebind

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// DocumentKind is the kind of the documents that links are kept as. The ID of one
// is the SHA-256 of its token, in hex: who reads the store cannot use a link.
const DocumentKind = "rebind-link"

// State is what has become of a link.
type State string

// The states.
const (
	Open    State = "open"
	Used    State = "used"
	Ended   State = "ended" // nobody has used it in time
	Revoked State = "revoked"
)

// By whom a link was revoked, if not by an administrator.
const (
	ByUnbind = "unbind" // its key was unbound, or bound anew
	ByBan    = "ban"    // its key was banned
)

// Link is a link as it may be shown. Its token is not kept anywhere.
type Link struct {
	ID        string // 16 hex digits
	Key       store.KeyHash
	State     State
	CreatedAt time.Time
	CreatedBy string // as store.AuditEntry.Actor has it
	ExpiresAt time.Time
	UsedAt    time.Time    // the zero time unless it was used
	UsedFrom  netip.Addr   // by which client IP; invalid unless it was used
	UsedFor   netip.Prefix // what the key was bound to then
	RevokedAt time.Time    // the zero time unless it was revoked
	RevokedBy string       // an actor, ByUnbind or ByBan
}

// record is what a document holds.
type record struct {
	Key       store.KeyHash `json:"key"`
	BoundAt   time.Time     `json:"boundAt"` // CreatedAt of the binding that the link is for
	CreatedAt time.Time     `json:"createdAt"`
	CreatedBy string        `json:"createdBy"`
	ExpiresAt time.Time     `json:"expiresAt"`
	UsedAt    time.Time     `json:"usedAt,omitzero"`
	UsedFrom  netip.Addr    `json:"usedFrom,omitzero"`
	UsedFor   netip.Prefix  `json:"usedFor,omitzero"`
	RevokedAt time.Time     `json:"revokedAt,omitzero"`
	RevokedBy string        `json:"revokedBy,omitempty"`
}

func (r record) state(now time.Time) State {
	switch {
	case !r.UsedAt.IsZero():
		return Used
	case !r.RevokedAt.IsZero():
		return Revoked
	case !now.Before(r.ExpiresAt):
		return Ended
	}
	return Open
}

// idDigits of the document's ID are the ID of a link.
const idDigits = 16

func (r record) link(documentID string, now time.Time) Link {
	return Link{
		ID: documentID[:min(len(documentID), idDigits)], Key: r.Key, State: r.state(now), CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy,
		ExpiresAt: r.ExpiresAt, UsedAt: r.UsedAt, UsedFrom: r.UsedFrom, UsedFor: r.UsedFor, RevokedAt: r.RevokedAt, RevokedBy: r.RevokedBy,
	}
}

const tokenBytes = 32

// newToken returns 256 random bits as text that needs no escapes in a URL.
func newToken() string {
	var b [tokenBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// documentIDOf returns what a token is found by. It is of the text, not of what
// the text stands for: no other spelling of a token counts. Empty for what cannot
// be a token.
func documentIDOf(token string) string {
	if len(token) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
