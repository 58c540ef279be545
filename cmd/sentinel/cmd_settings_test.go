package main

import (
	"strings"
	"testing"
)

func TestAssignments(t *testing.T) {
	values, err := assignments(strings.NewReader("https://hooks.example.com/x\n"), []string{"sentinel_mode=observe", "ALERT_WEBHOOK_URL=-", "SENTINEL_X=a=b"})
	must(t, err)
	for name, want := range map[string]string{"SENTINEL_MODE": "observe", "ALERT_WEBHOOK_URL": "https://hooks.example.com/x", "SENTINEL_X": "a=b"} {
		if got := values[name]; got == nil || *got != want {
			t.Errorf("%s: got %v, want %q", name, got, want)
		}
	}
	for word, fault := range map[string]string{
		"SENTINEL_MODE": "no NAME=VALUE", "=x": "no NAME=VALUE", "ALERT_WEBHOOK_URL=https://hooks.example.com/x": "can read arguments",
	} {
		_, err := assignments(strings.NewReader(""), []string{word})
		if err == nil || !strings.Contains(err.Error(), fault) || strings.Contains(err.Error(), "hooks.example.com") || exitCodeOf(err) != exitUsage {
			t.Errorf("%s: got %v, want %q", word, err, fault)
		}
	}
	if _, err := assignments(strings.NewReader(""), []string{"A=1", "a=2"}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a name twice: got %v", err)
	}
}
