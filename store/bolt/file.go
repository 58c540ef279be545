package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	pageSize = 4096

	// growBytes is by how much the file grows at a time.
	growBytes = 1 << 20

	// mapBytes is how much address space is mapped at first. Within it the file
	// grows without a new mapping, for which all readers would have to pause.
	mapBytes = 1 << 30
)

const (
	bucketMeta       = "meta"
	bucketBindings   = "bindings"
	bucketUsage      = "usage"
	bucketHistory    = "history"
	bucketArchive    = "archive"
	bucketIntercepts = "intercepts"
	bucketBlocks     = "blocks"
	bucketCounters   = "counters"
	bucketSettings   = "settings"
	bucketDocuments  = "documents"
	bucketAudit      = "audit"
)

var (
	keyMagic    = []byte("magic")
	keyFormat   = []byte("format")
	keyWriter   = []byte("writer") // version of the program that brought the file to its format
	keyBindings = []byte("bindings")
	keyArchived = []byte("archived")
	keyProbe    = []byte("probe")

	magic = []byte("key-ip-sentinel")
)

// file is one open data file.
type file struct {
	db      *bbolt.DB
	os      *os.File       // the same file, which db closes
	lastTx  int64          // last transaction in it when it was opened
	base    int64          // what moment adds
	readers sync.WaitGroup // taken under Store.mu
	stuck   bool           // bbolt has not let go of a write transaction, and cannot be closed
}

// moment returns what a transaction of the file sees: the higher, the later, also
// across the files that one store has had.
func (f *file) moment(tx *bbolt.Tx) int64 { return f.base + int64(tx.ID()) }

// close closes the file and thereby unlocks it.
func (f *file) close() error {
	if !f.stuck {
		return f.db.Close()
	}
	return errors.Join(unlock(f.os), f.os.Close())
}

// openFile opens a data file of any known format, with os.O_CREATE in flag also
// one that is missing.
//
// The lock comes first, then the look at the file with plain reads, and only
// then bbolt, which maps it and believes what it finds. Nothing is written
// before the file has proved to be Sentinel's or empty.
func openFile(path string, opts Options, flag int) (f *file, err error) {
	osFile, err := openLocked(path, opts.Timeout, flag)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			letGo(osFile) // the error that led here is the one to report
		}
	}()
	state, err := inspect(osFile)
	if err != nil {
		return nil, err
	}
	if state.oneMeta {
		opts.Logger.Warn("store was not closed properly: its last transaction, if there was one, was never acknowledged and is left out", "path", path)
	}
	if state.unborn {
		if err := osFile.Truncate(0); err != nil {
			return nil, err
		}
	}
	db, err := openBolt(osFile, opts.Timeout)
	if err != nil {
		return nil, err
	}
	f = &file{db: db, os: osFile}
	if err := f.prepare(path, opts, state.unborn || state.blank); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// openLocked opens a file and locks it. Whoever had it locked may have put another
