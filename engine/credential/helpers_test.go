package credential_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Keys of the tests: 48 letters and digits, as New API makes them.
var (
	keyA = strings.Repeat("a1B2", 12)
	keyB = strings.Repeat("c3D4", 12)
	keyC = strings.Repeat("e5F6", 12)
)

var secret = []byte(strings.Repeat("s", 32))

func newReader(t testing.TB, o credential.Options) *credential.Reader {
	t.Helper()
	o.Secret = secret
	r, err := credential.New(o)
	if err != nil {
		t.Fatalf("new reader: %v", err)
	}
	return r
}

func newAPI(t testing.TB) *credential.Reader {
	t.Helper()
	return newReader(t, credential.Options{Profile: credential.ProfileNewAPI})
}

// headers makes a header of "Name: value" lines.
func headers(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

func request(path, query string, lines ...string) *credential.Request {
	return &credential.Request{Method: http.MethodPost, Header: headers(lines...), Path: path, SentPath: path, RawQuery: query}
}

func read(t testing.TB, r *credential.Reader, req *credential.Request) *credential.Set {
	t.Helper()
	set := new(credential.Set)
	if err := r.Read(req, set); err != nil {
		t.Fatalf("read: %v", err)
	}
	return set
}

// indexOf returns the index of a canonical key in the set, or -1.
func indexOf(r *credential.Reader, set *credential.Set, key string) int {
	for i := range set.Len() {
		if set.Hash(i) == r.Hash(key) {
			return i
		}
	}
	return -1
}

func hashes(set *credential.Set) []store.KeyHash {
	var all []store.KeyHash
	for i := range set.Len() {
		all = append(all, set.Hash(i))
	}
	return all
}

func kindOf(err error) credential.Kind {
	var e *credential.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func segment(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }

// loginToken is a token as New API's dashboard uses them.
func loginToken() string {
	return segment(`{"alg":"HS256","typ":"JWT"}`) + "." + segment(`{"sub":"1","exp":4000000000}`) + "." + segment("signature")
}
