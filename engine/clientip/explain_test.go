package clientip_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	const xff = "X-Forwarded-For"
	tests := []struct {
		name, header, peer string
		h                  http.Header
		steps              []string // "+peer" is a believed step, "-header X" one that is not
		advice             []string // text in the advice, in this order
	}{
		{"direct client", "", "203.0.113.9:1", nil, []string{"+peer"}, nil},
		{"client that claims", "", "203.0.113.9:1", http.Header{xff: {"1.1.1.1"}},
			[]string{"+peer", "-header X-Forwarded-For"}, []string{"right if 203.0.113.9 is the client"}},
		{"unnamed proxy", "", "172.17.0.2:1", http.Header{xff: {"203.0.113.9"}, "X-Real-Ip": {"203.0.113.9"}},
			[]string{"+peer", "-header X-Forwarded-For", "-header X-Real-Ip"},
			[]string{"sends X-Forwarded-For, X-Real-Ip, but is not in TRUSTED_PROXY_IPS", "SENTINEL_REAL_IP_HEADER"}},
		{"hidden by NAT", "", "172.17.0.1:1", nil, []string{"+peer"}, []string{"SENTINEL_PROXY_PROTOCOL"}},
		{"trusted", "", "10.0.0.1:1", http.Header{"X-Real-Ip": {"203.0.113.9"}}, []string{"+peer", "+header X-Real-IP"}, nil},
		{"trusted, others ignored", "", "10.0.0.1:1",
			http.Header{"X-Real-Ip": {"203.0.113.9"}, xff: {"a"}, "X_real_ip": {"b"}, "Accept": {"c"}},
			[]string{"+peer", "+header X-Real-IP", "-header X-Forwarded-For", "-header X_real_ip"},
			[]string{"also sends X-Forwarded-For, X_real_ip"}},
		{"missing", "", "10.0.0.1:1", http.Header{xff: {"203.0.113.9"}},
			[]string{"+peer", "-header X-Real-IP", "-header X-Forwarded-For"},
			[]string{"proxy_set_header X-Real-IP $remote_addr", "the proxy sends X-Forwarded-For", "TRUSTED_PROXY_IPS"}},
		{"missing list", xff, "10.0.0.1:1", nil, []string{"+peer", "-header X-Forwarded-For"}, []string{"$proxy_add_x_forwarded_for", "TRUSTED_PROXY_IPS"}},
		{"repeated", "", "10.0.0.1:1", http.Header{"X-Real-Ip": {"1.1.1.1", "203.0.113.9"}},
			[]string{"+peer", "-header X-Real-IP", "-header X-Real-IP"}, []string{"overwrite X-Real-IP"}},
		{"malformed", "", "10.0.0.1:1", http.Header{"X-Real-Ip": {"unknown"}},
			[]string{"+peer", "-header X-Real-IP"}, []string{"plain address"}},
		{"list in a single header", "", "10.0.0.1:1", http.Header{"X-Real-Ip": {"1.1.1.1, 2.2.2.2"}},
			[]string{"+peer", "-header X-Real-IP"}, []string{"SENTINEL_REAL_IP_HEADER=X-Forwarded-For"}},
		{"hops", xff, "10.0.0.1:1", http.Header{xff: {"1.1.1.1, 203.0.113.9, 10.0.0.3"}},
			[]string{"+peer", "+hop 1 of X-Forwarded-For", "+hop 2 of X-Forwarded-For"}, nil},
		{"malformed hop", xff, "10.0.0.1:1", http.Header{xff: {"1.1.1.1, x, 10.0.0.3"}},
			[]string{"+peer", "+hop 1 of X-Forwarded-For", "-hop 2 of X-Forwarded-For"}, []string{"plain address"}},
		{"all hops trusted", xff, "10.0.0.1:1", http.Header{xff: {"10.0.0.4, 10.0.0.3"}},
			[]string{"+peer", "+hop 1 of X-Forwarded-For", "+hop 2 of X-Forwarded-For"}, []string{"itself inside TRUSTED_PROXY_IPS"}},
		{"one more proxy", "", "10.0.0.1:1", http.Header{"X-Real-Ip": {"172.17.0.5"}},
			[]string{"+peer", "+header X-Real-IP"}, []string{"172.17.0.5 is not a public address"}},
		{"no peer", "", "@", http.Header{xff: {"1.1.1.1"}}, []string{"-peer", "-header X-Forwarded-For"}, []string{"listen on TCP"}},
		{"name with control characters", "", "203.0.113.9:1", http.Header{"X\x1bReal\x1bIp": {"1"}}, []string{"+peer"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, trustedList, tt.header, false)
			e := r.Explain(tt.peer, tt.h)
			var steps []string
			for _, s := range e.Steps {
				steps = append(steps, map[bool]string{true: "+", false: "-"}[s.Believed]+s.What)
				if s.Why == "" {
					t.Errorf("%s has no reason", s.What)
				}
			}
			if got, want := strings.Join(steps, ", "), strings.Join(tt.steps, ", "); got != want {
				t.Errorf("steps: got %s, want %s", got, want)
			}
			if len(e.Advice) != len(tt.advice) {
				t.Fatalf("advice: got %q, want %q", e.Advice, tt.advice)
			}
			for i, want := range tt.advice {
				if !strings.Contains(e.Advice[i], want) {
					t.Errorf("advice %d: got %q, want %q in it", i, e.Advice[i], want)
				}
			}
			addr, err := r.Resolve(r.Peer(tt.peer), tt.h)
			if e.ClientIP != addr || (err != nil) != (e.Error != "") || err != nil && err.Error() != e.Error {
				t.Errorf("explained %v, %q, resolved %v, %v", e.ClientIP, e.Error, addr, err)
			}
		})
	}
}

