package account

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	recoveryCodes = 10
	// recoveryChars is how many characters of 5 bits a recovery code has: 80 bits.
	recoveryChars    = 16
	recoveryGroup    = 4
	recoveryAlphabet = "abcdefghijklmnopqrstuvwxyz234567" // base32, RFC 4648
)

// newRecovery returns recovery codes, of the form xxxx-xxxx-xxxx-xxxx, and their
// hashes. A code is 80 random bits, too many to try, so a fast hash is enough.
func newRecovery() (codes, hashes []string) {
	for range recoveryCodes {
		plain := randomText(recoveryChars, recoveryAlphabet)
		var groups []string
		for i := 0; i < len(plain); i += recoveryGroup {
			groups = append(groups, plain[i:i+recoveryGroup])
		}
		code := strings.Join(groups, "-")
		hash, _ := recoveryHash(code)
		codes, hashes = append(codes, code), append(hashes, hash)
	}
	return codes, hashes
}

// recoveryHash returns the hash of a recovery code however it was typed, and
// reports whether it has the form of one.
func recoveryHash(code string) (string, bool) {
	plain := strings.ToLower(strings.ReplaceAll(withoutSpaces(code), "-", ""))
	if len(plain) != recoveryChars || strings.Trim(plain, recoveryAlphabet) != "" {
		return "", false
	}
	sum := sha256.Sum256([]byte(plain))
	return hex.EncodeToString(sum[:]), true
}
