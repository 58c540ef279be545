package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecrets(t *testing.T) {
	tests := []struct {
		value, fault, warning string
	}{
		{longSecret, "", ""},
		{"sixteen-bytes-16", "", "shorter than 32 bytes"},
		{"fifteen-byte-15", "shorter than 16 bytes", ""},
		{"", "is empty", ""},
		{"   ", "is empty", ""},
		{"replace-with-a-long-random-string-of-yours", "placeholder", ""},
		{"REPLACE_WITH_64_HEX_CHARACTERS_0000000000", "placeholder", ""},
		{"<replace with your own secret, 32 bytes>", "placeholder", ""},
		{"change-me-change-me-change-me-change-me", "placeholder", ""},
		{"changeme", "placeholder", ""},
		{longSecret + "\n", "", "white space"},
		{`"` + longSecret + `"`, "", "quotes"},
	}
	for _, name := range []string{"SENTINEL_HMAC_SECRET", "ADMIN_PASSWORD", "ADMIN_JWT_SECRET"} {
		for _, test := range tests {
			t.Run(fmt.Sprintf("%s=%q", name, test.value), func(t *testing.T) {
				_, warnings, err := load(t, "", testDownstream, name+"="+test.value)
				all := strings.Join(append(faultsOf(err), warnings...), "\n")
				if test.value != "" && strings.TrimSpace(test.value) != "" && strings.Contains(all, strings.TrimSpace(test.value)) {
					t.Errorf("the value is shown: %s", all)
				}
				switch faults := faultsOf(err); {
				case test.fault == "" && err != nil:
					t.Errorf("got %v", err)
				case test.fault != "" && (len(faults) != 1 || !strings.Contains(faults[0], test.fault) || !strings.Contains(faults[0], name)):
					t.Errorf("got %q, want one line with %q", faults, test.fault)
				case test.warning != "" && !strings.Contains(all, test.warning):
					t.Errorf("got %q, want a warning with %q", warnings, test.warning)
				}
			})
		}
	}
}

// TestHiddenValuesAreNeverShown has every setting that may hold a secret fail.
func TestHiddenValuesAreNeverShown(t *testing.T) {
	const value = "hunter2 hunter2"
	for _, s := range settings {
		if s.secrecy == public {
			continue
		}
		_, warnings, err := load(t, s.name+"="+value+"\n", testDownstream, s.name+"="+value)
		if all := fmt.Sprint(err, warnings); strings.Contains(all, "hunter2") {
			t.Errorf("%s: the value is shown: %s", s.name, all)
		}
	}
	c := Config{HMACSecret: secretText(longSecret), PostgresDSN: secretText(longSecret)}
	if shown := fmt.Sprintf("%v %+v %#v %s %q %x", c, c, c, c.HMACSecret, c.HMACSecret, c.HMACSecret); strings.Contains(shown, longSecret) || !strings.Contains(shown, secretMask) {
		t.Errorf("got %s, want masks", shown)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", c.HMACSecret, "config", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", c.HMACSecret, "config", c)
	if strings.Contains(log.String(), longSecret) {
		t.Errorf("got %s, want masks", log.String())
	}
}
