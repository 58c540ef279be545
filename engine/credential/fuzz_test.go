package credential_test

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/credential"
)

// oddities seed every target.
func oddities() []string {
	return []string{
		"", " ", "Bearer", "Bearer ", "bearer sk-", "Basic abc", keyA, "sk-" + keyA, "Bearer sk-" + keyA + "-1", "Bearer  " + keyA,
		"\u00a0" + keyA, keyA + "\u3000", "\u0085" + keyA + "\u0085", "ａ" + keyA, "\x00" + keyA, keyA + "\x7f", "\xff\xfe" + keyA,
		"sk-sk-" + keyA, keyA + " -1", "-" + keyA, "midjourney-proxy", strings.Repeat("a", 64<<10), strings.Repeat("Bearer ", 500),
		"realtime, openai-insecure-api-key.sk-" + keyA, loginToken(), "Bearer " + loginToken(), "K\u212a", "ſk-" + keyA, "%20" + keyA + "+",
	}
}

func FuzzCanonicalNewAPI(f *testing.F) {
	for _, s := range oddities() {
		f.Add(s)
	}
	r := newAPI(f)
	f.Fuzz(func(t *testing.T, value string) {
		hash, _, err := r.HashKey(value)
		want, refused := slowCanonical(value)
		switch {
		case len(value) > credential.MaxValueBytes:
			if kindOf(err) != credential.TooLong {
				t.Fatalf("%d bytes: %v, want refused", len(value), err)
			}
		case want == "":
			if kindOf(err) != credential.Empty {
				t.Fatalf("%q: %v, want no key", value, err)
			}
		case refused:
			if kindOf(err) != credential.Unprintable {
				t.Fatalf("%q: %v, want refused", value, err)
			}
		case err != nil || hash != r.Hash(want):
			t.Fatalf("%q: %v, want the hash of %q", value, err, want)
		}
	})
}

// slowCanonical is New API's own reading of a header's value, as its source has
// it, with what the databases do to it.
func slowCanonical(value string) (key string, refused bool) {
	value = strings.Trim(value, " \t\r\n") // by net/http
	value = strings.Trim(value, " \t")
	if strings.HasPrefix(value, "Bearer ") || strings.HasPrefix(value, "bearer ") {
		value = value[7:]
	}
	value = strings.TrimSpace(value)
	if value == "midjourney-proxy" {
		return "", false
	}
	value = strings.Split(strings.TrimPrefix(value, "sk-"), "-")[0]
	value = strings.TrimRight(value, " ")
	for _, c := range []byte(value) {
		if c < 0x20 || c > 0x7e {
			return value, true
		}
	}
	value = strings.ToLower(value)
	if value == "bearer" {
		return "", false
	}
	return value, false
}

func FuzzQuery(f *testing.F) {
	for _, s := range oddities() {
		f.Add("key=" + s)
		f.Add("a=1&k%65y=" + url.QueryEscape(s))
	}
	f.Add("key=a&key=b&key")
	f.Add("key=a;key=b")
	f.Add("%6bey=%2")
	f.Add("key=" + strings.Repeat("x&key=x", 200))
	locations, err := credential.ParseLocations("query:key")
	if err != nil {
		f.Fatal(err)
	}
	r := newReader(f, credential.Options{Profile: credential.ProfileGeneric, Locations: locations})
	f.Fuzz(func(t *testing.T, raw string) {
		set := new(credential.Set)
		got := r.Read(&credential.Request{Header: http.Header{}, Path: "/", RawQuery: raw}, set)
		values, parseErr := url.ParseQuery(raw)
		switch kindOf(got) {
		case "":
		case credential.BadQuery:
			if parseErr == nil {
				t.Fatalf("%q: refused, but ParseQuery takes it", raw)
			}
			return
		case credential.TooManyParameters:
			if strings.Count(raw, "&") < credential.MaxParameters {
				t.Fatalf("%q: refused for too many parameters", raw)
			}
			return
		default:
			return // the values themselves are at fault
		}
		if parseErr != nil {
			t.Fatalf("%q: taken, but ParseQuery says %v", raw, parseErr)
		}
		var want []string
		for _, v := range values["key"] {
			if v != "" && !slices.Contains(want, v) {
				want = append(want, v)
			}
		}
		if set.Len() != len(want) {
			t.Fatalf("%q: %d keys, want %q", raw, set.Len(), want)
		}
		for i, v := range want {
			if set.Hash(i) != r.Hash(v) {
				t.Fatalf("%q: key %d is not %q", raw, i, v)
			}
		}
	})
}

// plant puts a value into one of the places that the profile reads.
func plant(req *credential.Request, place int, value string) {
	names := []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key", "Sec-Websocket-Protocol"}
	switch place %= len(names) + 1; {
	case place == len(names):
		req.RawQuery = strings.Trim(req.RawQuery+"&key="+url.QueryEscape(value), "&")
	case names[place] == "Sec-Websocket-Protocol":
		req.Header[names[place]] = []string{"realtime, openai-insecure-api-key." + value}
	default:
		req.Header[names[place]] = []string{value}
	}
}

