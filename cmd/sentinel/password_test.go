package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestPasswordFromStandardInput(t *testing.T) {
	tests := []struct {
		stdin, want, fault string
	}{
		{"secret for tests only\n", "secret for tests only", ""},
		{"secret for tests only\r\n", "secret for tests only", ""},
		{"no line end", "no line end", ""},
		{"  spaces count  \n", "  spaces count  ", ""},
		{"", "", "is empty"},
		{"\n", "", "is empty"},
		{"one\ntwo\n", "", "more than one line"},
		{strings.Repeat("x", maxPasswordBytes+1), "", "more than one line"},
	}
	for _, test := range tests {
		cmd := new(cobra.Command)
		cmd.SetIn(strings.NewReader(test.stdin))
		got, err := readPassword(cmd, "password")
		if test.fault != "" {
			if err == nil || !strings.Contains(err.Error(), test.fault) || exitCodeOf(err) != exitUsage {
				t.Errorf("%.20q: got %v, want %q", test.stdin, err, test.fault)
			}
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("%.20q: got %q, %v, want %q", test.stdin, got, err, test.want)
		}
	}
}
