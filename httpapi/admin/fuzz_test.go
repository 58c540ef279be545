package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

// fuzzBodies sends an operation whatever bodies come up: the answer is a success
// or a problem of the client's, is as documented, and a problem is not on record
// as an act.
func fuzzBodies(f *testing.F, method, path string, seeds ...string) {
	f.Helper()
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	s := newSite(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		s.t = t
		since := len(s.trail())
		a := s.call(account.Admin, method, path, body)
		switch {
		case a.status >= 200 && a.status < 300:
		case a.status >= 400 && a.status < 500:
			a.wantFault(a.status, "")
			if got := len(s.trail()) - since; got != 0 {
				t.Errorf("%d %s left %d entries in the audit trail", a.status, a.body, got)
			}
		default:
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

func FuzzCreateBinding(f *testing.F) {
	hash := strings.Repeat("ab", 32)
	fuzzBodies(f, http.MethodPost, "/bindings",
		`{"hash":"`+hash+`","rule":{"kind":"single","prefixes":["10.0.0.0/8"]}}`,
		`{"key":"sk-test-`+strings.Repeat("x", 40)+`","rule":{"kind":"all"}}`,
		`{"hash":"`+hash+`","rule":{"kind":"multiple","prefixes":["::ffff:10.0.0.1","2001:db8::/32"]},"label":"a","note":"b\nc","status":"banned"}`,
		`{"hash":1,"rule":[]}`, `{"hash":null}`, `null`, `[]`, ``, `{`)
}

func FuzzSearchBindings(f *testing.F) {
	fuzzBodies(f, http.MethodPost, "/bindings/search",
		`{"text":"a","network":"10.0.0.0/8","status":"active","sort":"hits","order":"asc","limit":10}`,
		`{"createdSince":"2026-01-01T00:00:00Z","idleSince":"0001-01-01T00:00:00Z","hitsBelow":1}`,
		`{"limit":0}`, `{"network":"10.0.0.1/8"}`, `{"after":"x"}`, `{}`, `null`)
}

func FuzzChangeSettings(f *testing.F) {
	fuzzBodies(f, http.MethodPut, "/settings",
		`{"values":{"SENTINEL_MODE":"observe","ARCHIVE_DAYS":null}}`, `{"values":{"NO_SUCH":"1"}}`,
		`{"values":{"ARCHIVE_DAYS":1}}`, `{"values":null}`, `{"values":{}}`, `{"Values":{"SENTINEL_MODE":"x"}}`, `{"values":{"":""}}`)
}
