package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

// makeData makes a data directory as a server with kept secrets leaves it, with
// n bindings.
func makeData(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := loadSecrets(dir, &Config{}, false)
	must(t, err)
	fillData(t, filepath.Join(dir, dataFileName), s.HMACSecret, n)
	return dir
}

func fillData(t *testing.T, path string, secret secretText, n int) {
	t.Helper()
	s, err := bolt.Open(path, bolt.Options{})
	must(t, err)
	must(t, engine.NoteSecret(t.Context(), s, engine.Secrets{Current: []byte(secret.Reveal())}))
	for i := range n {
		now := time.Now()
		rule := store.Rule{Kind: store.RuleSingle, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}}
		b := store.Binding{
			Hash: sha256.Sum256(fmt.Append(nil, i)), Hint: "sk-te…0001", Rule: rule,
			Status: store.StatusActive, CreatedAt: now, UpdatedAt: now,
		}
		_, _, err := s.Bind(t.Context(), b)
		must(t, err)
	}
	must(t, s.Close())
}

// copyFile copies a file that nobody writes to.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, raw, 0o600))
}

func bindingsIn(t *testing.T, path string) int {
	t.Helper()
	found, err := examineSnapshot(t.Context(), path, engine.Secrets{}, func(int, int) {})
	must(t, err)
	return found.Bindings
}

func lastAudit(t *testing.T, path string) store.AuditEntry {
	t.Helper()
	s, err := bolt.Open(path, bolt.Options{})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	page, err := s.ListAudit(t.Context(), store.AuditFilter{Limit: 1})
	must(t, err)
	if len(page.Entries) == 0 {
		t.Fatal("the audit trail is empty")
	}
	return page.Entries[0]
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestRestore(t *testing.T) {
	dir := makeData(t, 7)
	data := filepath.Join(dir, dataFileName)
	backup := filepath.Join(t.TempDir(), "backup.db")
	copyFile(t, data, backup)
	secret, err := readSecrets(filepath.Join(dir, secretsName))
	must(t, err)
	must(t, os.Remove(data))
	fillData(t, data, secretText(secret.HMACSecret), 2)

	code, _, stderr := runCommand(t, "", "restore", "--data-dir", dir, backup)
	if code != exitOK || !strings.Contains(stderr, "7 bindings") {
		t.Fatalf("got %d, %s", code, stderr)
	}
	if got := bindingsIn(t, data); got != 7 {
		t.Errorf("got %d bindings, want those of the backup", got)
	}
	before, err := filepath.Glob(data + ".before-restore-*")
	must(t, err)
	if len(before) != 1 || bindingsIn(t, before[0]) != 2 {
		t.Errorf("got %q, want what was there before", before)
	}
	if got := lastAudit(t, data); got.Action != "store.restore" || got.Actor != localActor || !strings.Contains(string(got.After), "backup.db") {
		t.Errorf("audit trail: got %+v, want the restore", got)
	}
	if list := names(t, dir); len(list) != 3 {
		t.Errorf("got %q, want data, secrets, and the data before", list)
	}
	info, err := os.Stat(data)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
}

func TestRestoreWithSecretsIntoNothing(t *testing.T) {
	dir := makeData(t, 3)
	backup := filepath.Join(t.TempDir(), "backup.db")
	copyFile(t, filepath.Join(dir, dataFileName), backup)
	copyFile(t, filepath.Join(dir, secretsName), backup+secretsSuffix)
	fresh := filepath.Join(t.TempDir(), "new", "data")
	if code, _, stderr := runCommand(t, "", "restore", "--data-dir", fresh, backup); code != exitFailure || !strings.Contains(stderr, "--with-secrets") {
		t.Errorf("without a secret at hand: got %d, %s", code, stderr)
	}
	if code, _, stderr := runCommand(t, "", "restore", "--with-secrets", "--data-dir", fresh, backup); code != exitOK {
		t.Fatalf("got %d, %s", code, stderr)
	}
	want, err := readSecrets(filepath.Join(dir, secretsName))
	must(t, err)
	if got, err := readSecrets(filepath.Join(fresh, secretsName)); err != nil || got != want || bindingsIn(t, filepath.Join(fresh, dataFileName)) != 3 {
		t.Errorf("secrets or data are not those of the backup (%v)", err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	dir, other := makeData(t, 2), makeData(t, 2)
	data := filepath.Join(dir, dataFileName)
	place := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(place, name)
		must(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	whole, err := os.ReadFile(data)
	must(t, err)
	good := file("good.db", string(whole))
	tests := []struct {
		name, from, text string
		open             bool // the data file
	}{
		{"a server that runs", good, "stop it first", true},
		{"no backup", filepath.Join(place, "none.db"), "no such file", false},
		{"an empty file", file("empty.db", ""), "it is empty", false},
		{"another program's file", file("foreign.db", strings.Repeat("no data file ", 1000)), "not a Sentinel data file", false},
		{"the beginning of a file", file("half.db", string(whole[:5*4096])), "damaged", false},
		{"data of another secret", filepath.Join(other, dataFileName), "does not belong to the HMAC secret at hand", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.open {
				s, err := bolt.Open(data, bolt.Options{})
				must(t, err)
				defer func() { must(t, s.Close()) }()
			}
			code, _, stderr := runCommand(t, "", "restore", "--data-dir", dir, test.from)
			if code != exitFailure || !strings.Contains(stderr, test.text) {
				t.Errorf("got %d, %s, want %q", code, stderr, test.text)
			}
		})
	}
	if got := bindingsIn(t, data); got != 2 {
		t.Errorf("got %d bindings, want the data as it was", got)
	}
	if list := names(t, dir); !slices.Equal(list, []string{secretsName, dataFileName}) {
		t.Errorf("got %q, want nothing left behind", list)
	}
}

func TestRestoreOverADamagedFile(t *testing.T) {
	dir := makeData(t, 4)
	data := filepath.Join(dir, dataFileName)
	backup := filepath.Join(t.TempDir(), "backup.db")
	copyFile(t, data, backup)
	must(t, os.WriteFile(data, []byte(strings.Repeat("damaged ", 4096)), 0o600))
	if code, _, stderr := runCommand(t, "", "restore", "--data-dir", dir, backup); code != exitOK || bindingsIn(t, data) != 4 {
		t.Errorf("got %d, %s", code, stderr)
	}
}

func TestExamineTellsAnInterrupt(t *testing.T) {
	dir := makeData(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := examineSnapshot(ctx, filepath.Join(dir, dataFileName), engine.Secrets{}, func(int, int) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFileWriterDoesNotOverwrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write := func(text string, overwrite bool) error {
		f, err := newFileWriter(path)
		must(t, err)
		defer f.discard()
		_, err = f.WriteString(text)
		must(t, errors.Join(err, f.flush()))
		return f.finish(overwrite)
	}
	must(t, write("first", false))
	if err := write("second", false); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v, want %v", err, os.ErrExist)
	}
	if raw, err := os.ReadFile(path); err != nil || string(raw) != "first" {
		t.Errorf("got %q, %v, want the first", raw, err)
	}
	must(t, write("third", true))
	if raw, err := os.ReadFile(path); err != nil || string(raw) != "third" || len(names(t, filepath.Dir(path))) != 1 {
		t.Errorf("got %q, %v, %q, want the third alone", raw, err, names(t, filepath.Dir(path)))
	}
}
