package admin_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
)

// network makes a named network.
func (s *site) network(name string, prefixes ...string) {
	s.t.Helper()
	n := network.Network{Name: name}
	for _, p := range prefixes {
		n.Prefixes = append(n.Prefixes, netip.MustParsePrefix(p))
	}
	_, _, err := s.engine.PutNetwork(s.t.Context(), n)
	must(s.t, err)
}

// stored returns the rule of a binding as it is stored.
func (s *site) stored(n int) store.Rule {
	s.t.Helper()
	b, err := s.store.Binding(s.t.Context(), hashOf(n))
	must(s.t, err)
	return b.Rule
}

// ruleAnswer is a binding with all of its rule.
type ruleAnswer struct {
	Hash string
	Rule struct {
		Kind               string
		Prefixes, Networks []string
		Learn              *struct {
			Limit, WithinSeconds int
			Until                time.Time
		}
	}
	Warnings spoken
}

func rule(kind string, fields ...any) map[string]any {
	r := map[string]any{"kind": kind}
	for i := 0; i+1 < len(fields); i += 2 {
		r[fields[i].(string)] = fields[i+1]
	}
	return r
}

func learn(limit, seconds int) map[string]any {
	return map[string]any{"limit": limit, "withinSeconds": seconds}
}

func TestRulesThatNameNetworks(t *testing.T) {
	s := newSite(t)
	s.network("office", "192.0.2.0/24")
	s.network("vpn", "198.51.100.0/24")
	s.bind(1)
	path := "/bindings/" + hashOf(1).String()
	var got ruleAnswer
	s.call(account.Operator, "PATCH", path, map[string]any{"rule": rule("multiple", "networks", []string{"vpn", "office"}, "prefixes", []string{"10.0.0.1"})}).
		want(http.StatusOK).into(&got)
	if fmt.Sprint(got.Rule.Networks, got.Rule.Prefixes, got.Warnings) != "[vpn office] [10.0.0.1/32] []" {
		t.Errorf("got %+v", got)
	}
	if entry := s.trail()[0]; !strings.Contains(string(entry.After), `"networks":["vpn","office"]`) {
		t.Errorf("the audit trail has %s", entry.After)
	}
	s.call(account.Viewer, "GET", path, nil).want(http.StatusOK).into(&got)
	if !slices.Equal(got.Rule.Networks, []string{"vpn", "office"}) {
		t.Errorf("got %+v", got)
	}
	s.bind(2, func(b *store.Binding) { b.Rule = ruleOf("192.0.2.7/32") })
	s.bind(3)
	for filter, want := range map[string]string{
		"namesNetwork=office": "[1]", "namesNetwork=vpn": "[1]", "namesNetwork=none": "[]", "network=192.0.2.7": "[1 2]",
		"network=198.51.100.0/25": "[1]", "network=203.0.113.0/24": "[]", "network=198.51.100.7&namesNetwork=office": "[1]",
	} {
		var list struct{ Items []ruleAnswer }
		s.call(account.Viewer, "GET", "/bindings?sort=created&order=asc&"+filter, nil).want(http.StatusOK).into(&list)
		numbers := []int{}
		for n := 1; n <= 3; n++ {
			if slices.ContainsFunc(list.Items, func(r ruleAnswer) bool { return r.Hash == hashOf(n).String() }) {
				numbers = append(numbers, n)
			}
		}
		if fmt.Sprint(numbers) != want {
			t.Errorf("%s: got %v, want %s", filter, numbers, want)
		}
	}
	if got := s.bulk(map[string]any{"filter": map[string]any{"network": "198.51.100.9"}, "act": "ban"}); got.Changed != 1 {
		t.Errorf("bulk by a network that a rule names: got %+v", got)
	}
}

