// Package store holds the records that Sentinel keeps and the contract of
// every place that keeps them. It imports the standard library only;
// implementations live below it, and storetest is the suite all of them pass.
package store

import (
	"context"
	"io"
	"time"
)

// Store is one authority for bindings with everything that belongs to them.
// All methods are safe for concurrent use. A method that changes something
// returns only after the change survives a kill -9 and a power cut; a method
// that returns an error has changed nothing.
//
// Errors: ErrNotFound, ErrConflict and ErrInvalid as each method says;
// ErrUnavailable, wrapping the cause, for everything the medium does
// (disk full, connection lost, store closed). If the medium fails at the
// moment of the commit, the change may or may not have happened, as nobody can
// tell. A done context is reported as the context's own error, and then too
// the change may or may not have happened.
//
// Times are stored with millisecond precision and come back in UTC. Records
// that are handed out are the caller's own.
type Store interface {
	Bindings
	Catalog
	Archive
	Rekeyer
	Intercepts
	UsageLog
	Settings
	Documents
	AuditLog
	Prober
	io.Closer
}

// Bindings keeps what binds keys to addresses.
type Bindings interface {
	// Binding returns the binding of a key. Returns ErrNotFound if there is none.
	Binding(ctx context.Context, hash KeyHash) (Binding, error)

	// Bind stores b if its key has no binding yet, and reports whether it did.
	// Otherwise nothing changes and the binding that is there is returned: of
	// any number of concurrent calls for one key exactly one reports true.
	// The stored binding carries its new Revision, and, if the archive has an
	// entry of the key, the time of that in ArchivedBefore, whatever b says.
	// Returns ErrInvalid if b.Validate does.
	Bind(ctx context.Context, b Binding) (stored Binding, created bool, err error)

	// ReplaceBinding stores b in place of the binding of the same key, if that
	// one's revision is still b.Revision, and returns it with its new Revision.
	// Returns ErrNotFound, ErrConflict on another revision, or ErrInvalid.
	ReplaceBinding(ctx context.Context, b Binding) (Binding, error)

	// DeleteBinding removes the binding of a key, with its usage, if its
	// revision is still the one given, and returns the revision of the removal.
	// Returns ErrNotFound, or ErrConflict on another revision.
	DeleteBinding(ctx context.Context, hash KeyHash, revision uint64) (uint64, error)

	// ListBindings returns up to limit bindings in the order of their hashes,
	// beginning with the first one after the hash given (the zero hash: from
	// the start). An empty answer is the end; a limit below 1 gets one.
	ListBindings(ctx context.Context, after KeyHash, limit int) ([]Binding, error)

	// CountBindings returns how many bindings there are. Its cost does not
	// grow with their number.
	CountBindings(ctx context.Context) (int, error)
}

// Intercepts keeps the records of refused requests.
type Intercepts interface {
	// PutIntercepts stores records in one step. A record with ID 0 is new and
	// is given the next ID, ascending in the order of the slice; the IDs are
	// set in recs, if there is no error. A record with an ID replaces the stored one of that ID (its
	// count has grown), or is dropped if that one is gone.
	PutIntercepts(ctx context.Context, recs []Intercept) error

	// ListIntercepts returns the records that match, newest first. It may look
	// at a bounded number only: then the page is not full, or even empty, and
	// Next is not 0.
	ListIntercepts(ctx context.Context, f InterceptFilter) (InterceptPage, error)

	// DeleteIntercepts removes up to limit records from before a time, oldest
	// first, and returns how many it was.
	DeleteIntercepts(ctx context.Context, before time.Time, limit int) (int, error)
}

// UsageLog keeps what is gathered in memory and written in batches.
type UsageLog interface {
	// AddUsage adds a batch to what is stored. Touches of keys without a
	// binding are dropped. A batch of up to UsageChunk touches is stored as a
	// whole or not at all. A larger one may be stored in several transactions
	// of at most UsageChunk touches, so that other writers do not wait behind
	// it; its counters go with the first. If a later one fails, the error is an
	// *UnfinishedError that holds the rest.
	// The slices of the batch may be reused once AddUsage has returned.
	// Returns ErrInvalid if a counter has a name that Settings would not take.
	AddUsage(ctx context.Context, batch UsageBatch) error

	// Usage returns the usage of a key with its history: the zero Usage if it was
	// never touched.
	Usage(ctx context.Context, hash KeyHash) (Usage, error)

	// Counters returns the counters of the hours in [from, to), ordered by hour
	// and then by name.
	Counters(ctx context.Context, from, to time.Time) ([]Counter, error)

	// DeleteCounters removes up to limit counters of hours before a time, oldest
	// first, and returns how many it was.
	DeleteCounters(ctx context.Context, before time.Time, limit int) (int, error)
}

// Settings keeps small values by name: runtime settings, and marks of the
// store's own such as the fingerprint of the HMAC secret. Names have 1 to
// MaxNameBytes bytes.
type Settings interface {
	// Setting returns a value. Returns ErrNotFound if there is none.
	Setting(ctx context.Context, name string) ([]byte, error)
	// PutSetting stores a value in place of whatever was there. Returns
	// ErrInvalid if the name is empty or too long.
	PutSetting(ctx context.Context, name string, value []byte) error
	// DeleteSetting removes a value; it is no error if there is none.
	DeleteSetting(ctx context.Context, name string) error
}

// Prober tells whether the store can be written.
type Prober interface {
	// Probe does one durable write of nothing that matters, and returns
	// ErrUnavailable if it does not succeed.
	Probe(ctx context.Context) error
}
