package store

import (
	"context"
	"io"
)

// Maintainer is what a store can do that lives in a file of its own. Stores on
// a server leave it to that server.
type Maintainer interface {
	// Snapshot writes a consistent copy of everything, which can be opened like
	// the store itself, and returns its size. Changes go on meanwhile.
	Snapshot(ctx context.Context, w io.Writer) (int64, error)
	// Compact gives space that is no longer used back to the file system, and
	// returns the sizes before and after. Changes wait meanwhile; reads do not.
	// A crash at any moment leaves the store as it was or compacted.
	Compact(ctx context.Context) (before, after int64, err error)
	// Size returns how large the store is, and how much of it is free.
	Size(ctx context.Context) (Size, error)
}

// Size is in bytes.
type Size struct {
	Total int64 `json:"total"`
	Free  int64 `json:"free"` // what Compact could give back, at least about
}
