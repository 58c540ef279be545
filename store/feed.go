package store

import (
	"context"
	"iter"
	"time"
)

// Feed tells the changes of an authority that several nodes share, so that each can
// keep a copy of what it decides by: bindings, the archive, documents and settings.
//
// Every change takes the next revision, in the order of commits and without gaps: a
// reader that has seen a revision has seen all before it, and none can appear behind
// its back. So one number is all that a reader has to remember.
//
// Errors are those of Store, and ErrFeedGone.
type Feed interface {
	// Position returns the revision of the last change; 0 if there was none.
	Position(ctx context.Context) (uint64, error)

	// Changes returns up to limit changes, at most MaxChanges, beginning with the
	// first one after a revision, in their order. An empty answer means that there are
	// no more; a limit below 1 gets one. All of an answer is of one moment.
	//
	// A change comes with the record as it is at that moment, which may be newer than
	// the change: then its Kind is what is true of the record now, and the change that
	// made it so follows under its own revision. To follow such a feed is right for a
	// copy, for what it holds of a record is never older than the revision that it has
	// read up to, and to store a record twice is to store it once. It even helps: a
	// reader that is behind learns of a ban as soon as it reads of the key at all. And
	// the feed stays small, as it holds no bodies.
	//
	// Returns ErrFeedGone if changes after that revision have been trimmed, or there was
	// never such a revision, as after a restore of an older backup: the reader takes a
	// Snapshot.
	Changes(ctx context.Context, after uint64, limit int) ([]Change, error)

	// Listen calls wake when there may be something new, and once when it has begun to
	// listen. It returns when ctx is done, with its error, or the connection is lost:
	// then the caller calls it again, and asks for changes meanwhile, as it does now and
	// then in any case. Calls of wake do not overlap, and hold up the next one.
	Listen(ctx context.Context, wake func()) error

	// Snapshot calls visit with everything that the feed is about, as of one revision,
	// while others write. Each record comes once, as a change that puts it, with the
	// revision that it has; in no order. It is read as it is asked for, in bounded memory.
	// The iterator may be used once, within visit; it ends at its first error. Snapshot
	// returns the error of visit, or its own. Who has stored all goes on with Changes
	// after position.
	Snapshot(ctx context.Context, visit func(position uint64, all iter.Seq2[Change, error]) error) error

	// TrimFeed forgets up to limit changes from before a time, oldest first, and returns
	// how many it was. The time of a change is by the clock of the authority.
	TrimFeed(ctx context.Context, before time.Time, limit int) (int, error)
}

const (
	// MaxChanges is how many changes one call of Changes returns at most.
	MaxChanges = 10_000
	// DefaultFeedAge is how long changes are kept, unless told otherwise: how long a
	// node may be away before it needs a snapshot.
	DefaultFeedAge = 7 * 24 * time.Hour
)

// ChangeKind is what became of which record.
type ChangeKind string

// The kinds of changes. Of what was removed, a change has the key only.
const (
	ChangeBindingPut      ChangeKind = "binding.put"
	ChangeBindingRemoved  ChangeKind = "binding.removed"
	ChangeArchivedPut     ChangeKind = "archived.put"
	ChangeArchivedRemoved ChangeKind = "archived.removed"
	ChangeDocumentPut     ChangeKind = "document.put"
	ChangeDocumentRemoved ChangeKind = "document.removed"
	ChangeSettingPut      ChangeKind = "setting.put"
	ChangeSettingRemoved  ChangeKind = "setting.removed"
)

// Change is one change of one record.
type Change struct {
	Revision uint64
	Kind     ChangeKind
	// Hash is whose binding, or entry of the archive, it is.
	Hash     KeyHash
	Binding  Binding         // of ChangeBindingPut
	Archived ArchivedBinding // of ChangeArchivedPut
	Document Document        // of a document: of one that was removed, Kind and ID
	Setting  Setting         // of a setting: of one that was removed, the name
}

// Setting is a value with its name.
type Setting struct {
	Name  string
	Value []byte
}
