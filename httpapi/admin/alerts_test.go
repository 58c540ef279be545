package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/store"
)

// hook is a receiver that fails as long as it is told to.
type hook struct {
	*httptest.Server
	fails atomic.Bool
	got   atomic.Int64
}

func newHook(t testing.TB) *hook {
	h := new(hook)
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if h.fails.Load() {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "no room")
			return
		}
		h.got.Add(1)
	}))
	t.Cleanup(h.Close)
	return h
}

type alertJSON struct {
	ID, Kind, State string
	Subject         struct{ Hash, Hint, Account, Network string }
	AcknowledgedBy  string
}

type deliveryJSON struct {
	ID, Channel, AlertID, Kind, Event, State string
	Tries                                    int
	Attempts                                 []struct {
		Status int
		Answer string
		Error  failureJSON
	}
}

type listJSON[T any] struct {
	Items []T
	Next  string
	Total int
}

// eventually waits for what another goroutine does.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (s *site) alertsOf(query string) listJSON[alertJSON] {
	s.t.Helper()
	var list listJSON[alertJSON]
	s.call(account.Viewer, "GET", "/alerts"+query, nil).want(http.StatusOK).into(&list)
	return list
}

// raise opens alerts, the oldest first.
func (s *site) raise(names ...string) {
	s.t.Helper()
	for i, name := range names {
		s.alerts.Lockout(name, netip.MustParseAddr("203.0.113.9"))
		eventually(s.t, "the alert of "+name, func() bool { return s.alertsOf("?state=open").Total == i+1 })
	}
}

