package credential_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
)

func macOf(secret, text string) store.KeyHash {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return store.KeyHash(mac.Sum(nil))
}

func TestAppendOlder(t *testing.T) {
	const now, before, first = "the secret of today", "the secret before", "the first secret"
	key := strings.Repeat("aB3x", 12)
	folded := strings.ToLower(key)
	tests := []struct {
		name     string
		profile  string
		previous []string
		asSent   bool
		sent     string
		want     []store.KeyHash
	}{
		{name: "nothing from before", sent: "Bearer sk-" + key},
		{name: "the secret of today once more", previous: []string{now}, sent: "Bearer sk-" + key},
		{
			name: "two secrets, the last one first", previous: []string{before, first}, sent: "Bearer sk-" + key + "-1",
			want: []store.KeyHash{macOf(before, folded), macOf(first, folded)},
		},
		{
			name: "as sent", asSent: true, sent: "Bearer sk-" + key,
			want: []store.KeyHash{macOf(now, "sk-"+key), macOf(now, key)},
		},
		{
			name: "without sk-, as who stole it may send it", asSent: true, sent: key,
			want: []store.KeyHash{macOf(now, key), macOf(now, "sk-"+key)},
		},
		{
			name: "with a channel", asSent: true, sent: "bearer sk-" + key + "-7",
			want: []store.KeyHash{macOf(now, "sk-"+key+"-7"), macOf(now, "sk-"+key), macOf(now, key)},
		},
		{
			name: "as sent, and another secret", asSent: true, previous: []string{before}, sent: "Bearer sk-" + folded,
			want: []store.KeyHash{macOf(now, "sk-"+folded), macOf(before, folded), macOf(before, "sk-"+folded)},
		},
		{
			name: "other profiles keep sk-", profile: credential.ProfileOpenAI, asSent: true, previous: []string{before}, sent: "Bearer sk-" + key,
			want: []store.KeyHash{macOf(before, "sk-"+key)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := credential.Options{Profile: tt.profile, Secret: []byte(now)}
			if o.Profile == "" {
				o.Profile = credential.ProfileNewAPI
			}
			for _, secret := range tt.previous {
				o.Previous = append(o.Previous, []byte(secret))
			}
			r, err := credential.New(o)
			if err != nil {
				t.Fatal(err)
			}
			var set credential.Set
			req := credential.Request{Header: http.Header{"Authorization": {tt.sent}}, Path: "/v1/chat/completions"}
			if err := r.Read(&req, &set); err != nil {
				t.Fatal(err)
			}
			if got := set.AppendOlder(nil, 0, tt.asSent); !slices.Equal(got, tt.want) {
				t.Errorf("of a request: got %v, want %v", got, tt.want)
			}
			if got := r.AppendOlder(nil, tt.sent, tt.asSent); !slices.Equal(got, tt.want) {
				t.Errorf("of a text: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAppendOlderOfNoKey(t *testing.T) {
	r := newReader(t, credential.Options{Profile: credential.ProfileNewAPI, Secret: []byte("a"), Previous: [][]byte{[]byte("b")}})
	for _, text := range []string{"", "Bearer ", "kéy", strings.Repeat("a", credential.MaxValueBytes+1)} {
		if got := r.AppendOlder(nil, text, true); len(got) > 0 {
			t.Errorf("%.10q: got %v", text, got)
		}
	}
	if _, err := credential.New(credential.Options{Profile: credential.ProfileNewAPI, Secret: []byte("a"), Previous: [][]byte{nil}}); err == nil {
		t.Error("an empty previous secret: no error")
	}
}

func TestHashedWith(t *testing.T) {
	seen := map[uint32]bool{0: true}
	for _, secret := range []string{"a", "b"} {
		for _, spelling := range []credential.Spelling{credential.SpellingCanonical, credential.SpellingAsSent} {
			mark := credential.HashedWith([]byte(secret), spelling)
			if seen[mark] || mark != credential.HashedWith([]byte(secret), spelling) {
				t.Errorf("%s, %s: got %d", secret, spelling, mark)
			}
			seen[mark] = true
		}
	}
}
