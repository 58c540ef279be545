package account

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// maxNetworks is how many networks an API token may be limited to.
const maxNetworks = 100

// Token is what may be shown of an API token: nothing in it is secret.
type Token struct {
	// Name is in lower case.
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Networks are where it may be used from; empty for anywhere.
	Networks  []netip.Prefix `json:"networks"`
	CreatedAt time.Time      `json:"createdAt"`
	// ExpiresAt is the zero time if it never expires.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// LastUsed and LastIP are of the last use, which other nodes of a cluster
	// know of within a minute.
	LastUsed  time.Time  `json:"lastUsed,omitzero"`
	LastIP    netip.Addr `json:"lastIp,omitzero"`
	CreatedBy string     `json:"createdBy"`
	// Revision does not change with uses. It is below 2^53.
	Revision uint64 `json:"revision"`
}

// tokenRecord is the body of a token's document.
type tokenRecord struct {
	Token
	Hash string `json:"hash"` // SHA-256 of the token, see parseToken
}

func (r tokenRecord) clone() tokenRecord {
	r.Token = r.shown()
	return r
}

func (r tokenRecord) key() string { return r.Hash }

// shown returns a copy that belongs to the caller.
func (r tokenRecord) shown() Token {
	t := r.Token
	t.Networks = append([]netip.Prefix{}, t.Networks...) // never nil, for JSON
	return t
}

// NewToken is what an API token is to be.
type NewToken struct {
	Name      string
	Role      Role // the caller sees to it that it is not above the creator's
	Networks  []netip.Prefix
	ExpiresAt time.Time // the zero time: never, which has to be meant
	CreatedBy string
}

// CreateToken makes an API token and returns its secret, which is not stored and
// shown once. It does not depend on the account of who made it. Returns
// store.ErrConflict if there is one of that name, or a *FieldError for the name,
// the role, the networks or the expiry.
func (a *Accounts) CreateToken(ctx context.Context, n NewToken) (t Token, secret string, err error) {
	name, err := newName(n.Name)
	if err != nil {
		return Token{}, "", err
	}
	if _, err := ParseRole(string(n.Role)); err != nil {
		return Token{}, "", err
	}
	if err := checkNetworks(n.Networks); err != nil {
		return Token{}, "", err
	}
	if !n.ExpiresAt.IsZero() && !a.now().Before(n.ExpiresAt) {
		return Token{}, "", &FieldError{Field: "expiresAt", Fault: "is over already"}
	}
	secret = newTokenText()
	hash, _ := parseToken(secret)
	rec := tokenRecord{Hash: hash, Token: Token{
		Name: name, Role: n.Role, Networks: slices.Clone(n.Networks), CreatedBy: n.CreatedBy,
		CreatedAt: a.storedNow(), Revision: newGeneration(),
	}}
	if !n.ExpiresAt.IsZero() {
		rec.ExpiresAt = store.StoredTime(n.ExpiresAt)
	}
	if err := a.tokens.create(ctx, name, rec, func(*shelved[tokenRecord]) error { return nil }); err != nil {
		return Token{}, "", err
	}
	return rec.shown(), secret, nil
}

func checkNetworks(networks []netip.Prefix) error {
	if len(networks) > maxNetworks {
		return &FieldError{Field: "networks", Fault: fmt.Sprintf("want at most %d", maxNetworks)}
	}
	for _, p := range networks {
		fault := ""
		switch {
		case !p.IsValid():
			fault = "want an address or a prefix such as 10.1.0.0/16"
		case p.Addr().Is4In6():
			fault = fmt.Sprintf("%s is an IPv4 prefix in IPv6 form, which no address is in", p)
		case p != p.Masked():
			fault = fmt.Sprintf("%s has host bits set, want %s or a single address", p, p.Masked())
		default:
			continue
		}
		return &FieldError{Field: "networks", Fault: fault}
	}
	return nil
}

// Authenticate returns the API token of a secret that comes from a client IP,
// and notes the use, to be written within a minute. A token that another node
// of a cluster made or removed counts here within a second. Returns
// ErrWrongToken, ErrExpired, or ErrNetwork.
func (a *Accounts) Authenticate(ctx context.Context, token string, from netip.Addr) (Token, error) {
	hash, ok := parseToken(token)
	if !ok {
		return Token{}, ErrWrongToken
	}
	rec, err := a.tokenOf(ctx, hash)
	if err != nil {
		return Token{}, err
	}
	now := a.storedNow()
	if !rec.ExpiresAt.IsZero() && !now.Before(rec.ExpiresAt) {
		return Token{}, ErrExpired
	}
	from = from.Unmap().WithZone("")
	within := func(p netip.Prefix) bool { return p.Contains(from) }
	if len(rec.Networks) > 0 && !slices.ContainsFunc(rec.Networks, within) {
		return Token{}, ErrNetwork
	}
	use := lastUse{hash: hash, at: now, from: from}
	a.uses.note(rec.Name, use)
	return use.on(rec).shown(), nil
}

func (a *Accounts) tokenOf(ctx context.Context, hash string) (tokenRecord, error) {
	for _, age := range []time.Duration{freshFor, refuseAfter} {
		all, err := a.tokens.readWithin(ctx, age)
		if err != nil {
			return tokenRecord{}, err
		}
		// The time of this look-up tells of hashes, and nobody can make a token to a hash.
		rec := all.byID[all.byKey[hash]].value
		if subtle.ConstantTimeCompare([]byte(rec.Hash), []byte(hash)) == 1 {
			return rec, nil
		}
	}
	return tokenRecord{}, ErrWrongToken
}

// ListTokens returns all API tokens in the order of their names, with uses that
// are not written yet.
func (a *Accounts) ListTokens(ctx context.Context) ([]Token, error) {
	all, err := a.tokens.read(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Token, 0, len(all.byID))
	for _, id := range all.ids() {
		list = append(list, a.uses.latest(id).on(all.byID[id].value).shown())
	}
	return list, nil
}

// DeleteToken removes an API token, which is refused from then on. A revision of
// 0 is whatever the token is at. Returns store.ErrNotFound or store.ErrConflict.
func (a *Accounts) DeleteToken(ctx context.Context, name string, revision uint64) error {
	name, _ = canonicalName(name)
	return a.tokens.remove(ctx, name, func(_ *shelved[tokenRecord], rec tokenRecord) error {
		if revision != 0 && revision != rec.Revision {
			return store.ErrConflict
		}
		return nil
	})
}
