package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

func scanDocument(rows pgx.Rows) (store.Document, error) {
	var kind, id, body []byte
	var revision int64
	err := rows.Scan(&kind, &id, &revision, &body)
	return store.Document{Kind: string(kind), ID: string(id), Revision: uint64(revision), Body: body}, err // #nosec G115 -- not negative
}

// Document is part of store.Documents.
func (s *Store) Document(ctx context.Context, kind, id string) (d store.Document, err error) {
	const sql = `SELECT kind, id, revision, body FROM sentinel.documents WHERE kind = $1 AND id = $2`
	err = s.viewOne(ctx, sql, []any{[]byte(kind), []byte(id)}, func(rows pgx.Rows) error {
		d, err = scanDocument(rows)
		return err
	})
	if err != nil {
		return store.Document{}, err
	}
	return d, nil
}

// ListDocuments is part of store.Documents.
func (s *Store) ListDocuments(ctx context.Context, kind string) (list []store.Document, err error) {
	const sql = `SELECT kind, id, revision, body FROM sentinel.documents WHERE kind = $1 ORDER BY id`
	err = s.view(ctx, sql, []any{[]byte(kind)}, func(rows pgx.Rows) error {
		d, err := scanDocument(rows)
		list = append(list, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// PutDocument is part of store.Documents.
func (s *Store) PutDocument(ctx context.Context, d store.Document) (store.Document, error) {
	return store.PutOne(ctx, s, d)
}

// DeleteDocument is part of store.Documents.
func (s *Store) DeleteDocument(ctx context.Context, kind, id string, revision uint64) error {
	return store.DeleteOne(ctx, s, kind, id, revision)
}

// ChangeDocuments is part of store.Documents.
func (s *Store) ChangeDocuments(ctx context.Context, put, remove []store.Document) ([]store.Document, error) {
	if err := store.ValidateOnce(put, remove); err != nil {
		return nil, err
	}
	given, gone := store.CloneDocuments(put), slices.Clone(remove)
	stored := make([]store.Document, len(put))
	err := s.write(ctx, func(ctx context.Context, w *writeTx) error {
		if err := w.checkDocuments(ctx, given, gone); err != nil {
			return err
		}
		copy(stored, given)
		return w.changeDocuments(ctx, stored, gone)
	})
	if err != nil {
		return nil, err
	}
	return stored, nil
}

// checkDocuments returns the error of the first change that cannot be made.
func (w *writeTx) checkDocuments(ctx context.Context, put, remove []store.Document) error {
	var kinds, ids [][]byte
	for _, list := range [][]store.Document{put, remove} {
		for _, d := range list {
			kinds, ids = append(kinds, []byte(d.Kind)), append(ids, []byte(d.ID))
		}
	}
	const sql = `
SELECT kind, id, revision FROM sentinel.documents
JOIN unnest($1::bytea[], $2::bytea[]) AS g(kind, id) USING (kind, id)`
	there := map[[2]string]uint64{}
	rows, err := w.conn.Query(ctx, sql, kinds, ids)
	if err != nil {
		return err
	}
	err = each(rows, func(rows pgx.Rows) error {
		var kind, id []byte
		var revision int64
		err := rows.Scan(&kind, &id, &revision)
		there[[2]string{string(kind), string(id)}] = uint64(revision) // #nosec G115 -- not negative
		return err
	})
	if err != nil {
		return err
	}
	return store.CheckDocuments(put, remove, func(kind, id string) (uint64, error) { return there[[2]string{kind, id}], nil })
}

const sqlPutDocument = `
INSERT INTO sentinel.documents (kind, id, revision, body) VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision, body = excluded.body`

// changeDocuments makes changes that have been checked, and sets the revisions of
// what it puts.
func (w *writeTx) changeDocuments(ctx context.Context, put, remove []store.Document) error {
	b := &pgx.Batch{}
	for i := range put {
		d := &put[i]
		kind, id := []byte(d.Kind), []byte(d.ID)
		revision := w.note(store.ChangeDocumentPut, kind, id)
		b.Queue(sqlPutDocument, kind, id, revision, []byte(d.Body))
		d.Revision = uint64(revision) // #nosec G115 -- not negative
	}
	for _, d := range remove {
		kind, id := []byte(d.Kind), []byte(d.ID)
		w.note(store.ChangeDocumentRemoved, kind, id)
		b.Queue(`DELETE FROM sentinel.documents WHERE kind = $1 AND id = $2`, kind, id)
	}
	if b.Len() == 0 {
		return nil
	}
	return w.exec(ctx, b)
}
