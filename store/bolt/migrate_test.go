package bolt

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// testdata/format1.db is a file of format 1, as writeFormat1 makes it. It is
// written anew by
//
//	go test ./store/bolt -run TestMigrateFormat1 -write-format1
//
// which should never be needed: a new format gets a file and a writer of its own.
var rewriteFormat1 = flag.Bool("write-format1", false, "write testdata/format1.db anew")

const format1File = "testdata/format1.db"

// format1Bindings is how many bindings are in the file; the even ones were used.
const format1Bindings = 40

func format1Usage(n int) store.Usage {
	if n%2 != 0 {
		return store.Usage{}
	}
	return store.Usage{
		LastUsed: time.Date(2026, 1, 2, 3, 4, 5, n*1_000_000, time.UTC),
		LastIP:   netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}),
		Hits:     uint64(n + 1),
	}
}

// writeFormat1 writes a database as format 1 had it: usage within the binding,
// and no bucket for it.
func writeFormat1(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"meta", "bindings", "intercepts", "counters", "settings"} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		for n := range format1Bindings {
			if err := putFormat1(tx.Bucket([]byte("bindings")), n); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte("meta"))
		return errors.Join(
			meta.Put([]byte("magic"), []byte("key-ip-sentinel")),
			meta.Put([]byte("format"), be.AppendUint64(nil, 1)),
			meta.Put([]byte("bindings"), be.AppendUint64(nil, format1Bindings)),
			tx.Bucket([]byte("settings")).Put([]byte("mode"), []byte("observe")),
		)
	})
	return errors.Join(err, db.Close())
}

func putFormat1(bindings *bbolt.Bucket, n int) error {
	b, u := storetest.Binding(n), format1Usage(n)
	rec := struct {
		bindingRecord
		LastUsed int64  `cbor:"10,keyasint,omitempty"`
		LastIP   []byte `cbor:"11,keyasint,omitempty"`
		Hits     uint64 `cbor:"12,keyasint,omitempty"`
	}{LastIP: addrBytes(u.LastIP), Hits: u.Hits}
	if u.Hits > 0 {
		rec.LastUsed = u.LastUsed.UnixMilli()
	}
	plain, err := encodeBinding(b)
	if err != nil {
		return err
	}
	if err := decoding.Unmarshal(plain[revisionBytes:], &rec.bindingRecord); err != nil {
		return err
	}
	value, err := encodeAfter(make([]byte, revisionBytes), rec)
	if err != nil {
		return err
	}
	revision, err := bindings.NextSequence()
	if err != nil {
		return err
	}
	setRevision(value, revision)
	return bindings.Put(b.Hash[:], value)
}

