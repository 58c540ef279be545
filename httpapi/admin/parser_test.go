package admin

import (
	"reflect"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

// testParser hashes keys to something that is no secret.
func testParser(anySource bool) *importParser {
	return &importParser{anySource: anySource, hashKey: func(key string) (store.KeyHash, string, error) {
		if len(key) > 4096 {
			return store.KeyHash{}, "", store.ErrInvalid
		}
		hash := store.KeyHash{31: 1}
		copy(hash[:], key)
		return hash, "hint", nil
	}}
}

// checkRows holds what a parser says for good against what a store takes.
func checkRows(t *testing.T, p *importParser, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("reading text failed: %v", err)
	}
	if p.refused.Total > 0 {
		if len(p.rows) > 0 || len(p.refused.Faults) == 0 || len(p.refused.Faults) > maxImportFaults {
			t.Fatalf("%d faults, %d of them named, and %d rows", p.refused.Total, len(p.refused.Faults), len(p.rows))
		}
		return
	}
	for i, row := range p.rows {
		if err := row.Binding.Rule.Validate(); err != nil {
			t.Fatalf("row %d: %v", row.Row, err)
		}
		if row.Binding.Hash.IsZero() || i > 0 && row.Row <= p.rows[i-1].Row {
			t.Fatalf("row %d of %v", row.Row, row.Binding)
		}
		if s := row.Binding.Status; s != store.StatusActive && s != store.StatusBanned {
			t.Fatalf("row %d: status %q", row.Row, s)
		}
		for _, prefix := range row.Binding.Rule.Prefixes {
			if prefix.Bits() == 0 && !p.anySource {
				t.Fatalf("row %d: %s", row.Row, prefix)
			}
		}
	}
}

const seedHash = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func FuzzImportCSV(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "hash,prefixes\n", "hash,prefixes\n" + seedHash + ",10.0.0.0/8\n", "\ufeffkey,rule\r\nsk-testkey,all\r\n",
		"hash,label,prefixes,hits\n" + seedHash + ",'=1+1,10.0.0.1 2001:db8::/32,5\n", "hash;prefixes\n", "\xff\xfeh\x00", "hash,prefixes\n\"" + seedHash,
		"hash,prefixes,rule\n" + seedHash + ",0.0.0.0/0,single\n", "key,hash\na,b\n", "hash,hash\n", "nonsense\n1\n",
		"key,prefixes\n\"a\nb\",10.0.0.1\n", "key,status\na,banned\n",
		"key,rule,prefixes,learnUntil\na,learn:3/24h,10.0.0.1 @office,2026-01-02T03:04:05Z\nb,,@office @vpn,\nc,learn:1/5d,,\n",
		"key,rule,prefixes\na,learn:,@\nb,learn:3/1s,@@\n",
	} {
		f.Add(seed, false)
	}
	f.Add("hash,prefixes\n"+seedHash+",::/0\n", true)
	f.Fuzz(func(t *testing.T, file string, anySource bool) {
		p := testParser(anySource)
		err := p.readCSV(&rowLimit{from: strings.NewReader(file), left: maxImportRow})
		checkRows(t, p, err)
	})
}

func FuzzImportJSON(f *testing.F) {
	for _, seed := range []string{
		"", " ", "[]", "{}", "null", "[null]", `[{"hash":"` + seedHash + `","prefixes":["10.0.0.0/8"]}]`,
		`{"hash":"` + seedHash + `","rule":"all"}` + "\n" + `{"key":"sk-testkey","rule":{"kind":"single","prefixes":["10.0.0.1"]}}`,
		`[{"key":"a","prefixes":"10.0.0.1 10.0.0.2","note":"\u0000","usage":{"hits":1}}]`, `[`, `[{}`, `[{}] 1`, `{"key":1}`, `{"rule":{"kind":1}}`,
		`{"key":"a","prefixes":["10.0.0.1"],"rule":{"kind":"all","prefixes":[]}}`, `{"colour":1}`, "\ufeff[]",
		`{"key":"a","networks":["office"],"learn":{"limit":3,"withinSeconds":86400,"until":"2026-01-02T03:04:05Z"}}`,
		`{"key":"a","rule":{"kind":"learn","networks":["office"],"learn":{"limit":1,"withinSeconds":99999999999999}}}`,
		`{"key":"a","rule":"learn:3/24h","learn":null,"networks":null,"learnUntil":"x"}`,
	} {
		f.Add(seed, false)
	}
	f.Add(`{"key":"a","prefixes":["0.0.0.0/0"]}`, true)
	f.Fuzz(func(t *testing.T, file string, anySource bool) {
		p := testParser(anySource)
		err := p.readJSON(&rowLimit{from: strings.NewReader(file), left: maxImportRow})
		checkRows(t, p, err)
	})
}

