package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

// secretsSuffix is added to the name of a snapshot for the secrets beside it.
const secretsSuffix = ".secrets.json"

// errNoSecret means that no HMAC secret is at hand to compare a snapshot with.
var errNoSecret = errors.New("no HMAC secret at hand")

// snapshot is what is told of a data file.
type snapshot struct {
	Bindings int
	Bytes    int64
}

// examineSnapshot reads every binding of a data file, which nobody else may have
// open, and compares it with the HMAC secrets, unless there is none. A file of an
// older format is brought to the current one. Errors are those of bolt.Open, and
// engine.ErrOtherSecret.
func examineSnapshot(ctx context.Context, path string, secrets engine.Secrets, tell func(done, total int)) (snapshot, error) {
	s, err := bolt.Open(path, bolt.Options{Program: currentBuild().Version})
	if err != nil {
		return snapshot{}, err
	}
	found, err := examine(ctx, s, secrets, tell)
	if err = errors.Join(err, s.Close()); err != nil {
		return snapshot{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return snapshot{}, err
	}
	found.Bytes = info.Size()
	return found, nil
}

func examine(ctx context.Context, s store.Store, secrets engine.Secrets, tell func(done, total int)) (snapshot, error) {
	if len(secrets.Current) > 0 {
		if _, err := engine.CheckSecret(ctx, s, secrets); err != nil {
			return snapshot{}, err
		}
	}
	total, err := s.CountBindings(ctx)
	if err != nil {
		return snapshot{}, err
	}
	done := 0
	for page, err := range store.BindingPages(ctx, s) {
		if err != nil {
			return snapshot{}, err
		}
		done += len(page)
		tell(done, total)
	}
	if done != total {
		return snapshot{}, fmt.Errorf("%w: it says that it has %d bindings, and has %d", store.ErrDamaged, total, done)
	}
	return snapshot{Bindings: total}, nil
}

// fileWriter writes a file that has its name only once it is whole and on disk.
type fileWriter struct {
	*os.File
	path string
}

// newFileWriter makes one beside path, readable to its owner alone.
func newFileWriter(path string) (*fileWriter, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return nil, err
	}
	return &fileWriter{f, path}, nil
}

// finish gives the file its name. Without overwrite it is an error that wraps
// os.ErrExist if there is one of that name meanwhile.
func (f *fileWriter) finish(overwrite bool) error {
	name := f.Name()
	if overwrite {
		if err := os.Rename(name, f.path); err != nil {
			return err
		}
		return syncDir(filepath.Dir(f.path))
	}
	if err := os.Link(name, f.path); err != nil { // unlike a rename, refuses to overwrite
		if errors.Is(err, os.ErrExist) || !missing(f.path) {
			return err
		}
		if err := os.Rename(name, f.path); err != nil { // a file system without links
			return err
		}
	}
	return syncDir(filepath.Dir(f.path))
}

// discard removes what is left under the temporary name.
func (f *fileWriter) discard() {
	_ = f.Close()
	_ = os.Remove(f.Name())
}

// flush puts everything on disk.
func (f *fileWriter) flush() error { return errors.Join(f.Sync(), f.Close()) }

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, os.ErrNotExist)
}

// contextReader ends a copy when the command is interrupted.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// megabytes writes a size as people read it.
func megabytes(n int64) string {
	switch {
	case n < 1e6:
		return fmt.Sprintf("%d kB", (n+999)/1000)
	case n < 10e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f GB", float64(n)/1e9)
}
