package admin_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

type importResult struct {
	Rows, Created, Replaced, Skipped int
	DryRun                           bool
}

func (s *site) importFile(query, file string) *answer {
	s.t.Helper()
	return s.call(account.Operator, "POST", "/bindings/import"+query, file, "Content-Type: text/csv")
}

func (s *site) count() int {
	s.t.Helper()
	n, err := s.store.CountBindings(s.t.Context())
	must(s.t, err)
	return n
}

func TestImportCSV(t *testing.T) {
	s := newSite(t)
	hash, hint, err := s.engine.HashKey(testKey)
	must(t, err)
	file := "\ufeffrule,prefixes,key,label,note,status,lastUsed\r\n" +
		"single,10.0.0.0/8," + testKey + ",Billing,\"two\r\nlines\",active,2026-01-01T00:00:00Z\r\n" +
		",192.0.2.1 2001:db8::/32,sk-testother0123456789,'=1+1,,banned,\r\n" +
		"all,,sk-testthird0123456789,'plain,,,\r\n"
	var got importResult
	s.importFile("?dryRun=true", file).want(http.StatusOK).into(&got)
	if want := (importResult{Rows: 3, Created: 3, DryRun: true}); got != want || s.count() != 0 {
		t.Errorf("dry run: got %+v, want %+v; %d bindings", got, want, s.count())
	}
	s.wantTrail(0)
	s.importFile("", file).want(http.StatusOK).into(&got)
	if want := (importResult{Rows: 3, Created: 3}); got != want || s.count() != 3 {
		t.Errorf("got %+v, want %+v; %d bindings", got, want, s.count())
	}
	b, err := s.store.Binding(t.Context(), hash)
	must(t, err)
	if b.Hint != hint || b.Label != "Billing" || b.Note != "two\nlines" || b.Status != store.StatusActive || b.Rule.Kind != store.RuleSingle {
		t.Errorf("got %+v", b)
	}
	var list bindingList
	s.call(account.Viewer, "GET", "/bindings?sort=label&order=asc", nil).into(&list)
	if labels := list.labels(); !slices.Equal(labels, []string{"'plain", "=1+1", "Billing"}) || list.Items[1].Rule.Kind != "multiple" || list.Items[1].Status != "banned" {
		t.Errorf("got %+v", list)
	}
	s.wantTrail(0, "token:operator binding.import", "token:operator binding.import")
	if log := s.log.String() + fmt.Sprint(s.trail()); strings.Contains(log, "testother0123") {
		t.Error("a key is in the log or the audit trail")
	}
}

