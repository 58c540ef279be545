package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sdkDir = "testdata/sdk"

// sdkResult is what a client library made of one scenario.
type sdkResult struct {
	OK             bool
	Text, Finish   string
	Chunks, Tokens int
	Protocol       string
	Name, Message  string
	Status         int
	Type, Code     string
}

// requireNode skips the test where Node.js or the client libraries are missing,
// and fails it where they have to be there.
func requireNode(t *testing.T) {
	t.Helper()
	missing := ""
	if _, err := exec.LookPath("node"); err != nil {
		missing = "node is not on PATH"
	} else if _, err := os.Stat(filepath.Join(sdkDir, "node_modules")); errors.Is(err, fs.ErrNotExist) {
		missing = "the client libraries are not installed in " + sdkDir
	}
	unavailable(t, missing, "run make sdk")
}

// unavailable ends the test if something is missing that it cannot do without.
func unavailable(t *testing.T, missing, remedy string) {
	t.Helper()
	switch {
	case missing == "":
	case requireServers:
		t.Fatalf("%s: %s", missing, remedy)
	default:
		t.Skipf("%s: %s", missing, remedy)
	}
}

// runSDK runs a script with a key, from an address, and returns its results by
// the name of the scenario.
func runSDK(t *testing.T, script, url, key, ip string, environ ...string) map[string]sdkResult {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Dir = sdkDir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "BASE_URL=" + url, "API_KEY=" + key, "LOCAL_ADDRESS=" + ip}, environ...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, stderr.String())
	}
	var results map[string]sdkResult
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("%s: %v in %q", script, err, out)
	}
	return results
}

// sdkScripts are the scripts with what each scenario has to give through
// Sentinel, from the address that the key is bound to.
var sdkScripts = []struct {
	script  string
	want    map[string]sdkResult
	refused string // the class of a 403
}{
	{"openai.mjs", map[string]sdkResult{
		"models":          {OK: true, Text: "demo-chat demo-realtime demo-embedding demo-slow demo-error demo-429"},
		"plain":           {OK: true, Text: sdkText, Finish: "stop", Tokens: 17},
		"stream":          {OK: true, Text: sdkText, Finish: "stop", Tokens: 17, Chunks: 15},
		"responses":       {OK: true, Text: sdkText, Finish: "completed", Tokens: 17},
		"responsesStream": {OK: true, Text: sdkText, Finish: "completed", Chunks: 16},
		"embeddings":      {OK: true, Chunks: 2, Tokens: 2},
		"error":           {Name: "InternalServerError", Status: 500, Message: "500 the demo model failed, as asked", Type: "server_error"},
		"limited":         {Name: "RateLimitError", Status: 429, Message: "429 the demo model is busy, as asked", Type: "rate_limit_error"},
	}, "PermissionDeniedError"},
	{"anthropic.mjs", map[string]sdkResult{
		"models":  {OK: true, Text: "demo-chat demo-realtime demo-embedding demo-slow demo-error demo-429"},
		"plain":   {OK: true, Text: sdkText, Finish: "end_turn", Tokens: 12},
		"stream":  {OK: true, Text: sdkText, Finish: "end_turn", Tokens: 12, Chunks: 17},
		"error":   {Name: "InternalServerError", Status: 500, Message: `500 {"error":{"message":"the demo model failed, as asked","type":"api_error"},"type":"error"}`, Type: "api_error"},
		"limited": {Name: "RateLimitError", Status: 429, Message: `429 {"error":{"message":"the demo model is busy, as asked","type":"rate_limit_error"},"type":"error"}`, Type: "rate_limit_error"},
	}, "PermissionDeniedError"},
	{"google.mjs", map[string]sdkResult{
		"models":  {OK: true, Text: "models/demo-chat models/demo-realtime models/demo-embedding models/demo-slow models/demo-error models/demo-429"},
		"plain":   {OK: true, Text: sdkText, Finish: "STOP", Tokens: 17},
		"stream":  {OK: true, Text: sdkText, Finish: "STOP", Tokens: 17, Chunks: 13},
		"error":   {Name: "ApiError", Status: 500, Message: `{"error":{"code":500,"message":"the demo model failed, as asked","status":"INTERNAL"}}`},
		"limited": {Name: "ApiError", Status: 429, Message: `{"error":{"code":429,"message":"the demo model is busy, as asked","status":"RESOURCE_EXHAUSTED"}}`},
	}, "ApiError"},
	{"realtime.mjs", realtimeResults, "Error"},
}

