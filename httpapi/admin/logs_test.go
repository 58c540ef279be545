package admin_test

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

type interceptBody struct {
	ID       uint64 `json:"id"`
	Path     string `json:"path"`
	ClientIP string `json:"clientIp"`
	Reason   string `json:"reason"`
}

type interceptList struct {
	Items []interceptBody `json:"items"`
	Next  string          `json:"next"`
}

// intercepts stores records, the n-th at so many minutes after begin.
func (s *site) intercepts(n int, begin time.Time) []store.Intercept {
	s.t.Helper()
	records := make([]store.Intercept, n)
	for i := range records {
		at := begin.Add(time.Duration(i) * time.Minute)
		records[i] = store.Intercept{
			At: at, Last: at, Count: 1, Reason: store.ReasonIPNotAllowed, Hash: hashOf(i % 3), Hint: "sk-t…st",
			ClientIP: netip.AddrFrom4([4]byte{192, 0, byte(i % 2), byte(i)}), PeerIP: netip.MustParseAddr("192.0.2.9"),
			Method: "POST", Host: "gateway.test", Path: fmt.Sprintf("/v1/Chat/%d", i), UserAgent: "=cmd()", RequestID: "r",
		}
		if i%4 == 0 {
			records[i].Reason = store.ReasonKeyBanned
		}
	}
	must(s.t, s.store.PutIntercepts(s.t.Context(), records))
	return records
}

func TestListLogs(t *testing.T) {
	s := newSite(t)
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	s.intercepts(12, begin)
	for _, tt := range []struct {
		name  string
		value any
		want  int
	}{
		{"since", "2026-03-01T00:06:00Z", 6},
		{"until", "2026-03-01T00:06:00Z", 6},
		{"hash", hashOf(1).String(), 4},
		{"network", "192.0.1.0/24", 6},
		{"network", "192.0.1.3", 1},
		{"reason", "key_banned", 3},
		{"path", "chat/1", 3},
		{"newerThan", 10, 2},
		{"limit", 5, 5},
	} {
		var inQuery, inBody interceptList
		s.call(account.Viewer, "GET", "/logs"+query(tt.name, fmt.Sprint(tt.value)), nil).want(http.StatusOK).into(&inQuery)
		s.call(account.Viewer, "POST", "/logs/search", map[string]any{tt.name: tt.value}).want(http.StatusOK).into(&inBody)
		if len(inQuery.Items) != tt.want || len(inBody.Items) != tt.want {
			t.Errorf("%s=%v: got %d and %d, want %d", tt.name, tt.value, len(inQuery.Items), len(inBody.Items), tt.want)
		}
	}
}

func TestLogsPageNewestFirst(t *testing.T) {
	s := newSite(t)
	s.intercepts(12, s.now())
	var ids []uint64
	after := ""
	for {
		var got interceptList
		s.call(account.Viewer, "GET", "/logs?limit=5&newerThan=2&after="+after, nil).want(http.StatusOK).into(&got)
		for _, r := range got.Items {
			ids = append(ids, r.ID)
		}
		if after = got.Next; after == "" {
			break
		}
	}
	if got := fmt.Sprint(ids); got != "[12 11 10 9 8 7 6 5 4 3]" {
		t.Errorf("got %s", got)
	}
}

