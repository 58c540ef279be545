package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// writeTimeout is how long one write may take, and how long none is tried
	// after one has failed.
	writeTimeout = 5 * time.Second
	// writesAtOnce share a commit of the store.
	writesAtOnce = 16
)

// ledger is the documents of one kind with what is to be written of them. What
// is in memory is what counts: this process alone writes them. It is safe for
// concurrent use; mu guards the rows and all that is in them.
type ledger[T any] struct {
	documents store.Documents
	kind      string
	now       func() time.Time

	mu   *sync.Mutex
	rows map[string]*row[T]
	gate *gate
}

// gate keeps the writes of several ledgers from waiting, one after the other,
// for a store that does not answer, and from being made when they are those of another
// process.
type gate struct {
	leads func(ctx context.Context) bool
	// downUntil is when the next write may be tried after one has failed.
	downUntil time.Time
}

// row is one document.
type row[T any] struct {
	id string
	io sync.Mutex // held while the document is written or deleted

	value    T
	version  uint64 // counts the changes of value
	saved    uint64 // version that is in the store
	tried    bool   // a write has been tried
	revision uint64 // of the document
	gone     bool
}

func newLedger[T any](documents store.Documents, kind string, now func() time.Time, mu *sync.Mutex, gate *gate) *ledger[T] {
	return &ledger[T]{documents: documents, kind: kind, now: now, mu: mu, gate: gate, rows: make(map[string]*row[T])}
}

// load reads the documents. One that cannot be read is left alone: it must not
// keep the gateway from starting.
func (l *ledger[T]) load(ctx context.Context, logger *slog.Logger) error {
	list, err := l.documents.ListDocuments(ctx, l.kind)
	if err != nil {
		return fmt.Errorf("read documents of kind %s: %w", l.kind, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range list {
		r := &row[T]{id: d.ID, revision: d.Revision, tried: true}
		if err := json.Unmarshal(d.Body, &r.value); err != nil {
			logger.Warn("unreadable document left alone", "kind", l.kind, "id", d.ID, "error", err)
			continue
		}
		l.rows[d.ID] = r
	}
	return nil
}

// addLocked adds a row that is to be written.
func (l *ledger[T]) addLocked(id string, value T) *row[T] {
	r := &row[T]{id: id, value: value, version: 1}
	l.rows[id] = r
	return r
}

// touchLocked notes that the value has changed.
func (r *row[T]) touchLocked() { r.version++ }

// dirty returns the rows that are to be written.
func (l *ledger[T]) dirty() []*row[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rows []*row[T]
	for _, r := range l.rows {
		if r.version != r.saved {
			rows = append(rows, r)
		}
	}
	return rows
}

// saveAll writes rows, and returns the first error.
func (l *ledger[T]) saveAll(ctx context.Context, rows []*row[T]) error {
	if len(rows) == 1 {
		return l.save(ctx, rows[0])
	}
	var g errgroup.Group
	g.SetLimit(writesAtOnce)
	for _, r := range rows {
		g.Go(func() error { return l.save(ctx, r) })
	}
	return g.Wait()
}

// save writes a row as it is now, unless it is written already or gone.
func (l *ledger[T]) save(ctx context.Context, r *row[T]) error {
	r.io.Lock()
	defer r.io.Unlock()
	l.mu.Lock()
	if r.gone || r.version == r.saved {
		l.mu.Unlock()
		return nil
	}
	if l.now().Before(l.gate.downUntil) {
		l.mu.Unlock()
		return errStoreDown
	}
	body, err := json.Marshal(r.value)
	version := r.version
	d := store.Document{Kind: l.kind, ID: r.id, Revision: r.revision, Body: body}
	r.tried = true
	l.mu.Unlock()
	if err != nil {
		return fmt.Errorf("write %s %q: %w", l.kind, r.id, err)
	}
	if !l.gate.leads(ctx) {
		return errNotLeading
	}
	stored, err := l.put(ctx, d)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.gate.downUntil = l.now().Add(writeTimeout)
		return fmt.Errorf("write %s %q: %w", l.kind, r.id, err)
	}
	r.revision, r.saved, l.gate.downUntil = stored.Revision, version, time.Time{}
	return nil
}

// put writes a document over whatever is there: a conflict comes from a write
// of this process that was given up and happened all the same.
func (l *ledger[T]) put(ctx context.Context, d store.Document) (store.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	stored, err := l.documents.PutDocument(ctx, d)
	if !errors.Is(err, store.ErrConflict) {
		return stored, err
	}
	if !l.gate.leads(ctx) {
		return d, errNotLeading
	}
	switch there, err := l.documents.Document(ctx, d.Kind, d.ID); {
	case err == nil:
		d.Revision = there.Revision
	case errors.Is(err, store.ErrNotFound):
		d.Revision = 0
	default:
		return d, err
	}
	return l.documents.PutDocument(ctx, d)
}

// removeAll deletes rows and their documents, and returns the first error. Those
// that could not be deleted stay.
func (l *ledger[T]) removeAll(ctx context.Context, rows []*row[T]) error {
	var g errgroup.Group
	g.SetLimit(writesAtOnce)
	for _, r := range rows {
		g.Go(func() error { return l.remove(ctx, r) })
	}
	return g.Wait()
}

func (l *ledger[T]) remove(ctx context.Context, r *row[T]) error {
	r.io.Lock()
	defer r.io.Unlock()
	l.mu.Lock()
	tried, gone, isDown := r.tried, r.gone, l.now().Before(l.gate.downUntil)
	l.mu.Unlock()
	switch {
	case gone:
		return nil
	case isDown:
		return errStoreDown
	case !l.gate.leads(ctx):
		return errNotLeading
	}
	if tried {
		if err := l.delete(ctx, r.id); err != nil {
			return fmt.Errorf("delete %s %q: %w", l.kind, r.id, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.gone = true
	delete(l.rows, r.id)
	return nil
}

func (l *ledger[T]) delete(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	d, err := l.documents.Document(ctx, l.kind, id)
	if err == nil {
		err = l.documents.DeleteDocument(ctx, l.kind, id, d.Revision)
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
