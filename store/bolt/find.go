package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt/catalog"
)

// errStale means that the catalog is not there, or no longer tells what the file
// does.
var errStale = errors.New("catalog is stale")

// FindBindings is part of store.Catalog. The page is chosen in memory, and read
// from the file at the same moment.
func (s *Store) FindBindings(ctx context.Context, q store.BindingQuery) (store.BindingPage, error) {
	query, err := catalog.NewQuery(q)
	if err != nil {
		return store.BindingPage{}, err
	}
	s.settleForQuery(ctx)
	var page store.BindingPage
	err = s.withCatalog(ctx, func(c *catalog.Catalog, tx *bbolt.Tx) error {
		found := c.Find(query)
		page = store.BindingPage{Rows: make([]store.BindingRow, len(found.Hashes)), Next: found.Next, Total: found.Total}
		for i, hash := range found.Hashes {
			if err := readRow(tx, hash, &page.Rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
	s.noteRead()
	if err != nil {
		return store.BindingPage{}, err
	}
	return page, nil
}

// readRow reads a binding and its usage, without the history.
func readRow(tx *bbolt.Tx, hash store.KeyHash, row *store.BindingRow) error {
	value := mustBucket(tx, bucketBindings).Get(hash[:])
	if value == nil {
		return damaged("binding %s is in the catalog only", hash)
	}
	var err error
	if row.Binding, err = decodeBinding(hash[:], value); err != nil {
		return err
	}
	if row.Usage, err = decodeUsage(mustBucket(tx, bucketUsage).Get(hash[:])); err != nil {
		row.Usage = store.Usage{} // as addTouch takes it
	}
	return nil
}
