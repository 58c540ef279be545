package store

import (
	"context"
	"encoding/json"
)

// Documents keeps small records of administration, such as accounts and API
// tokens: few of each kind, read as a whole.
type Documents interface {
	// Document returns one. Returns ErrNotFound if there is none.
	Document(ctx context.Context, kind, id string) (Document, error)
	// ListDocuments returns all of a kind in the order of their IDs.
	ListDocuments(ctx context.Context, kind string) ([]Document, error)
	// PutDocument stores d, if the revision of what is there is still
	// d.Revision: 0 where nothing is there yet. It returns d with its new
	// revision, which is higher than that of any document before. Returns
	// ErrConflict, or ErrInvalid if kind or ID are no names as ValidateName has
	// them, or the body is no JSON.
	PutDocument(ctx context.Context, d Document) (Document, error)
	// DeleteDocument removes one, if its revision is still the one given.
	// Returns ErrNotFound or ErrConflict.
	DeleteDocument(ctx context.Context, kind, id string, revision uint64) error
	// ChangeDocuments puts and removes documents, each as PutDocument and
	// DeleteDocument do, all of them or none, and returns those that were put with
	// their new revisions. Of one document at most one change may be among them.
	// Returns the error of the first one that cannot be made.
	ChangeDocuments(ctx context.Context, put, remove []Document) ([]Document, error)
}

// Document is a JSON value with a name. Kinds belong to who writes them.
type Document struct {
	Kind     string
	ID       string
	Revision uint64
	Body     json.RawMessage
}
