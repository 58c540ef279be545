package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
)

// listener is a stream of events.
type listener struct {
	t     *testing.T
	res   *http.Response
	lines *bufio.Reader
	leave context.CancelFunc
}

func (s *site) listen(t *testing.T, token string) *listener {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+admin.Base+"/events", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("X-Real-IP", clientIP)
	req.Header.Set("Last-Event-ID", "5")
	res, err := s.server.Client().Do(req)
	must(t, err)
	t.Cleanup(func() {
		leave()
		_ = res.Body.Close()
	})
	l := &listener{t, res, bufio.NewReader(res.Body), leave}
	if res.StatusCode == http.StatusOK {
		l.until(": listening") // from here on, nothing is missed
	}
	return l
}

// until reads lines up to one that begins so.
func (l *listener) until(prefix string) string {
	l.t.Helper()
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			l.t.Fatalf("%v before a line %q", err, prefix)
		}
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(strings.TrimPrefix(line, prefix))
		}
	}
}

// ends reads to the end of the stream.
func (l *listener) ends() {
	l.t.Helper()
	if _, err := io.Copy(io.Discard, l.lines); err != nil {
		l.t.Errorf("the stream ended with %v", err)
	}
}

type eventBody struct {
	ID   uint64
	Type string
	Data map[string]any
}

func (l *listener) event(typ string) eventBody {
	l.t.Helper()
	l.until("event: " + typ)
	var e eventBody
	if err := json.Unmarshal([]byte(l.until("data: ")), &e); err != nil || e.Type != typ || e.ID == 0 {
		l.t.Fatalf("got %+v, %v", e, err)
	}
	return e
}

func TestEvents(t *testing.T) {
	s := newSite(t)
	l := s.listen(t, s.tokens[account.Viewer])
	if got := l.res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("got content type %q", got)
	}
	b := s.bind(1)
	s.call(account.Operator, "PATCH", "/bindings/"+b.Hash.String(), map[string]any{"status": "banned"}).want(http.StatusOK)
	if e := l.event("binding"); e.Data["action"] != "banned" || e.Data["hash"] != b.Hash.String() {
		t.Errorf("got %+v", e)
	}
	s.engine.Events().Publish(event.TypeIntercept, store.Intercept{ID: 7, ClientIP: netip.MustParseAddr("192.0.2.1"), Path: "/v1/x"})
	if e := l.event("intercept"); e.Data["id"] != 7.0 || e.Data["clientIp"] != "192.0.2.1" {
		t.Errorf("got %+v", e)
	}
	s.engine.Events().Skip(3)
	if e := l.event("lagged"); e.Data["missed"] != 3.0 {
		t.Errorf("got %+v", e)
	}
	s.call(account.Admin, "PUT", "/settings", map[string]any{"values": map[string]any{"SENTINEL_MODE": "observe"}}).want(http.StatusOK)
	if e := l.event("setting"); e.Data["name"] != "SENTINEL_MODE" {
		t.Errorf("got %+v", e)
	}
}

func TestListenersGetAComment(t *testing.T) {
	s := newSite(t)
	s.api.SetStreamTimes(time.Millisecond, time.Hour)
	l := s.listen(t, s.tokens[account.Viewer])
	l.until(": ping")
	l.until(": ping")
}

func TestAStreamEndsWithTheSession(t *testing.T) {
	s := newSite(t)
	s.api.SetStreamTimes(time.Hour, time.Millisecond)
	session := s.account("viewer-1", account.Viewer)
	bySession, byToken, other := s.listen(t, session), s.listen(t, s.tokens[account.Viewer]), s.listen(t, s.tokens[account.Operator])
	_, err := s.accounts.SetPassword(t.Context(), "viewer-1", "another "+password)
	must(t, err)
	bySession.ends()
	must(t, s.accounts.DeleteToken(t.Context(), string(account.Viewer), 0))
	byToken.ends()
	s.engine.Events().Publish(event.TypeSetting, map[string]string{"name": "X"})
	other.event("setting")
}

func TestStreamsEndWhenTheServerStops(t *testing.T) {
	s := newSite(t)
	l := s.listen(t, s.tokens[account.Viewer])
	s.api.EndStreams()
	s.api.EndStreams()
	l.ends()
	if late := s.listen(t, s.tokens[account.Viewer]); late.res.StatusCode != http.StatusOK {
		t.Errorf("got %d", late.res.StatusCode)
	} else {
		late.ends()
	}
}

func TestStreamsAreBoundedAndLeaveNothingBehind(t *testing.T) {
	s := newSite(t)
	var all []*listener
	for range admin.MaxStreams {
		all = append(all, s.listen(t, s.tokens[account.Viewer]))
	}
	a := s.call(account.Viewer, "GET", "/events", nil)
	a.wantFault(http.StatusServiceUnavailable, "too_many_streams")
	if a.header.Get("Retry-After") == "" {
		t.Error("got no Retry-After")
	}
	for _, l := range all {
		l.leave()
	}
	// The handlers end when the server notices that the clients are gone; a test
	// that goes past its deadline here has found one that does not.
	for s.api.Listening() > 0 {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
		time.Sleep(time.Millisecond)
	}
	s.listen(t, s.tokens[account.Viewer]).leave()
}

func TestEventsAreForThoseWhoSignIn(t *testing.T) {
	s := newSite(t)
	if l := s.listen(t, "wrong"); l.res.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %d", l.res.StatusCode)
	}
}
