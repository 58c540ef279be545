package bolt

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// currentFormat is the version that new files get and all code but this file
// works with.
const currentFormat = uint64(1 + len(migrations))

// migrations has at index i the step from format i+1 to the next.
var migrations = [...]func(w *writeTx) error{
	moveUsage,
	addAdministration,
	allowNamedRules,
}

// migrate brings the file from an older format to the current one, each step in
// a transaction of its own. Before the first one, the file is copied to a file
// beside it, which stays there for those who want to go back.
func (f *file) migrate(path string, opts Options, version uint64) error {
	if version == 0 {
		return fmt.Errorf("%w: format 0", store.ErrDamaged)
	}
	backup := fmt.Sprintf("%s.v%d.bak", path, version)
	if err := copyFile(f.os, backup); err != nil {
		return fmt.Errorf("copy to %s before bringing format %d to %d: %w", backup, version, currentFormat, err)
	}
	opts.Logger.Info("store format is older, a copy was kept", "path", path, "format", version, "to", currentFormat, "copy", backup)
	for ; version < currentFormat; version++ {
		_, err := f.update(func(w *writeTx) error {
			if err := migrations[version-1](w); err != nil {
				return err
			}
			return putFormat(w, version+1, opts.Program)
		})
		if err != nil {
			return fmt.Errorf("bring format %d to %d: %w", version, version+1, err)
		}
	}
	return nil
}

// copyFile makes a durable copy that appears under its name only when complete.
func copyFile(src *os.File, name string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	info, err := src.Stat()
	if err == nil {
		_, err = io.Copy(tmp, io.NewSectionReader(src, 0, info.Size()))
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// bindingRecord1 is a binding of format 1, which had its usage in it.
type bindingRecord1 struct {
	bindingRecord
	LastUsed int64  `cbor:"10,keyasint,omitempty"` // ms
	LastIP   []byte `cbor:"11,keyasint,omitempty"`
	Hits     uint64 `cbor:"12,keyasint,omitempty"`
}

// moveUsage gives usage a bucket of its own: format 1 to 2.
func moveUsage(w *writeTx) error {
	if _, err := w.tx.CreateBucket([]byte(bucketUsage)); err != nil {
		return err
	}
	w.bucket(bucketUsage).FillPercent = 0.9 // filled in order
	// A cursor must not move while its bucket changes: it is sought anew.
	c := w.bucket(bucketBindings).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		key := append([]byte(nil), k...)
		if err := w.moveUsageOf(key, v); err != nil {
			return err
		}
		c.Seek(key)
	}
	return nil
}

func (w *writeTx) moveUsageOf(key, value []byte) error {
	revision, err := revisionOf(value)
	if err != nil {
		return err
	}
	var rec bindingRecord1
	if err := decoding.Unmarshal(value[revisionBytes:], &rec); err != nil {
		return damaged("binding %x: %v", key, err)
	}
	if rec.Hits == 0 && rec.LastUsed == 0 {
		return nil
	}
	ip, err := parseAddr(rec.LastIP)
	if err != nil {
		return err
	}
	u := store.Usage{LastUsed: time.UnixMilli(rec.LastUsed).UTC(), LastIP: ip, Hits: rec.Hits}
	if err := w.put(bucketUsage, key, appendUsage(nil, u)); err != nil {
		return err
	}
	slim, err := encodeAfter(make([]byte, revisionBytes, 128), rec.bindingRecord)
	if err != nil {
		return err
	}
	setRevision(slim, revision)
	return w.put(bucketBindings, key, slim)
}

// addAdministration makes room for what administration keeps: format 2 to 3.
// Usage that is there gets its history from the next use on, and intercepts that
// are there get their block from the next one in it on.
func addAdministration(w *writeTx) error {
	for _, name := range []string{bucketHistory, bucketArchive, bucketBlocks, bucketDocuments, bucketAudit} {
		if _, err := w.tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	return w.put(bucketMeta, keyArchived, be.AppendUint64(nil, 0))
}

// allowNamedRules changes nothing: format 3 to 4. Rules that name networks or
// learn, and what an intercept rests on, are more than who reads format 3 knows.
func allowNamedRules(*writeTx) error { return nil }
