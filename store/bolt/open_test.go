package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

func TestOpenCreatesAPrivateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), bolt.FileName)
	mustClose(t, openPath(t, path))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
	if info.Size() > 2<<20 {
		t.Errorf("an empty store has %d bytes", info.Size())
	}
}

func TestOpenNeedsTheDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", bolt.FileName)
	_, err := bolt.Open(path, bolt.Options{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want fs.ErrNotExist", err)
	}
	if n := strings.Count(err.Error(), path); n != 1 {
		t.Errorf("the path is named %d times: %v", n, err)
	}
}

func TestOpenLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), bolt.FileName)
	holder := openPath(t, path)
	_, err := bolt.Open(path, bolt.Options{Timeout: time.Millisecond})
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want ErrLocked with the path", err)
	}
	storeWorks(t, holder)
	mustClose(t, holder)
	mustClose(t, openPath(t, path))
}

// storeWorks binds the next fixture key and reads it.
func storeWorks(t *testing.T, s *bolt.Store) {
	t.Helper()
	n, err := s.CountBindings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, created, err := s.Bind(t.Context(), storetest.Binding(n))
	if err != nil || !created {
		t.Fatalf("bind: created %v, %v", created, err)
	}
	got, err := s.Binding(t.Context(), b.Hash)
	if err != nil || got.Revision != b.Revision {
		t.Fatalf("read: revision %d, %v, want %d", got.Revision, err, b.Revision)
	}
}

// fullFile returns the bytes of a store with this many bindings.
func fullFile(t *testing.T, bindings int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), bolt.FileName)
	s := openPath(t, path)
	n, err := s.ImportBindings(t.Context(), func(yield func(store.Binding) bool) {
		for i := 0; i < bindings && yield(storetest.Binding(i)); i++ {
		}
	})
	if err != nil || n != bindings {
		t.Fatalf("import: %d, %v", n, err)
	}
	mustClose(t, s)
	return readFile(t, path)
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// boltFile returns the bytes of a database with one value in it.
func boltFile(t *testing.T, opts *bbolt.Options, bucket, key, value string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(path, 0o600, opts)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bucket))
		if err != nil {
			return err
		}
		return b.Put([]byte(key), []byte(value))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return readFile(t, path)
}

// changed returns a copy of content after a change.
func changed(content []byte, change func(c []byte)) []byte {
	c := bytes.Clone(content)
	change(c)
	return c
}

func fillRandom(c []byte, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- a test
	for i := range c {
		c[i] = byte(rnd.Uint32()) // #nosec G115 -- cut on purpose
	}
}

const page = 4096

// laterMeta returns the page number of the meta page in use.
func laterMeta(content []byte) int {
	ne := binary.NativeEndian
	if ne.Uint64(content[page+16+48:]) > ne.Uint64(content[16+48:]) {
		return 1
	}
	return 0
}

func TestOpenLeavesWhatItCannotReadAlone(t *testing.T) {
	full := fullFile(t, 5_000)
	empty := fullFile(t, 0)
	ne := binary.NativeEndian
	freelist := ne.Uint64(full[laterMeta(full)*page+16+32:]) * page
	root := ne.Uint64(full[laterMeta(full)*page+16+16:]) * page

	cases := []struct {
		name    string
		content []byte
		want    error
	}{
		{"text", []byte("DOWNSTREAM_URL=http://127.0.0.1:3000\n"), store.ErrForeign},
		{"one byte", []byte{1}, store.ErrForeign},
		{"SQLite", append([]byte("SQLite format 3\x00"), make([]byte, 100*page)...), store.ErrForeign},
		{"zeros", make([]byte, 100*page), store.ErrForeign},
		{"random", changed(full, func(c []byte) { fillRandom(c, 1) }), store.ErrForeign},
		{"database of another program", boltFile(t, nil, "buckets", "a", "b"), store.ErrForeign},
		{"database with a bucket of our name", boltFile(t, nil, "meta", "magic", "other"), store.ErrForeign},
		{"database without freelist", boltFile(t, &bbolt.Options{NoFreelistSync: true}, "meta", "a", "b"), store.ErrForeign},
		{"database with large pages", boltFile(t, &bbolt.Options{PageSize: 16384}, "meta", "a", "b"), store.ErrForeign},
		{"magic without a format", boltFile(t, nil, "meta", "magic", "key-ip-sentinel"), store.ErrDamaged},
		{"truncated to half", full[:len(full)/2], store.ErrDamaged},
		{"truncated to its meta pages", full[:2*page], store.ErrDamaged},
		{"truncated within a meta page", full[:page/2], store.ErrDamaged},
		{"empty store, truncated", empty[:5*page], store.ErrDamaged},
		{"first pages zeroed", changed(full, func(c []byte) { clear(c[:2*page]) }), store.ErrDamaged},
		{"first pages random", changed(full, func(c []byte) { fillRandom(c[:2*page], 2) }), store.ErrDamaged},
		{"checksums wrong", changed(full, func(c []byte) { c[16+20]++; c[page+16+20]++ }), store.ErrDamaged},
		{"freelist zeroed", changed(full, func(c []byte) { clear(c[freelist : freelist+page]) }), store.ErrDamaged},
		{"freelist of a huge length", changed(full, func(c []byte) {
			ne.PutUint16(c[freelist+10:], 0xFFFF)
			ne.PutUint64(c[freelist+16:], 1<<40)
		}), store.ErrDamaged},
		{"root page random", changed(full, func(c []byte) { fillRandom(c[root:root+page], 3) }), store.ErrDamaged},
		{"root page without content", changed(full, func(c []byte) { fillRandom(c[root+16:root+page], 4) }), store.ErrDamaged},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, bolt.FileName)
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := bolt.Open(path, bolt.Options{})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %v with the path", err, c.want)
			}
			if !bytes.Equal(readFile(t, path), c.content) {
				t.Error("the file was changed")
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
				t.Errorf("something was put beside the file: %v, %v", files, err)
			}
			if _, again := bolt.Open(path, bolt.Options{Timeout: time.Millisecond}); errors.Is(again, store.ErrLocked) {
				t.Errorf("the file was left locked: %v", again)
			}
		})
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := bolt.Open(dir, bolt.Options{}); err == nil {
		t.Error("opened a directory")
	}
	if _, err := bolt.Open(os.DevNull, bolt.Options{}); !errors.Is(err, store.ErrForeign) {
		t.Errorf("device: got %v, want ErrForeign", err)
	}
}

