package store

import (
	"context"
	"time"
)

// Archive keeps bindings that were not used for long, apart from those that
// decide. A key has at most one entry in it, and may have a binding as well.
type Archive interface {
	// ArchiveBindings moves those of the bindings given, at most ArchiveChunk,
	// into the archive that have been idle since a time, as
	// BindingFilter.IdleSince has it, and are not banned, in one step; an older
	// entry of the same key is replaced. It returns the hashes of those moved.
	// Each removal takes a revision. Returns ErrInvalid for more than ArchiveChunk.
	ArchiveBindings(ctx context.Context, hashes []KeyHash, idleSince, at time.Time) ([]KeyHash, error)

	// RestoreBinding moves an entry back. The binding has a new revision, and is
	// as new as at says: it is not idle. Returns ErrNotFound, or ErrConflict if
	// the key has a binding.
	RestoreBinding(ctx context.Context, hash KeyHash, at time.Time) (Binding, error)

	// Archived returns the entry of a key. Returns ErrNotFound if there is none.
	Archived(ctx context.Context, hash KeyHash) (ArchivedBinding, error)

	// FindArchived returns one page of the entries that match, in the order of
	// their hashes. It may look at a bounded number of entries only: then the
	// page is not full, or even empty, and Next is not empty.
	FindArchived(ctx context.Context, q ArchiveQuery) (ArchivePage, error)

	// CountArchived returns how many entries there are.
	CountArchived(ctx context.Context) (int, error)

	// PurgeArchive removes up to limit entries that were archived before a time,
	// and returns how many it was.
	PurgeArchive(ctx context.Context, before time.Time, limit int) (int, error)
}

// ArchiveChunk is how many bindings one ArchiveBindings takes.
const ArchiveChunk = 1000

// ArchivedBinding is an entry of the archive.
type ArchivedBinding struct {
	Binding    Binding
	Usage      Usage
	ArchivedAt time.Time // milliseconds, UTC
}

// ArchiveQuery asks for one page of the archive.
type ArchiveQuery struct {
	Filter   BindingFilter
	Archived TimeRange
	After    string
	Limit    int // 1 to MaxPage; 0: DefaultPage
}

// ArchivePage is one page of the archive.
type ArchivePage struct {
	Rows []ArchivedBinding
	Next string // opaque; empty: this is the last page
}
