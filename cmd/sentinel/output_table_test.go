package main

import (
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

// drawn returns the lines of a table.
func drawn(t *testing.T, width int, columns []tableColumn, rows ...[]string) []string {
	t.Helper()
	var b strings.Builder
	table := newTableWriter(&b, width, columns)
	for _, row := range rows {
		must(t, table.add(row))
	}
	must(t, table.flush())
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func TestTable(t *testing.T) {
	columns := []tableColumn{{"NAME", fit{min: 6}}, {"N", fit{right: true}}, {"EXTRA", fit{drop: 1}}, {"MORE", fit{drop: 2}}}
	rows := [][]string{{"short", "7", "extra", "more"}, {"much longer name", "1234", "e", "m"}}
	tests := []struct {
		name  string
		width int
		want  string
	}{
		{"no terminal", 0, `
NAME                 N  EXTRA  MORE
short                7  extra  more
much longer name  1234  e      m`},
		{"all fits", 35, `
NAME                 N  EXTRA  MORE
short                7  extra  more
much longer name  1234  e      m`},
		{"names are cut", 30, `
NAME            N  EXTRA  MORE
short           7  extra  more
much longe…  1234  e      m`},
		{"the least column goes", 24, `
NAME            N  EXTRA
short           7  extra
much longe…  1234  e`},
		{"and the next", 13, `
NAME        N
short       7
much l…  1234`},
		{"narrower than can be", 5, `
NAME       N
short      7
much …  1234`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := "\n" + strings.Join(drawn(t, test.width, columns, rows...), "\n")
			if got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestTableInChinese counts a Chinese character as two columns, as terminals do.
func TestTableInChinese(t *testing.T) {
	lines := drawn(t, 0, []tableColumn{{title: "LABEL"}, {title: "NEXT"}}, []string{"研发部门", "x"}, []string{"abc", "x"}, []string{"e\u0301", "x"})
	for _, line := range lines[1:] {
		at := runewidth.StringWidth(line[:strings.LastIndex(line, "x")])
		if at != 10 {
			t.Errorf("%q: the next column begins at %d, want 10", line, at)
		}
	}
	cut := drawn(t, 16, []tableColumn{{"LABEL", fit{min: 5}}, {title: "NEXT"}}, []string{"研发部门的密钥", "last"})
	if want := "研发部门…   last"; cut[1] != want {
		t.Errorf("cut: got %q, want %q", cut[1], want)
	}
}

// TestTableFitsTerminals draws the real lists at usual widths.
func TestTableFitsTerminals(t *testing.T) {
	binding := []string{
		"sk-ab…9fQ2", "研发部 billing service of the second team", "active", "203.0.113.0/24 198.51.100.0/24 192.0.2.7/32 and 12 more",
		"2026-11-26 15:04:05", "203.0.113.200", "1234567", "2026-11-26 15:04:05", strings.Repeat("a", 64),
	}
	intercept := []string{
		"2026-11-26 15:04:05", "3", "ip_not_allowed (passed)", "network head-office-second-floor", "sk-ab…9fQ2", "2001:db8:1234:5678:9abc:def0:1234:5678", "POST /v1/chat/completions",
	}
	for _, width := range []int{80, 100, 120, 160, 200} {
		for name, lines := range map[string][]string{
			"bindings":   drawn(t, width, titlesOf(bindingColumns()), binding),
			"intercepts": drawn(t, width, titlesOf(interceptColumns()), intercept),
		} {
			for _, line := range lines {
				if got := runewidth.StringWidth(line); got > width {
					t.Errorf("%s at %d: line of %d columns: %s", name, width, got, line)
				}
			}
		}
	}
	wide := drawn(t, 220, titlesOf(bindingColumns()), binding)
	if !strings.Contains(wide[1], strings.Repeat("a", 64)) {
		t.Errorf("a wide terminal has room for the key hash: %s", wide[1])
	}
}

// TestTableGoesOn has more rows than decide how wide the columns are.
func TestTableGoesOn(t *testing.T) {
	var b strings.Builder
	table := newTableWriter(&b, 0, []tableColumn{{title: "A"}, {title: "B"}})
	for range tablePage {
		must(t, table.add([]string{"12345", "x"}))
	}
	if b.Len() == 0 || len(table.rows) != 0 {
		t.Error("a full page was kept back")
	}
	must(t, table.add([]string{"123456789", "x"}))
	must(t, table.flush())
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != tablePage+2 || lines[tablePage] != "12345  x" || lines[tablePage+1] != "123456789  x" {
		t.Errorf("got %d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestTableOfNothingHasItsHead(t *testing.T) {
	if got := drawn(t, 80, []tableColumn{{title: "A"}, {"B", fit{wide: 10}}, {title: "C"}}); len(got) != 1 || got[0] != "A  B           C" {
		t.Errorf("got %q", got)
	}
}

func TestTableDoesNotSteerTheTerminal(t *testing.T) {
	got := drawn(t, 0, []tableColumn{{title: "A"}}, []string{"a\x1b[2J\r\n\u202eb\u009b"})
	if want := `a\x1b[2J\r\n\u202eb\u009b`; got[1] != want {
		t.Errorf("got %q, want %q", got[1], want)
	}
}
