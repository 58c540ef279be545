package admin

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

const (
	sessionIssuer   = "key-ip-sentinel"
	sessionAudience = "key-ip-sentinel-admin"
	// SessionLife is how long a session lasts.
	SessionLife = 8 * time.Hour
	// clockLeeway is how far the clocks of two nodes may be apart.
	clockLeeway = 30 * time.Second
)

// session is what a JWT of ours says. The account's generation ends all its
// sessions at once when it changes.
type session struct {
	jwt.RegisteredClaims
	Generation uint64 `json:"gen"`
}

// sessions makes and reads the JWTs, RFC 7519: signed with HS256 and nothing
// else, RFC 8725 section 3.1.
type sessions struct {
	secret []byte
	now    func() time.Time
	parser *jwt.Parser
}

func newSessions(secret []byte, now func() time.Time) (*sessions, error) {
	if len(secret) < 16 {
		return nil, fmt.Errorf("JWT secret of %d bytes, want at least 16", len(secret))
	}
	return &sessions{secret: secret, now: now, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(sessionIssuer), jwt.WithAudience(sessionAudience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(clockLeeway), jwt.WithTimeFunc(now),
	)}, nil
}

// issue returns the JWT of a new session.
func (s *sessions) issue(of account.Account) (string, error) {
	now := s.now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, session{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: sessionIssuer, Audience: jwt.ClaimStrings{sessionAudience}, Subject: of.Name, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(SessionLife)),
		},
		Generation: of.Generation,
	}).SignedString(s.secret)
	if err != nil {
		return "", fmt.Errorf("sign session: %w", err)
	}
	return token, nil
}

var errNoSession = errors.New("not a session of this server, or over")

// read returns what a JWT says, if it is one of ours and not over.
func (s *sessions) read(token string) (*session, error) {
	claims := new(session)
	if _, err := s.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return s.secret, nil }); err != nil {
		return nil, errNoSession
	}
	if claims.Subject == "" || claims.ID == "" {
		return nil, errNoSession
	}
	return claims, nil
}