func TestSearchLogsByKey(t *testing.T) {
	s := newSite(t)
	hash, hint, err := s.engine.HashKey(testKey)
	must(t, err)
	s.intercepts(3, s.now())
	must(t, s.store.PutIntercepts(t.Context(), []store.Intercept{{
		At: s.now(), Last: s.now(), Count: 1, Reason: store.ReasonLostRace, Hash: hash, Hint: hint, ClientIP: netip.MustParseAddr("192.0.2.1"), Path: "/own",
	}}))
	var got interceptList
	s.call(account.Viewer, "POST", "/logs/search", map[string]any{"key": testKey}).want(http.StatusOK).into(&got)
	if len(got.Items) != 1 || got.Items[0].Path != "/own" {
		t.Errorf("got %+v", got)
	}
	s.call(account.Viewer, "POST", "/logs/search", map[string]any{"key": testKey, "hash": hashOf(1).String()}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.hash")
	s.call(account.Viewer, "POST", "/logs/search", map[string]any{"key": "ключ"}).wantFault(http.StatusUnprocessableEntity, "invalid", "body.key")
	s.call(account.Viewer, "GET", "/logs"+query("key", testKey), nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.key")
	if strings.Contains(s.log.String(), testKey) {
		t.Error("the key is in the log")
	}
}

func TestLogsRefuseBadFilters(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct{ name, value string }{
		{"since", "now"}, {"until", "2026-02-30T00:00:00Z"}, {"hash", "beef"}, {"network", "192.0.2.1/24"}, {"reason", "bad"},
		{"limit", "5000"}, {"after", "12"}, {"after", "AAAAAAAAAAA"}, {"newerThan", "-1"}, {"newerThan", "x"}, {"before", "5"},
	} {
		s.call(account.Viewer, "GET", "/logs"+query(tt.name, tt.value), nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query."+tt.name)
	}
	s.call(account.Viewer, "GET", "/logs"+query("since", "2026-02-02T00:00:00Z", "until", "2026-02-02T00:00:00Z"), nil).
		wantFault(http.StatusUnprocessableEntity, "invalid", "query.until")
	s.call(account.Viewer, "GET", "/logs/export?format=json", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.format")
	s.call(account.Viewer, "GET", "/logs/export?limit=5", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.limit")
}

func TestExportLogs(t *testing.T) {
	s := newSite(t)
	s.intercepts(2500, s.now().Add(-48*time.Hour))
	a := s.call(account.Viewer, "GET", "/logs/export?reason=ip_not_allowed", nil).want(http.StatusOK)
	rows, err := csv.NewReader(bytes.NewReader(a.body)).ReadAll()
	must(t, err)
	if len(rows) != 1+1875 {
		t.Errorf("got %d rows", len(rows))
	}
	for i, name := range rows[0] {
		if name == "userAgent" && rows[1][i] != "'=cmd()" {
			t.Errorf("got a cell %q, want it neutralised", rows[1][i])
		}
	}
	_, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
	if want := "sentinel-intercepts-" + s.now().UTC().Format("2006-01-02") + ".csv"; err != nil || params["filename"] != want {
		t.Errorf("got file name %q, want %q", params["filename"], want)
	}
	a = s.call(account.Viewer, "GET", "/logs/export?format=jsonl", nil).want(http.StatusOK)
	lines := bufio.NewScanner(bytes.NewReader(a.body))
	n := 0
	for ; lines.Scan(); n++ {
		var r interceptBody
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.ID != uint64(2500-n) {
			t.Fatalf("line %d: got %s, %v", n, lines.Bytes(), err)
		}
	}
	if n != 2500 {
		t.Errorf("got %d lines", n)
	}
	s.wantTrail(0, "token:viewer log.export", "token:viewer log.export")
}

func TestOneRecordIsShown(t *testing.T) {
	s := newSite(t)
	s.intercepts(3, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	_, err := s.store.AppendAudit(t.Context(), store.AuditEntry{At: s.now(), Actor: "local", Action: "binding.ban"})
	must(t, err)
	for _, tt := range []struct {
		role account.Role
		path string
	}{{account.Viewer, "/logs/"}, {account.Admin, "/audit/"}} {
		var got struct{ ID uint64 }
		if s.call(tt.role, "GET", tt.path+"1", nil).want(http.StatusOK).into(&got); got.ID != 1 {
			t.Errorf("%s1: got %+v", tt.path, got)
		}
		for _, gone := range []string{"99", "9007199254740991"} {
			s.call(tt.role, "GET", tt.path+gone, nil).wantFault(http.StatusNotFound, "not_found")
		}
		for _, bad := range []string{"0", "-1", "x"} {
			s.call(tt.role, "GET", tt.path+bad, nil).wantFault(http.StatusUnprocessableEntity, "invalid", "path.id")
		}
	}
}
