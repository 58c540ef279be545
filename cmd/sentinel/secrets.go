package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	secretsName    = "secrets.json"
	secretsVersion = 1
	secretBytes    = 32 // of randomness in a secret that is made
)

// secrets are what the settings gave, or else what the first start made.
type secrets struct {
	HMACSecret     secretText
	AdminJWTSecret secretText

	// Made names what this start made, by setting.
	Made []string
	// Warnings is what was wrong and was put right.
	Warnings []string
}

// keptSecrets is the file. A secret that the settings give is not in it.
type keptSecrets struct {
	Version        int    `json:"version"`
	HMACSecret     string `json:"hmacSecret,omitempty"`
	AdminJWTSecret string `json:"adminJwtSecret,omitempty"`
}

// loadSecrets returns the secrets of the settings, those of the file in the data
// directory where the settings have none, and new ones where the file has none
// either; new ones are on disk when it returns. The directory must be there, and
// the caller must hold its lock, so that no other start makes others.
//
// A new HMAC secret in place of a lost one would make every key unknown, and let
// whoever came first bind it. So a file that cannot be understood is an error and
// stays as it is, and with hasData, which says that the data was made with a
// secret already, so is one that is not there.
//
// No password is made: one that nobody chose is one that nobody guards.
//
// The nodes of a cluster share their secrets, so that none is made there.
func loadSecrets(dataDir string, cfg *Config, hasData bool) (secrets, error) {
	s := secrets{HMACSecret: cfg.HMACSecret, AdminJWTSecret: cfg.AdminJWTSecret}
	path := filepath.Join(dataDir, secretsName)
	kept, err := readSecrets(path)
	if err != nil {
		return secrets{}, err
	}
	if cfg.PostgresDSN != "" && (s.HMACSecret == "" && kept.HMACSecret == "" || s.AdminJWTSecret == "" && kept.AdminJWTSecret == "") {
		return secrets{}, fmt.Errorf("PG_DSN: the nodes of a cluster share SENTINEL_HMAC_SECRET and ADMIN_JWT_SECRET: give each node the same ones, "+
			"such as openssl rand -hex 32 makes; a sentinel that ran alone has its own in %s", path)
	}
	if s.HMACSecret == "" && kept.HMACSecret == "" && hasData {
		return secrets{}, fmt.Errorf("the HMAC secret that the data in %s was made with is missing: restore %s from a backup, or set SENTINEL_HMAC_SECRET to it",
			dataDir, path)
	}
	if s.Warnings, err = protectSecrets(path); err != nil {
		return secrets{}, err
	}
	for _, one := range []struct {
		name   string
		secret *secretText
		kept   *string
	}{
		{"SENTINEL_HMAC_SECRET", &s.HMACSecret, &kept.HMACSecret},
		{"ADMIN_JWT_SECRET", &s.AdminJWTSecret, &kept.AdminJWTSecret},
	} {
		if *one.secret != "" {
			continue
		}
		if *one.kept == "" {
			*one.kept = newSecret()
			s.Made = append(s.Made, one.name)
		}
		*one.secret = secretText(*one.kept)
	}
	if len(s.Made) > 0 {
		if err := writeSecrets(path, kept); err != nil {
			return secrets{}, err
		}
	}
	return s, nil
}

func newSecret() string {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

// readSecrets returns what is kept; nothing if there is no file.
func readSecrets(path string) (keptSecrets, error) {
	raw, err := os.ReadFile(path) //nolint:gosec // G304: the data directory is the operator's choice
	if errors.Is(err, fs.ErrNotExist) {
		return keptSecrets{Version: secretsVersion}, nil
	}
	if err != nil {
		return keptSecrets{}, fmt.Errorf("read secrets: %w", err)
	}
	var kept keptSecrets
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields() // a later version's secret would be lost when this one writes
	if err := dec.Decode(&kept); err != nil {
		return keptSecrets{}, fmt.Errorf("secrets file %s: %w; put back a backup of it: it was left as it is", path, decodeFault(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return keptSecrets{}, fmt.Errorf("secrets file %s: text after its end; put back a backup of it: it was left as it is", path)
	}
	if kept.Version != secretsVersion {
		return keptSecrets{}, fmt.Errorf("secrets file %s: is of version %d, and this program reads version %d", path, kept.Version, secretsVersion)
	}
	for name, value := range map[string]string{"hmacSecret": kept.HMACSecret, "adminJwtSecret": kept.AdminJWTSecret} {
		if value != "" && len(value) < minSecretBytes {
			return keptSecrets{}, fmt.Errorf("secrets file %s: %s is shorter than %d bytes", path, name, minSecretBytes)
		}
	}
	return kept, nil
}

// decodeFault keeps the text of the file, which is secret, out of the fault.
func decodeFault(err error) error {
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return fmt.Errorf("no JSON from byte %d on", syntax.Offset)
	}
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
		return fmt.Errorf("%s is of the wrong type", kind.Field)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is empty or cut off")
	}
	return err // an unknown field, by name
}

// protectSecrets takes the rights of others away from a file that has them, as
// a restored backup or a mounted volume may.
func protectSecrets(path string) ([]string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secrets file: %w", err)
	}
	mode := info.Mode().Perm()
	if mode&0o077 == 0 {
		return nil, nil
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fmt.Errorf("secrets file: others can use it (mode %#o), and that could not be changed: %w", mode, err)
	}
	return []string{fmt.Sprintf("secrets file %s had mode %#o, which others could use: it has 0600 now", path, mode)}, nil
}

// writeSecrets puts the file in place whole or not at all, and on disk.
func writeSecrets(path string, kept keptSecrets) (err error) {
	raw, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return fmt.Errorf("write secrets: %w", err)
	}
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, secretsName+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write secrets: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
			err = fmt.Errorf("write secrets: %w", err)
		}
	}()
	_, err = temp.Write(append(raw, '\n'))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // G304: the data directory is the operator's choice
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
