package account

import (
	"context"
	"crypto/rand"
)

// hashesAtOnce bounds how many password hashes are computed at the same time:
// each takes 64 MiB, and anybody who reaches the login can ask for one.
const hashesAtOnce = 2

// hasher computes password hashes.
type hasher struct {
	cost  cost
	slots chan struct{}
	// nobody is a hash that no password is known to match.
	nobody phc
}

func newHasher(c cost) *hasher {
	h := &hasher{cost: c, slots: make(chan struct{}, hashesAtOnce)}
	h.nobody = h.empty()
	_, _ = rand.Read(h.nobody.hash) // never fails, see crypto/rand
	return h
}

func (h *hasher) empty() phc {
	p := phc{cost: h.cost, salt: make([]byte, saltBytes), hash: make([]byte, hashBytes)}
	_, _ = rand.Read(p.salt)
	return p
}

// hash returns the hash of a password. It waits for its turn until ctx is done.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	p := h.empty()
	p.hash = p.derive(password)
	return p.String(), nil
}

// verify reports whether password is the one of an encoded hash, and whether
// the hash should be made anew because its cost is not that of today. If encoded
// is empty or unreadable, it takes as long and reports false. It waits for its
// turn until ctx is done.
func (h *hasher) verify(ctx context.Context, encoded, password string) (right, outdated bool, err error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	p, err := parsePHC(encoded)
	if err != nil {
		h.nobody.matches(password)
		return false, false, nil
	}
	return p.matches(password), p.cost != h.cost, nil
}

func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// Both may have been possible.
	if err := ctx.Err(); err != nil {
		<-h.slots
		return nil, err
	}
	return func() { <-h.slots }, nil
}
