package rebind_test

import (
	"log/slog"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/rebind"
)

// TestABanEndsLinksOfAnotherNode has one node make a link, and another one ban the key: the
// link stays over when the ban is lifted.
func TestABanEndsLinksOfAnotherNode(t *testing.T) {
	r := newRig(t)
	other, err := rebind.New(t.Context(), rebind.Options{Store: r.store, Keys: r.engine, Logger: slog.New(slog.DiscardHandler), Now: r.now})
	must(t, err)
	link, token, err := other.Create(t.Context(), key, rebind.DefaultFor, "account:ada")
	must(t, err)
	must(t, r.links.Reload(t.Context()))
	_, err = r.engine.Ban(t.Context(), key)
	must(t, err)
	if got := r.state(link.ID); got.State != rebind.Revoked || got.RevokedBy != rebind.ByBan {
		t.Errorf("the link is %+v, want it revoked by the ban", got)
	}
	_, err = r.engine.Unban(t.Context(), key)
	must(t, err)
	r.wantGone("after the ban", token)
	must(t, other.Reload(t.Context())) // that it is over is no news twice
	if _, err := other.Look(t.Context(), token, roams); err == nil {
		t.Error("the node that made the link honours it")
	}
}
