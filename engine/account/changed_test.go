package account_test

import (
	"net/netip"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

// TestToldOfChanges has a node be told that another one has changed something: then it
// does not go on for a second by what it has read. Time passes only in waiting here.
func TestToldOfChanges(t *testing.T) {
	run(t, func(t *testing.T, f *fixture) {
		from := netip.MustParseAddr("192.0.2.1")
		_, secret, err := f.CreateToken(t.Context(), account.NewToken{Name: "ci", Role: account.Viewer})
		wantErr(t, err, nil)
		other := f.node(t, same)
		_, err = other.Authenticate(t.Context(), secret, from)
		wantErr(t, err, nil)
		who := f.create(t, "ada", account.Operator)
		other.Changed()
		_, err = other.Session(t.Context(), "ada", who.Generation)
		wantErr(t, err, nil)

		_, err = other.Authenticate(t.Context(), secret, from)
		wantErr(t, err, nil)

		wantErr(t, f.DeleteToken(t.Context(), "ci", 0), nil)
		wantErr(t, f.Delete(t.Context(), "ada", 0), nil)
		_, err = other.Authenticate(t.Context(), secret, from)
		wantErr(t, err, nil) // it has not heard of it yet
		other.Changed()
		_, err = other.Authenticate(t.Context(), secret, from)
		wantErr(t, err, account.ErrWrongToken)
		_, err = other.Session(t.Context(), "ada", who.Generation)
		wantErr(t, err, account.ErrEnded)
	})
}