// TestUnknownNetworksAreRefused wants the field named, and the networks that exist.
func TestUnknownNetworksAreRefused(t *testing.T) {
	s := newSite(t)
	s.bind(1)
	unknown := rule("multiple", "networks", []string{"offise"})
	ask := func(what, method, path, location string, body any) {
		t.Helper()
		f := s.call(account.Operator, method, path, body).wantFault(http.StatusUnprocessableEntity, "invalid", location)
		for _, want := range []string{`"offise"`, "does not exist", "office, vpn"} {
			if !strings.Contains(f.Errors[0].Message, want) {
				t.Errorf("%s: got %q, want %s in it", what, f.Errors[0].Message, want)
			}
		}
	}
	if f := s.call(account.Operator, "PATCH", "/bindings/"+hashOf(1).String(), map[string]any{"rule": unknown}).
		wantFault(http.StatusUnprocessableEntity, "invalid", "body.rule.networks"); !strings.Contains(f.Errors[0].Message, "no network has been made") {
		t.Errorf("got %q", f.Errors[0].Message)
	}
	s.network("office", "192.0.2.0/24")
	s.network("vpn", "198.51.100.0/24")
	ask("edit", "PATCH", "/bindings/"+hashOf(1).String(), "body.rule.networks", map[string]any{"rule": unknown})
	ask("create", "POST", "/bindings", "body.rule.networks", map[string]any{"key": testKey, "rule": unknown})
	for _, dryRun := range []bool{true, false} {
		ask("bulk", "POST", "/bindings/bulk", "body.edit.rule.networks", map[string]any{
			"filter": map[string]any{"all": true}, "act": "edit", "edit": map[string]any{"rule": unknown}, "dryRun": dryRun,
		})
	}
	f := s.importFile("", "hash,prefixes\n"+hashOf(2).String()+",@offise\n").wantFault(http.StatusUnprocessableEntity, "invalid", "row 1, column rule")
	if !strings.Contains(f.Errors[0].Message, "office, vpn") {
		t.Errorf("import: got %q", f.Errors[0].Message)
	}
	if s.count() != 1 || !s.stored(1).Equal(ruleOf("10.0.0.0/8")) {
		t.Error("a refused rule has changed something")
	}
	s.wantTrail(0)
}

