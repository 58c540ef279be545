package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// outputCommand returns a command that writes to a buffer in a form.
func outputCommand(t *testing.T, form string) (*cobra.Command, *bytes.Buffer) {
	t.Helper()
	cmd := &cobra.Command{Use: "list"}
	addClientFlags(cmd)
	var b bytes.Buffer
	cmd.SetOut(&b)
	must(t, cmd.ParseFlags([]string{"--" + outputFlag, form}))
	return cmd, &b
}

type fruit struct{ Name, Color string }

func fruitColumns() []column[fruit] {
	return []column[fruit]{
		{title: "NAME", name: "name", text: func(f fruit) string { return f.Name }},
		{title: "SHOWN", shown: func(f fruit) string { return "shown " + f.Color }},
		{name: "color", text: func(f fruit) string { return f.Color }, hidden: true},
	}
}

func TestListWriter(t *testing.T) {
	rows := []fruit{{"apple", "=1+1"}, {"pear\x1b[2J", "green,\"x\""}}
	for form, want := range map[string]string{
		outputTable: "NAME         SHOWN\napple        shown =1+1\npear\\x1b[2J  shown green,\"x\"\n",
		outputCSV:   "name,color\napple,'=1+1\npear\\x1b[2J,\"green,\"\"x\"\"\"\n",
		outputJSON:  `{"name":"apple","more":[1,2]}` + "\n" + `{"name":"pear\u001b[2J"}` + "\n",
	} {
		cmd, b := outputCommand(t, form)
		l, err := newListWriter(cmd, fruitColumns())
		must(t, err)
		for i, raw := range []string{"{\"name\":\"apple\",\n \"more\":[1, 2]}", `{"name":"pear\u001b[2J"}`} {
			must(t, l.add(rows[i], json.RawMessage(raw)))
		}
		must(t, l.flush())
		if b.String() != want {
			t.Errorf("%s: got %q\nwant %q", form, b, want)
		}
	}
	cmd, _ := outputCommand(t, "xml")
	if _, err := newListWriter(cmd, fruitColumns()); exitCodeOf(err) != exitUsage || !strings.Contains(err.Error(), "table, json or csv") {
		t.Errorf("an unknown form: got %v", err)
	}
}

func TestCSVCell(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "plain": "plain", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "＝1": "'＝1", "'=1": "''=1", "'plain": "'plain",
		"a=1": "a=1", "\t=1": `\t=1`, "a\nb": `a\nb`, "\x1b[2J": `\x1b[2J`,
	} {
		if got := csvCell(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

// FuzzCSVCell holds that no cell begins a formula, nor has anything for a
// terminal, and that a reader gets what was written.
func FuzzCSVCell(f *testing.F) {
	for _, s := range []string{"=cmd()", "'+1", "密钥", "a\r\nb", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cell := csvCell(s)
		if first, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune(formulaStart, first) {
			t.Errorf("%q: %q begins a formula", s, cell)
		}
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		must(t, w.Write([]string{cell, "x"}))
		w.Flush()
		if row, err := csv.NewReader(&b).Read(); err != nil || row[0] != cell {
			t.Errorf("%q: read back %q, %v", cell, row, err)
		}
	})
}

func FuzzPrintableJSON(f *testing.F) {
	for _, s := range []string{"plain", "密钥\u202e", "\u009b2J", "\U000e0001", "\x7f", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw, err := json.Marshal(map[string]string{"k": s})
		must(t, err)
		safe := printableJSON(raw)
		for _, r := range string(safe) {
			if !strconv.IsPrint(r) {
				t.Errorf("%q: %q has %U", s, safe, r)
			}
		}
		var before, after any
		must(t, json.Unmarshal(raw, &before))
		if err := json.Unmarshal(safe, &after); err != nil || before.(map[string]any)["k"] != after.(map[string]any)["k"] {
			t.Errorf("%q became %q: %v", raw, safe, err)
		}
	})
}

