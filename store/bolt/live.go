package bolt

import (
	"bytes"
	"context"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt/catalog"
)

const (
	// catalogIdle is how long the catalog is kept without a query.
	catalogIdle = 10 * time.Minute

	// catalogChunk is how many bindings one read transaction takes to the
	// catalog: a long transaction would keep the file from using pages again.
	catalogChunk = 20_000

	// maxPending is how many changes wait for the next query, before they are
	// taken to the catalog without one.
	maxPending = 50_000
)

// live is the catalog of a store, which is built for the first query.
//
// From just before it is read from the file, the committer notes every change of
// a binding or its usage, with the moment at which readers may see it. A query
// opens its read transaction, takes to the catalog what was noted up to that
// moment, and so has a catalog and a transaction that tell the same. The
// committer never waits for a query.
//
// While the catalog is being read, chunk by chunk, chunks are of different
// moments. That does no harm: changes say what is, not what was added, so that
// all of them, taken in their order, lead to the same end from wherever a row
// began.
type live struct {
	// turn is taken by who uses, builds or drops the catalog.
	turn    chan struct{}
	chunk   int              // catalogChunk, but for tests
	limit   int              // maxPending, but for tests
	catalog *catalog.Catalog // nil: to be built
	built   uint64           // the recording that it is built upon
	queried time.Time
	idle    *time.Timer // drops the catalog

	mu         sync.Mutex
	recording  uint64 // number of the recording, 0 for none
	recordings uint64 // how many there have been
	pending    []commitChanges
	waiting    int // changes in pending
	catchingUp bool
}

// commitChanges is what one commit changed.
type commitChanges struct {
	moment  int64
	changes []change
}

// change is what became of a binding or its usage.
type change struct {
	hash  store.KeyHash
	kind  changeKind
	value []byte // of the binding or the usage, as it is stored
}

type changeKind uint8

const (
	changePut changeKind = iota
	changeUsage
	changeDelete
)

func (l *live) init() {
	l.turn = make(chan struct{}, 1)
	l.chunk, l.limit = catalogChunk, maxPending
}

// start begins a recording. The committer calls it.
func (l *live) start() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recordings++
	l.recording, l.pending, l.waiting = l.recordings, nil, 0
	return l.recording
}

func (l *live) isRecording() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recording != 0
}

// forget ends the recording, and thereby the use of the catalog.
func (l *live) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recording, l.pending, l.waiting = 0, nil, 0
}

// append notes what a commit has changed, and reports whether it is time to take
// it to the catalog.
func (l *live) append(moment int64, changes []change) (catchUp bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recording == 0 || len(changes) == 0 {
		return false
	}
	l.pending = append(l.pending, commitChanges{moment, changes})
	l.waiting += len(changes)
	if l.waiting < l.limit || l.catchingUp {
		return false
	}
	l.catchingUp = true
	return true
}

// take returns what was noted up to a moment, or false if the catalog is not
// built upon what is being recorded.
func (l *live) take(moment int64) (list []commitChanges, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.catalog == nil || l.recording == 0 || l.recording != l.built {
		return nil, false
	}
	n := 0
	for n < len(l.pending) && l.pending[n].moment <= moment {
		l.waiting -= len(l.pending[n].changes)
		n++
	}
	list, l.pending = l.pending[:n:n], l.pending[n:]
	if len(l.pending) == 0 {
		l.pending = nil // or what was taken would be kept alive
	}
	return list, true
}

// bring takes what was noted up to a moment to the catalog. It returns errStale
// if the catalog has to be built anew. The caller has the turn.
func (l *live) bring(moment int64) error {
	list, ok := l.take(moment)
	if !ok {
		return errStale
	}
	for _, commit := range list {
		for _, c := range commit.changes {
			if err := apply(l.catalog, c); err != nil {
				l.forget() // or it would be without this change
				return err
			}
		}
	}
	return nil
}

func apply(c *catalog.Catalog, ch change) error {
	switch ch.kind {
	case changePut:
		b, err := decodeBinding(ch.hash[:], ch.value)
		if err != nil {
			return err
		}
		c.Put(b)
	case changeUsage:
		u, err := decodeUsage(ch.value)
		if err != nil {
			return err
		}
		c.SetUsage(ch.hash, u.LastUsed, u.Hits)
	case changeDelete:
		c.Delete(ch.hash)
	}
	return nil
}