// TestOpenFinishesACreation starts from what a crash may leave of it.
func TestOpenFinishesACreation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fresh.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: page})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	fresh := readFile(t, path)
	cases := map[string][]byte{
		"empty file":             {},
		"zeros of full length":   make([]byte, len(fresh)),
		"zeros":                  make([]byte, 1_000),
		"first byte":             fresh[:1],
		"first page":             fresh[:page],
		"one page and a half":    fresh[:page+page/2],
		"all but the last byte":  fresh[:len(fresh)-1],
		"all of it":              fresh,
		"second meta page lost":  changed(fresh, func(c []byte) { clear(c[page : 2*page]) }),
		"first pages lost":       changed(fresh, func(c []byte) { clear(c[:2*page]) }),
		"grown, not yet written": append(bytes.Clone(fresh), make([]byte, 100*page)...),
	}
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), bolt.FileName)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s := openPath(t, path)
			storeWorks(t, s)
			mustClose(t, s)
			s = openPath(t, path)
			storeWorks(t, s)
			mustClose(t, s)
		})
	}
}

// TestOpenAfterATornCommit spoils the meta page of the last transaction: the
// one before it counts.
func TestOpenAfterATornCommit(t *testing.T) {
	content := fullFile(t, 1)
	for name, spoil := range map[string]func(meta []byte){
		"zeroed": func(meta []byte) { clear(meta) },
		"random": func(meta []byte) { fillRandom(meta, 5) },
		"torn":   func(meta []byte) { clear(meta[40:]) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), bolt.FileName)
			at := laterMeta(content) * page
			torn := changed(content, func(c []byte) { spoil(c[at : at+page]) })
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			s := openPath(t, path)
			if n, err := s.CountBindings(t.Context()); err != nil || n != 0 {
				t.Errorf("count %d, %v, want that of the transaction before", n, err)
			}
			storeWorks(t, s)
			mustClose(t, s)
		})
	}
}

// TestDamagedPages overwrites pages within a file that opens all the same: what
// is read from them may fail, but not end the process.
func TestDamagedPages(t *testing.T) {
	const bindings = 5_000
	content := fullFile(t, bindings)
	pages := len(content) / page
	opened := 0
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- a test
		spoiled := changed(content, func(c []byte) {
			for range 8 {
				at := (2 + rnd.IntN(pages-2)) * page
				if seed%2 == 0 {
					at += 16 // keep the page's head, so that bbolt believes it
				}
				fillRandom(c[at:at+page-16], rnd.Uint64())
			}
		})
		path := filepath.Join(t.TempDir(), bolt.FileName)
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := bolt.Open(path, bolt.Options{})
		if err != nil {
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("seed %d: open: %v", seed, err)
			}
			continue
		}
		opened++
		useDamaged(t, s, bindings)
		if err := s.Close(); err != nil {
			t.Errorf("seed %d: close: %v", seed, err)
		}
	}
	if opened == 0 {
		t.Error("no damaged file was opened, so nothing was tested")
	}
}

// useDamaged does a bit of everything, and accepts two answers.
func useDamaged(t *testing.T, s *bolt.Store, bindings int) {
	t.Helper()
	check := func(what string, err error) {
		t.Helper()
		if err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx := t.Context()
	for i := range bindings {
		_, err := s.Binding(ctx, storetest.Hash(i))
		check("read", err)
	}
	_, err := s.ListBindings(ctx, store.KeyHash{}, 2*bindings)
	check("list", err)
	for i := range 50 {
		_, _, err := s.Bind(ctx, storetest.Binding(bindings+i))
		check("bind", err)
		touch := store.Touch{Hash: storetest.Hash(i * 100), Hits: 1}
		check("touch", s.AddUsage(ctx, store.UsageBatch{Touches: []store.Touch{touch}}))
	}
	check("put", s.PutIntercepts(ctx, []store.Intercept{storetest.Intercept(1)}))
	check("probe", s.Probe(ctx))
}