func TestBadRulesAreRefused(t *testing.T) {
	s := newSite(t)
	s.network("office", "192.0.2.0/24")
	many := make([]string, store.MaxRuleNetworks+1)
	for i := range many {
		many[i] = fmt.Sprintf("n%d", i)
	}
	names := func(list ...string) map[string]any { return rule("multiple", "networks", list) }
	for _, tt := range []struct {
		name, location string
		rule           map[string]any
	}{
		{"capitals", "body.rule.networks[0]", names("Office")},
		{"mark", "body.rule.networks[1]", names("office", "@vpn")},
		{"key", "body.rule.networks[0]", names(testKey + "X")},
		{"twice", "body.rule.networks[1]", names("office", "office")},
		{"many", "body.rule.networks", names(many...)},
		{"network of single", "body.rule", rule("single", "prefixes", []string{"10.0.0.1"}, "networks", []string{"office"})},
		{"network of all", "body.rule", rule("all", "networks", []string{"office"})},
		{"neither", "body.rule", rule("multiple")},
		{"learn without how", "body.rule.learn", rule("learn")},
		{"how without learn", "body.rule", rule("multiple", "networks", []string{"office"}, "learn", learn(3, 60))},
		{"no limit", "body.rule.learn.limit", rule("learn", "learn", learn(0, 60))},
		{"large limit", "body.rule.learn.limit", rule("learn", "learn", learn(65, 60))},
		{"no time", "body.rule.learn.withinSeconds", rule("learn", "learn", learn(3, 0))},
		{"long time", "body.rule.learn.withinSeconds", rule("learn", "learn", learn(3, 31_622_401))},
		{"part of how", "body.rule.learn", rule("learn", "learn", map[string]any{"limit": 3})},
		{"more than it learns", "body.rule", rule("learn", "learn", learn(1, 60), "prefixes", []string{"10.0.0.1", "10.0.0.2"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.t = t
			a := s.call(account.Operator, "POST", "/bindings", map[string]any{"hash": hashOf(1).String(), "rule": tt.rule})
			a.wantFault(http.StatusUnprocessableEntity, "invalid", tt.location)
			if strings.Contains(string(a.body), testKey) {
				t.Errorf("the key in the place of a name is repeated: %s", a.body)
			}
		})
	}
	s.t = t
	if s.count() != 0 {
		t.Error("a binding was made")
	}
}

// TestLearningGoesOnOrBeginsAnew sends back what was read, and less.
func TestLearningGoesOnOrBeginsAnew(t *testing.T) {
	s := newSite(t)
	s.network("office", "192.0.2.0/24")
	until := store.StoredTime(s.now().Add(time.Hour))
	l := store.Learn{Limit: 3, Within: 24 * time.Hour, Until: until}
	s.bind(1, func(b *store.Binding) { b.Rule.Kind, b.Rule.Learn = store.RuleLearn, l })
	path := "/bindings/" + hashOf(1).String()
	var read struct {
		Rule map[string]any `json:"rule"`
	}
	s.call(account.Viewer, "GET", path, nil).want(http.StatusOK).into(&read)
	s.call(account.Operator, "PATCH", path, map[string]any{"rule": read.Rule}).want(http.StatusOK)
	s.wantTrail(0) // nothing has changed
	read.Rule["networks"] = []string{"office"}
	s.call(account.Operator, "PATCH", path, map[string]any{"rule": read.Rule}).want(http.StatusOK)
	if got := s.stored(1); got.Learn != l || len(got.Prefixes) != 1 || len(got.Networks) != 1 {
		t.Errorf("got %+v, want it to go on as before", got)
	}
	delete(read.Rule["learn"].(map[string]any), "until")
	var got ruleAnswer
	s.call(account.Operator, "PATCH", path, map[string]any{"rule": read.Rule}).want(http.StatusOK).into(&got)
	if rule := s.stored(1); !rule.Learn.Until.IsZero() || got.Rule.Learn == nil || got.Rule.Learn.Limit != 3 || got.Rule.Learn.WithinSeconds != 86_400 {
		t.Errorf("got %+v, answered with %+v, want it to begin anew", rule, got)
	}
	s.call(account.Operator, "PATCH", path, map[string]any{"rule": single("10.0.0.1")}).want(http.StatusOK)
	if rule := s.stored(1); rule.Learn != (store.Learn{}) {
		t.Errorf("got %+v", rule)
	}
}

func TestPrefixesThatAddNothingAreTold(t *testing.T) {
	s := newSite(t)
	overlapping := rule("multiple", "prefixes", []string{"10.1.0.0/16", "192.0.2.1", "10.0.0.0/8", "2001:db8:1::/48", "192.0.2.1/32", "2001:db8::/32", "10.1.2.0/24", "10.0.0.0/8"})
	want := []string{
		"10.0.0.0/8 is there twice, which adds nothing", "10.1.0.0/16 is within 10.0.0.0/8 and adds nothing",
		"10.1.2.0/24 is within 10.0.0.0/8 and adds nothing", "192.0.2.1/32 is there twice, which adds nothing",
		"2001:db8:1::/48 is within 2001:db8::/32 and adds nothing",
	}
	check := func(what string, a *answer, status int, want []string) {
		t.Helper()
		var got ruleAnswer
		a.want(status).into(&got)
		if !slices.Equal(got.Warnings, want) {
			t.Errorf("%s: got warnings %q, want %q", what, got.Warnings, want)
		}
	}
	path := "/bindings/" + hashOf(1).String()
	check("create", s.call(account.Operator, "POST", "/bindings", map[string]any{"hash": hashOf(1).String(), "rule": overlapping}), http.StatusCreated, want)
	check("edit", s.call(account.Operator, "PATCH", path, map[string]any{"rule": overlapping}), http.StatusOK, want)
	check("edit of the label", s.call(account.Operator, "PATCH", path, map[string]any{"label": "x"}), http.StatusOK, nil)
	check("edit to what is well", s.call(account.Operator, "PATCH", path, map[string]any{"rule": rule("multiple", "prefixes", []string{"10.0.0.0/9", "10.128.0.0/9", "::a00:0/104"})}), http.StatusOK, nil)
	check("bulk", s.call(account.Operator, "POST", "/bindings/bulk", map[string]any{
		"hashes": []string{hashOf(1).String()}, "act": "edit", "edit": map[string]any{"rule": overlapping}, "dryRun": true,
	}), http.StatusOK, want)
	check("earlier path", s.call(account.Operator, "PUT", "/bindings/ip", map[string]any{"hash": hashOf(1).String(), "ip": "10.0.0.0/8,10.0.0.0/8"}), http.StatusOK, want[:1])
	check("import", s.importFile("?dryRun=true", "hash,prefixes\n"+hashOf(2).String()+",10.0.0.0/8\n"+hashOf(3).String()+",10.0.0.0/8 10.0.0.0/8\n"), http.StatusOK,
		[]string{"row 2: " + want[0]})
	var same []string
	for range 100 {
		same = append(same, "10.0.0.0/8")
	}
	var got ruleAnswer
	s.call(account.Operator, "PATCH", path, map[string]any{"rule": rule("multiple", "prefixes", same)}).want(http.StatusOK).into(&got)
	if len(got.Warnings) != 21 || got.Warnings[20] != "79 more prefixes add nothing" {
		t.Errorf("got %d warnings, the last %q", len(got.Warnings), got.Warnings[len(got.Warnings)-1])
	}
}

// TestNewRulesComeBackFromAFile exports each kind of rule, in each form, and
// imports it again.
func TestNewRulesComeBackFromAFile(t *testing.T) {
	until := time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)
	ten := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	rules := []store.Rule{
		{Kind: store.RuleAll},
		{Kind: store.RuleSingle, Prefixes: ten},
		{Kind: store.RuleMultiple, Prefixes: ten},
		{Kind: store.RuleMultiple, Networks: []string{"office"}},
		{Kind: store.RuleMultiple, Prefixes: ten, Networks: []string{"vpn", "office"}},
		{Kind: store.RuleLearn, Learn: store.Learn{Limit: 3, Within: 24 * time.Hour}},
		{Kind: store.RuleLearn, Prefixes: ten, Networks: []string{"vpn"}, Learn: store.Learn{Limit: 5, Within: 90 * time.Second, Until: until}},
		{Kind: store.RuleLearn, Prefixes: ten, Learn: store.Learn{Limit: 64, Within: store.MaxLearnWithin}},
	}
	s := newSite(t)
	s.network("office", "192.0.2.0/24")
	s.network("vpn", "198.51.100.0/24")
	for n, r := range rules {
		s.bind(n, func(b *store.Binding) { b.Rule = r })
	}
	for _, format := range []string{"csv", "json", "jsonl"} {
		file := string(s.call(account.Operator, "GET", "/bindings/export?format="+format, nil).want(http.StatusOK).body)
		for _, b := range s.all() {
			_, err := s.store.DeleteBinding(t.Context(), b.Hash, b.Revision)
			must(t, err)
		}
		s.importFile("?format="+strings.TrimSuffix(format, "l"), file).want(http.StatusOK)
		for n, r := range rules {
			if got := s.stored(n); !got.Equal(r) {
				t.Errorf("%s: got %+v, want %+v", format, got, r)
			}
		}
		if format == "csv" {
			checkRuleCells(t, file)
		}
	}
}