func TestSafeWriter(t *testing.T) {
	const text = "密钥,\x1b[31mred\x1b[0m\u009b\na\rb\tc\u202e\xff\n"
	const want = "密钥,?[31mred?[0m?\na?b\tc??\n"
	for size := 1; size <= len(text); size++ { // however the text is cut
		var b bytes.Buffer
		w := &safeWriter{w: &b}
		for rest := []byte(text); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			n, err := w.Write(rest[:min(size, len(rest))])
			if err != nil || n != min(size, len(rest)) {
				t.Fatalf("got %d, %v", n, err)
			}
		}
		if got := b.String(); got != want {
			t.Errorf("by %d: got %q, want %q", size, got, want)
		}
	}
}

func TestRowCounter(t *testing.T) {
	for _, test := range []struct {
		csv  bool
		text string
		want int
	}{
		{true, "a,b\n1,\"two\nlines \"\"quoted\"\"\n\"\n2,x\n", 2},
		{false, "{\"a\":\"x\"}\n{\"a\":\"\\\"\"}\n", 2},
	} {
		for size := 1; size <= len(test.text); size++ {
			got := 0
			c := &rowCounter{csv: test.csv, tell: func(n int) { got = n }}
			for rest := test.text; rest != ""; rest = rest[min(size, len(rest)):] {
				_, err := io.WriteString(c, rest[:min(size, len(rest))])
				must(t, err)
			}
			if got != test.want {
				t.Errorf("%q by %d: got %d, want %d", test.text, size, got, test.want)
			}
		}
	}
}

func TestProgress(t *testing.T) {
	now := time.Unix(0, 0)
	var b strings.Builder
	p := &progress{out: &b, width: 20, now: func() time.Time { return now }}
	p.shown = now.Add(-time.Hour)
	p.show("%d rows", 1)
	p.show("%d rows", 2) // too soon
	now = now.Add(progressEvery)
	p.show("%s", strings.Repeat("long", 10))
	p.end()
	p.end()
	want := clearLine + "1 rows" + clearLine + "longlonglonglonglo…" + clearLine
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	silent := &progress{now: time.Now}
	silent.show("x")
	silent.say("x")
	silent.end()
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.csv")
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	must(t, writeFile(path, false, text("one")))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want it for its owner only", info.Mode(), err)
	}
	if err := writeFile(path, false, text("two")); exitCodeOf(err) != exitFailure || !strings.Contains(err.Error(), "--force") {
		t.Errorf("a file that is there: got %v", err)
	}
	broken := errors.New("broken")
	err = writeFile(path, true, func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of the work", err)
	}
	if raw, err := os.ReadFile(path); string(raw) != "one" || err != nil {
		t.Errorf("after refusals: got %q, %v, want it as it was", raw, err)
	}
	must(t, writeFile(path, true, text("two")))
	if raw, err := os.ReadFile(path); string(raw) != "two" || err != nil {
		t.Errorf("with force: got %q, %v", raw, err)
	}
	if err := writeFile(filepath.Dir(path), true, text("x")); exitCodeOf(err) != exitUsage {
		t.Errorf("a directory: got %v", err)
	}
	if err := writeFile(filepath.Join(path, "x"), true, text("x")); err == nil {
		t.Error("below a file: got no error")
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); len(entries) != 1 || err != nil {
		t.Errorf("got %v, %v, want nothing left over", entries, err)
	}
}

func TestReaderThatHasSeenEnough(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	must(t, r.Close())
	_, err = (&pipeWriter{w}).Write([]byte("x"))
	if !errors.Is(err, errReaderGone) || exitCodeOf(err) != exitOK {
		t.Errorf("got %v, want no error of the command", err)
	}
	must(t, w.Close())
	_, err = (&pipeWriter{w}).Write([]byte("x"))
	if !errors.Is(err, fs.ErrClosed) || exitCodeOf(err) != exitFailure {
		t.Errorf("another error: got %v", err)
	}
	if exitCodeOf(syscall.EPIPE) != exitFailure {
		t.Error("a connection that breaks is an error")
	}
}
