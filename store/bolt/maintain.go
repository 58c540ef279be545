package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
)

var _ store.Maintainer = (*Store)(nil)

// What is added to the name of the file for files beside it that are at work, or
// were when the process ended.
const (
	snapshotInfix = ".snapshot-"
	compactInfix  = ".compact-"
)

// removeLeftovers removes what an earlier process left at work. The caller has the
// lock of the store, so that there is no other process whose they could be.
func removeLeftovers(path string, logger *slog.Logger) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // they stay, and are in nobody's way
	}
	for _, entry := range entries {
		rest, isBeside := strings.CutPrefix(entry.Name(), filepath.Base(path))
		if !isBeside || !strings.HasPrefix(rest, snapshotInfix) && !strings.HasPrefix(rest, compactInfix) {
			continue
		}
		name := filepath.Join(filepath.Dir(path), entry.Name())
		logger.Info("removing what an unfinished snapshot or compaction left", "path", name, "error", os.Remove(name))
	}
}

// Snapshot is part of store.Maintainer. The copy is made beside the file first,
// which takes the space, but only a moment: a reader of the network could be slow,
// and a transaction that lasts keeps the file from using pages again.
func (s *Store) Snapshot(ctx context.Context, w io.Writer) (size int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+snapshotInfix+"*")
	if err != nil {
		return 0, unavailable(err)
	}
	defer func() { err = errors.Join(err, tmp.Close(), os.Remove(tmp.Name())) }()
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(contextWriter{ctx, tmp})
		return err
	})
	s.trimNow()
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil:
		return 0, unavailable(err)
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return 0, unavailable(err)
	}
	if size, err = io.Copy(contextWriter{ctx, w}, tmp); err != nil {
		return size, fmt.Errorf("write snapshot: %w", err)
	}
	return size, nil
}

// contextWriter writes until a context ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w contextWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

// Size is part of store.Maintainer. What is free within pages is not counted.
func (s *Store) Size(ctx context.Context) (size store.Size, err error) {
	for found := false; !found && err == nil; {
		err = s.viewFile(ctx, func(tx *bbolt.Tx, f *file) error {
			size, found, err = f.sizeAt(tx)
			return err
		})
	}
	if err != nil && ctx.Err() == nil {
		err = unavailable(err)
	}
	return size, err
}

// sizeAt counts the free pages that a transaction sees, or has not found if its
// meta page has been written over meanwhile.
func (f *file) sizeAt(tx *bbolt.Tx) (size store.Size, found bool, err error) {
	info, err := f.os.Stat()
	if err != nil {
		return size, false, err
	}
	m, _, err := currentMeta(f.os, info.Size())
	if err != nil || m.txid != uint64(tx.ID()) { // #nosec G115 -- not negative
		return size, false, err
	}
	head, err := readHead(f.os, m.freelist, m.pageSize) // tx keeps the page from being used again
	if err != nil {
		return size, false, err
	}
	used := int64(m.hwm-head.count) * int64(m.pageSize) // #nosec G115 -- pages of a file
	return store.Size{Total: info.Size(), Free: max(0, info.Size()-used)}, true, nil
}

// Compact is part of store.Maintainer. The committer itself does it, so that
// nothing changes meanwhile: it copies everything into a new file, makes that
// durable, and gives it the name of the old one. Until then, a crash leaves the old
// file, and one to be removed at the next start.
//
// At any moment the file of that name is locked by this process: the new one was
// locked when it was made, and the old one is until its last reader is done. Who
// waits for the lock of the old one meanwhile finds that it has lost its name.
func (s *Store) Compact(ctx context.Context) (before, after int64, err error) {
	if runtime.GOOS == "windows" {
		return 0, 0, fmt.Errorf("compact: %w: an open file cannot be replaced", errors.ErrUnsupported)
	}
	var sizes [2]int64
	err = s.queue.Ask(ctx, request{alone: func() (err error) {
		sizes[0], sizes[1], err = s.compact(ctx)
		return err
	}})
	if err != nil {
		return 0, 0, err
	}
	return sizes[0], sizes[1], nil
}

