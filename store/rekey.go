package store

import (
	"context"
	"fmt"
)

// Rekeyer gives what is stored of a key another hash: that of a new secret, or of
// another spelling.
type Rekeyer interface {
	// Rekey moves the binding of a hash with its usage and history, and its entry of
	// the archive, to another hash, and puts documents, in one step. The binding keeps
	// everything but Hash, HashedWith and Revision, and is put before the other one is
	// removed: each takes a revision. Of two entries of the archive the newer one stays.
	//
	// Of any number of calls at once for one hash exactly one moves it. Returns
	// ErrNotFound if there is neither a binding nor an entry, ErrConflict if the binding
	// has another revision than the one given, the other hash is bound as well, or a
	// document cannot be put as PutDocument says, and ErrInvalid.
	Rekey(ctx context.Context, r Rekeying) (Rekeyed, error)
}

// Rekeying is what Rekey is to do.
type Rekeying struct {
	From, To KeyHash
	// Revision is that of the binding of From; 0: it has none, and only its entry of
	// the archive is moved.
	Revision   uint64
	HashedWith uint32     // of To, as Binding has it
	Put        []Document // as ChangeDocuments takes them
}

// Rekeyed is what Rekey has done.
type Rekeyed struct {
	Binding  Binding // as it is now; the zero Binding if there was none
	Archived bool    // there was an entry of the archive
	// Documents are those that were put, with their new revisions.
	Documents []Document
}

// Validate returns an error that wraps ErrInvalid if nothing can be moved so.
func (r Rekeying) Validate() error {
	if r.From == r.To || r.From.IsZero() || r.To.IsZero() {
		return fmt.Errorf("%w: key hash %s instead of %s", ErrInvalid, r.To, r.From)
	}
	return ValidateOnce(r.Put, nil)
}
