package admin_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

// suspect has a key used from two networks in so many minutes.
func (s *site) suspect(n, minutes int) {
	s.t.Helper()
	hash := s.bind(n).Hash
	w := s.engine.Suspicions()
	at := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
	for range minutes + 1 {
		if _, err := w.End(s.t.Context(), at, minutes); err != nil {
			s.t.Fatal(err)
		}
		w.Use(hash, netip.MustParsePrefix("192.0.2.1/32"))
		w.Use(hash, netip.MustParsePrefix("2001:db8::/64"))
		at = at.Add(time.Minute)
	}
}

func TestSuspicions(t *testing.T) {
	s := newSite(t)
	var list struct {
		Items []struct {
			Hash, Hint, Label string
			Bound             bool
			Minutes           int
			Evidence          []struct{ Networks []string }
		}
		Total, Beyond int
	}
	read := func() {
		t.Helper()
		list.Items = nil
		s.call(account.Viewer, "GET", "/suspicions", nil).want(http.StatusOK).into(&list)
	}
	if read(); list.Items == nil || list.Total != 0 {
		t.Errorf("without any: got %+v", list)
	}
	s.suspect(1, 5)
	read()
	if list.Total != 1 || list.Items[0].Hash != hashOf(1).String() || list.Items[0].Label != "team 1" || !list.Items[0].Bound ||
		list.Items[0].Minutes != 5 || len(list.Items[0].Evidence) != 5 || list.Items[0].Evidence[0].Networks[1] != "2001:db8::/64" {
		t.Errorf("got %+v", list)
	}
	path := "/suspicions/" + hashOf(1).String()
	s.call(account.Viewer, "DELETE", path, nil).wantFault(http.StatusForbidden, "forbidden")
	s.wantTrail(0)
	s.call(account.Operator, "DELETE", path, nil).want(http.StatusNoContent)
	s.wantTrail(0, "token:operator suspicion.dismiss binding:"+hashOf(1).String())
	if read(); list.Total != 0 {
		t.Errorf("after it was dismissed: got %+v", list)
	}
	s.call(account.Operator, "DELETE", path, nil).wantFault(http.StatusNotFound, "not_found")
	s.call(account.Operator, "DELETE", "/suspicions/x", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "path.hash")
}
