package main

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

const (
	// minSecretBytes and goodSecretBytes: what is shorter is refused, or warned
	// of. A secret that can be guessed lets anybody who has the data file try
	// keys against it (HMAC), or sign a session of his own (JWT).
	minSecretBytes  = 16
	goodSecretBytes = 32
)

// secretText is a value that is never shown: every way of formatting it gives
// a mask. Reveal gives the value.
type secretText string

const secretMask = "[secret]"

var (
	_ fmt.Formatter          = secretText("")
	_ slog.LogValuer         = secretText("")
	_ encoding.TextMarshaler = secretText("")
)

// Reveal returns the value itself.
func (s secretText) Reveal() string { return string(s) }

// Format implements fmt.Formatter for all verbs.
func (s secretText) Format(f fmt.State, _ rune) {
	if s != "" {
		_, _ = f.Write([]byte(secretMask))
	}
}

// LogValue implements slog.LogValuer.
func (s secretText) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// MarshalText implements encoding.TextMarshaler, and so JSON.
func (s secretText) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

// placeholders are what samples write where a secret belongs, in lower case
// and with - for _ and spaces.
var placeholders = []string{"replace-with", "replace-me", "replaceme", "changeme", "change-me", "your-"}

func isPlaceholder(value string) bool {
	plain := strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(strings.Trim(value, "<>{}[]\"' ")))
	for _, p := range placeholders {
		if strings.HasPrefix(plain, p) {
			return true
		}
	}
	return false
}

// parseOwnSecret reads a secret that is Sentinel's own to choose.
func parseOwnSecret(value string) (secretText, error) {
	switch {
	case strings.TrimSpace(value) == "":
		return "", errors.New("is empty; leave the name out instead")
	case isPlaceholder(value):
		return "", errors.New("is still the placeholder of a sample")
	case len(value) < minSecretBytes:
		return "", fmt.Errorf("is shorter than %d bytes", minSecretBytes)
	}
	return secretText(value), nil
}

// previousSecrets returns the HMAC secrets from before, the last one first. Threat: a
// secret that has a comma in it is taken for several, and its bindings become unknown.
// Answer: the whole of it is one of them too.
func (c *Config) previousSecrets() [][]byte {
	whole := c.HMACPrevious.Reveal()
	if whole == "" {
		return nil
	}
	secrets := [][]byte{[]byte(whole)}
	for part := range strings.SplitSeq(whole, ",") {
		if part = strings.TrimSpace(part); len(part) >= minSecretBytes && part != whole {
			secrets = append(secrets, []byte(part))
		}
	}
	return secrets
}

// parseSecretMark reads what engine.OtherSecretError names a secret by.
func parseSecretMark(value string) (string, error) {
	if len(value) != 8 || strings.Trim(value, "0123456789abcdef") != "" {
		return "", errors.New("no mark of a secret")
	}
	return value, nil
}

// parseForeignSecret reads a secret that another program chose, of any length.
func parseForeignSecret(value string) (secretText, error) {
	if isPlaceholder(value) {
		return "", errors.New("is still the placeholder of a sample")
	}
	return secretText(value), nil
}

// secretWarnings returns what is doubtful in a secret that was accepted.
func secretWarnings(name, value string) []string {
	var warnings []string
	if len(value) < goodSecretBytes {
		warnings = append(warnings, fmt.Sprintf("%s is shorter than %d bytes: a longer one is harder to guess", name, goodSecretBytes))
	}
	if value != strings.TrimSpace(value) {
		warnings = append(warnings, name+" begins or ends with white space, which counts as part of it")
	}
	if isQuoted(value) {
		warnings = append(warnings, name+" stands in quotes, which count as part of it here")
	}
	return warnings
}

// isQuoted reports whether value still has the quotes of a file around it,
// which docker run --env-file leaves there.
func isQuoted(value string) bool {
	return len(value) >= 2 && value[0] == value[len(value)-1] && (value[0] == '"' || value[0] == '\'')
}
