package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/alert"
)

// lockOut has somebody guess the password of an account until it is locked,
// which is an alert.
func (s *alertSite) lockOut(name string) {
	s.t.Helper()
	code, _, stderr := s.run(s.t, testPassword+"\n", "admin", "create", name, "--role", "viewer")
	if code != exitOK {
		s.t.Fatalf("create %s: got %d, %s", name, code, stderr)
	}
	for range 5 {
		login := map[string]string{"username": name, "password": "wrong " + testPassword}
		adminCall(s.t, from(s.t, elsewhereIP), http.MethodPost, s.api("/login"), "", login, nil)
	}
	var a struct{ ID string }
	wait(s.t, "the alert of "+name, func() bool {
		return json.Unmarshal([]byte(s.must("", "list", "--text", name, "-o", "json")), &a) == nil
	})
	// Where there is a delivery, the alert is on disk.
	wait(s.t, "its delivery", func() bool { return s.must("", "deliveries", "--alert", a.ID, "-o", "json") != "" })
}

// kill ends the server as a power failure would.
func (s *alertSite) kill() {
	s.t.Helper()
	must(s.t, s.cmd.Process.Kill())
	<-s.ended
}

// accountsIn returns the accounts whose alerts a receiver took, in order of their
// names, and how often each message came.
func accountsIn(t *testing.T, got []delivered) (names []string, ids map[string]int) {
	t.Helper()
	ids = make(map[string]int)
	for _, d := range got {
		b := verify(t, d, hookSecret)
		if b.Alert != nil && b.Alert.Kind == alert.LoginLockout && b.Event == alert.Opened {
			names = append(names, b.Alert.Subject.Account)
		}
		ids[b.ID]++
	}
	slices.Sort(names)
	return names, ids
}

// TestAFailingReceiverGetsEachAlertOnce fails for a while, in which the server
// is restarted and killed, and gets each alert once.
func TestAFailingReceiverGetsEachAlertOnce(t *testing.T) {
	s := startAlertSite(t, 9830)
	r := newReceiver(t)
	s.must(r.URL+"\n"+hookSecret+"\n", "channels", "add", "ops", "--type", "webhook")
	r.answers(func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) })
	tried := func() bool { _, refused := r.all(); return refused > 0 }
	s.lockOut("alice")
	wait(t, "an attempt", tried)
	must(t, s.stop())
	s.restart()
	s.lockOut("bob")
	s.kill()
	s.restart()
	s.lockOut("carol")
	if got, _ := r.all(); len(got) != 0 {
		t.Fatalf("taken: %+v", got)
	}
	r.answers(nil)
	s.must("", "channels", "test", "ops") // well again: what waits is due at once
	wait(t, "all of them", func() bool { got, _ := r.all(); return len(got) >= 4 })
	wait(t, "nothing to be left", func() bool {
		return strings.TrimSpace(s.must("", "deliveries", "--state", "pending", "-o", "json")) == ""
	})
	s.kill()
	s.restart()
	s.lockOut("dave")
	wait(t, "the last one", func() bool { got, _ := r.all(); return len(got) >= 5 })
	must(t, s.stop())
	got, _ := r.all()
	names, ids := accountsIn(t, got)
	if want := []string{"alice", "bob", "carol", "dave"}; !slices.Equal(names, want) || len(ids) != 5 {
		t.Errorf("got %v and %v, want each of %v once", names, ids, want)
	}
}

// TestAKillInTheMiddleOfADelivery is the one case in which a receiver gets
// something twice: it took it, and the server was killed before it had written
// that down. The ID says that it is the same.
func TestAKillInTheMiddleOfADelivery(t *testing.T) {
	s := startAlertSite(t, 9831)
	r := newReceiver(t)
	s.must(r.URL+"\n"+hookSecret+"\n", "channels", "add", "ops", "--type", "webhook")
	reached, release := make(chan struct{}), make(chan struct{})
	r.answers(func(http.ResponseWriter) { // takes it, and says so only when nobody listens any more
		close(reached)
		<-release
	})
	s.lockOut("alice")
	<-reached
	s.kill()
	r.answers(nil)
	close(release)
	s.restart()
	wait(t, "it to come again", func() bool { got, _ := r.all(); return len(got) == 1 })
	wait(t, "it to be written down", func() bool {
		return strings.Contains(s.must("", "deliveries", "--state", "delivered", "-o", "json"), `"channel":"ops"`)
	})
	s.kill()
	s.restart()
	s.lockOut("bob")
	wait(t, "the next one", func() bool { got, _ := r.all(); return len(got) == 2 })
	must(t, s.stop())
	got, _ := r.all()
	if names, ids := accountsIn(t, got); !slices.Equal(names, []string{"alice", "bob"}) || len(ids) != 2 {
		t.Errorf("got %v and %v", names, ids)
	}
}

// TestEventsTellOfAlerts listens over the API while an alert opens.
func TestEventsTellOfAlerts(t *testing.T) {
	s := startAlertSite(t, 9832)
	code, out, stderr := s.run(t, "", "token", "create", "board", "--role", "viewer", "--expires", "1h")
	if code != exitOK {
		t.Fatalf("token: got %d, %s", code, stderr)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.api("/events"), nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(out))
	res, err := from(t, homeIP).Do(req)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	until := func(prefix string) string {
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), prefix); ok {
				return rest
			}
		}
		t.Fatalf("the stream ended before %q: %v", prefix, lines.Err())
		return ""
	}
	until(": listening")
	for range 3 {
		s.use(elsewhereIP, http.StatusForbidden)
	}
	var e struct {
		Type string
		Data struct{ Change, Kind, Hint string }
	}
	until("event: alert")
	must(t, json.Unmarshal([]byte(until("data: ")), &e))
	if e.Type != "alert" || e.Data.Change != "opened" || e.Data.Kind != string(alert.KeyRefused) || e.Data.Hint == "" {
		t.Errorf("got %+v", e)
	}
}