func FuzzRule(f *testing.F) {
	for _, seed := range []string{
		"10.0.0.1", "10.0.0.0/8", "10.0.0.1/8", "2001:DB8::/32", "::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "::/0", "0.0.0.0/0",
		"fe80::1%eth0", "[::1]:80", "010.0.0.1", "10.0.0.0/255.0.0.0", "", "sk-testkey", "10.0.0.1 10.0.0.2", strings.Repeat("1.", 200),
	} {
		f.Add("single", seed, false)
		f.Add("learn", seed, false)
		f.Add("multiple", seed, true)
	}
	f.Add("all", "", false)
	f.Fuzz(func(t *testing.T, kind, prefixes string, anySource bool) {
		var found faults
		in := ruleInput{Kind: store.RuleKind(kind), Prefixes: strings.Split(prefixes, " "), ConfirmAnySource: anySource}
		if prefixes == "" {
			in.Prefixes = nil
		}
		if in.Kind == store.RuleLearn { // with texts that may be names as well
			in.Learn, in.Networks = &learnBody{Limit: 2, WithinSeconds: int64(len(prefixes))}, in.Prefixes
		}
		rule := in.rule("body.rule", &found)
		for _, fault := range found {
			if !strings.HasPrefix(fault.Location, "body.rule") || fault.Message == "" {
				t.Fatalf("fault %+v", fault)
			}
		}
		if len(found) > 0 {
			return
		}
		if err := rule.Validate(); err != nil {
			t.Fatalf("%v was taken: %v", rule, err)
		}
		// What is shown is taken again, and is the same.
		shown := ruleInput{Kind: rule.Kind, Networks: rule.Networks, Learn: showRule(rule).Learn, ConfirmAnySource: anySource}
		for _, p := range showRule(rule).Prefixes {
			shown.Prefixes = append(shown.Prefixes, p.String())
		}
		if again := shown.rule("body.rule", &found); len(found) > 0 || !reflect.DeepEqual(rule, again) {
			t.Fatalf("%v was shown as %v, and that taken as %v with faults %v", rule, shown, again, found)
		}
	})
}

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "AAAAAAAAAAE", "AAAAAAAAAAA", "AAAAAAAAAAE=", "__________8", "12", "\x00", "AAAAAAAAAAF"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		before, err := parseIDCursor("query.after", cursor)
		if err == nil && idCursor(before) != cursor {
			t.Fatalf("%q was read as %d, which is written as %q", cursor, before, idCursor(before))
		}
	})
}

func FuzzCell(f *testing.F) {
	for _, seed := range []string{"", "plain", "=1", "'=1", "''=1", "'", "-", "＝1", "\t", "'plain", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		safe := neutralise(cell)
		if got := restoreCell(safe); got != cell {
			t.Fatalf("%q was written as %q and read as %q", cell, safe, got)
		}
		for _, start := range formulaStart {
			if strings.HasPrefix(safe, string(start)) {
				t.Fatalf("%q was written as %q", cell, safe)
			}
		}
	})
}

func TestIDCursors(t *testing.T) {
	for _, id := range []uint64{1, 2, 1 << 40, 1<<64 - 1} {
		if got, err := parseIDCursor("query.after", idCursor(id)); err != nil || got != id {
			t.Errorf("%d: got %d, %v", id, got, err)
		}
	}
	if idCursor(0) != "" {
		t.Errorf("the end is %q", idCursor(0))
	}
}

func TestManyRowsAndPrefixesAreRefused(t *testing.T) {
	p := testParser(false)
	if p.full(maxImportRows) || !p.full(maxImportRows+1) {
		t.Error("the limit of rows is another one")
	}
	p = testParser(false)
	p.prefixes = maxImportPrefixes + 1
	if !p.full(1) || p.refused.Faults[0].Column != "prefixes" {
		t.Errorf("got %+v", p.refused)
	}
}