func TestExplanationText(t *testing.T) {
	r := newResolver(t, trustedList, "X-Forwarded-For", false)
	e := r.Explain("10.0.0.1:1", http.Header{"X-Forwarded-For": {"\x1b[2J, 203.0.113.9, 192.0.2.1"}})
	const want = ` 1. believed peer "10.0.0.1:1": 10.0.0.1 is a trusted proxy (10.0.0.0/8): its X-Forwarded-For header is read
 2. believed hop 1 of X-Forwarded-For " 192.0.2.1": 192.0.2.1 is a trusted proxy (192.0.2.1/32): it is skipped, and the next one to the left is read
 3. believed hop 2 of X-Forwarded-For " 203.0.113.9": 203.0.113.9 is the first from the right that is no trusted proxy: it is the client IP, and what stands left of it is its own claim
client IP: 203.0.113.9
`
	var b strings.Builder
	n, err := e.WriteTo(&b)
	if b.String() != want || n != int64(len(want)) || err != nil {
		t.Errorf("got %d, %v\n%s\nwant\n%s", n, err, &b, want)
	}
	e = r.Explain("10.0.0.1:1", http.Header{"X-Forwarded-For": {"\x1b[2J"}})
	if text := e.Text(); !strings.Contains(text, "no client IP (malformed)") || strings.Contains(text, "\x1b") {
		t.Errorf("got %q", text)
	}
}

func TestExplanationJSON(t *testing.T) {
	r := newResolver(t, "", "", false)
	got, err := json.Marshal(r.Explain("203.0.113.9:1", nil))
	const want = `{"remoteAddr":"203.0.113.9:1","header":"X-Real-IP","trustedProxies":[],` +
		`"steps":[{"what":"peer","value":"203.0.113.9:1","believed":true,` +
		`"why":"203.0.113.9 is no trusted proxy: it is the client IP, and no header counts","address":"203.0.113.9"}],` +
		`"clientIp":"203.0.113.9","advice":[]}`
	if string(got) != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// TestExplainIsBounded: a request of any size gives a short answer.
func TestExplainIsBounded(t *testing.T) {
	h := http.Header{"X-Real-Ip": make([]string, 10000)}
	for i := range 256 { // spellings of one name
		name := []byte("x-forwarded-for")
		for bit := range 8 {
			if i>>bit&1 == 1 {
				name[bit+2] -= 'a' - 'A'
			}
		}
		h[string(name)] = []string{strings.Repeat("x", 100000)}
	}
	if text := newResolver(t, trustedList, "", false).Explain("10.0.0.1:1", h).Text(); len(text) > 20000 {
		t.Errorf("%d bytes", len(text))
	}
}

// TestHeadersTellNoSecrets: what has to do with forwarding is shown, and of the
// rest the names.
func TestHeadersTellNoSecrets(t *testing.T) {
	r := newResolver(t, trustedList, "X-Client-Address", false)
	h := http.Header{
		"Authorization": {"Bearer secret"}, "X-Api-Key": {"secret"}, "Cookie": {"secret"}, "X_forwarded_for": {"203.0.113.1"},
		"X-Forwarded-For": {"203.0.113.9, 10.0.0.1", "10.0.0.2"}, "X-Client-Address": {strings.Repeat("x", 1000)},
		"X-Original-Url": {"/v1beta/models?key=secret&x=1"}, "Via": {"1.1 edge"}, "X-Forwarded-Proto": {"https"}, "Bad\x1b[2J": {"secret"},
		"X-Real-Ip": {"secret"},
	}
	forwarding, others := r.Headers(h, func(name string) bool { return name == "X-Real-Ip" })
	raw, err := json.Marshal(map[string]any{"forwarding": forwarding, "others": others, "explained": r.Explain("10.0.0.1:1", h.Clone())})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range forwarding {
		names = append(names, f.Name)
		if f.Reads != (f.Name == "X-Client-Address") || len(f.Lines[0]) > 200 {
			t.Errorf("got %+v", f)
		}
	}
	if got, want := strings.Join(names, " "), "Via X-Client-Address X-Forwarded-For X-Forwarded-Proto X-Original-Url X_forwarded_for"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := strings.Join(others, " "), "Authorization Cookie X-Api-Key X-Real-Ip"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	delete(h, "X-Real-Ip") // which is a forwarding header to Explain
	raw2, err := json.Marshal(r.Explain("10.0.0.1:1", h))
	if err != nil || strings.Contains(string(raw2), "secret") || strings.Contains(string(raw), "key=") {
		t.Errorf("a secret is told (%v): %s", err, raw2)
	}
}

func TestStepsNameTheTrust(t *testing.T) {
	e := newResolver(t, trustedList, "X-Forwarded-For", false).Explain("10.0.0.1:1", http.Header{"X-Forwarded-For": {"1.2.3.4, 203.0.113.9, 10.0.0.3"}})
	var got []string
	for _, s := range e.Steps {
		got = append(got, fmt.Sprint(s.Address, " ", s.TrustedBy))
	}
	if want := "10.0.0.1 10.0.0.0/8; 10.0.0.3 10.0.0.0/8; 203.0.113.9 invalid Prefix"; strings.Join(got, "; ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, "; "), want)
	}
}
