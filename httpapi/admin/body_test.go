package admin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

// deadlines records those that a handler sets on its connection.
type deadlines struct {
	*httptest.ResponseRecorder
	read []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

// A deadline that is left on the connection would break off, as if the client
// had left, whatever takes longer than the body was given.
func TestTheTimeForABodyEndsWithTheBody(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct{ path, body string }{
		{"/bindings/search", `{}`},
		{"/bindings/import?dryRun=true", "hash,prefixes\n" + hashOf(1).String() + ",10.0.0.1\n"},
	} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, admin.Base+tt.path, strings.NewReader(tt.body))
		req.RemoteAddr = clientIP + ":1234"
		req.Header.Set("Authorization", "Bearer "+s.tokens[account.Operator])
		s.api.Handler().ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: got %d %s", tt.path, w.Code, w.Body)
		}
		limited := false
		for _, d := range w.read {
			limited = limited || !d.IsZero()
		}
		if !limited || !w.read[len(w.read)-1].IsZero() {
			t.Errorf("%s: got deadlines %v, want one for the body, and none at the end", tt.path, w.read)
		}
	}
}
