package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// trip is some requests of one key from one address.
type trip struct {
	ip    string
	key   int
	times int
}

// travel makes the trips, and returns how many requests of how many keys were
// refused.
func travel(t *testing.T, url string, keys []string, trips []trip) (refused uint64, refusedKeys int) {
	t.Helper()
	seen := map[int]bool{}
	for _, trip := range trips {
		for range trip.times {
			switch got := call(t, from(t, trip.ip), "GET", url+"/v1/models", keys[trip.key], nil); got.status {
			case http.StatusOK:
			case http.StatusForbidden:
				refused++
				seen[trip.key] = true
			default:
				t.Fatalf("key %d from %s: got %d %s", trip.key, trip.ip, got.status, got.body)
			}
		}
	}
	return refused, len(seen)
}

// replayed runs sentinel replay, and returns its first line and what it says.
func replayed(t *testing.T, data string, flags ...string) (first string, r client.Replay) {
	t.Helper()
	args := append([]string{"replay", "--data-dir", data, "--since", "1h"}, flags...)
	code, out, stderr := runSentinel(t, "", args...)
	if stderr != "" {
		t.Errorf("%v: said %q", args, stderr)
	}
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Scan()
	first = lines.Text()
	jsonCode, out, stderr := runSentinel(t, "", append(args, "--output", "json")...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %v in %q, %q", args, err, out, stderr)
	}
	want := exitOK
	if r.Refused > 0 {
		want = exitFailure
	}
	if code != want || jsonCode != want {
		t.Errorf("%v: got codes %d and %d, want %d", args, code, jsonCode, want)
	}
	return first, r
}

func wantReplay(t *testing.T, what, first string, got client.Replay, refused uint64, keys int) {
	t.Helper()
	sentence := fmt.Sprintf("This would have refused %s of %s since ", requests(refused), plural(keys, "key"))
	if got.Refused != refused || got.Keys != keys || got.Uncertain.Requests != 0 || !strings.HasPrefix(first, sentence) {
		t.Errorf("%s: replayed %d requests of %d keys, %+v, %q; enforcement refused %d of %d", what, got.Refused, got.Keys, got.Uncertain, first, refused, keys)
	}
	var listed uint64
	for _, row := range got.Rows {
		if row.Would == "refuse" {
			listed += row.Count
		}
	}
	if listed != refused || got.Omitted != 0 {
		t.Errorf("%s: the rows tell of %d requests, and %d are omitted, want %d and 0", what, listed, got.Omitted, refused)
	}
}

// TestReplayIsWhatEnforcementRefuses observes traffic, replays it, and then enforces
// the rules on the same traffic: the numbers are the same, for the rules as they are
// and for another rule of one key.
func TestReplayIsWhatEnforcementRefuses(t *testing.T) {
	keys := []string{testKey(9900), testKey(9901), testKey(9902), testKey(9903)}
	home := []trip{{"127.0.0.1", 0, 1}, {"127.0.0.1", 1, 1}, {"127.0.0.3", 2, 1}, {"127.0.0.4", 3, 1}}
	trips := []trip{
		{"127.0.0.1", 0, 5}, {"127.0.0.2", 0, 4}, {"127.0.0.3", 0, 3}, {"127.0.0.1", 1, 2}, {"127.0.0.9", 1, 1},
		{"127.0.0.3", 2, 6}, {"127.0.0.1", 2, 2}, {"127.0.0.4", 3, 7},
	}
	g := startGateway(t, keys...)
	data := t.TempDir()
	observing := startSentinel(t, g.url, "SENTINEL_MODE=observe", "SENTINEL_DATA_DIR="+data)
	travel(t, observing.url, keys, home) // each key is bound by it
	if refused, _ := travel(t, observing.url, keys, trips); refused != 0 {
		t.Fatalf("%d requests were refused by a Sentinel that observes", refused)
	}
	first, asTheyAre := replayed(t, data)
	must(t, observing.stop())

	enforcing := startSentinel(t, g.url, "SENTINEL_MODE=enforce", "SENTINEL_DATA_DIR="+data)
	refused, refusedKeys := travel(t, enforcing.url, keys, trips)
	if refused == 0 {
		t.Fatal("nothing was refused: the test has lost its subject")
	}
	wantReplay(t, "the rules as they are", first, asTheyAre, refused, refusedKeys)
	must(t, enforcing.stop())
}

// TestReplayOfAnEditedRule does the same with another rule of one key, while its own
// is enforced.
func TestReplayOfAnEditedRule(t *testing.T) {
	keys := []string{testKey(9910), testKey(9911)}
	trips := []trip{
		{"127.0.0.1", 0, 3}, {"127.0.0.2", 0, 4}, {"127.0.0.3", 0, 5}, {"127.0.0.40", 0, 2}, {"127.0.0.1", 1, 2}, {"127.0.0.9", 1, 1},
	}
	g := startGateway(t, keys...)
	data := t.TempDir()
	sentinel := startSentinel(t, g.url, "SENTINEL_DATA_DIR="+data)
	set := func(prefixes ...string) {
		t.Helper()
		args := []string{"bindings", "set", "-", "--create", "--data-dir", data}
		for _, p := range prefixes {
			args = append(args, "--prefix", p)
		}
		if code, _, stderr := runSentinel(t, keys[0]+"\n", args...); code != exitOK {
			t.Fatalf("bindings set: %d %s", code, stderr)
		}
	}
	set("127.0.0.0/30")
	if refused, _ := travel(t, sentinel.url, keys, trips); refused == 0 {
		t.Fatal("nothing was refused: the test has lost its subject")
	}
	key := hashOf(t, data, keys[0])
	first, edited := replayed(t, data, "--key", key, "--prefix", "127.0.0.2", "--prefix", "127.0.0.40")
	unchanged, _ := replayed(t, data, "--key", key, "--rule", "all")
	if !strings.HasPrefix(unchanged, "This would have refused 0 requests of 0 keys") {
		t.Errorf("a rule that lets all pass: %q", unchanged)
	}

	set("127.0.0.2/32", "127.0.0.40/32")
	ofKey := trips[:4]
	refused, refusedKeys := travel(t, sentinel.url, keys, ofKey)
	wantReplay(t, "the edited rule", first, edited, refused, refusedKeys)
	if edited.Passed != 2 || edited.PassedKeys != 1 || edited.Checked != 1 {
		t.Errorf("got %+v, want the 2 requests from 127.0.0.40 to pass", edited)
	}
}

// hashOf returns the key hash of a key of a server.
func hashOf(t *testing.T, data, key string) string {
	t.Helper()
	code, out, stderr := runSentinel(t, key+"\n", "hash", "--data-dir", data)
	hash, _, _ := strings.Cut(out, " ")
	if code != exitOK || !hashPattern.MatchString(hash) {
		t.Fatalf("hash: %d, %q, %q", code, out, stderr)
	}
	return hash
}
