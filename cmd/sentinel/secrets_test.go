package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsAreMadeOnce(t *testing.T) {
	dir := t.TempDir()
	first, err := loadSecrets(dir, new(Config), false)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(first.Made, " "); got != "SENTINEL_HMAC_SECRET ADMIN_JWT_SECRET" {
		t.Errorf("made %s, want these and no password", got)
	}
	if first.HMACSecret == first.AdminJWTSecret || len(first.HMACSecret) != 2*secretBytes {
		t.Error("secrets are equal, or too short")
	}
	info, err := os.Stat(filepath.Join(dir, secretsName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
	again, err := loadSecrets(dir, new(Config), false)
	if err != nil || len(again.Made) > 0 || again.HMACSecret != first.HMACSecret || again.AdminJWTSecret != first.AdminJWTSecret {
		t.Errorf("second start: made %q, %v, want the same secrets", again.Made, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("got %d files, want one", len(entries))
	}
}

func TestGivenSecretsAreNotKept(t *testing.T) {
	dir := t.TempDir()
	cfg := &Config{HMACSecret: secretText(longSecret)}
	s, err := loadSecrets(dir, cfg, false)
	if err != nil || s.HMACSecret != cfg.HMACSecret || len(s.Made) != 1 {
		t.Fatalf("made %q, %v, want the given one and a new one", s.Made, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, secretsName))
	if err != nil || strings.Contains(string(raw), longSecret) {
		t.Errorf("the given secret is in the file: %v", err)
	}
	cfg.AdminJWTSecret = cfg.HMACSecret
	empty := t.TempDir()
	if _, err := loadSecrets(empty, cfg, false); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(empty); len(entries) != 0 {
		t.Error("a file was written although every secret was given")
	}
}

func TestSecretsFileFaults(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", "empty or cut off"},
		{"cut off", `{"version": 1, "hmacSecret": "hunter2`, "empty or cut off"},
		{"no JSON", "hunter2", "no JSON"},
		{"wrong type", `{"version": 1, "hmacSecret": 5}`, "hmacSecret is of the wrong type"},
		{"of a later version", `{"version": 2}`, "version 2"},
		{"no version", `{}`, "version 0"},
		{"unknown field", `{"version": 1, "other": "hunter2"}`, "other"},
		{"short", `{"version": 1, "hmacSecret": "hunter2"}`, "hmacSecret is shorter than 16 bytes"},
		{"text after it", `{"version": 1} hunter2`, "text after its end"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, secretsName)
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := loadSecrets(dir, new(Config), false)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q and the path in it, and nothing of the file", err, test.want)
			}
			if raw, _ := os.ReadFile(path); string(raw) != test.text {
				t.Error("the file was changed")
			}
		})
	}
	if _, err := loadSecrets(filepath.Join(t.TempDir(), "missing"), new(Config), false); err == nil {
		t.Error("got no error for a directory that is not there")
	}
}

func TestSecretsFileIsProtected(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, secretsName)
	if _, err := loadSecrets(dir, new(Config), false); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := loadSecrets(dir, new(Config), false)
	if err != nil || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "0644") {
		t.Errorf("got %q, %v, want a warning", s.Warnings, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
}

// TestALostHMACSecretIsNotReplaced starts on data that was made with a secret
// which is nowhere to be found.
func TestALostHMACSecretIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	_, err := loadSecrets(dir, new(Config), true)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, secretsName)) || !strings.Contains(err.Error(), "SENTINEL_HMAC_SECRET") {
		t.Errorf("got %v, want the file and the setting in it", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Error("a file was written")
	}
	s, err := loadSecrets(dir, &Config{HMACSecret: secretText(longSecret)}, true)
	if err != nil || strings.Join(s.Made, " ") != "ADMIN_JWT_SECRET" {
		t.Errorf("with the secret given: made %q, %v, want the other one", s.Made, err)
	}
	if _, err := loadSecrets(dir, new(Config), true); err == nil {
		t.Error("without it again, beside a file that has the other alone: got no error")
	}
}