// in its place meanwhile, as Compact does: then that one is taken.
func openLocked(path string, timeout time.Duration, flag int) (*os.File, error) {
	for {
		f, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|flag, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lock(f, timeout); err != nil {
			letGo(f)
			return nil, err
		}
		isNamed, err := isFileAt(f, path)
		if err == nil && isNamed {
			return f, nil
		}
		letGo(f)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// letGo unlocks and closes a file: a mapping that bbolt lost may outlive the
// descriptor, and would keep the lock.
func letGo(f *os.File) {
	_ = unlock(f)
	_ = f.Close()
}

// isFileAt reports whether an open file is the one at a path.
func isFileAt(f *os.File, path string) (bool, error) {
	open, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return os.SameFile(open, named), nil
}

// openBolt gives bbolt a file that is open and locked.
func openBolt(osFile *os.File, timeout time.Duration) (db *bbolt.DB, err error) {
	defer recoverDamage(&err)()
	initial := 0
	if runtime.GOOS != "windows" && math.MaxInt > math.MaxInt32 {
		initial = mapBytes // Windows would make the file as large, 32 bits lack the addresses
	}
	db, err = bbolt.Open(osFile.Name(), 0o600, &bbolt.Options{
		Timeout:         timeout,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: initial,
		NoStatistics:    true, // they cost every reader a lock
		PageSize:        pageSize,
		OpenFile:        func(string, int, fs.FileMode) (*os.File, error) { return osFile, nil },
	})
	if err != nil {
		return nil, err
	}
	db.AllocSize = growBytes
	return db, nil
}

// prepare makes the buckets of a new file, or brings those of an old one to the
// current format, and notes the last transaction.
func (f *file) prepare(path string, opts Options, isNew bool) error {
	version, err := f.version()
	switch {
	case errors.Is(err, errNoBuckets) && isNew:
		if _, err := f.update(func(w *writeTx) error { return createBuckets(w, opts.Program) }); err != nil {
			return unavailable(err)
		}
		if err := syncDir(filepath.Dir(path)); err != nil {
			return unavailable(err)
		}
	case err != nil:
		return err
	case version > currentFormat:
		return f.isNewer(version)
	case version < currentFormat:
		if err := f.migrate(path, opts, version); err != nil {
			return err
		}
	}
	return f.checkBuckets()
}

var errNoBuckets = fmt.Errorf("%w: an empty database", store.ErrForeign)

// version returns the format of the file.
func (f *file) version() (version uint64, err error) {
	err = f.read(func(tx *bbolt.Tx) error {
		if k, _ := tx.Cursor().First(); k == nil {
			return errNoBuckets
		}
		meta := tx.Bucket([]byte(bucketMeta))
		if meta == nil || !bytes.Equal(meta.Get(keyMagic), magic) {
			return fmt.Errorf("%w: a database of another program", store.ErrForeign)
		}
		v := meta.Get(keyFormat)
		if len(v) != 8 {
			return fmt.Errorf("%w: no format version", store.ErrDamaged)
		}
		version = be.Uint64(v)
		return nil
	})
	return version, err
}

// isNewer returns what refuses a file of a format that this program cannot read.
func (f *file) isNewer(version uint64) error {
	writer := ""
	err := f.read(func(tx *bbolt.Tx) error {
		writer = string(tx.Bucket([]byte(bucketMeta)).Get(keyWriter))
		return nil
	})
	if err != nil {
		return err
	}
	err = fmt.Errorf("%w: it has format %d, this one reads up to %d", store.ErrNewer, version, currentFormat)
	if writer != "" {
		err = fmt.Errorf("%w; use %s, which wrote it, or a later one", err, writer)
	}
	return err
}

// putFormat notes the format of the file, and what has brought it there, for an older
// program that will not read it.
func putFormat(w *writeTx, version uint64, program string) error {
	return errors.Join(
		w.put(bucketMeta, keyFormat, be.AppendUint64(nil, version)),
		w.put(bucketMeta, keyWriter, []byte(program)),
	)
}

// checkBuckets makes sure that everything is there that later code relies on.
func (f *file) checkBuckets() error {
	return f.read(func(tx *bbolt.Tx) error {
		f.lastTx = int64(tx.ID())
		for _, name := range allBuckets {
			if tx.Bucket([]byte(name)) == nil {
				return fmt.Errorf("%w: bucket %s is missing", store.ErrDamaged, name)
			}
		}
		_, bindingsErr := count(tx, keyBindings)
		_, archivedErr := count(tx, keyArchived)
		return errors.Join(bindingsErr, archivedErr)
	})
}

// read runs fn in a read transaction while the file is being opened.
func (f *file) read(fn func(tx *bbolt.Tx) error) (err error) {
	defer recoverDamage(&err)()
	return f.db.View(fn)
}

var allBuckets = []string{
	bucketMeta, bucketBindings, bucketUsage, bucketHistory, bucketArchive, bucketIntercepts, bucketBlocks,
	bucketCounters, bucketSettings, bucketDocuments, bucketAudit,
}

func createBuckets(w *writeTx, program string) error {
	for _, name := range allBuckets {
		if _, err := w.tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	return errors.Join(
		w.put(bucketMeta, keyMagic, magic),
		putFormat(w, currentFormat, program),
		w.put(bucketMeta, keyBindings, be.AppendUint64(nil, 0)),
		w.put(bucketMeta, keyArchived, be.AppendUint64(nil, 0)),
	)
}