func (s *site) all() []store.Binding {
	s.t.Helper()
	list, err := s.store.ListBindings(s.t.Context(), store.KeyHash{}, 1_000)
	must(s.t, err)
	return list
}

func checkRuleCells(t *testing.T, file string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	must(t, err)
	cells := map[string][3]string{}
	for _, row := range rows[1:] {
		cells[row[0]] = [3]string{row[5], row[6], row[14]}
	}
	for n, want := range map[int][3]string{
		1: {"single", "10.0.0.0/8", ""}, 3: {"multiple", "'@office", ""}, 4: {"multiple", "10.0.0.0/8 @vpn @office", ""}, 5: {"learn:3/24h", "", ""},
		6: {"learn:5/90s", "10.0.0.0/8 @vpn", "2026-03-04T05:06:07.89Z"}, 7: {"learn:64/366d", "10.0.0.0/8", ""},
	} {
		if got := cells[hashOf(n).String()]; got != want {
			t.Errorf("row %d: got %q, want %q", n, got, want)
		}
	}
}

func TestImportOfRulesByHand(t *testing.T) {
	s := newSite(t)
	s.network("office", "192.0.2.0/24")
	for _, tt := range []struct {
		name, query, row, want string // what is wrong, or the rule
	}{
		{"networks and prefixes", "", "HASH,,10.0.0.1 @office,", "{multiple [10.0.0.1/32] [office] 0/0h}"},
		{"a network alone", "", "HASH,,@office,", "{multiple [] [office] 0/0h}"},
		{"learn", "", "HASH,learn:3/7d,,", "{learn [] [] 3/7d}"},
		{"learn with more", "", "HASH,learn:3/7d,10.0.0.1 @office,2026-01-02T03:04:05Z", "{learn [10.0.0.1/32] [office] 3/7d}"},
		{"single with a network", "", "HASH,single,@office,", "column rule: "},
		{"learn without how", "", "HASH,learn,,", "such as learn:3/24h"},
		{"bad how", "", "HASH,learn:many,,", "want a number of addresses"},
		{"too much", "", "HASH,learn:65/24h,,", "want 1 to 64"},
		{"until of another rule", "", "HASH,single,10.0.0.1,2026-01-02T03:04:05Z", "learnUntil: goes with"},
		{"no time", "", "HASH,learn:3/24h,,soon", "learnUntil: is no time"},
		{"no name", "", "HASH,,@,", "column prefixes: is no name of a network"},
		{"a key for a name", "", "HASH,,@" + testKey + "X,", "column prefixes: is no name of a network"},
		{"nothing", "", "HASH,multiple,,", "is empty, which only goes with the rules all and learn"},
		{"list", "json", `{"hash":"HASH","prefixes":["10.0.0.1","@office"]}`, "{multiple [10.0.0.1/32] [office] 0/0h}"},
		{"fields", "json", `{"hash":"HASH","prefixes":["10.0.0.1"],"networks":["office"],"learn":{"limit":3,"withinSeconds":60}}`, "{learn [10.0.0.1/32] [office] 3/1m}"},
		{"object", "json", `{"hash":"HASH","rule":{"kind":"learn","networks":["office"],"learn":{"limit":3,"withinSeconds":60}}}`, "{learn [] [office] 3/1m}"},
		{"text", "json", `{"hash":"HASH","rule":"learn:3/24h","networks":"office"}`, "{learn [] [office] 3/24h}"},
		{"both", "json", `{"hash":"HASH","rule":{"kind":"multiple","networks":["office"]},"networks":["office"]}`, "and so has the row"},
		{"learn twice", "json", `{"hash":"HASH","rule":"learn:3/24h","learn":{"limit":3,"withinSeconds":60}}`, "give it once"},
		{"too long", "json", `{"hash":"HASH","learn":{"limit":3,"withinSeconds":9223372036854775807}}`, "learns within"},
		{"negative", "json", `{"hash":"HASH","learn":{"limit":3,"withinSeconds":-9223372036854775808}}`, "learns within"},
		{"unknown field", "json", `{"hash":"HASH","learn":{"limit":3,"withinSeconds":60,"for":"ever"}}`, "want how it learns"},
		{"no text", "json", `{"hash":"HASH","networks":[1]}`, "want a list of names of networks"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.t = t
			file := "hash,rule,prefixes,learnUntil\n" + tt.row + "\n"
			query := "?onConflict=replace"
			if tt.query == "json" {
				file, query = tt.row, query+"&format=json"
			}
			a := s.importFile(query, strings.ReplaceAll(file, "HASH", hashOf(1).String()))
			if a.status != http.StatusOK {
				f := a.wantFault(http.StatusUnprocessableEntity, "invalid")
				if got := f.Errors[0].Location + ": " + f.Errors[0].Message; !strings.Contains(got, tt.want) || strings.Contains(got, testKey) {
					t.Errorf("got %s, want %q", got, tt.want)
				}
				return
			}
			r := s.stored(1)
			if got := fmt.Sprintf("{%s %v %v %s}", r.Kind, r.Prefixes, r.Networks, r.Learn); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