func TestMigrateFormat1(t *testing.T) {
	if *rewriteFormat1 {
		if err := errors.Join(os.MkdirAll("testdata", 0o750), os.RemoveAll(format1File), writeFormat1(format1File)); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(format1File)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is a file of the current format
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkMigrated(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(path + ".v1.bak"); err != nil || !bytes.Equal(kept, old) {
		t.Errorf("the copy differs from the old file, or %v", err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 2 {
		t.Errorf("more than file and copy: %v, %v", files, err)
	}
}

func checkMigrated(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	if n, err := s.CountBindings(ctx); err != nil || n != format1Bindings {
		t.Errorf("count %d, %v", n, err)
	}
	for n := range format1Bindings {
		want := storetest.Binding(n).Stored()
		want.HashedWith = 0 // there was none
		want.Revision = uint64(n + 1)
		if got, err := s.Binding(ctx, want.Hash); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("binding %d:\n got %+v, %v\nwant %+v", n, got, err, want)
		}
		if got, err := s.Usage(ctx, want.Hash); err != nil || !reflect.DeepEqual(got, format1Usage(n)) {
			t.Errorf("usage %d: got %+v, %v, want %+v", n, got, err, format1Usage(n))
		}
	}
	if v, err := s.Setting(ctx, "mode"); err != nil || string(v) != "observe" {
		t.Errorf("setting %q, %v", v, err)
	}
}

// testdata/format2.db is a file of format 2, as the last version that wrote it left
// it: the bindings and usage of format1.db, format2Intercepts intercepts, a counter
// and a setting. A new format gets a file of its own, made by the version before
// it.
const (
	format2File       = "testdata/format2.db"
	format2Intercepts = 60
)

func TestMigrateFormat2(t *testing.T) {
	old, err := os.ReadFile(format2File)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	for round := range 2 { // the second time it is a file of the current format
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			checkMigrated(t, s)
		}
		checkMigratedIntercepts(t, s, format2Intercepts+round)
		checkMigratedUsage(t, s, round)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(path + ".v2.bak"); err != nil || !bytes.Equal(kept, old) {
		t.Errorf("the copy differs from the old file, or %v", err)
	}
}

// checkMigratedIntercepts reads records with and without the longer head, and adds
// one.
func checkMigratedIntercepts(t *testing.T, s *Store, n int) {
	t.Helper()
	for name, f := range map[string]store.InterceptFilter{
		"all":        {},
		"reason":     {Reason: store.ReasonIPNotAllowed},
		"network":    {Network: netip.MustParsePrefix("203.0.113.0/24")},
		"path":       {Path: "CHAT"},
		"everything": {Reason: store.ReasonIPNotAllowed, Network: netip.MustParsePrefix("203.0.113.9/32"), Path: "/v1"},
	} {
		f.Limit = store.MaxPage
		page, err := s.ListIntercepts(t.Context(), f)
		if err != nil || len(page.Records) != n {
			t.Fatalf("%s: %d records, %v, want %d", name, len(page.Records), err, n)
		}
		for _, got := range page.Records {
			want := storetest.Intercept(int(got.ID) - 1)
			want.ID, want.At, want.Last = got.ID, store.StoredTime(want.At), store.StoredTime(want.Last)
			if got != want {
				t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
			}
		}
	}
	if page, err := s.ListIntercepts(t.Context(), store.InterceptFilter{Hash: storetest.Hash(7)}); err != nil || len(page.Records) != 1 {
		t.Errorf("of one key: %d records, %v", len(page.Records), err)
	}
	if err := s.PutIntercepts(t.Context(), []store.Intercept{storetest.Intercept(n)}); err != nil {
		t.Fatal(err)
	}
}

// checkMigratedUsage uses a key on, whose history begins with that.
func checkMigratedUsage(t *testing.T, s *Store, round int) {
	t.Helper()
	u := format1Usage(2)
	touch := store.Touch{Hash: storetest.Hash(2), LastUsed: u.LastUsed.Add(time.Minute), LastIP: u.LastIP, Hits: 4}
	for range round {
		u = u.Add(touch)
	}
	if got, err := s.Usage(t.Context(), touch.Hash); err != nil || !reflect.DeepEqual(got, u) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, u)
	}
	if err := s.AddUsage(t.Context(), store.UsageBatch{Touches: []store.Touch{touch}}); err != nil {
		t.Fatal(err)
	}
	u = u.Add(touch)
	if got, err := s.Usage(t.Context(), touch.Hash); err != nil || !reflect.DeepEqual(got, u) {
		t.Errorf("used on: got %+v, %v\nwant %+v", got, err, u)
	}
	page, err := s.FindBindings(t.Context(), store.BindingQuery{Filter: store.BindingFilter{Hashes: []store.KeyHash{touch.Hash}}})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Usage.Hits != u.Hits {
		t.Errorf("found %+v, %v", page, err)
	}
}

// TestMigrateManyPages moves usage out of more bindings than a page holds.
func TestMigrateManyPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	if err := writeFormat1(path); err != nil {
		t.Fatal(err)
	}
	const bindings = 3_000
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for n := format1Bindings; n < bindings; n++ {
			if err := putFormat1(tx.Bucket([]byte("bindings")), n); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte("meta")).Put([]byte("bindings"), be.AppendUint64(nil, bindings))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for n := range bindings {
		b, err := s.Binding(t.Context(), storetest.Hash(n))
		if err != nil || b.Revision != uint64(n+1) {
			t.Fatalf("binding %d: revision %d, %v", n, b.Revision, err)
		}
		if u, err := s.Usage(t.Context(), storetest.Hash(n)); err != nil || u.Hits != format1Usage(n).Hits {
			t.Fatalf("usage %d: %+v, %v", n, u, err)
		}
	}
	if list, err := s.ListBindings(t.Context(), store.KeyHash{}, bindings+1); err != nil || len(list) != bindings {
		t.Errorf("%d bindings listed, %v", len(list), err)
	}
}

// TestMigrateStopsAtDamage leaves the old file in force when a step fails.
func TestMigrateStopsAtDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	if err := writeFormat1(path); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.Repeat([]byte{0xFF}, 32)
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("bindings")).Put(last, []byte("no binding")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, old) {
		t.Errorf("the file was changed, or %v", err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.write(t.Context(), func(w *writeTx) error {
		return putFormat(w, currentFormat+7, "v9.8.7")
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(path, Options{})
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "format 11") || !strings.HasSuffix(err.Error(), "up to 4; use v9.8.7, which wrote it, or a later one") {
		t.Errorf("got %v, want ErrNewer with both formats and the version that wrote it", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file was changed, or %v", err)
	}
}
