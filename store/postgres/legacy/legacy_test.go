//go:build unix

package legacy_test

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres/legacy"
	"github.com/key-ip-sentinel/sentinel/store/postgres/pgtest"
)

var server *pgtest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(pgtest.Main(m, &server, func() error { return nil }))
}

// database makes one with tables, and opens them.
func database(t *testing.T, sql ...string) (*legacy.Source, error) {
	t.Helper()
	name := server.NewDatabase(t, "template1")
	for _, s := range sql {
		server.Exec(t, name, s)
	}
	s, err := legacy.Open(t.Context(), server.DSN(name), "public")
	if err == nil {
		t.Cleanup(s.Close)
	}
	return s, err
}

func hash(n int) string { return fmt.Sprintf("%064x", n) }

// rows reads all of a source: what each row is, or why it is refused.
func rows(t *testing.T, s *legacy.Source) (list []string) {
	t.Helper()
	err := s.Bindings(t.Context(), func(n int, b legacy.Binding, fault error) error {
		if fault != nil {
			list = append(list, fmt.Sprintf("%d: %v", n, fault))
			return nil
		}
		text := fmt.Sprintf("%d: %s %s %v", n, b.Status, b.Rule.Kind, b.Rule.Prefixes)
		for _, doubt := range b.Doubts {
			text += " " + doubt
		}
		list = append(list, text)
		return b.Validate()
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func wantRows(t *testing.T, s *legacy.Source, want ...string) {
	t.Helper()
	got := rows(t, s)
	for i := range max(len(got), len(want)) {
		g, w := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("row %d:\n got %s\nwant %s", i+1, g, w)
		}
	}
}

// TestVariants: columns of each type that they have had.
func TestVariants(t *testing.T) {
	for name, test := range map[string]struct {
		create string
		insert []string
		want   []string
	}{
		"cidr, jsonb, smallint": {
			`token_hash varchar(64) UNIQUE, token_display varchar(20), bound_ip cidr, binding_mode varchar(16), allowed_ips jsonb, status smallint, first_used_at timestamptz, last_used_at timestamptz`,
			[]string{
				`'` + hash(1) + `', 'sk-ab…cd', '192.0.2.1', 'single', '[]', 1, now(), now()`,
				`'` + hash(2) + `', '', '192.0.2.0/24', 'single', '[]', 2, null, null`,
				`'` + hash(3) + `', '', '192.0.2.1', 'multiple', '["10.0.0.0/8", "2001:db8::1", "10.0.0.0/8"]', 1, now(), now()`,
				`'` + hash(4) + `', '', '192.0.2.1', 'all', '[]', 0, now(), now()`,
				`'` + hash(5) + `', '', '192.0.2.1', 'multiple', '[]', 7, now(), now()`,
				`'` + hash(6) + `', '', '192.0.2.1', 'multiple', '["somewhere"]', 1, now(), now()`,
				`'` + hash(7) + `', '', '192.0.2.1', 'nearby', '[]', 1, now(), now()`,
				`'` + hash(8) + `', '', null, 'single', null, 1, now(), now()`,
				`'short', '', '192.0.2.1', 'single', '[]', 1, now(), now()`,
				`null, '', '192.0.2.1', 'single', '[]', 1, now(), now()`,
			},
			[]string{
				"1: active single [192.0.2.1/32]", "2: banned single [192.0.2.0/24]", "3: active multiple [10.0.0.0/8 2001:db8::1/128]", "4: banned all []",
				`5: banned multiple [192.0.2.1/32] status "7" is not known: taken for banned`,
				`6: allowed addresses: "somewhere" is no address, nor a prefix`, `7: rule "nearby" is not known, want single, multiple or all`,
				`8: rule "single" without an address`, "9: hash: 5 characters that are no HMAC-SHA256, want 64 hex digits", "10: hash: 0 characters that are no HMAC-SHA256, want 64 hex digits",
			},
		},
		"inet, text, booleans": {
			`key_hash text, hint text, ip inet, mode text, allowed_ips text, is_banned boolean, created_at timestamp`,
			[]string{
				`'` + strings.ToUpper(hash(10)) + `', '', '::ffff:192.0.2.1', '', '', false, '2026-01-02 03:04:05'`,
				`'` + hash(11) + `', '', '2001:db8::5/64', 'SINGLE', null, true, null`,
				`'` + hash(12) + `', '', '192.0.2.1', 'multi', '10.0.0.1, 10.0.0.2;10.0.0.3', false, null`,
				`'` + hash(13) + `', '', '192.0.2.1', 'multiple', '"[\"10.0.0.9\"]"', false, null`,
				`'` + hash(14) + `', '', '192.0.2.1', 'multiple', '[1]', false, null`,
			},
			[]string{
				"1: active single [192.0.2.1/32]", "2: banned single [2001:db8::/64]", "3: active multiple [10.0.0.1/32 10.0.0.2/32 10.0.0.3/32]",
				"4: active multiple [10.0.0.9/32]", `5: allowed addresses: "[1]" is no list of addresses`,
			},
		},
		"bytea, arrays, words, numbers": {
			`token_hash bytea, bound_ip text, rule text, allowed_ips cidr[], status text, is_active int, first_used_at bigint`,
			[]string{
				`'\x` + hash(20) + `', '192.0.2.1', 'single', null, 'ACTIVE', 1, 1767323045`,
				`'\x` + hash(21) + `', '192.0.2.1', 'multiple', '{10.0.0.0/8,192.0.2.9}', 'banned', 1, 1767323045000`,
				`'\x` + hash(22) + `', '192.0.2.1,192.0.2.2', 'single', '{}', 'active', 0, null`,
				`'\x` + hash(23) + `', '0.0.0.0/0', 'single', '{}', 'active', 1, null`,
				`'\x00', 'anywhere', 'single', '{}', 'active', 1, null`,
			},
			[]string{
				"1: active single [192.0.2.1/32]", "2: banned multiple [10.0.0.0/8 192.0.2.9/32]", "3: banned multiple [192.0.2.1/32 192.0.2.2/32]",
				"4: active single [0.0.0.0/0]", "5: hash: 2 characters that are no HMAC-SHA256, want 64 hex digits",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			sql := []string{`CREATE TABLE token_bindings (` + test.create + `)`}
			for _, values := range test.insert {
				sql = append(sql, `INSERT INTO token_bindings VALUES (`+values+`)`)
			}
			s, err := database(t, sql...)
			if err != nil {
				t.Fatal(err)
			}
			wantRows(t, s, test.want...)
			if n, m, err := s.Count(t.Context()); n != len(test.insert) || m != 0 || err != nil {
				t.Errorf("counted %d and %d, %v", n, m, err)
			}
			if got := s.Mapping(); len(got) != 1 || !strings.Contains(got[0], "hash: ") || !strings.Contains(got[0], "ip: ") {
				t.Errorf("mapping %q", got)
			}
		})
	}
}

func TestTimesAndTexts(t *testing.T) {
	s, err := database(t,
		`CREATE TABLE token_bindings (token_hash text, token_display text, bound_ip inet, label text, first_used_at timestamptz, last_used_at timestamptz, hit_count int)`,
		`INSERT INTO token_bindings VALUES ('`+hash(1)+`', 'sk-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', '192.0.2.1', E'a\nb', '2026-01-02 03:04:05.678+02', '2026-02-03 00:00:00Z', 7)`,
		`INSERT INTO token_bindings VALUES ('`+hash(2)+`', 'sk-ab****cd', '192.0.2.1', null, '2999-01-01', null, null)`)
	if err != nil {
		t.Fatal(err)
	}
	var got []legacy.Binding
	err = s.Bindings(t.Context(), func(_ int, b legacy.Binding, fault error) error {
		got = append(got, b)
		return fault
	})
	if err != nil || len(got) != 2 || !s.KnowsFirstUse() {
		t.Fatalf("got %+v, %v", got, err)
	}
	a, b := got[0], got[1]
	if !a.CreatedAt.Equal(time.Date(2026, 1, 2, 1, 4, 5, 678_000_000, time.UTC)) || !a.LastUsed.Equal(time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC)) || a.Hits != 7 ||
		a.Label != "ab" || a.FirstIP != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("got %+v", a)
	}
	if a.Hint != "sk-A…AAAA" || b.Hint != "sk-ab****cd" {
		t.Errorf("hints %q and %q, want no whole key", a.Hint, b.Hint)
	}
	if b.CreatedAt.After(s.At()) || !b.LastUsed.IsZero() {
		t.Errorf("of the future: %+v", b)
	}
}

