package account

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Bounds of a new password in bytes. There are no rules of composition, see
// NIST SP 800-63B.
const (
	minPasswordBytes = 12
	maxPasswordBytes = 1024
)

// cost is what one password hash costs.
type cost struct {
	memoryKiB uint32
	passes    uint32
	lanes     uint8
}

// defaultCost is the second recommended option of RFC 9106, section 4.
var defaultCost = cost{memoryKiB: 64 * 1024, passes: 3, lanes: 4}

const (
	saltBytes = 16
	hashBytes = 32
)

// phc is an argon2id hash in the string format of the Password Hashing
// Competition: $argon2id$v=19$m=65536,t=3,p=4$salt$hash.
type phc struct {
	cost
	salt, hash []byte
}

var errPHC = errors.New("not an argon2id hash that can be checked")

// String returns h as parsePHC reads it.
func (h phc) String() string {
	text := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.memoryKiB, h.passes, h.lanes, text.EncodeToString(h.salt), text.EncodeToString(h.hash))
}

// parsePHC reads a hash. The bounds keep a document that somebody else wrote
// from taking all memory or all time; each hash has one spelling only.
func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errPHC
	}
	params := strings.Split(parts[3], ",")
	if len(params) != 3 {
		return phc{}, errPHC
	}
	var h phc
	m, errM := parseParam(params[0], "m=", 8, 1<<18)
	t, errT := parseParam(params[1], "t=", 1, 16)
	p, errP := parseParam(params[2], "p=", 1, 16)
	salt, errSalt := parseBase64(parts[4], 8, 64)
	hash, errHash := parseBase64(parts[5], 16, 64)
	if err := errors.Join(errM, errT, errP, errSalt, errHash); err != nil || m < 8*p {
		return phc{}, errPHC
	}
	h.cost = cost{memoryKiB: m, passes: t, lanes: uint8(p)} //nolint:gosec // at most 16, G115
	h.salt, h.hash = salt, hash
	return h, nil
}

func parseParam(s, name string, lowest, highest uint32) (uint32, error) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n < uint64(lowest) || n > uint64(highest) || strconv.FormatUint(n, 10) != digits {
		return 0, errPHC
	}
	return uint32(n), nil
}

func parseBase64(s string, shortest, longest int) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // which the decoder would skip
		return nil, errPHC
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < shortest || len(b) > longest {
		return nil, errPHC
	}
	return b, nil
}

// derive returns what password comes to with the salt and the cost of h.
func (h phc) derive(password string) []byte {
	// NFC, because the same characters come as other bytes from other machines.
	return argon2.IDKey(norm.NFC.Bytes([]byte(password)), h.salt, h.passes, h.memoryKiB, h.lanes, uint32(len(h.hash))) //nolint:gosec // at most 64, G115
}

func (h phc) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.derive(password), h.hash) == 1
}

// checkNewPassword returns a *FieldError if the account of that name cannot have
// that password.
func checkNewPassword(name, password string) error {
	fault := ""
	switch {
	case len(password) < minPasswordBytes:
		fault = fmt.Sprintf("want at least %d bytes", minPasswordBytes)
	case len(password) > maxPasswordBytes:
		fault = fmt.Sprintf("want at most %d bytes", maxPasswordBytes)
	case strings.EqualFold(password, name):
		fault = "want another than the name of the account"
	default:
		return nil
	}
	return &FieldError{Field: "password", Fault: fault}
}
