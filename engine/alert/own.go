package alert

import (
	"context"
	"sync"

	"github.com/key-ip-sentinel/sentinel/store"
)

// ownDocuments are those of a center that must go on while the store fails: the channels
// are those of all, and everything else is in memory.
type ownDocuments struct {
	store.Documents // of the channels

	mu       sync.Mutex
	revision uint64
	byID     map[[2]string]store.Document
}

func newOwnDocuments(shared store.Documents) *ownDocuments {
	return &ownDocuments{Documents: shared, byID: make(map[[2]string]store.Document)}
}

// Document is part of store.Documents.
func (o *ownDocuments) Document(ctx context.Context, kind, id string) (store.Document, error) {
	if kind == ChannelKind {
		return o.Documents.Document(ctx, kind, id)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	d, ok := o.byID[[2]string{kind, id}]
	if !ok {
		return store.Document{}, store.ErrNotFound
	}
	return d, nil
}

// ListDocuments is part of store.Documents. A center reads its own once, at its start,
// when there are none.
func (o *ownDocuments) ListDocuments(ctx context.Context, kind string) ([]store.Document, error) {
	if kind == ChannelKind {
		return o.Documents.ListDocuments(ctx, kind)
	}
	return nil, nil
}

// PutDocument is part of store.Documents.
func (o *ownDocuments) PutDocument(ctx context.Context, d store.Document) (store.Document, error) {
	if d.Kind == ChannelKind {
		return o.Documents.PutDocument(ctx, d)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	name := [2]string{d.Kind, d.ID}
	if o.byID[name].Revision != d.Revision {
		return store.Document{}, store.ErrConflict
	}
	o.revision++
	d.Revision = o.revision
	o.byID[name] = d
	return d, nil
}

// DeleteDocument is part of store.Documents.
func (o *ownDocuments) DeleteDocument(ctx context.Context, kind, id string, revision uint64) error {
	if kind == ChannelKind {
		return o.Documents.DeleteDocument(ctx, kind, id, revision)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.byID, [2]string{kind, id})
	return nil
}