func TestIntercepts(t *testing.T) {
	s, err := database(t,
		`CREATE TABLE token_bindings (token_hash text, bound_ip inet)`,
		`CREATE TABLE intercept_logs (id bigserial, token_hash varchar(64), token_display text, bound_ip cidr, attempt_ip inet, alerted boolean, intercepted_at timestamptz)`,
		`INSERT INTO intercept_logs (token_hash, attempt_ip, intercepted_at) VALUES
('`+hash(2)+`', '198.51.100.2', '2026-01-02T00:00:00Z'), ('`+hash(1)+`', '198.51.100.1', '2026-01-01T00:00:00Z'),
('`+hash(3)+`', '198.51.100.0/24', '2026-01-03T00:00:00Z'), ('x', '198.51.100.2', '2026-01-04T00:00:00Z')`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = s.Intercepts(t.Context(), func(n int, i store.Intercept, fault error) error {
		got = append(got, fmt.Sprintf("%d %s %s %s %v", n, i.ClientIP, i.At.Format(time.DateOnly), i.RequestID, fault != nil))
		return nil
	})
	want := "1 198.51.100.1 2026-01-01 legacy-1 false\n2 198.51.100.2 2026-01-02 legacy-2 false\n3 invalid IP 0001-01-01  true\n4 invalid IP 0001-01-01  true"
	if text := strings.Join(got, "\n"); err != nil || text != want {
		t.Errorf("got %s, %v\nwant %s", text, err, want)
	}
	errStop := errors.New("stop")
	if err := s.Intercepts(t.Context(), func(int, store.Intercept, error) error { return errStop }); !errors.Is(err, errStop) {
		t.Errorf("got %v", err)
	}
}

func TestNoTables(t *testing.T) {
	for name, sql := range map[string]string{
		"nothing":        `SELECT 1`,
		"another table":  `CREATE TABLE bindings (token_hash text, bound_ip inet)`,
		"another schema": `CREATE SCHEMA old; CREATE TABLE old.token_bindings (token_hash text, bound_ip inet)`,
		"no hash":        `CREATE TABLE token_bindings (token text, bound_ip inet)`,
		"no address":     `CREATE TABLE token_bindings (token_hash text)`,
	} {
		if _, err := database(t, sql); !errors.Is(err, legacy.ErrNoTable) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := legacy.Open(t.Context(), "mysql://u:secret@127.0.0.1/x", "public"); !errors.Is(err, store.ErrInvalid) || strings.Contains(err.Error(), "secret") {
		t.Errorf("another database: %v", err)
	}
	if _, err := legacy.Open(t.Context(), "postgresql://u:secret@127.0.0.1:1/x", "public"); !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v", err)
	}
}
