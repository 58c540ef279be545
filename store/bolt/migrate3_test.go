package bolt

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// testdata/format3.db is a file of format 3, as the last version that wrote it left
// it after fillFormat3.
const format3File = "testdata/format3.db"

const (
	format3Bindings = 30
	format3Archived = 4 // the first bindings
)

// fillFormat3 stores some of everything that format 3 has.
func fillFormat3(t *testing.T, s store.Store) {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var archived []store.KeyHash
	for n := range format3Bindings {
		_, _, err := s.Bind(ctx, format3Binding(n))
		check(err)
		if n < format3Archived {
			archived = append(archived, storetest.Hash(n))
		}
	}
	check(s.AddUsage(ctx, format3Usage()))
	_, err := s.ArchiveBindings(ctx, archived, time.Time{}, storetest.Binding(0).CreatedAt)
	check(err)
	reasons := []store.Reason{store.ReasonIPNotAllowed, store.ReasonKeyBanned, store.ReasonLostRace, store.ReasonCut, "another"}
	for n, reason := range reasons {
		r := storetest.Intercept(n)
		r.Reason, r.Observed = reason, n%2 == 0
		check(s.PutIntercepts(ctx, []store.Intercept{r}))
	}
	for _, id := range []string{"ada", "bob"} {
		_, err := s.PutDocument(ctx, store.Document{Kind: "account", ID: id, Body: json.RawMessage(`{"role":"viewer"}`)})
		check(err)
	}
	_, err = s.AppendAudit(ctx, storetest.AuditEntry(1))
	check(err)
	check(s.PutSetting(ctx, "mode", []byte("observe")))
}

func format3Binding(n int) store.Binding {
	b := storetest.Binding(n)
	b.HashedWith = 0 // there was none
	v6 := netip.MustParsePrefix("2001:db8::/64")
	switch n % 3 {
	case 1:
		b.Rule = store.Rule{Kind: store.RuleMultiple, Prefixes: append(b.Rule.Prefixes, v6)}
		b.Label, b.Note = "team ä", "a note"
	case 2:
		b.Rule, b.Status, b.FirstIP = store.Rule{Kind: store.RuleAll}, store.StatusBanned, netip.Addr{}
	}
	if n < format3Archived {
		b.Status = store.StatusActive
	}
	return b
}

// format3Usage is that of the even ones.
func format3Usage() store.UsageBatch {
	at := storetest.Binding(0).CreatedAt
	batch := store.UsageBatch{Counters: []store.Counter{{Hour: at, Name: "requests", N: 7}}}
	for n := 0; n < format3Bindings; n += 2 {
		for day := range 3 {
			batch.Touches = append(batch.Touches, store.Touch{
				Hash: storetest.Hash(n), LastUsed: at.AddDate(0, 0, day), LastIP: netip.AddrFrom4([4]byte{10, 0, 0, byte(day)}),
				Hits: uint64(n + 1), Refused: 2,
			})
		}
	}
	return batch
}

func TestMigrateFormat3(t *testing.T) {
	old, err := os.ReadFile(format3File)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := openFormat3(t, filepath.Join(t.TempDir(), FileName))
	fillFormat3(t, fresh)
	wanted := contentOf(t, fresh)
	withoutNetworks(wanted)
	for range 2 { // the second time it is a file of the current format
		s := openFormat3(t, path)
		got := contentOf(t, s)
		for name, list := range wanted {
			if !reflect.DeepEqual(got[name], list) {
				t.Errorf("%s:\n got %+v\nwant %+v", name, got[name], list)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(path + ".v3.bak"); err != nil || !bytes.Equal(kept, old) {
		t.Errorf("the copy differs from the old file, or %v", err)
	}
}

// withoutNetworks makes a content one of format 3, which did not know which
// networks a key was used from on a day.
func withoutNetworks(content map[string]any) {
	forget := func(u store.Usage) {
		for i := range u.Days {
			u.Days[i].Networks, u.Days[i].Elsewhere = nil, u.Days[i].Allowed
		}
	}
	for _, u := range content["usage"].(map[store.KeyHash]store.Usage) {
		forget(u)
	}
	for _, row := range content["archive"].(store.ArchivePage).Rows {
		forget(row.Usage)
	}
}

// TestFormat3TakesNewRules stores what format 3 did not know in a file from it.
func TestFormat3TakesNewRules(t *testing.T) {
	old, err := os.ReadFile(format3File)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	b := storetest.Binding(100)
	b.Rule = store.Rule{
		Kind: store.RuleLearn, Networks: []string{"office"},
		Learn: store.Learn{Limit: 3, Within: time.Hour, Until: store.StoredTime(b.CreatedAt)},
	}
	r := storetest.Intercept(5)
	r.Reason, r.Basis = store.ReasonBlocked, store.Basis{Kind: store.BasisBlocked, Name: "203.0.113.0/24"}
	s := openFormat3(t, path)
	if _, _, err := s.Bind(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.PutIntercepts(t.Context(), []store.Intercept{r}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openFormat3(t, path)
	if got, err := s.Binding(t.Context(), b.Hash); err != nil || !got.Rule.Equal(b.Rule) {
		t.Errorf("got %+v, %v\nwant %+v", got.Rule, err, b.Rule)
	}
	page, err := s.ListIntercepts(t.Context(), store.InterceptFilter{Reason: store.ReasonBlocked})
	if err != nil || len(page.Records) != 1 || page.Records[0].Basis != r.Basis {
		t.Errorf("got %+v, %v\nwant %+v", page.Records, err, r.Basis)
	}
}

func openFormat3(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// contentOf reads all that fillFormat3 stored.
func contentOf(t *testing.T, s *Store) map[string]any {
	t.Helper()
	ctx := t.Context()
	bindings := read(s.ListBindings(ctx, store.KeyHash{}, 1_000))(t)
	usage := map[store.KeyHash]store.Usage{}
	for _, b := range bindings {
		usage[b.Hash] = read(s.Usage(ctx, b.Hash))(t)
	}
	content := map[string]any{
		"bindings":   bindings,
		"usage":      usage,
		"archive":    read(s.FindArchived(ctx, store.ArchiveQuery{}))(t),
		"intercepts": read(s.ListIntercepts(ctx, store.InterceptFilter{}))(t),
		"documents":  read(s.ListDocuments(ctx, "account"))(t),
		"audit":      read(s.ListAudit(ctx, store.AuditFilter{}))(t),
		"counters":   read(s.Counters(ctx, time.Time{}, storetest.Binding(0).CreatedAt.AddDate(1, 0, 0)))(t),
		"setting":    read(s.Setting(ctx, "mode"))(t),
	}
	if len(bindings) != format3Bindings-format3Archived {
		t.Errorf("%d bindings", len(bindings))
	}
	return content
}

// read makes a value of a call that has to succeed, or ends the test.
func read[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