const sdkText = "Hello from the demo gateway. You said: Say hello to the tests."

var realtimeResults = map[string]sdkResult{
	"client":      {OK: true, Text: "session.created input_audio_buffer.clear", Finish: "1000"},
	"subprotocol": {OK: true, Text: "session.created input_audio_buffer.clear", Finish: "1000", Protocol: "realtime"},
}

// TestOfficialClients runs each client library with a key of its own: first from
// the address that it is bound to by that, then from another.
func TestOfficialClients(t *testing.T) {
	requireNode(t)
	keys := make([]string, len(sdkScripts))
	for i := range keys {
		keys[i] = testKey(9000 + i)
	}
	gateway := startGateway(t, keys...)
	sentinel := startSentinel(t, gateway.url)
	for i, tt := range sdkScripts {
		t.Run(tt.script, func(t *testing.T) {
			got := runSDK(t, tt.script, sentinel.url, keys[i], homeIP)
			compareResults(t, got, tt.want)
			uses := gateway.uses(keys[i])
			if uses < len(tt.want) {
				t.Errorf("the gateway saw the key %d times, want at least %d", uses, len(tt.want))
			}

			refused := call(t, from(t, elsewhereIP), "GET", sentinel.url+"/v1/models", keys[i], nil)
			message := messageOf(t, refused.body)
			for name, got := range runSDK(t, tt.script, sentinel.url, keys[i], elsewhereIP) {
				if got.OK || got.Status != 403 || got.Name != tt.refused {
					t.Errorf("%s from elsewhere: got %+v, want a 403 as %s", name, got, tt.refused)
				}
				if !strings.Contains(got.Message, message) {
					t.Errorf("%s from elsewhere: got message %q, want it to hold %q", name, got.Message, message)
				}
			}
			if got := gateway.uses(keys[i]); got != uses {
				t.Errorf("the gateway saw the key %d times more", got-uses)
			}
		})
	}
}

func compareResults(t *testing.T, got, want map[string]sdkResult) {
	t.Helper()
	for name, want := range want {
		if got[name] != want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got[name], want)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d scenarios, want %d", len(got), len(want))
	}
}

// messageOf returns what an error body says to people.
func messageOf(t *testing.T, body string) string {
	t.Helper()
	var parsed struct {
		Detail string `json:"detail"`
		Error  struct{ Message, Type, Code string }
	}
	must(t, json.Unmarshal([]byte(body), &parsed))
	if parsed.Error.Message == "" || parsed.Detail != parsed.Error.Message ||
		parsed.Error.Type != "sentinel_error" || parsed.Error.Code != "ip_not_allowed" {
		t.Fatalf("got %s, want the documented error", body)
	}
	return parsed.Error.Message
}

// TestRealtimeOverTLS lets the official client build its wss address as it
// always does.
func TestRealtimeOverTLS(t *testing.T) {
	requireNode(t)
	certificate, key := selfSigned(t)
	apiKey := testKey(9100)
	sentinel := startSentinel(t, startGateway(t, apiKey).url, "SENTINEL_TLS_CERT="+certificate, "SENTINEL_TLS_KEY="+key)
	compareResults(t, runSDK(t, "realtime.mjs", sentinel.url, apiKey, homeIP, "NODE_EXTRA_CA_CERTS="+certificate), realtimeResults)
	for name, got := range runSDK(t, "realtime.mjs", sentinel.url, apiKey, elsewhereIP, "NODE_EXTRA_CA_CERTS="+certificate) {
		if got.OK || got.Status != 403 {
			t.Errorf("%s from elsewhere: got %+v, want 403", name, got)
		}
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T) (certificateFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	dir := t.TempDir()
	certificateFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	must(t, os.WriteFile(certificateFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600))
	return certificateFile, keyFile
}
