package account

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"strings"
)

const (
	// tokenPrefix makes a token recognisable, to people and to secret scanners.
	tokenPrefix = "sntl_"
	base62      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// tokenChars is how many random characters a token has: 178 bits.
	tokenChars = 30
	// tokenChecksum is how many follow: a CRC-32 of everything before them. It
	// tells a token that was cut or mistyped without a look at the store.
	tokenChecksum = 6
)

// newTokenText returns a new API token.
func newTokenText() string {
	text := tokenPrefix + randomText(tokenChars, base62)
	return text + checksum(text)
}

func checksum(text string) string {
	sum := crc32.ChecksumIEEE([]byte(text))
	var b [tokenChecksum]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = base62[sum%62]
		sum /= 62
	}
	return string(b[:])
}

// parseToken returns the hash of an API token, as it is stored, and reports
// whether it has the form of one. A token is 178 random bits, which nobody
// can try through, so a fast hash is enough; a slow one would be paid at each
// request.
func parseToken(token string) (hash string, ok bool) {
	if len(token) != len(tokenPrefix)+tokenChars+tokenChecksum || !strings.HasPrefix(token, tokenPrefix) {
		return "", false
	}
	body := token[len(tokenPrefix):]
	for i := range len(body) {
		if strings.IndexByte(base62, body[i]) < 0 {
			return "", false
		}
	}
	if split := len(token) - tokenChecksum; checksum(token[:split]) != token[split:] {
		return "", false
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:]), true
}
