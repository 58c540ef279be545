package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

type diagnosisBody struct {
	Peer struct {
		RemoteAddr, TrustedBy string
		Trusted               bool
	}
	Header, ClientIP, ErrorKind, Error string
	WhatIf                             bool
	Forwarding                         []struct {
		Name  string
		Lines []string
		Reads bool
	}
	OtherHeaders   []string
	TrustedProxies []string
	Steps          []struct{ What, Value, Address, TrustedBy, Why string }
	Advice         []string
}

// TestDoctorOfTheCaller: the site trusts 127.0.0.0/8.
func TestDoctorOfTheCaller(t *testing.T) {
	s := newSite(t)
	var d diagnosisBody
	a := s.call(account.Viewer, "GET", "/ip-doctor", nil, "Cookie: sentinel_session=a.secret.b", "X-Api-Key: a secret", "X-Forwarded-For: 203.0.113.9").want(http.StatusOK).into(&d)
	if d.ClientIP != clientIP || !d.Peer.Trusted || d.Peer.TrustedBy != "127.0.0.0/8" || d.WhatIf || d.Header != "X-Real-IP" {
		t.Errorf("got %s", a.body)
	}
	if len(d.Forwarding) != 2 || d.Forwarding[0].Name != "X-Forwarded-For" || !d.Forwarding[1].Reads || d.Forwarding[1].Lines[0] != clientIP {
		t.Errorf("got %+v", d.Forwarding)
	}
	text := string(a.body)
	for _, name := range []string{"Authorization", "Cookie", "X-Api-Key"} {
		if !strings.Contains(strings.Join(d.OtherHeaders, " "), name) {
			t.Errorf("%s is not named: %v", name, d.OtherHeaders)
		}
	}
	if strings.Contains(text, "secret.b") || strings.Contains(text, "a secret") || strings.Contains(text, s.tokens[account.Viewer]) {
		t.Errorf("a secret is told: %s", text)
	}
	// A viewer may ask, and the trail is for acts.
	s.wantTrail(0)
}

func TestDoctorOfAnotherRequest(t *testing.T) {
	s := newSite(t)
	tests := []struct {
		name            string
		body            map[string]any
		clientIP, fault string
		says            string // in a step or an advice
	}{
		{"pasted", map[string]any{"peer": "127.0.0.1:4000", "headers": "> GET /v1/models HTTP/1.1\r\n> x-real-ip: 203.0.113.9\r\n> Authorization: Bearer sk-secret\r\n>\r\n"},
			"203.0.113.9", "", "a trusted proxy says so"},
		{"untrusted", map[string]any{"peer": "10.0.0.7", "headers": "X-Real-IP: 203.0.113.9"}, "10.0.0.7", "", "add 10.0.0.7 to TRUSTED_PROXY_IPS"},
		{"what if", map[string]any{"peer": "10.0.0.7", "headers": ":authority: x\nX-Forwarded-For: 1.2.3.4, 203.0.113.9, 10.0.0.8", "trustedProxies": []string{"10.0.0.0/8"}, "header": "x-forwarded-for"},
			"203.0.113.9", "", "10.0.0.8 is a trusted proxy (10.0.0.0/8)"},
		{"what if, of the caller", map[string]any{"trustedProxies": []string{}}, "127.0.0.1", "", "is no trusted proxy"},
		{"missing", map[string]any{"peer": "127.0.0.1:1"}, "", "missing", "have the proxy 127.0.0.1 set X-Real-IP"},
		{"repeated", map[string]any{"peer": "127.0.0.1:1", "headers": "X-Real-IP: 1.1.1.1\nX-Real-IP: 2.2.2.2"}, "", "repeated", "overwrite X-Real-IP"},
		{"a URL with a key", map[string]any{"peer": "127.0.0.1:1", "headers": "X-Real-IP: 1.1.1.1\nX-Original-URL: /x?key=sk-secret"}, "1.1.1.1", "", "X-Original-Url"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var d diagnosisBody
			a := s.call(account.Viewer, "POST", "/ip-doctor", test.body).want(http.StatusOK).into(&d)
			if d.ClientIP != test.clientIP || d.ErrorKind != test.fault || !strings.Contains(string(a.body), test.says) || strings.Contains(string(a.body), "sk-secret") {
				t.Errorf("got %s, want %q, %q and %q", a.body, test.clientIP, test.fault, test.says)
			}
			if _, asked := test.body["trustedProxies"]; d.WhatIf != asked {
				t.Errorf("what if: got %v", d.WhatIf)
			}
		})
	}
	if got := s.trusted(); len(got) != 1 || got[0] != "127.0.0.0/8" {
		t.Errorf("the settings in force became %v", got)
	}
}

// trusted returns the trusted proxies in force.
func (s *site) trusted() []string {
	s.t.Helper()
	var d diagnosisBody
	s.call(account.Viewer, "GET", "/ip-doctor", nil).want(http.StatusOK).into(&d)
	return d.TrustedProxies
}

func TestDoctorRefuses(t *testing.T) {
	s := newSite(t)
	const secret = "sk-pasted-into-the-wrong-place"
	for location, body := range map[string]map[string]any{
		"body.peer":              {"headers": "X-Real-IP: 1.1.1.1"},
		"body.peer ":             {"peer": secret},
		"body.headers line 2":    {"peer": "10.0.0.7", "headers": "X-Real-IP: 1.1.1.1\n" + secret},
		"body.headers line 1":    {"peer": "10.0.0.7", "headers": "bad name: " + secret},
		"body.headers":           {"peer": "10.0.0.7", "headers": strings.Repeat("A: b\n", 600)},
		"body.trustedProxies[1]": {"trustedProxies": []string{"10.0.0.0/8", secret}},
		"body.header":            {"header": "X-Api-Key"},
		"body.header ":           {"header": "Sec-WebSocket-Protocol"},
		"body.header  ":          {"header": "bad name"},
	} {
		a := s.call(account.Viewer, "POST", "/ip-doctor", body)
		a.wantFault(http.StatusUnprocessableEntity, "invalid", strings.TrimSpace(location))
		if strings.Contains(string(a.body), secret) {
			t.Errorf("%s: what may be a key is repeated: %s", location, a.body)
		}
	}
	s.server.Config.Handler = s.api.Local()
	var d diagnosisBody
	if s.callAs("", "GET", "/ip-doctor", nil).want(http.StatusOK).into(&d); d.ErrorKind != "no_peer" || len(d.Advice) == 0 {
		t.Errorf("the local socket: got %+v", d)
	}
}