// drop gives the memory of the catalog back. The caller has the turn.
func (l *live) drop() {
	l.forget()
	l.catalog = nil
}

// close stops the clock.
func (l *live) close() {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.drop()
	if l.idle != nil {
		l.idle.Stop()
	}
}

// withCatalog runs fn with a catalog that only fn uses, and a read transaction of
// the same moment.
func (s *Store) withCatalog(ctx context.Context, fn func(c *catalog.Catalog, tx *bbolt.Tx) error) error {
	for {
		err := s.withTurn(ctx, func() error {
			return s.viewFile(ctx, func(tx *bbolt.Tx, f *file) error {
				if err := s.live.bring(f.moment(tx)); err != nil {
					return err
				}
				return fn(s.live.catalog, tx)
			})
		})
		if err != errStale { //nolint:errorlint // comes from bring as it is
			return err
		}
		if err := s.awaitCatalog(ctx); err != nil {
			return err
		}
	}
}

// withTurn runs fn while it has the turn, and puts off the end of the catalog.
func (s *Store) withTurn(ctx context.Context, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.live.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.live.turn }()
	err := fn()
	s.live.queried = time.Now()
	return err
}

// awaitCatalog builds the catalog, which goes on when ctx ends: the next caller
// will want it too.
func (s *Store) awaitCatalog(ctx context.Context) error {
	built := make(chan error, 1)
	lasting := context.WithoutCancel(ctx)
	go func() { built <- s.withTurn(lasting, s.buildCatalog) }()
	select {
	case err := <-built:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// buildCatalog reads the catalog from the file, unless somebody else just has.
// The caller has the turn.
func (s *Store) buildCatalog() error {
	if _, ok := s.live.take(0); ok {
		return nil
	}
	s.live.drop()
	ctx := context.Background()
	var recording uint64
	err := s.write(ctx, func(*writeTx) error {
		recording = s.live.start() // from here on, all changes are noted
		return nil
	})
	if err != nil {
		return err
	}
	loader := catalog.NewLoader()
	for after, more := (store.KeyHash{}), true; more; {
		err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
			after, more, err = loadChunk(tx, loader, after, s.live.chunk)
			return err
		})
		if err == nil && isClosed(s.queue.Ended()) {
			err = store.ErrClosed
		}
		s.trimNow()
		if err != nil {
			s.live.forget()
			return err
		}
	}
	s.live.catalog, s.live.built = loader.Catalog(), recording
	if s.live.idle == nil {
		s.live.idle = time.AfterFunc(catalogIdle, s.dropIdleCatalog)
	} else {
		s.live.idle.Reset(catalogIdle)
	}
	return nil
}

// loadChunk takes some bindings behind a hash to the catalog, and returns the last
// one, and whether there may be more.
func loadChunk(tx *bbolt.Tx, loader *catalog.Loader, after store.KeyHash, limit int) (last store.KeyHash, more bool, err error) {
	c, usage := mustBucket(tx, bucketBindings).Cursor(), mustBucket(tx, bucketUsage).Cursor()
	k, v := c.Seek(after[:])
	if bytes.Equal(k, after[:]) {
		k, v = c.Next()
	}
	uk, uv := usage.Seek(k)
	for n := 0; k != nil; k, v = c.Next() {
		if n++; n > limit {
			return last, true, nil
		}
		b, err := decodeBinding(k, v)
		if err != nil {
			return last, false, err
		}
		for uk != nil && bytes.Compare(uk, k) < 0 {
			uk, uv = usage.Next()
		}
		var u store.Usage
		if bytes.Equal(uk, k) {
			if u, err = decodeUsage(uv); err != nil {
				u = store.Usage{} // as addTouch takes it
			}
		}
		loader.Add(b, u)
		last = b.Hash
	}
	return last, false, nil
}

// dropIdleCatalog drops the catalog if nobody has asked it for long.
func (s *Store) dropIdleCatalog() {
	s.live.turn <- struct{}{}
	defer func() { <-s.live.turn }()
	if s.live.catalog == nil {
		return
	}
	if left := catalogIdle - time.Since(s.live.queried); left > 0 {
		s.live.idle.Reset(left)
		return
	}
	s.live.drop()
}

// catchUp takes what was noted to the catalog without a query.
func (s *Store) catchUp() {
	s.live.turn <- struct{}{}
	defer func() { <-s.live.turn }()
	_ = s.live.bring(s.durable.Load()) // a catalog that it fails for is built anew
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	s.live.catchingUp = false
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
