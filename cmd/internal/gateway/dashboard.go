package gateway

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// Who can log in to the dashboard.
const (
	DashboardUser     = "demo"
	DashboardPassword = "demo-password"
)

const (
	dashboardLifetime = 15 * time.Minute
	jwtIssuer         = "new-api"
	jwtAudience       = "new-api-dashboard"
	jwtUse            = "access"
)

// dashboardClaims are the claims of the tokens that logging in gives.
type dashboardClaims struct {
	TokenUse       string   `json:"token_use"`
	SessionID      string   `json:"sid"`
	UserVersion    int      `json:"uv"`
	SessionVersion int      `json:"sv"`
	Issuer         string   `json:"iss"`
	Subject        string   `json:"sub"`
	Audience       []string `json:"aud"`
	ExpiresAt      int64    `json:"exp"`
	NotBefore      int64    `json:"nbf"`
	IssuedAt       int64    `json:"iat"`
	ID             string   `json:"jti"`
}

// login is POST /api/user/login. Like its model it says no with 200.
func (g *Gateway) login(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if err := readJSON(r, &asked); err != nil || asked.Username != DashboardUser || asked.Password != DashboardPassword {
		writeJSON(w, http.StatusOK, object{"success": false, "message": "wrong user name or password"})
		return
	}
	now := g.now()
	token, err := g.sign(dashboardClaims{
		TokenUse: jwtUse, SessionID: rand.Text(), UserVersion: 1, SessionVersion: 1,
		Issuer: jwtIssuer, Subject: "1", Audience: []string{jwtAudience},
		ExpiresAt: now.Add(dashboardLifetime).Unix(), NotBefore: now.Add(-5 * time.Second).Unix(), IssuedAt: now.Unix(),
		ID: rand.Text(),
	})
	if err != nil {
		openAIError(w, http.StatusInternalServerError, "server_error", "", err.Error())
		return
	}
	writeJSON(w, http.StatusOK, object{"success": true, "message": "", "data": object{
		"id": 1, "username": DashboardUser, "access_token": token, "token_type": "Bearer",
		"access_expires_at": now.Add(dashboardLifetime).Unix(),
	}})
}

func (g *Gateway) self(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, object{"success": true, "message": "", "data": object{"id": 1, "username": DashboardUser}})
}

// requireDashboard lets dashboard tokens and personal access tokens through.
func (g *Gateway) requireDashboard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := dashboardToken(r)
		if claims, isToken := parseClaims(token); isToken && g.valid(token, claims) || g.accessTokens[token] {
			next(w, r)
			return
		}
		dashboardError(w, "AUTH_UNAUTHORIZED", "not logged in")
	}
}

// requireKeyOrDashboard takes either. A dashboard token, even an expired one, is
// never tried as a key.
func (g *Gateway) requireKeyOrDashboard(next http.HandlerFunc) http.HandlerFunc {
	byKey, byToken := g.requireKey(next), g.requireDashboard(next)
	return func(w http.ResponseWriter, r *http.Request) {
		if _, isToken := parseClaims(dashboardToken(r)); isToken {
			byToken(w, r)
			return
		}
		byKey(w, r)
	}
}

// dashboardToken takes Authorization with or without Bearer in any case.
func dashboardToken(r *http.Request) string {
	parts := strings.Fields(r.Header.Get("Authorization"))
	switch {
	case len(parts) == 2 && strings.EqualFold(parts[0], "Bearer"):
		return parts[1]
	case len(parts) == 1:
		return parts[0]
	}
	return ""
}

// sign makes a JSON Web Token with HS256 (RFC 7515).
func (g *Gateway) sign(claims dashboardClaims) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(payload)
	return signed + "." + encode(g.signature(signed)), nil
}

func (g *Gateway) signature(signed string) []byte {
	mac := hmac.New(sha256.New, g.jwtSecret)
	_, _ = mac.Write([]byte(signed)) // a hash never fails
	return mac.Sum(nil)
}

// parseClaims reports whether the text is a dashboard token by its claims, true
// or forged.
func parseClaims(token string) (claims dashboardClaims, isToken bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return claims, false
	}
	isToken = claims.Issuer == jwtIssuer && claims.TokenUse == jwtUse &&
		len(claims.Audience) == 1 && claims.Audience[0] == jwtAudience
	return claims, isToken
}

// valid checks signature and lifetime. The algorithm is never taken from the
// token: it is always HS256.
func (g *Gateway) valid(token string, claims dashboardClaims) bool {
	end := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
	if err != nil || !hmac.Equal(signature, g.signature(token[:end])) {
		return false
	}
	now := g.now().Unix()
	return claims.NotBefore <= now && now < claims.ExpiresAt
}
