package admin_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
)

// sized is a store.Maintainer of which only the size is asked.
type sized struct{ store.Maintainer }

func (sized) Size(context.Context) (store.Size, error) {
	return store.Size{Total: 4096, Free: 512}, nil
}

func TestAbout(t *testing.T) {
	s := newSite(t, func(o *admin.Options) { o.Maintainer = sized{} })
	_, _, err := s.store.Bind(t.Context(), store.Binding{Hash: store.KeyHash{1}, Status: store.StatusActive, Rule: store.Rule{Kind: store.RuleAll}})
	must(t, err)
	must(t, s.engine.SetRetention(engine.Retention{ArchiveDays: 90}))
	s.advance(90 * time.Second)
	var got struct {
		Version, Node      string
		UptimeSeconds      int64
		Bindings, Archived int
		Store              *struct{ TotalBytes, FreeBytes int64 }
		Housekeeping       *struct{ Failed bool }
		Retention          struct{ ArchiveDays int }
	}
	a := s.call(account.Viewer, "GET", "/about", nil).want(http.StatusOK).into(&got)
	if got.Version != "v0.0.0-test" || got.Node != "node-1" || got.UptimeSeconds < 90 || got.Bindings != 1 || got.Archived != 0 ||
		got.Store == nil || got.Store.TotalBytes != 4096 || got.Store.FreeBytes != 512 || got.Retention.ArchiveDays != 90 || got.Housekeeping != nil {
		t.Errorf("got %s", a.body)
	}
	_, err = s.engine.Housekeep(t.Context())
	must(t, err)
	s.call(account.Viewer, "GET", "/about", nil).want(http.StatusOK).into(&got)
	if got.Housekeeping == nil || got.Housekeeping.Failed {
		t.Errorf("got %+v of the last housekeeping", got.Housekeeping)
	}
}

func TestCounts(t *testing.T) {
	s := newSite(t)
	var got map[string]uint64
	s.call(account.Viewer, "GET", "/counts", nil).want(http.StatusOK).into(&got)
	if _, ok := got["allowed"]; !ok || len(got) != len(s.engine.Counts()) {
		t.Errorf("got %v", got)
	}
}

// scrape returns the metrics as Prometheus reads them.
func scrape(t *testing.T, h http.Handler) (text string, sample func(name string, labels ...string) float64) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	text = w.Body.String()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	must(t, err)
	return text, func(name string, labels ...string) float64 {
		t.Helper()
		for _, m := range families[name].GetMetric() {
			fits := len(m.GetLabel())*2 == len(labels)
			for i, l := range m.GetLabel() {
				fits = fits && labels[2*i] == l.GetName() && labels[2*i+1] == l.GetValue()
			}
			if fits {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		t.Errorf("there is no metric %s%v", name, labels)
		return -1
	}
}

func TestMetrics(t *testing.T) {
	s := newSite(t, func(o *admin.Options) { o.Maintainer = sized{} })
	_, _, err := s.store.Bind(t.Context(), store.Binding{Hash: store.KeyHash{1}, Status: store.StatusActive, Rule: store.Rule{Kind: store.RuleAll}})
	must(t, err)
	s.call(nobody, "POST", "/login", login("nobody", "x"))
	text, sample := scrape(t, s.api.Metrics())
	for name, want := range map[string]float64{
		"sentinel_bindings": 1, "sentinel_archived_bindings": 0, "sentinel_store_size_bytes": 4096, "sentinel_store_free_bytes": 512,
		"sentinel_store_up": 1, "sentinel_intercepts_dropped_total": 0, "sentinel_downstream_errors_total": 0,
	} {
		if got := sample(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if got := sample("sentinel_requests_total", "outcome", "allowed"); got != 0 {
		t.Errorf("got %v requests allowed, want 0", got)
	}
	if got := sample("sentinel_admin_logins_total", "result", "wrong_login"); got != 1 {
		t.Errorf("got %v failed logins, want 1", got)
	}
	if strings.Contains(text, "sentinel_other_total") {
		t.Error("something is counted that has no metric of its own")
	}
	if !strings.Contains(text, `sentinel_build_info{goversion="go`) || !strings.Contains(text, "go_goroutines") || !strings.Contains(text, "process_open_fds") {
		t.Error("build, runtime or process are missing")
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	must(t, err)
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "sentinel_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	a := s.call(account.Viewer, "GET", "/metrics", nil).want(http.StatusOK)
	if !strings.Contains(string(a.body), "sentinel_bindings 1") || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		t.Errorf("over the API, got %s %.200s", a.header.Get("Content-Type"), a.body)
	}
}

// TestMetricsTellNothingOfKeys: a series of each key or address would be an
// index of them, and without bound.
func TestMetricsTellNothingOfKeys(t *testing.T) {
	s := newSite(t)
	text, _ := scrape(t, s.api.Metrics())
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "sentinel_") {
			continue
		}
		if i := strings.IndexByte(line, '{'); i >= 0 {
			for _, label := range strings.Split(line[i+1:strings.IndexByte(line, '}')], ",") {
				switch name, _, _ := strings.Cut(label, "="); name {
				case "outcome", "result", "version", "goversion", "kind", "channel", "under": // of which there are few
				default:
					t.Errorf("got label %s", label)
				}
			}
		}
	}
}

// brokenCounts is a store that does not say how many bindings there are.
type brokenCounts struct{ store.Store }

func (brokenCounts) CountBindings(context.Context) (int, error) {
	return 0, errors.Join(store.ErrUnavailable, errors.New("medium is broken"))
}

func TestMetricsWithoutTheStore(t *testing.T) {
	s := newSite(t, func(o *admin.Options) { o.Store = brokenCounts{o.Store} })
	text, sample := scrape(t, s.api.Metrics())
	if sample("sentinel_store_up") != 0 || strings.Contains(text, "sentinel_bindings ") {
		t.Error("the store is up, or its bindings are counted")
	}
	if sample("sentinel_requests_total", "outcome", "allowed") != 0 {
		t.Error("the other metrics are gone")
	}
	s.call(account.Viewer, "GET", "/about", nil).wantFault(http.StatusServiceUnavailable, "store_unavailable")
}

func TestProfile(t *testing.T) {
	s := newSite(t)
	a := s.call(account.Admin, "GET", "/pprof/goroutine?debug=1", nil).want(http.StatusOK)
	if !strings.Contains(string(a.body), "goroutine profile") {
		t.Errorf("got %.100s", a.body)
	}
	if a := s.call(account.Admin, "GET", "/pprof/heap?gc=1", nil).want(http.StatusOK); len(a.body) == 0 {
		t.Error("got an empty profile")
	}
	if a := s.call(account.Admin, "GET", "/pprof/trace?seconds=1", nil).want(http.StatusOK); len(a.body) == 0 {
		t.Error("got an empty trace")
	}
	s.wantTrail(0, "token:admin profile.read goroutine", "token:admin profile.read heap", "token:admin profile.read trace")
	s.call(account.Admin, "GET", "/pprof/cmdline", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "path.profile")
	s.call(account.Admin, "GET", "/pprof/profile?seconds=61", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.seconds")
}
