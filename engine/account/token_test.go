package account_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

func (f *fixture) token(t *testing.T, n account.NewToken) (account.Token, string) {
	t.Helper()
	token, secret, err := f.CreateToken(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return token, secret
}

func networks(list ...string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, s := range list {
		prefixes = append(prefixes, netip.MustParsePrefix(s))
	}
	return prefixes
}

func TestTokenForm(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		_, secret := f.token(t, account.NewToken{Name: "CI", Role: account.Operator, CreatedBy: "root"})
		if !regexp.MustCompile(`^sntl_[0-9A-Za-z]{36}$`).MatchString(secret) {
			t.Errorf("got a token of another form, %d characters", len(secret))
		}
		got := must[account.Token](t)(f.Authenticate(t.Context(), secret, home))
		if got.Name != "ci" || got.Role != account.Operator || got.CreatedBy != "root" || got.LastIP != home || !got.LastUsed.Equal(time.Now()) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAuthenticateRefuses(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		_, secret := f.token(t, account.NewToken{Name: "ci", Role: account.Viewer})
		_, deleted := f.token(t, account.NewToken{Name: "deleted", Role: account.Viewer})
		wantErr(t, f.DeleteToken(t.Context(), "Deleted", 0), nil)
		other := strings.Map(func(r rune) rune { return map[rune]rune{'a': 'b', 'b': 'a'}[r] }, secret)
		for about, token := range map[string]string{
			"empty": "", "prefix only": "sntl_", "cut": secret[:len(secret)-1], "longer": secret + "0",
			"another prefix": "sntk_" + secret[5:], "mistyped": other, "space": " " + secret, "deleted": deleted,
		} {
			if _, err := f.Authenticate(t.Context(), token, home); err == nil || err.Error() != account.ErrWrongToken.Error() {
				t.Errorf("%s: got %v", about, err)
			}
		}
	})
}

func TestTokenExpires(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		_, day := f.token(t, account.NewToken{Name: "day", Role: account.Viewer, ExpiresAt: time.Now().Add(24 * time.Hour)})
		_, never := f.token(t, account.NewToken{Name: "never", Role: account.Viewer})
		time.Sleep(24*time.Hour - time.Second)
		must[account.Token](t)(f.Authenticate(t.Context(), day, home))
		time.Sleep(time.Second)
		_, err := f.Authenticate(t.Context(), day, home)
		wantErr(t, err, account.ErrExpired)
		must[account.Token](t)(f.Authenticate(t.Context(), never, home))
	})
}

func TestTokenNetworks(t *testing.T) {
	tests := []struct {
		networks []netip.Prefix
		from     string
		want     error
	}{
		{nil, "192.0.2.7", nil},
		{nil, "2001:db8::1", nil},
		{networks("192.0.2.0/24"), "192.0.2.7", nil},
		{networks("192.0.2.0/24"), "::ffff:192.0.2.7", nil},
		{networks("192.0.2.0/24"), "192.0.3.7", account.ErrNetwork},
		{networks("192.0.2.0/24"), "2001:db8::1", account.ErrNetwork},
		{networks("192.0.2.0/24", "2001:db8::/32"), "2001:db8::1", nil},
		{networks("fe80::/10"), "fe80::1%eth0", nil},
		{networks("192.0.2.7/32"), "192.0.2.8", account.ErrNetwork},
		{networks("0.0.0.0/0", "::/0"), "2001:db8::1", nil},
	}
	run(t, func(t *testing.T, f *fixture) {
		for i, tt := range tests {
			_, secret := f.token(t, account.NewToken{Name: "t" + string(rune('a'+i)), Role: account.Viewer, Networks: tt.networks})
			_, err := f.Authenticate(t.Context(), secret, netip.MustParseAddr(tt.from))
			wantErr(t, err, tt.want)
		}
		_, secret := f.token(t, account.NewToken{Name: "here", Role: account.Viewer, Networks: networks("0.0.0.0/0", "::/0")})
		_, err := f.Authenticate(t.Context(), secret, netip.Addr{}) // no address is in no network
		wantErr(t, err, account.ErrNetwork)
	})
}