func TestImportJSON(t *testing.T) {
	for name, file := range map[string]string{
		"list": `[{"hash":"%s","label":"a","rule":"single","prefixes":["10.0.0.0/8"]},
			{"hash":"%s","rule":{"kind":"multiple","prefixes":["10.0.0.1","10.0.0.2"]},"usage":{"hits":5},"status":"banned"}]`,
		"lines": `{"hash":"%s","label":"a","prefixes":"10.0.0.0/8"}` + "\n\n" + `{"hash":"%s","prefixes":"10.0.0.1 10.0.0.2","status":"banned"}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			var got importResult
			s.importFile("?format=json", fmt.Sprintf(file, hashOf(1), hashOf(2))).want(http.StatusOK).into(&got)
			if want := (importResult{Rows: 2, Created: 2}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			one, err := s.store.Binding(t.Context(), hashOf(1))
			must(t, err)
			two, err := s.store.Binding(t.Context(), hashOf(2))
			must(t, err)
			if one.Label != "a" || one.Rule.Kind != store.RuleSingle || two.Status != store.StatusBanned || len(two.Rule.Prefixes) != 2 {
				t.Errorf("got %+v and %+v", one, two)
			}
		})
	}
}

func TestImportConflicts(t *testing.T) {
	s := newSite(t)
	s.bind(1, func(b *store.Binding) { b.Label = "old" })
	file := "hash,label,prefixes\n" + hashOf(1).String() + ",new,192.0.2.0/24\n" + hashOf(2).String() + ",two,192.0.2.0/24\n"
	s.importFile("", file).wantFault(http.StatusUnprocessableEntity, "invalid", "row 1, column hash")
	if s.count() != 1 {
		t.Error("a refused file has changed something")
	}
	s.wantTrail(0)
	var got importResult
	s.importFile("?onConflict=skip", file).want(http.StatusOK).into(&got)
	if want := (importResult{Rows: 2, Created: 1, Skipped: 1}); got != want {
		t.Errorf("skip: got %+v, want %+v", got, want)
	}
	since := len(s.trail())
	s.importFile("?onConflict=replace", file).want(http.StatusOK).into(&got)
	if want := (importResult{Rows: 2, Replaced: 2}); got.Replaced < 1 || got.Rows != want.Rows {
		t.Errorf("replace: got %+v, want %+v", got, want)
	}
	b, err := s.store.Binding(t.Context(), hashOf(1))
	must(t, err)
	if b.Label != "new" || b.Rule.Prefixes[0].String() != "192.0.2.0/24" {
		t.Errorf("got %+v", b)
	}
	entry := s.trail()[since]
	if !strings.Contains(string(entry.Before), `"label":"old"`) || !strings.Contains(string(entry.After), `"label":"new"`) {
		t.Errorf("got before %s and after %s", entry.Before, entry.After)
	}
}

func TestBadFilesNameRowAndColumnAndChangeNothing(t *testing.T) {
	good := hashOf(1).String() + ",10.0.0.0/8\n"
	h2 := hashOf(2).String()
	for _, tt := range []struct {
		name, query, file string
		locations         []string
	}{
		{"two faults", "", "hash,prefixes\n" + good + "beef,10.0.0.0/8\n" + h2 + ",10.0.0.1/8\n", []string{"row 2, column hash", "row 3, column prefixes"}},
		{"unknown column", "", "hash,prefixes,colour\n", []string{"header, column colour"}},
		{"column twice", "", "hash,prefixes,hash\n", []string{"header, column hash"}},
		{"neither hash nor key", "", "label,prefixes\n", []string{"header, column hash"}},
		{"both hash and key", "", "hash,key\n", []string{"header, column hash"}},
		{"semicolons", "", "hash;prefixes\n", []string{"header"}},
		{"UTF-16", "", "\xff\xfeh\x00", []string{"header"}},
		{"missing cell", "", "hash,prefixes\n" + good + h2 + "\n", []string{"row 2"}},
		{"quote", "", "hash,prefixes\n" + good + "\"" + h2 + "\n", []string{"row 2"}},
		{"no rule", "", "hash,prefixes\n" + good + h2 + ",\n", []string{"row 2, column prefixes"}},
		{"bad rule", "", "hash,rule\n" + h2 + ",any\n", []string{"row 1, column rule"}},
		{"all with prefixes", "", "hash,rule,prefixes\n" + h2 + ",all,10.0.0.1\n", []string{"row 1, column rule"}},
		{"any source", "", "hash,prefixes\n" + h2 + ",0.0.0.0/0\n", []string{"row 1, column prefixes"}},
		{"bad status", "", "hash,prefixes,status\n" + h2 + ",10.0.0.1,off\n", []string{"row 1, column status"}},
		{"long label", "", "hash,prefixes,label\n" + h2 + ",10.0.0.1," + strings.Repeat("x", 257) + "\n", []string{"row 1, column label"}},
		{"not UTF-8", "", "hash,prefixes,label\n" + h2 + ",10.0.0.1,\xff\n", []string{"row 1, column label"}},
		{"same key twice", "", "hash,prefixes\n" + good + good, []string{"row 2, column hash"}},
		{"no rows", "", "hash,prefixes\n", nil},
		{"nothing", "", "\n", nil},
		{"large row", "", "hash,prefixes,note\n" + good[:len(good)-1] + ",\"" + strings.Repeat("x", 5<<20) + "\"\n", []string{"row 1"}},
		{"no JSON", "?format=json", "hash,prefixes\n", []string{"row 1"}},
		{"JSON list not ended", "?format=json", `[{"hash":"` + h2 + `","prefixes":["10.0.0.1"]}`, []string{"row 2"}},
		{"JSON list and more", "?format=json", `[{"hash":"` + h2 + `","prefixes":["10.0.0.1"]}] x`, []string{"row 2"}},
		{"JSON unknown field", "?format=json", `{"hash":"` + h2 + `","prefixes":["10.0.0.1"],"colour":1}`, []string{"row 1, column colour"}},
		{"JSON wrong type", "?format=json", `{"hash":5,"prefixes":{}}`, []string{"row 1, column hash", "row 1, column prefixes"}},
		{"JSON no object", "?format=json", `["x"]`, []string{"row 1"}},
		{"unknown format", "?format=xml", "", []string{"query.format"}},
		{"unknown parameter", "?nonsense=1", "", []string{"query.nonsense"}},
		{"bad conflict", "?onConflict=merge", "", []string{"query.onConflict"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.importFile(tt.query, tt.file).wantFault(http.StatusUnprocessableEntity, "invalid", tt.locations...)
			if s.count() != 0 {
				t.Error("something was imported")
			}
			s.wantTrail(0)
		})
	}
}

func TestFaultsOfAFileRepeatNoKey(t *testing.T) {
	s := newSite(t)
	for _, file := range []string{
		testKey + ",10.0.0.1\n", // no header
		"hash,prefixes\n" + testKey + ",10.0.0.1\n",
		"hash,prefixes\n" + hashOf(1).String() + "," + testKey + "\n",
		"key,rule\n" + testKey + "," + testKey + "\n",
		"key,prefixes,status\n" + testKey + ",10.0.0.1," + testKey + "\n",
		"key,prefixes\n\"" + testKey + ",10.0.0.1\n",
		"key,prefixes\n" + testKey + "\x01,10.0.0.1\n",
	} {
		a := s.importFile("", file).want(http.StatusUnprocessableEntity)
		if strings.Contains(string(a.body), testKey) {
			t.Errorf("got %s", a.body)
		}
	}
	a := s.importFile("?format=json", `{"`+testKey+`":1}`).want(http.StatusUnprocessableEntity)
	if strings.Contains(string(a.body)+s.log.String(), testKey) {
		t.Errorf("got %s", a.body)
	}
}

func TestAFileNamesAHundredFaults(t *testing.T) {
	s := newSite(t)
	f := s.importFile("", "hash,prefixes\n"+strings.Repeat("beef,10.0.0.1\n", 500)).wantFault(http.StatusUnprocessableEntity, "invalid", "row 100, column hash")
	if len(f.Errors) != 100 || !strings.Contains(f.Detail, "500") {
		t.Errorf("got %d faults, detail %q", len(f.Errors), f.Detail)
	}
}

// awkward are bindings that a careless export would lose something of.
func (s *site) awkward() {
	for n, text := range []string{"", "plain", "=1+1", "+1", "-1", "@x", "'=1", "''=1", "'", "a,b \"c\"", "＝1", "ünïcode ✓", "'plain"} {
		s.bind(n, func(b *store.Binding) {
			b.Hint, b.Label, b.Note = text, text, "first\nsecond\tx"+text
			if n%3 == 0 {
				b.Status, b.Rule = store.StatusBanned, ruleOf("10.0.0.0/8", "2001:db8::/32")
			}
			if n%3 == 1 {
				b.Rule = ruleOf()
			}
		})
	}
}

func TestAnExportIsImportedAsItWas(t *testing.T) {
	for _, format := range []string{"csv", "json", "jsonl"} {
		t.Run(format, func(t *testing.T) {
			from, to := newSite(t), newSite(t)
			from.awkward()
			file := from.call(account.Viewer, "GET", "/bindings/export?format="+format, nil).want(http.StatusOK)
			if want := "sentinel-bindings-" + from.now().UTC().Format("2006-01-02") + "." + format; !strings.Contains(file.header.Get("Content-Disposition"), want) {
				t.Errorf("got %s", file.header.Get("Content-Disposition"))
			}
			from.wantTrail(0, "token:viewer binding.export")
			to.importFile("?format="+strings.TrimSuffix(format, "l"), string(file.body)).want(http.StatusOK)
			was, err := from.store.ListBindings(t.Context(), store.KeyHash{}, 100)
			must(t, err)
			is, err := to.store.ListBindings(t.Context(), store.KeyHash{}, 100)
			must(t, err)
			if len(was) != len(is) {
				t.Fatalf("got %d bindings, want %d", len(is), len(was))
			}
			for i := range was {
				a, b := was[i], is[i]
				if a.Hash != b.Hash || a.Hint != b.Hint || a.Label != b.Label || a.Note != b.Note || a.Status != b.Status || fmt.Sprint(a.Rule) != fmt.Sprint(b.Rule) {
					t.Errorf("got %+v, want %+v", b, a)
				}
			}
		})
	}
}

func TestExportNeutralisesFormulas(t *testing.T) {
	s := newSite(t)
	s.awkward()
	a := s.call(account.Viewer, "GET", "/bindings/export", nil).want(http.StatusOK)
	rows, err := csv.NewReader(bytes.NewReader(a.body)).ReadAll()
	must(t, err)
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(cell)[0]) {
				t.Errorf("cell %q would be run", cell)
			}
		}
	}
}

func TestExportTakesFiltersAndManyPages(t *testing.T) {
	s := newSite(t)
	for n := range 2100 {
		s.bind(n, func(b *store.Binding) {
			if n%2 == 0 {
				b.Status = store.StatusBanned
			}
		})
	}
	a := s.call(account.Viewer, "GET", "/bindings/export?format=jsonl&status=banned", nil).want(http.StatusOK)
	if n := bytes.Count(a.body, []byte("\n")); n != 1050 {
		t.Errorf("got %d rows, want 1050", n)
	}
	s.call(account.Viewer, "GET", "/bindings/export?network=10.0.0.1/8", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.network")
	s.call(account.Viewer, "GET", "/bindings/export?format=xml", nil).wantFault(http.StatusUnprocessableEntity, "invalid", "query.format")
	empty := s.call(account.Viewer, "GET", "/bindings/export?format=json&label=nobody", nil).want(http.StatusOK)
	if strings.TrimSpace(string(empty.body)) != "[]" {
		t.Errorf("got %s of none", empty.body)
	}
}
