package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
)

// fakeMaintainer is a store in a file of its own.
type fakeMaintainer struct {
	snapshot func(io.Writer) error
	compact  func() error
}

func (m *fakeMaintainer) Snapshot(_ context.Context, w io.Writer) (int64, error) {
	return 0, m.snapshot(w)
}

func (m *fakeMaintainer) Compact(context.Context) (before, after int64, err error) {
	return 300, 100, m.compact()
}

func (m *fakeMaintainer) Size(context.Context) (store.Size, error) { return store.Size{}, nil }

func withMaintainer(m *fakeMaintainer) func(*admin.Options) {
	return func(o *admin.Options) { o.Maintainer = m }
}

func TestBackup(t *testing.T) {
	data := strings.Repeat("data of the store ", 100_000)
	s := newSite(t, withMaintainer(&fakeMaintainer{snapshot: func(w io.Writer) error {
		_, err := io.WriteString(w, data)
		return err
	}}))
	a := s.call(account.Admin, "GET", "/backup", nil).want(http.StatusOK)
	if string(a.body) != data || a.header.Get("Content-Type") != "application/octet-stream" ||
		!strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment; filename=sentinel-"+s.now().UTC().Format("2006-01-02")) {
		t.Errorf("got %d bytes with %v", len(a.body), a.header)
	}
	s.wantTrail(0, "token:admin store.backup")
	s.call(account.Operator, "GET", "/backup", nil).wantFault(http.StatusForbidden, "forbidden")
}

func TestABackupThatFailsIsNotTakenForOne(t *testing.T) {
	fail := fmt.Errorf("%w: disk", store.ErrUnavailable)
	m := &fakeMaintainer{snapshot: func(io.Writer) error { return fail }}
	s := newSite(t, withMaintainer(m))
	a := s.call(account.Admin, "GET", "/backup", nil)
	a.wantFault(http.StatusServiceUnavailable, "store_unavailable")
	if a.header.Get("Content-Disposition") != "" {
		t.Error("a problem is offered as a file")
	}
	m.snapshot = func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("x", 1<<20))
		return errors.Join(err, fail)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+admin.Base+"/backup", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+s.tokens[account.Admin])
	req.Header.Set("X-Real-IP", clientIP)
	res, err := s.server.Client().Do(req)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	if n, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Errorf("read %d bytes without an error", n)
	}
}

func TestCompact(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := newSite(t, withMaintainer(&fakeMaintainer{compact: func() error {
		entered <- struct{}{}
		<-leave
		return nil
	}}))
	first := make(chan *answer)
	go func() { first <- s.call(account.Admin, "POST", "/maintenance/compact", nil) }()
	<-entered
	s.call(account.Admin, "POST", "/maintenance/compact", nil).wantFault(http.StatusConflict, "already_running")
	close(leave)
	var got struct{ Before, After int64 }
	(<-first).want(http.StatusOK).into(&got)
	if got.Before != 300 || got.After != 100 {
		t.Errorf("got %+v", got)
	}
	s.wantTrail(0, "token:admin store.compact")
}

func TestAStoreWithoutAFileIsNotMaintainedHere(t *testing.T) {
	s := newSite(t)
	s.call(account.Admin, "GET", "/backup", nil).wantFault(http.StatusNotImplemented, "not_implemented")
	s.call(account.Admin, "POST", "/maintenance/compact", nil).wantFault(http.StatusNotImplemented, "not_implemented")
	s.wantTrail(0)
}

func TestDashboard(t *testing.T) {
	s := newSite(t)
	s.bind(1)
	var got struct {
		Bindings struct{ Total int }
		Hours    []struct{ Allowed int }
		Health   struct{ Store struct{ OK bool } }
	}
	s.call(account.Viewer, "GET", "/dashboard", nil).want(http.StatusOK).into(&got)
	if got.Bindings.Total != 1 || len(got.Hours) != 48 || !got.Health.Store.OK {
		t.Errorf("got %+v", got)
	}
	for query, want := range map[string]struct{ points, step int }{"": {}, "?range=1h": {60, 60}, "?range=6h": {72, 300}} {
		var got struct {
			Series *struct {
				StepSeconds int
				Points      []struct{ Counts *struct{ Bound int } }
			}
		}
		s.call(account.Viewer, "GET", "/dashboard"+query, nil).want(http.StatusOK).into(&got)
		if got.Series == nil {
			if want.points > 0 {
				t.Errorf("%s: there is no series", query)
			}
			continue
		}
		points := got.Series.Points
		if len(points) != want.points || got.Series.StepSeconds != want.step {
			t.Fatalf("%s: got %d points of %d s, want %+v", query, len(points), got.Series.StepSeconds, want)
		}
		// The site has run for less than a minute: all before is not known.
		if points[0].Counts != nil || points[len(points)-1].Counts == nil {
			t.Errorf("%s: got %+v at first and %+v at last", query, points[0].Counts, points[len(points)-1].Counts)
		}
	}
	s.call(account.Viewer, "GET", "/dashboard?range=2h", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.range")
	s.call(account.Viewer, "GET", "/dashboard?days=5", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.days")
}
