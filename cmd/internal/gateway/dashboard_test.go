package gateway_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/gateway"
)

func login(t *testing.T, url string) string {
	t.Helper()
	_, body := send(t, "POST", url+"/api/user/login",
		`{"username":"`+gateway.DashboardUser+`","password":"`+gateway.DashboardPassword+`"}`, nil)
	got := decode[struct {
		Success bool
		Data    struct {
			Token string `json:"access_token"`
		}
	}](t, body)
	if !got.Success || strings.Count(got.Data.Token, ".") != 2 {
		t.Fatalf("got %s, want a token", body)
	}
	return got.Data.Token
}

func TestDashboard(t *testing.T) {
	accessToken := strings.Repeat("Pp33", 8)
	_, server := start(t, gateway.Options{Keys: []string{firstKey}, AccessTokens: []string{accessToken}})
	token := login(t, server.URL)
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	forged := header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"1"}`)) + "." + signature
	tests := []struct {
		name, method, path, authorization string
		want                              int
	}{
		{"self", "GET", "/api/user/self", "Bearer " + token, 200},
		{"self in other letters", "GET", "/api/user/self", "BEARER " + token, 200},
		{"self with an access token", "GET", "/api/user/self", accessToken, 200},
		{"self with a key", "GET", "/api/user/self", "Bearer " + firstKey, 401},
		{"self without", "GET", "/api/user/self", "", 401},
		{"self forged", "GET", "/api/user/self", "Bearer " + forged, 401},
		{"self unsigned", "GET", "/api/user/self", "Bearer " + header + "." + payload + ".", 401},
		{"playground", "POST", "/pg/chat/completions", "Bearer " + token, 200},
		{"playground with a key", "POST", "/pg/chat/completions", "Bearer " + firstKey, 401},
		{"models with a token", "GET", "/v1/models", "Bearer " + token, 401},
		{"video with a token", "GET", "/v1/videos/1/content", "Bearer " + token, 200},
		{"video with a key", "GET", "/v1/videos/1/content", "Bearer " + firstKey, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := send(t, tt.method, server.URL+tt.path, `{}`, http.Header{"Authorization": {tt.authorization}})
			if status != tt.want {
				t.Errorf("got %d, want %d: %s", status, tt.want, body)
			}
		})
	}
	if status, body := send(t, "POST", server.URL+"/api/user/login", `{"username":"demo"}`, nil); status != 200 || !strings.Contains(body, `"success":false`) {
		t.Errorf("wrong password: got %d %s", status, body)
	}
}
