package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	// Returns the error of the first one that cannot be made, or ErrInvalid if a
	// document is there twice.
	ChangeDocuments(ctx context.Context, put, remove []Document) ([]Document, error)
}

// Document is a JSON value with a name. Kinds belong to who writes them.
type Document struct {
	Kind     string
	ID       string
	Revision uint64
	Body     json.RawMessage
}

// Validate returns an error that wraps ErrInvalid if d cannot be put: its kind or
// ID are no names as ValidateName has them, or its body is no JSON.
func (d Document) Validate() error {
	if err := errors.Join(ValidateName(d.Kind), ValidateName(d.ID)); err != nil {
		return fmt.Errorf("document: %w", err)
	}
	if !json.Valid(d.Body) {
		return fmt.Errorf("%w: document %s %s is no JSON", ErrInvalid, d.Kind, d.ID)
	}
	return nil
}

// PutOne is PutDocument by ChangeDocuments, and DeleteOne is DeleteDocument. They are for
// implementations.
func PutOne(ctx context.Context, s Documents, d Document) (Document, error) {
	stored, err := s.ChangeDocuments(ctx, []Document{d}, nil)
	if err != nil {
		return Document{}, err
	}
	return stored[0], nil
}

// DeleteOne is as PutOne says.
func DeleteOne(ctx context.Context, s Documents, kind, id string, revision uint64) error {
	_, err := s.ChangeDocuments(ctx, nil, []Document{{Kind: kind, ID: id, Revision: revision}})
	return err
}

// CheckDocuments returns the error of the first change that cannot be made, as
// ChangeDocuments has it. revision returns that of what is there; 0: nothing is. It is for
// implementations.
func CheckDocuments(put, remove []Document, revision func(kind, id string) (uint64, error)) error {
	for _, d := range put {
		if err := d.Validate(); err != nil {
			return err
		}
		if there, err := revision(d.Kind, d.ID); err != nil {
			return err
		} else if there != d.Revision {
			return ErrConflict
		}
	}
	for _, d := range remove {
		switch there, err := revision(d.Kind, d.ID); {
		case err != nil:
			return err
		case there == 0:
			return ErrNotFound
		case there != d.Revision:
			return ErrConflict
		}
	}
	return nil
}

// CloneDocuments returns copies that share nothing.
func CloneDocuments(list []Document) []Document {
	clones := slices.Clone(list)
	for i := range clones {
		clones[i].Body = bytes.Clone(clones[i].Body)
	}
	return clones
}

// ValidateOnce returns an error that wraps ErrInvalid if a document is twice among
// those that are to be put and removed.
func ValidateOnce(put, remove []Document) error {
	seen := map[[2]string]bool{}
	for _, list := range [][]Document{put, remove} {
		for _, d := range list {
			name := [2]string{d.Kind, d.ID}
			if seen[name] {
				return fmt.Errorf("%w: document %s %s is changed twice", ErrInvalid, d.Kind, d.ID)
			}
			seen[name] = true
		}
	}
	return nil
}
