// Package bolt keeps everything in one bbolt file: the authority of a Sentinel
// that runs alone.
//
// # Writing
//
// One goroutine, the committer, owns all write transactions. It takes whatever
// callers have queued, applies it in one transaction, and answers all of them
// after the fsync; meanwhile the next ones queue up. So the cost of an fsync is
// shared by as many callers as there happen to be, and a lone caller never waits
// for company.
//
// # Reading
//
// Readers have a transaction each and wait for nobody, with one exception: bbolt
// shows a commit to readers a moment before the fsync that makes it durable, and
// a reader that arrives in this moment waits for it. What has been read here is
// never lost to a power cut.
//
// # The file
//
// Buckets of format 3, the current one; integers are big-endian:
//
//	meta        "magic", "format", "bindings" and "archived" (their numbers), "probe"
//	bindings    key hash -> revision (8 bytes), CBOR of bindingRecord;
//	            the bucket's sequence is the last revision
//	usage       key hash -> last use in ms (8), hits (8), address (0, 4 or 16)
//	history     key hash -> days and addresses, as history.go says
//	touches     usage that is not yet where it belongs, as touchlog.go says
//	archive     key hash -> time in ms (8), length of usage (4), length of
//	            history (4), usage, history, binding
//	intercepts  ID (8) -> key hash (32), time in ms (8), head of
//	            codec_intercept.go, CBOR of interceptRecord;
//	            the bucket's sequence is the last ID
//	blocks      ID of an intercept / 1024 (8) -> first and last time in ms (8 each),
//	            Bloom filter of the key hashes (1024)
//	counters    hour in seconds (8), name -> count (8)
//	settings    name -> value
//	documents   length of the kind (1), kind, ID -> revision (8), JSON;
//	            the bucket's sequence is the last revision
//	audit       ID (8) -> time in ms (8), CBOR of auditRecord;
//	            the bucket's sequence is the last ID
//
// A file that is a copy of an authority has "copy.of" and "copy.position" in meta, and
// may have two more buckets, as copy.go says; the revisions in it are the authority's.
//
// Usage has a bucket of its own because it changes all the time: its pages are
// dense, so that writing the use of many keys rewrites few of them. Its history is
// written much less often. The usage of many keys at once is logged, and written where
// it belongs later, when the keys of one page have more of it.
//
// # Searching
//
// Bindings are found and ordered in memory, by a catalog that is built for the
// first query and follows every commit; see live.go and package catalog.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/groupcommit"
)

// FileName is what the file is called within a data directory.
const FileName = "sentinel.db"

// DefaultTimeout is how long Open waits for another process to let go.
const DefaultTimeout = time.Second

// Options for Open; the zero value is good.
type Options struct {
	// Timeout is how long to wait while another process has the file open;
	// 0 means DefaultTimeout.
	Timeout time.Duration
	// Program is the version of this program, such as "v1.2.0". It is kept in a file
	// that is made or brought to another format, so that an older program can name
	// what it takes to read it.
	Program string
	// Logger hears of what needs no answer but should be known: a migration, a
	// file that had to be opened again. Nil means nobody.
	Logger *slog.Logger
}

// Store is a store.Store in one file.
type Store struct {
	path string
	opts Options

	// file is replaced, under mu, only when the medium has failed.
	mu   sync.RWMutex
	file *file // nil once closed, or while it cannot be opened again
	down error // why file is nil

	reads   atomic.Uint64                 // of single bindings
	durable atomic.Int64                  // moment of the last transaction known to be on disk
	syncing atomic.Pointer[chan struct{}] // closed when the commit under way is over

	base    int64          // of the file; the committer's own
	retired sync.WaitGroup // files that others have taken the place of, being closed
	live    live           // what the bindings are searched in
	log     touchLog

	replacing chan struct{} // taken by the one ReplaceAll that runs

	queue *groupcommit.Queue[request]
}

var _ store.Store = (*Store)(nil)

// Open opens the file of that path, and creates it if it is missing or empty;
// its directory must exist. A file of an older format is brought to the current
// one, after a copy of it has been put beside it.
//
// Errors: store.ErrLocked, store.ErrForeign, store.ErrDamaged and store.ErrNewer,
// each of which leaves the file as it is, and those of the file system.
func Open(path string, opts Options) (*Store, error) {
	if opts.Timeout == 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		path: path, opts: opts, queue: groupcommit.New[request](), replacing: make(chan struct{}, 1),
	}
	f, err := openFile(path, opts, os.O_CREATE)
	if err != nil {
		return nil, openError(path, err)
	}
	removeLeftovers(path, opts.Logger)
	s.file = f
	s.durable.Store(f.lastTx)
	s.live.init()
	s.log.init()
	if err := s.log.load(f); err != nil {
		return nil, errors.Join(openError(path, err), f.close())
	}
	go s.queue.Serve(together, s.serve)
	return s, nil
}

// openError names the path once, whatever the cause already says.
func openError(path string, err error) error {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) && pathErr.Path == path {
		err = pathErr.Err
	}
	return fmt.Errorf("open store %s: %w", path, err)
}

// Close waits for the changes under way, and closes the file. Closing again does
// nothing; everything else returns store.ErrUnavailable from here on.
func (s *Store) Close() error {
	_ = s.settleAll(context.Background()) // what stays in the log is as durable there
	isFirst := s.queue.Close()
	<-s.queue.Ended()
	if !isFirst {
		return nil
	}
	s.live.close()

	s.mu.Lock()
	f := s.file
	s.file, s.down = nil, store.ErrClosed
	s.mu.Unlock()
	s.retired.Wait()
	if f == nil {
		return nil
	}
	f.readers.Wait()
	if err := f.close(); err != nil {
		return fmt.Errorf("close store %s: %w", s.path, err)
	}
	return nil
}

// unavailable says that the medium failed, and how.
func unavailable(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// view runs fn in a read transaction that sees durable changes only.
func (s *Store) view(ctx context.Context, fn func(tx *bbolt.Tx) error) error {
	return s.viewFile(ctx, func(tx *bbolt.Tx, _ *file) error { return fn(tx) })
}

// viewFile is view, which tells fn whose transaction it has.
func (s *Store) viewFile(ctx context.Context, fn func(tx *bbolt.Tx, f *file) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		wait, err := s.viewOnce(fn)
		if wait == nil {
			return err
		}
		select {
		case <-wait:
		case <-ctx.Done():
		}
	}
}

// viewOnce runs fn, or returns what to wait for before it may.
func (s *Store) viewOnce(fn func(tx *bbolt.Tx, f *file) error) (wait <-chan struct{}, err error) {
	f, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer f.readers.Done()
	defer func() {
		if errors.Is(err, store.ErrDamaged) {
			err = unavailable(err)
		}
	}()
	defer recoverDamage(&err)()
	tx, err := f.db.Begin(false)
	if err != nil {
		return nil, unavailable(err)
	}
	defer func() { _ = tx.Rollback() }() // ends it: a read transaction has nothing to undo
	if f.moment(tx) > s.durable.Load() {
		// The committer stores durable before it clears syncing: if there is
		// no commit under way any more, this one has become durable.
		if under := s.syncing.Load(); under != nil {
			return *under, nil
		}
	}
	return nil, fn(tx, f)
}

// acquire returns the open file, which is not closed before its readers are done.
func (s *Store) acquire() (*file, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.file == nil {
		return nil, s.down
	}
	s.file.readers.Add(1)
	return s.file, nil
}