func TestAlertsAreListed(t *testing.T) {
	s := newSite(t)
	s.raise("alice", "bob", "carol")
	rec := store.Intercept{At: s.now(), Last: s.now(), Reason: store.ReasonIPNotAllowed, Hash: store.KeyHash{7}, Hint: "sk-te…0001", ClientIP: netip.MustParseAddr("2001:db8::1"), Path: "/v1/x"}
	s.alerts.Intercept(rec, 5)
	eventually(t, "the alert of the key", func() bool { return s.alertsOf("").Total == 4 })
	for query, want := range map[string]string{
		"": "key_refused carol bob alice", "?kind=login_lockout": "carol bob alice", "?text=ARO": "carol", "?text=0001": "key_refused",
		"?hash=" + rec.Hash.String(): "key_refused", "?state=closed": "", "?kind=key_shared": "", "?limit=2": "key_refused carol",
	} {
		var got []string
		for _, a := range s.alertsOf(query).Items {
			name := a.Subject.Account
			if name == "" {
				name = a.Kind
			}
			got = append(got, name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", query, got, want)
		}
	}
	var seen int
	for after := ""; ; seen++ {
		list := s.alertsOf("?limit=1" + after)
		if len(list.Items) != 1 || list.Total != 4 {
			t.Fatalf("got %+v", list)
		}
		if list.Next == "" {
			break
		}
		after = "&after=" + list.Next
	}
	if seen != 3 {
		t.Errorf("%d pages", seen+1)
	}
	for _, bad := range []string{"kind=none", "state=x", "hash=ab", "after=MQ", "after=1764100000000", "limit=0"} {
		location := "query." + strings.Split(bad, "=")[0]
		s.call(account.Viewer, "GET", "/alerts?"+bad, nil).wantFault(http.StatusUnprocessableEntity, "invalid", location)
	}
	one := s.call(account.Viewer, "GET", "/alerts/"+s.alertsOf("?text=0001").Items[0].ID, nil).want(http.StatusOK)
	for _, want := range []string{`"2001:db8::1"`, `"reason":"ip_not_allowed"`, `"path":"/v1/x"`, `"networks":[]`} {
		if !strings.Contains(string(one.body), want) {
			t.Errorf("got %s, want %s", one.body, want)
		}
	}
	s.call(account.Viewer, "GET", "/alerts/none", nil).wantFault(http.StatusNotFound, "not_found")
}

func TestAlertsAreAcknowledgedOnce(t *testing.T) {
	s := newSite(t)
	s.raise("alice")
	id := s.alertsOf("").Items[0].ID
	l := s.listen(t, s.tokens[account.Viewer])
	for range 2 {
		var got alertJSON
		s.call(account.Operator, "POST", "/alerts/"+id+"/acknowledge", nil).want(http.StatusOK).into(&got)
		if got.AcknowledgedBy != "token:operator" || got.State != "open" {
			t.Errorf("got %+v", got)
		}
	}
	if e := l.event("alert"); e.Data["change"] != "acknowledged" || e.Data["id"] != id || e.Data["account"] != "alice" || e.Data["open"] != 1.0 {
		t.Errorf("got event %+v", e)
	}
	s.call(account.Viewer, "POST", "/alerts/"+id+"/acknowledge", nil).wantFault(http.StatusForbidden, "forbidden")
	s.call(account.Operator, "POST", "/alerts/none/acknowledge", nil).wantFault(http.StatusNotFound, "not_found")
	s.wantTrail(0, "token:operator alert.acknowledge alert:"+id)
	if after := string(s.trail()[0].After); !strings.Contains(after, "alice") || !strings.Contains(after, "login_lockout") {
		t.Errorf("the trail does not say what the alert was: %s", after)
	}
}

// deliveries lists them as a viewer.
func (s *site) deliveries(query string) []deliveryJSON {
	s.t.Helper()
	var list listJSON[deliveryJSON]
	s.call(account.Viewer, "GET", "/alert-deliveries"+query, nil).want(http.StatusOK).into(&list)
	return list.Items
}

// channelHealth is what the dashboard says of one channel.
type channelHealth struct {
	ID, State string
	LastError failureJSON
	Pending   int
}

// onlyChannel returns the health of the only channel, of which one alert is open.
func (s *site) onlyChannel() channelHealth {
	s.t.Helper()
	var got struct {
		Health struct {
			Store  struct{ OK bool }
			Alerts struct {
				Open     int
				Channels []channelHealth
			}
		}
	}
	s.call(account.Viewer, "GET", "/dashboard", nil).want(http.StatusOK).into(&got)
	if got.Health.Alerts.Open != 1 || len(got.Health.Alerts.Channels) != 1 || !got.Health.Store.OK {
		s.t.Fatalf("got %+v", got)
	}
	return got.Health.Alerts.Channels[0]
}

// TestAReceiverThatFails is told of everywhere, tried again on demand, and well
// again.
func TestAReceiverThatFails(t *testing.T) {
	s := newSite(t)
	h := newHook(t)
	h.fails.Store(true)
	s.call(account.Admin, "POST", "/alert-channels", map[string]any{"id": "ops", "type": "webhook", "enabled": true, "url": h.URL + "/t0ken"}).want(http.StatusCreated)
	l := s.listen(t, s.tokens[account.Viewer])
	s.raise("alice")
	if e := l.event("alert"); e.Data["change"] != "opened" || e.Data["kind"] != "login_lockout" {
		t.Errorf("got event %+v", e)
	}
	eventually(t, "an attempt", func() bool { d := s.deliveries(""); return len(d) == 1 && d[0].Tries == 1 })
	d := s.deliveries("?channel=ops&state=pending&alert=" + s.alertsOf("").Items[0].ID)[0]
	if d.Event != "opened" || len(d.Attempts) != 1 || d.Attempts[0].Status != 502 || d.Attempts[0].Answer != "no room" || d.Attempts[0].Error.Code != "send_status" {
		t.Errorf("got %+v", d)
	}
	if got := s.deliveries("?channel=other"); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
	if got := s.onlyChannel(); got.State != "failing" || got.Pending != 1 || got.LastError.Message != "answered with status 502" || got.LastError.Code != "send_status" {
		t.Errorf("got %+v", got)
	}
	_, sample := scrape(t, s.api.Metrics())
	if sample("sentinel_alerts_open", "kind", "login_lockout") != 1 || sample("sentinel_alerts_open", "kind", "key_shared") != 0 ||
		sample("sentinel_alert_deliveries_pending", "channel", "ops") != 1 || sample("sentinel_alert_channel_up", "channel", "ops") != 0 {
		t.Error("the metrics do not say that it fails")
	}

	h.fails.Store(false)
	s.call(account.Viewer, "POST", "/alert-deliveries/"+d.ID+"/retry", nil).wantFault(http.StatusForbidden, "forbidden")
	s.call(account.Operator, "POST", "/alert-deliveries/"+d.ID+"/retry", nil).want(http.StatusOK)
	eventually(t, "the delivery", func() bool { return len(s.deliveries("?state=delivered")) == 1 })
	s.call(account.Operator, "POST", "/alert-deliveries/"+d.ID+"/retry", nil).wantFault(http.StatusConflict, "delivered")
	if got := s.onlyChannel(); got.State != "ok" || got.LastError.Code != "" || h.got.Load() != 1 {
		t.Errorf("got %+v, and %d messages", got, h.got.Load())
	}
	if _, sample := scrape(t, s.api.Metrics()); sample("sentinel_alert_deliveries_total", "channel", "ops", "result", "delivered") != 1 || sample("sentinel_alert_channel_up", "channel", "ops") != 1 {
		t.Error("the metrics do not say that it has arrived")
	}
	s.wantTrail(0, "token:admin channel.create channel:ops", "token:operator delivery.retry delivery:"+d.ID)
}

func TestBadDeliveries(t *testing.T) {
	s := newSite(t)
	s.call(account.Operator, "POST", "/alert-deliveries/none/retry", nil).wantFault(http.StatusNotFound, "not_found")
	for _, bad := range []string{"after=x", "after=1764100000000-0a1b2c3d.0.ops", "state=sent", "channel=A"} {
		s.call(account.Viewer, "GET", "/alert-deliveries?"+bad, nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query."+strings.Split(bad, "=")[0])
	}
	s.wantTrail(0)
}

// TestDeliveriesHavePages goes from one to the next.
func TestDeliveriesHavePages(t *testing.T) {
	s := newSite(t)
	h := newHook(t)
	s.call(account.Admin, "POST", "/alert-channels", map[string]any{"id": "a-b_c", "type": "webhook", "enabled": true, "url": h.URL}).want(http.StatusCreated)
	s.raise("alice", "bob", "carol")
	eventually(t, "three messages", func() bool { return h.got.Load() == 3 })
	seen := make(map[string]bool)
	for after := ""; ; {
		var list listJSON[deliveryJSON]
		s.call(account.Viewer, "GET", "/alert-deliveries?limit=1"+after, nil).want(http.StatusOK).into(&list)
		for _, d := range list.Items {
			seen[d.ID] = true
		}
		if list.Next == "" || len(seen) > 3 {
			break
		}
		after = "&after=" + list.Next
	}
	if len(seen) != 3 {
		t.Errorf("got %v", seen)
	}
}

// TestTheKindsOfTheDocument are those of the code.
func TestTheKindsOfTheDocument(t *testing.T) {
	s := newSite(t)
	for _, k := range alert.Kinds() {
		s.call(account.Viewer, "GET", "/alerts?kind="+string(k), nil).want(http.StatusOK)
	}
}