func FuzzRead(f *testing.F) {
	for i, s := range oddities() {
		f.Add(byte(i), byte(i/2), "/v1/chat/completions", s, "a=b")
		f.Add(byte(i*7), byte(i), "/v1beta/models/m", s, "key="+s)
	}
	var readers []*credential.Reader
	for _, profile := range []string{credential.ProfileNewAPI, credential.ProfileOpenAI, credential.ProfileLiteLLM} {
		readers = append(readers, newReader(f, credential.Options{Profile: profile, BindDashboard: true}))
	}
	f.Fuzz(func(t *testing.T, place, decoyPlace byte, path, decoy, query string) {
		for _, r := range readers {
			req := &credential.Request{Header: http.Header{}, Path: path, SentPath: "/v1" + path, RawQuery: query}
			plant(req, int(decoyPlace), decoy)
			plant(req, int(place), "sk-"+keyA)
			set := new(credential.Set)
			err := r.Read(req, set)
			if err != nil {
				if kindOf(err) == "" || set.Len() != 0 || strings.Contains(err.Error(), keyA) {
					t.Fatalf("error %v with %d keys", err, set.Len())
				}
				continue
			}
			planted, _, err := r.HashKey(keyA)
			if err != nil {
				t.Fatal(err)
			}
			if r != readers[0] {
				planted, _, _ = r.HashKey("sk-" + keyA)
			}
			if !slices.Contains(hashes(set), planted) {
				t.Fatalf("planted key not found in %v ?%s", req.Header, req.RawQuery)
			}
			if p := set.Primary(); p < -1 || p >= set.Len() {
				t.Fatalf("primary %d of %d", p, set.Len())
			}
			for i := range set.Len() {
				if hint := set.Hint(i); strings.Contains(hint, keyA) || len(hint) > 20 {
					t.Fatalf("hint %q shows too much", hint)
				}
			}
		}
	})
}

// choices are what FuzzAcceptedKey puts into places.
func choices() []string {
	return []string{
		"", keyA, "Bearer sk-" + keyA, "bearer " + keyB, "sk-" + keyB + "-1", "Bearer " + keyC, "sk-" + keyA + " -1", "Bearer",
		"midjourney-proxy", "Bearer midjourney-proxy", "bearer midjourney-proxy", "\u3000", "Bearer \u00a0", "sk-xxx", "dummy", "realtime",
		"realtime, openai-insecure-api-key." + keyA, "openai-insecure-api-key., openai-insecure-api-key." + keyB, "openai-insecure-api-keyX, " + keyC,
		"openai-insecure-api-key.sk-" + keyC + ",openai-insecure-api-key." + keyA, keyB + "-1, realtime", loginToken(), "-" + keyA, "Bearer " + loginToken(),
	}
}

// mix makes a request of many keys from a number.
func mix(seed uint64) *credential.Request {
	rnd := rand.New(rand.NewPCG(seed, 1))
	options := choices()
	paths := []string{
		"/v1/chat/completions", "/v1/messages", "/v1/models", "/v1/models/m", "/v1beta/models", "/v1beta/models/m:generateContent",
		"/v1beta/openai/models", "/mj/submit/imagine", "/v1/realtime", "/dashboard/billing/usage",
	}
	path := paths[rnd.IntN(len(paths))]
	req := &credential.Request{Method: http.MethodPost, Header: http.Header{}, Path: path, SentPath: path}
	for _, name := range []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key", "Mj-Api-Secret", "Sec-Websocket-Protocol"} {
		if rnd.IntN(2) == 0 {
			req.Header[name] = []string{options[rnd.IntN(len(options))]}
		}
	}
	for range rnd.IntN(3) {
		req.RawQuery += "&key=" + url.QueryEscape(options[rnd.IntN(len(options))])
	}
	return req
}

// checkAccepted holds a request against every version of the downstream. This
// is the promise of the package: when the downstream accepts a key, then either
// it is in the set and is the primary one of what was forwarded, or the request
// was refused.
func checkAccepted(t *testing.T, r *credential.Reader, seed uint64) {
	t.Helper()
	req := mix(seed)
	set := new(credential.Set)
	if r.Read(req, set) != nil {
		return
	}
	h := req.Header.Clone()
	if set.Ambiguous() && set.Primary() >= 0 {
		set.StripOthers(h, set.Primary())
	}
	for _, v := range versions {
		if !v.serves(req.Path) {
			continue
		}
		values, err := url.ParseQuery(req.RawQuery)
		if err != nil {
			t.Fatalf("seed %d: query %q was taken", seed, req.RawQuery)
		}
		key, known := lookUp(v.key(h.Clone(), req.Path, values))
		if !known {
			continue
		}
		if i := indexOf(r, set, key); i < 0 || i != set.Primary() {
			t.Fatalf("seed %d: %s %v ?%s: New API of %s uses key %d of %d, primary is %d (ambiguous %t)",
				seed, req.Path, req.Header, req.RawQuery, v.name, i, set.Len(), set.Primary(), set.Ambiguous())
		}
	}
}

func TestAcceptedKeyIsPrimary(t *testing.T) {
	r := newAPI(t)
	for seed := range uint64(30_000) {
		checkAccepted(t, r, seed)
	}
}

func FuzzAcceptedKey(f *testing.F) {
	f.Add(uint64(1))
	r := newAPI(f)
	f.Fuzz(func(t *testing.T, seed uint64) { checkAccepted(t, r, seed) })
}
