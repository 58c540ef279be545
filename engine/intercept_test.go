package engine_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

func TestInterceptFields(t *testing.T) {
	clock := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	r := newRig(t, at(clock)).bound(keyA)
	req := request(t, "/v1/models/x%20y?key="+keyA+"&secret=1",
		"X-Goog-Api-Key: "+keyA, "User-Agent: agent/1", "X-Real-IP: 203.0.113.9")
	f, d := r.send(trustedAt, req)
	wantReason(t, "from elsewhere", d.Refused, engine.IPNotAllowed)
	id := f.RequestID()
	f.done()
	_, hint, err := r.keys.HashKey(keyA)
	if err != nil {
		t.Fatal(err)
	}
	recs := r.records()
	if len(recs) != 1 {
		t.Fatalf("recorded %+v, want one record", recs)
	}
	at := clock.Truncate(time.Millisecond)
	want := store.Intercept{
		ID: recs[0].ID, At: at, Last: at, Count: 1, Reason: store.ReasonIPNotAllowed, Hash: r.hash(keyA), Hint: hint,
		Basis:    store.Basis{Kind: store.BasisRule, Name: "single"},
		ClientIP: netip.MustParseAddr("203.0.113.9"), PeerIP: netip.MustParseAddr("10.0.0.1"),
		Method: "POST", Host: "gateway.example", Path: "/v1/models/x y", UserAgent: "agent/1", RequestID: id,
	}
	if recs[0] != want {
		t.Errorf("got  %+v\nwant %+v", recs[0], want)
	}
}

// TestInterceptIsBounded: all texts are the client's, who may write anything of
// any length into them.
func TestInterceptIsBounded(t *testing.T) {
	r := newRig(t).bound(keyA)
	req := request(t, pathChat, bearer(keyA))
	req.Method = strings.Repeat("M", 1000)
	req.Host = strings.Repeat("h", 1000)
	req.URL.Path = "/v1/\x00\x1b[2J\r\nx\x7f\u0085" + strings.Repeat("é", 1000)
	req.Header.Set("User-Agent", "a\xff\x00\t"+strings.Repeat("世", 1000))
	f, d := r.send(elsewhere, req)
	f.done()
	wantReason(t, "from elsewhere", d.Refused, engine.IPNotAllowed)
	rec := r.records()[0]
	for name, c := range map[string]struct {
		text string
		most int
	}{
		"method": {rec.Method, 32}, "host": {rec.Host, 255}, "path": {rec.Path, 512}, "user agent": {rec.UserAgent, 256},
	} {
		if len(c.text) > c.most+32 || len(c.text) < c.most/2 { // a few characters are replaced by longer ones
			t.Errorf("%s of %d bytes, want about %d", name, len(c.text), c.most)
		}
		if !utf8.ValidString(c.text) || strings.ContainsAny(c.text, "\x00\x1b\r\n\t\x7f\u0085") {
			t.Errorf("%s is %q", name, c.text)
		}
	}
	if want := "/v1/��[2J��x��éé"; !strings.HasPrefix(rec.Path, want) {
		t.Errorf("path is %.40q, want %q", rec.Path, want)
	}
	for name, text := range map[string]string{"path": rec.Path, "user agent": rec.UserAgent} {
		if strings.HasSuffix(text, "�") {
			t.Errorf("%s ends in half a character", name)
		}
	}
}

// TestNothingHoldsAKey looks for the key in all that is written.
func TestNothingHoldsAKey(t *testing.T) {
	r := newRig(t).bound(keyA)
	for _, lines := range [][]string{{bearer(keyA)}, {"X-Api-Key: " + keyA}, {"Mj-Api-Secret: " + keyA}, {"Sec-WebSocket-Protocol: openai-insecure-api-key." + keyA}} {
		wantReason(t, lines[0], r.serve(elsewhere, request(t, "/v1/messages?key="+keyA, lines...), true), engine.IPNotAllowed)
	}
	r.ban(keyA)
	wantReason(t, "banned", r.use(atHome, keyA), engine.KeyBanned)
	for _, rec := range r.records() {
		for _, text := range []string{rec.Hint, rec.Path, rec.Host, rec.UserAgent, rec.Method, rec.RequestID} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(keyA[:12])) {
				t.Errorf("a record holds %q", text)
			}
		}
	}
	if strings.Contains(strings.ToLower(r.log.String()), strings.ToLower(keyA[:12])) {
		t.Error("the log holds the key")
	}
}

func TestSameRefusalsAreOneRecord(t *testing.T) {
	clock := time.Unix(1_700_000_000, 0)
	r := newRig(t, func(s *setup) { s.Now = func() time.Time { return clock } }).bound(keyA)
	for range 5 {
		wantReason(t, "from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
		clock = clock.Add(100 * time.Millisecond)
	}
	wantReason(t, "from a third place", r.use("203.0.113.9:1", keyA), engine.IPNotAllowed)
	recs := r.records()
	if len(recs) != 2 || recs[0].Count != 5 || recs[0].Last.Sub(recs[0].At) != 400*time.Millisecond || recs[1].Count != 1 {
		t.Errorf("recorded %+v", recs)
	}
}
