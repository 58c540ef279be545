package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
)

const testPassword = "secret for tests only"

// TestAccountsWithoutAServer changes the accounts of a data file.
func TestAccountsWithoutAServer(t *testing.T) {
	dir := makeData(t, 1)
	admin := func(stdin string, words ...string) (int, string, string) {
		return runCommand(t, stdin, append([]string{"admin", "--data-dir", dir}, words...)...)
	}
	steps := []struct {
		stdin, words string
		code         int
		text         string // in what is said
	}{
		{testPassword, "create Alice --role admin", exitOK, "account Alice made"},
		{testPassword, "create alice --role viewer", exitFailure, "already"},
		{"short", "create bob --role viewer", exitUsage, "password"},
		{testPassword, "create bob --role root", exitUsage, "want viewer"},
		{testPassword, "create bob --role operator", exitOK, "operator"},
		{testPassword + "!", "reset-password bob", exitOK, "new password"},
		{testPassword, "reset-password carol", exitNotFound, `no account "carol"`},
		{testPassword, "reset-password", exitNotFound, `no account "admin"`},
		{"", "disable bob", exitOK, "cannot sign in"},
		{"", "enable bob", exitOK, "can sign in"},
		{"", "disable alice", exitFailure, "last"},
		{"", "delete alice", exitFailure, "last"},
		{"", "disable", exitUsage, "NAME is missing"},
		{"", "delete bob", exitOK, "deleted"},
		{"", "delete bob", exitNotFound, `no account "bob"`},
	}
	for _, step := range steps {
		if code, _, stderr := admin(step.stdin, strings.Fields(step.words)...); code != step.code || !strings.Contains(stderr, step.text) {
			t.Errorf("%s: got %d, %s, want %d and %q", step.words, code, stderr, step.code, step.text)
		}
	}
	code, out, stderr := admin("", "list", "--output", "json")
	var left account.Account
	if err := json.Unmarshal([]byte(out), &left); code != exitOK || err != nil || left.Name != "alice" || left.Role != account.Admin {
		t.Errorf("list: got %d, %q, %s", code, out, stderr)
	}
	if code, out, _ := admin("", "list"); code != exitOK || !strings.Contains(out, "NAME") || !strings.Contains(out, "alice") {
		t.Errorf("list: got %d, %q", code, out)
	}

	s, err := bolt.Open(filepath.Join(dir, dataFileName), bolt.Options{})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	page, err := s.ListAudit(t.Context(), store.AuditFilter{})
	must(t, err)
	var acts []string
	for _, e := range page.Entries {
		acts = append(acts, e.Action+" "+e.Target)
		if e.Actor != localActor || strings.Contains(string(e.Before)+string(e.After), testPassword) {
			t.Errorf("entry %+v: of somebody else, or with the password", e)
		}
	}
	want := "account.delete account:bob, account.enable account:bob, account.disable account:bob, account.password account:bob, account.create account:bob, account.create account:alice"
	if got := strings.Join(acts, ", "); got != want {
		t.Errorf("audit trail: got %s\nwant %s", got, want)
	}
}

func TestAccountsOfADirectoryWithoutData(t *testing.T) {
	dir := t.TempDir()
	code, _, stderr := runCommand(t, testPassword, "admin", "reset-password", "--data-dir", dir)
	if code != exitFailure || !strings.Contains(stderr, "no data file yet") || len(names(t, dir)) != 0 {
		t.Errorf("got %d, %s, %q", code, stderr, names(t, dir))
	}
}
