package account

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func FuzzParsePHC(f *testing.F) {
	const good = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, s := range []string{
		"", "$", "$$$$$", good, good + "=", good + "$", good + "\n", " " + good,
		strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=65536", "m=065536", 1), strings.Replace(good, "m=65536", "m=4294967296", 1),
		strings.Replace(good, "m=65536", "m=262145", 1), strings.Replace(good, "m=65536", "m=31", 1),
		strings.Replace(good, "t=3", "t=0", 1), strings.Replace(good, "t=3", "t=+3", 1),
		strings.Replace(good, "p=4", "p=17", 1), strings.Replace(good, "p=4", "p=4,x=1", 1),
		strings.Replace(good, "c29tZXNhbHQ", "c29tZXNhbHR", 1), strings.Replace(good, "c29tZXNhbHQ", "c29t\nZXNhbHQ", 1),
		strings.Replace(good, "c29tZXNhbHQ", "", 1),
	} {
		f.Add(s)
	}
	if _, err := parsePHC(good); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err != nil {
			return
		}
		if h.String() != s {
			t.Errorf("%q comes back as %q", s, h)
		}
		if h.memoryKiB > 1<<18 || h.memoryKiB < 8*uint32(h.lanes) || h.passes < 1 || h.passes > 16 || h.lanes < 1 ||
			h.lanes > 16 || len(h.salt) < 8 || len(h.salt) > 64 || len(h.hash) < 16 || len(h.hash) > 64 {
			t.Errorf("%q is beyond the bounds", s)
		}
	})
}

func FuzzParseToken(f *testing.F) {
	good := newTokenText()
	const fixed = "sntl_000000000000000000000000000000"
	for _, s := range []string{
		"", "sntl_", good, good[:len(good)-1], good + "0", strings.ToUpper(good), "\x00" + good[1:],
		fixed, fixed + checksum(fixed), fixed + "000000", "sntl_" + strings.Repeat("é", 18),
	} {
		f.Add(s)
	}
	if _, ok := parseToken(good); !ok {
		f.Fatal("a new token is none")
	}
	f.Fuzz(func(t *testing.T, s string) {
		hash, ok := parseToken(s)
		if !ok {
			if hash != "" {
				t.Errorf("%q is no token and has the hash %s", s, hash)
			}
			return
		}
		if sum := sha256.Sum256([]byte(s)); hash != hex.EncodeToString(sum[:]) || len(s) != 41 || !strings.HasPrefix(s, tokenPrefix) {
			t.Errorf("%q: got %s", s, hash)
		}
		// Every other character there makes it none.
		for i := len(tokenPrefix); i < len(s); i++ {
			other := byte('0')
			if s[i] == other {
				other = '1'
			}
			if _, ok := parseToken(s[:i] + string(other) + s[i+1:]); ok {
				t.Errorf("%q is a token with character %d changed", s, i)
			}
		}
	})
}