func TestCreateTokenFaults(t *testing.T) {
	good := func(change func(*account.NewToken)) account.NewToken {
		n := account.NewToken{Name: "ci", Role: account.Viewer}
		change(&n)
		return n
	}
	tests := []struct {
		field string
		token account.NewToken
		says  string
	}{
		{"name", good(func(n *account.NewToken) { n.Name = "with space" }), ""},
		{"role", good(func(n *account.NewToken) { n.Role = "owner" }), ""},
		{"networks", good(func(n *account.NewToken) { n.Networks = []netip.Prefix{{}} }), ""},
		{"networks", good(func(n *account.NewToken) { n.Networks = networks("10.1.2.3/16") }), "10.1.0.0/16"},
		{"networks", good(func(n *account.NewToken) { n.Networks = networks("::ffff:10.1.0.0/112") }), "IPv4"},
		{"networks", good(func(n *account.NewToken) { n.Networks = make([]netip.Prefix, 101) }), "100"},
		{"expiresAt", good(func(n *account.NewToken) { n.ExpiresAt = time.Unix(1, 0) }), ""},
	}
	run(t, func(t *testing.T, f *fixture) {
		for _, tt := range tests {
			_, secret, err := f.CreateToken(t.Context(), tt.token)
			wantField(t, err, tt.field)
			if secret != "" || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %q, want it to say %q", err, tt.says)
			}
		}
		_, err := f.documents.Document(t.Context(), "token", "ci")
		wantErr(t, err, store.ErrNotFound)
		f.token(t, good(func(*account.NewToken) {}))
		_, _, err = f.CreateToken(t.Context(), good(func(n *account.NewToken) { n.Name = "CI" }))
		wantErr(t, err, store.ErrConflict)
	})
}

func TestTokenUsesAreWrittenEachMinute(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		made, secret := f.token(t, account.NewToken{Name: "ci", Role: account.Viewer})
		start, puts := time.Now(), f.documents.puts.Load()
		for range 50 {
			must[account.Token](t)(f.Authenticate(t.Context(), secret, home))
			time.Sleep(time.Second)
		}
		must[account.Token](t)(f.Authenticate(t.Context(), secret, elsewhere))
		if got := f.documents.puts.Load(); got != puts {
			t.Errorf("%d writes within the minute, want none", got-puts)
		}
		shown := must[[]account.Token](t)(f.ListTokens(t.Context()))[0]
		if shown.LastIP != elsewhere || !shown.LastUsed.Equal(start.Add(50*time.Second)) {
			t.Errorf("got %+v", shown)
		}

		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := f.documents.puts.Load(); got != puts+1 {
			t.Errorf("%d writes after the minute, want 1", got-puts)
		}
		other := must[[]account.Token](t)(f.node(t, same).ListTokens(t.Context()))[0]
		if other.LastIP != elsewhere || !other.LastUsed.Equal(shown.LastUsed) {
			t.Errorf("got %+v, want %+v", other, shown)
		}
		time.Sleep(10 * time.Minute) // nothing new, nothing written
		if got := f.documents.puts.Load(); got != puts+1 {
			t.Errorf("%d writes without a use, want none", got-puts-1)
		}
		wantErr(t, f.DeleteToken(t.Context(), "ci", made.Revision), nil) // uses are no change
	})
}

func TestTokenUsesAreWrittenAtClose(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		_, secret := f.token(t, account.NewToken{Name: "ci", Role: account.Viewer})
		must[account.Token](t)(f.Authenticate(t.Context(), secret, home))
		f.documents.refuse.Store(true)
		wantErr(t, f.Close(t.Context()), store.ErrUnavailable)
		f.documents.refuse.Store(false)
		wantErr(t, f.Close(t.Context()), nil) // again, for what is left
		if got := f.body(t, "token", "ci"); !strings.Contains(got, home.String()) {
			t.Errorf("got %s", got)
		}
		wantErr(t, f.Close(t.Context()), nil)
	})
}