// compact runs in the committer.
func (s *Store) compact(ctx context.Context) (before, after int64, err error) {
	old := s.file
	if before, err = old.length(); err != nil {
		return 0, 0, unavailable(err)
	}
	fresh, err := s.copyBeside(ctx, old)
	if err != nil {
		return 0, 0, err
	}
	if after, err = fresh.length(); err == nil {
		err = s.replaceFile(fresh)
	}
	if err != nil {
		return 0, 0, errors.Join(unavailable(err), fresh.discard())
	}
	s.retired.Go(func() {
		old.readers.Wait()
		if err := old.close(); err != nil {
			s.opts.Logger.Warn("file from before the compaction cannot be closed", "error", err)
		}
	})
	// Without the sync, a power cut may bring back the old one, which tells the same
	// as long as nothing is written to the new one.
	if err := syncDir(filepath.Dir(s.path)); err != nil {
		return 0, 0, unavailable(err)
	}
	s.opts.Logger.Info("store compacted", "path", s.path, "before", before, "after", after)
	return before, after, nil
}

// replaceFile gives a copy of the file the name of the file, and the place.
func (s *Store) replaceFile(fresh *file) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(fresh.os.Name(), s.path); err != nil {
		return err
	}
	s.base = s.durable.Load() - fresh.lastTx
	fresh.base = s.base
	s.file = fresh
	return nil
}

func (f *file) length() (int64, error) {
	info, err := f.os.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// discard closes and removes a file that is of no use.
func (f *file) discard() error { return errors.Join(f.close(), os.Remove(f.os.Name())) }

// copyBeside copies a file to a new one beside it, which is open, locked and
// durable.
func (s *Store) copyBeside(ctx context.Context, from *file) (to *file, err error) {
	tmp, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+compactInfix+"*")
	if err != nil {
		return nil, unavailable(err)
	}
	name := tmp.Name()
	if err := tmp.Close(); err != nil {
		return nil, unavailable(errors.Join(err, os.Remove(name)))
	}
	to, err = openFile(name, s.opts, 0)
	if err != nil {
		return nil, unavailable(errors.Join(err, os.Remove(name)))
	}
	to.db.NoSync, to.db.NoGrowSync = true, true // one sync at the end is enough
	err = from.read(func(tx *bbolt.Tx) error { return copyAll(ctx, to, tx) })
	if err == nil {
		to.db.NoSync, to.db.NoGrowSync = false, false
		err = to.finishCopy()
	}
	if err == nil {
		return to, nil
	}
	err = errors.Join(err, to.discard())
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, unavailable(err)
}

// finishCopy makes a copy durable, and makes sure that it is whole.
func (f *file) finishCopy() error {
	if err := f.db.Sync(); err != nil {
		return err
	}
	return f.checkBuckets()
}

// copyBytes is how much one transaction of a copy takes.
const copyBytes = 8 << 20

// copyFill leaves some room in each page, for keys that come in between: pages
// that are full are halved by the first one.
const copyFill = 0.9

// copyAll copies all buckets that a transaction sees.
func copyAll(ctx context.Context, to *file, from *bbolt.Tx) error {
	return from.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
		_, err := to.update(func(w *writeTx) error {
			w.changed = true
			made, err := w.tx.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			return made.SetSequence(bucket.Sequence())
		})
		if err != nil {
			return err
		}
		c := bucket.Cursor()
		for k, v := c.First(); k != nil && err == nil; {
			if err := ctx.Err(); err != nil {
				return err
			}
			_, err = to.update(func(w *writeTx) error {
				k, v, err = copyChunk(w, string(name), c, k, v)
				return err
			})
		}
		return err
	})
}

// copyChunk copies records from k on, and returns the first that it has not.
func copyChunk(w *writeTx, name string, c *bbolt.Cursor, k, v []byte) (nextKey, nextValue []byte, err error) {
	w.bucket(name).FillPercent = copyFill
	for size := 0; k != nil && size < copyBytes; k, v = c.Next() {
		if err := w.put(name, k, v); err != nil {
			return nil, nil, err
		}
		size += len(k) + len(v)
	}
	return k, v, nil
}
