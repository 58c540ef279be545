package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
)

type settingsBody struct {
	Items []admin.Setting `json:"items"`
}

func values(pairs ...any) map[string]any {
	v := map[string]any{}
	for pair := range slices.Chunk(pairs, 2) {
		v[pair[0].(string)] = pair[1]
	}
	return map[string]any{"values": v}
}

func TestListSettings(t *testing.T) {
	s := newSite(t)
	var got settingsBody
	a := s.call(account.Viewer, "GET", "/settings", nil).want(http.StatusOK).into(&got)
	if len(got.Items) != 4 || got.Items[0].Name != "SENTINEL_MODE" || got.Items[0].Value != "enforce" {
		t.Errorf("got %s", a.body)
	}
	// The fake gives the value away, as a slip elsewhere might.
	if strings.Contains(string(a.body), "secret for tests only") || !got.Items[2].IsSet {
		t.Errorf("got %s, want the secret hidden, and known to be set", a.body)
	}
}

func TestChangeSettings(t *testing.T) {
	s := newSite(t)
	events, cancel := s.engine.Events().Subscribe(10)
	defer cancel()
	var got settingsBody
	s.call(account.Admin, "PUT", "/settings", values("SENTINEL_MODE", "observe", "ALERT_WEBHOOK_SECRET", "another secret for tests")).
		want(http.StatusOK).into(&got)
	if got.Items[0].Value != "observe" || got.Items[0].Source != "runtime" {
		t.Errorf("got %+v", got.Items[0])
	}
	s.wantTrail(0, "token:admin setting.change setting:SENTINEL_MODE", "token:admin setting.change setting:ALERT_WEBHOOK_SECRET")
	first := s.trail()[0]
	if string(first.Before) != `{"value":"enforce","source":"default"}` || string(first.After) != `{"value":"observe","source":"runtime"}` {
		t.Errorf("got before %s, after %s", first.Before, first.After)
	}
	if second := s.trail()[1]; string(second.After) != `{"value":"***","source":"runtime"}` || s.trailHas("for tests") {
		t.Errorf("got %s on record of a secret", second.After)
	}
	for _, name := range []string{"SENTINEL_MODE", "ALERT_WEBHOOK_SECRET"} {
		e := <-events
		raw, err := json.Marshal(e)
		must(t, err)
		if e.Type != "setting" || !strings.Contains(string(raw), name) || strings.Contains(string(raw), "for tests") {
			t.Errorf("got event %s", raw)
		}
	}
	s.call(account.Admin, "PUT", "/settings", values("SENTINEL_MODE", nil)).want(http.StatusOK).into(&got)
	if got.Items[0].Value != "enforce" || got.Items[0].Source != "default" {
		t.Errorf("taken back: got %+v", got.Items[0])
	}
	since := len(s.trail())
	s.call(account.Admin, "PUT", "/settings", values("SENTINEL_MODE", nil)).want(http.StatusOK)
	s.wantTrail(since) // nothing has changed
}

func TestBadSettings(t *testing.T) {
	s := newSite(t)
	tests := map[string]map[string]any{
		"body.values.NO_SUCH":         values("NO_SUCH", "1", "SENTINEL_MODE", "observe"),
		"body.values.SENTINEL_LISTEN": values("SENTINEL_LISTEN", ":80", "SENTINEL_MODE", "observe"),
		"body.values.ARCHIVE_DAYS":    values("ARCHIVE_DAYS", "bad"),
		"body.values":                 {},
	}
	for location, body := range tests {
		if location == "body.values" {
			s.call(account.Admin, "PUT", "/settings", body).wantFault(http.StatusUnprocessableEntity, "invalid")
			continue
		}
		s.call(account.Admin, "PUT", "/settings", body).wantFault(http.StatusUnprocessableEntity, "invalid", location)
	}
	s.call(account.Admin, "PUT", "/settings", values("ARCHIVE_DAYS", 30)).wantFault(http.StatusUnprocessableEntity, "invalid", "body.values.ARCHIVE_DAYS")
	var got settingsBody
	s.call(account.Admin, "GET", "/settings", nil).into(&got)
	if got.Items[0].Value != "enforce" {
		t.Errorf("got %+v, want it as it was", got.Items[0])
	}
	s.wantTrail(0)
}

// forgetfulStore does not take entries of the audit trail.
type forgetfulStore struct{ store.Store }

func (forgetfulStore) AppendAudit(context.Context, store.AuditEntry) (store.AuditEntry, error) {
	return store.AuditEntry{}, errors.Join(store.ErrUnavailable, errors.New("medium is broken"))
}

// TestNothingIsAcknowledgedThatIsNotOnRecord: a session that is not on record is
// not handed out.
func TestNothingIsAcknowledgedThatIsNotOnRecord(t *testing.T) {
	s := newSite(t, func(o *admin.Options) { o.Store = forgetfulStore{o.Store} })
	_, err := s.accounts.Create(t.Context(), "ada", account.Admin, password)
	must(t, err)
	a := s.call(nobody, "POST", "/login", login("ada", password))
	a.wantFault(http.StatusServiceUnavailable, "store_unavailable")
	if a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "access_token") || strings.Contains(string(a.body), "medium") {
		t.Errorf("got %s", a.body)
	}
	s.call(account.Admin, "PUT", "/settings", values("SENTINEL_MODE", "observe")).wantFault(http.StatusServiceUnavailable, "store_unavailable")
	if !strings.Contains(s.log.String(), "administrative act not recorded") {
		t.Error("the log does not say that an act was not recorded")
	}
}