func TestTokenUsesSurviveAStoreThatFails(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		_, secret := f.token(t, account.NewToken{Name: "ci", Role: account.Viewer})
		must[account.Token](t)(f.Authenticate(t.Context(), secret, home))
		f.documents.refuse.Store(true)
		time.Sleep(3 * time.Minute)
		f.documents.refuse.Store(false)
		if !strings.Contains(f.log.String(), "not written") {
			t.Errorf("got log %s", f.log)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := f.body(t, "token", "ci"); !strings.Contains(got, home.String()) {
			t.Errorf("got %s", got)
		}
	})
}

func TestUseOfADeletedTokenIsNotThatOfItsSuccessor(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		_, secret := f.token(t, account.NewToken{Name: "ci", Role: account.Viewer})
		must[account.Token](t)(f.Authenticate(t.Context(), secret, home))
		wantErr(t, f.DeleteToken(t.Context(), "ci", 0), nil)
		_, fresh := f.token(t, account.NewToken{Name: "ci", Role: account.Viewer})
		_, err := f.Authenticate(t.Context(), secret, home)
		wantErr(t, err, account.ErrWrongToken)
		if got := must[[]account.Token](t)(f.ListTokens(t.Context()))[0]; !got.LastUsed.IsZero() {
			t.Errorf("got %+v, want it unused", got)
		}
		must[account.Token](t)(f.Authenticate(t.Context(), fresh, elsewhere))
	})
}

func TestUseOfADeletedTokenIsDropped(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		_, secret := f.token(t, account.NewToken{Name: "ci", Role: account.Viewer})
		must[account.Token](t)(f.Authenticate(t.Context(), secret, home))
		wantErr(t, f.DeleteToken(t.Context(), "ci", 0), nil)
		wantErr(t, f.Close(context.Background()), nil)
		_, err := f.documents.Document(t.Context(), "token", "ci")
		wantErr(t, err, store.ErrNotFound)
	})
}

func TestDeleteToken(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		made, secret := f.token(t, account.NewToken{Name: "ci", Role: account.Viewer})
		wantErr(t, f.DeleteToken(t.Context(), "ci", made.Revision+1), store.ErrConflict)
		wantErr(t, f.DeleteToken(t.Context(), "other", 0), store.ErrNotFound)
		must[account.Token](t)(f.Authenticate(t.Context(), secret, home))
		wantErr(t, f.DeleteToken(t.Context(), "ci", made.Revision), nil)
		_, err := f.Authenticate(t.Context(), secret, home)
		wantErr(t, err, account.ErrWrongToken)
	})
}

func TestTokensOfOtherNodes(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		other := f.node(t, same)
		time.Sleep(200 * time.Millisecond)
		_, secret := f.token(t, account.NewToken{Name: "ci", Role: account.Viewer})
		must[account.Token](t)(other.Authenticate(t.Context(), secret, home)) // at once, though it read just now
		wantErr(t, f.DeleteToken(t.Context(), "ci", 0), nil)
		time.Sleep(time.Second)
		_, err := other.Authenticate(t.Context(), secret, home)
		wantErr(t, err, account.ErrWrongToken)
	})
}

func TestTokenJSON(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		made, _ := f.token(t, account.NewToken{Name: "ci", Role: account.Viewer, CreatedBy: "root"})
		var got map[string]any
		if err := json.Unmarshal(must[[]byte](t)(json.Marshal(made)), &got); err != nil {
			t.Fatal(err)
		}
		list, ok := got["networks"].([]any)
		if _, hash := got["hash"]; hash || !ok || len(list) != 0 || got["createdBy"] != "root" || got["expiresAt"] != nil {
			t.Errorf("got %v", got)
		}
	})
}
