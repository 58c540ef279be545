package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Transfer is what a store offers to be moved to another one as a whole, while nobody
// else uses either of them.
type Transfer interface {
	Store

	// Export returns up to limit records of a class in the order of their keys, which may
	// be 1 to MaxPage, from the first one behind after: the Next of the chunk before, or
	// nothing. Settings of the node and MoveMark are not among them.
	Export(ctx context.Context, class Class, after string, limit int) (Chunk, error)

	// Import stores the records of a chunk as they are, with their revisions and IDs, and
	// what MoveMark says, all of it in one transaction. A record that is there is
	// replaced, or stays if it is one of a log. What is made later gets higher revisions
	// and IDs. Returns ErrInvalid for a record that the store could not hold.
	Import(ctx context.Context, chunk Chunk, mark Migration) error
}

// Class is a kind of records that make up a store.
type Class string

// The classes.
const (
	ClassSettings   Class = "settings"
	ClassDocuments  Class = "documents"
	ClassBindings   Class = "bindings" // with usage and history
	ClassArchive    Class = "archive"
	ClassIntercepts Class = "intercepts"
	ClassCounters   Class = "counters"
	ClassAudit      Class = "audit"
)

// Classes are all of them, in the order in which they are moved.
var Classes = []Class{ClassSettings, ClassDocuments, ClassBindings, ClassArchive, ClassIntercepts, ClassCounters, ClassAudit}

// Chunk is some records of one class.
type Chunk struct {
	Class      Class
	Settings   []Setting
	Documents  []Document
	Bindings   []BindingRow // with whole usages
	Archived   []ArchivedBinding
	Intercepts []Intercept
	Counters   []Counter
	Audit      []AuditEntry
	Next       string // opaque; empty: there are no more
}

// Len returns how many records there are in the chunk.
func (c Chunk) Len() int {
	return len(c.Settings) + len(c.Documents) + len(c.Bindings) + len(c.Archived) + len(c.Intercepts) + len(c.Counters) + len(c.Audit)
}

// IsMoved reports whether a setting is moved with a store.
func IsMoved(name string) bool { return name != MoveMark && !IsNodeSetting(name) }

// Digest is what of a class is compared: how many records there are, and a sum over all
// of them that does not depend on their order.
type Digest struct {
	Records int
	sum     [sha256.Size]byte
}

// String shows the beginning of the sum.
func (d Digest) String() string {
	const shown = 8
	return hex.EncodeToString(d.sum[:shown])
}

// addChunk adds the records of a chunk.
func (d *Digest) addChunk(c Chunk) error {
	for _, add := range []func(*Digest) error{
		addAll(c.Settings), addAll(c.Documents), addAll(c.Bindings), addAll(c.Archived),
		addAll(c.Intercepts), addAll(c.Counters), addAll(c.Audit),
	} {
		if err := add(d); err != nil {
			return err
		}
	}
	return nil
}

func addAll[T any](records []T) func(*Digest) error {
	return func(d *Digest) error {
		for _, r := range records {
			text, err := json.Marshal(r)
			if err != nil {
				return fmt.Errorf("digest: %w", err)
			}
			d.add(sha256.Sum256(text))
		}
		return nil
	}
}

// add adds as numbers of 256 bits: a record that is there twice does not cancel out.
func (d *Digest) add(sum [sha256.Size]byte) {
	d.Records++
	carry := 0
	for i := len(sum) - 1; i >= 0; i-- {
		carry += int(d.sum[i]) + int(sum[i])
		d.sum[i] = byte(carry) // #nosec G115 -- cut on purpose
		carry >>= 8
	}
}

// DigestOf reads all of a class. told, if not nil, is called with how many records have
// been read.
func DigestOf(ctx context.Context, s Transfer, class Class, told func(records int)) (d Digest, err error) {
	for after := ""; ; {
		chunk, err := s.Export(ctx, class, after, MaxPage)
		if err == nil {
			err = d.addChunk(chunk)
		}
		if err != nil {
			return d, fmt.Errorf("read %s: %w", class, err)
		}
		if told != nil {
			told(d.Records)
		}
		if after = chunk.Next; after == "" {
			return d, nil
		}
	}
}
