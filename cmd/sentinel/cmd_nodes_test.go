package main

import (
	"strings"
	"testing"
)

func TestNodesAreShown(t *testing.T) {
	var asked string
	answer := `{"items":[
		{"id":"a/1","name":"a\u001b[2J","self":true,"state":"here","leader":true,"seenAt":"2026-03-17T01:00:00Z","startedAt":"2026-03-17T00:00:00Z","version":"v1",
		 "address":"[::]:7000","position":7,"behind":2,"lagSeconds":1.54,"clockAheadSeconds":-3600.04,"waiting":3,"postgresql":{"state":"ok"},"redis":{"state":"away","error":"x"}},
		{"id":"b/1","name":"b","state":"lost","seenAt":"2026-03-17T01:00:00Z","startedAt":"2026-03-17T00:00:00Z","lagSeconds":null,
		 "postgresql":{"state":"none"},"redis":{"state":"none"}}],"total":2,"current":false}`
	code, stdout, stderr := askServer(t, answering(answer, &asked), "", "nodes")
	if code != exitOK || asked != "GET /admin/api/nodes " || strings.Contains(stdout, "\x1b") || !strings.Contains(stderr, "PostgreSQL is away") {
		t.Errorf("got %d, %q, %q, asked %q", code, stdout, stderr, asked)
	}
	for _, want := range []string{"here, leader, answers", "1.5s", "-3600.0s", "lost"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("got %q, want %q in it", stdout, want)
		}
	}
	code, stdout, _ = askServer(t, answering(strings.Replace(answer, `"current":false`, `"current":true`, 1), &asked), "", "nodes", "--output", "csv")
	if code != exitOK || !strings.Contains(stdout, "true,true,7,3,a/1") || !strings.Contains(stdout, "\nb,lost,,0,,none,none,") {
		t.Errorf("csv: got %d, %q", code, stdout)
	}
	if code, _, _ = askServer(t, answering(answer, &asked), "", "nodes", "word"); code != exitUsage {
		t.Errorf("with a word: got %d", code)
	}
}
