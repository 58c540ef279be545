package store

import "context"

// Mailbox carries what nodes have to tell the leader. It is no part of the feed.
//
// Errors are those of Store.
type Mailbox interface {
	// Post puts a letter into the box. Returns ErrUnavailable if there are MaxLetters,
	// which is so only if there is no leader.
	Post(ctx context.Context, body []byte) error
	// Letters returns up to limit letters, the oldest first. They stay until they are
	// removed: what their reader has not removed before it was killed is read again.
	Letters(ctx context.Context, limit int) ([]Letter, error)
	// RemoveLetters removes letters; it is no error if one is gone.
	RemoveLetters(ctx context.Context, ids []uint64) error
}

// MaxLetters is about how many letters a box holds.
const MaxLetters = 10_000

// Letter is what one node has to tell.
type Letter struct {
	ID   uint64
	Body []byte
}
