package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo terminal: a person sits before it.
type terminal struct {
	t      *testing.T
	person *os.File // what is typed and seen
	tty    *os.File // what the program has
	screen *logBuffer
	gone   chan struct{}
}

func newTerminal(t *testing.T, columns int) *terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	must(t, unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: uint16(columns)}))
	term := &terminal{t: t, person: person, tty: tty, screen: newLogBuffer(), gone: make(chan struct{})}
	go func() {
		_, _ = io.Copy(term.screen, person) // ends with an error once both sides are closed
		close(term.gone)
	}()
	t.Cleanup(func() {
		_ = tty.Close()
		_ = person.Close()
	})
	return term
}

// see waits for a line, whole or not, that has a text.
func (term *terminal) see(text string) {
	term.t.Helper()
	for {
		shown, changed := term.screen.read()
		if strings.Contains(shown, text) {
			return
		}
		select {
		case <-changed:
		case <-term.t.Context().Done():
			term.t.Fatalf("%q was not shown: %q", text, shown)
		}
	}
}

func (term *terminal) enter(line string) {
	term.t.Helper()
	_, err := io.WriteString(term.person, line+"\n")
	must(term.t, err)
}

// run runs a command on the terminal, in the background.
func (term *terminal) run(args ...string) <-chan int {
	code := make(chan int, 1)
	go func() { code <- run(term.t.Context(), args, term.tty, term.tty, term.tty) }()
	return code
}

// ends runs a command and returns its exit code and what stands on the screen.
func (term *terminal) ends(args ...string) (int, string) {
	term.t.Helper()
	code := <-term.run(args...)
	must(term.t, term.tty.Close())
	<-term.gone
	return code, term.screen.String()
}

// bulkServer counts n bindings, and keeps what it was asked to do.
func bulkServer(n int, asked *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		*asked = append(*asked, string(raw))
		_, _ = fmt.Fprintf(w, `{"matched":%d,"changed":%d}`, n, n)
	}
}

func TestManyAreConfirmedOnTheTerminal(t *testing.T) {
	for _, test := range []struct {
		answer string
		code   int
	}{{"y", exitOK}, {"YES", exitOK}, {"n", exitFailure}, {"", exitFailure}, {"yo", exitFailure}} {
		t.Run("answer "+test.answer, func(t *testing.T) {
			var asked []string
			serveAPI(t, bulkServer(1234, &asked))
			term := newTerminal(t, 80)
			code := term.run("bindings", "ban", "--label", "x")
			term.see("Ban 1,234 bindings? [y/N] ")
			term.enter(test.answer)
			if got := <-code; got != test.code {
				t.Errorf("got %d, want %d: %s", got, test.code, term.screen)
			}
			want := []string{`{"filter":{"label":"x"},"act":"ban","dryRun":true}`}
			if test.code == exitOK {
				want = append(want, `{"filter":{"label":"x"},"act":"ban","expect":1234}`)
			}
			if strings.Join(asked, "\n") != strings.Join(want, "\n") {
				t.Errorf("the server was asked %q, want %q", asked, want)
			}
		})
	}
}

func TestNoneAreNotAskedAbout(t *testing.T) {
	var asked []string
	serveAPI(t, bulkServer(0, &asked))
	code, screen := newTerminal(t, 80).ends("bindings", "unbind", "--label", "x")
	if code != exitOK || strings.Contains(screen, "?") || !strings.Contains(screen, "0 bindings unbound") {
		t.Errorf("got %d, %q", code, screen)
	}
}

// TestTableHasTheWidthOfTheTerminal lists what is too wide for it.
func TestTableHasTheWidthOfTheTerminal(t *testing.T) {
	row := fmt.Sprintf(`{"hash":%q,"hint":"sk-ab…9fQ2","label":"研发部门的密钥研发部门的密钥","status":"active","rule":{"kind":"all"}}`, strings.Repeat("a", 64))
	serveAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"items":[%s],"next":"more","total":5}`, row)
	})
	code, screen := newTerminal(t, 80).ends("bindings", "list", "--limit", "1")
	if code != exitOK || !strings.Contains(screen, "研发") || strings.Contains(screen, "aaaa") || !strings.Contains(screen, "1 of 5 shown; --all shows all") {
		t.Errorf("got %d, %s", code, screen)
	}
	for line := range strings.Lines(screen) {
		if got := cells.StringWidth(strings.TrimRight(line, "\r\n")); got > 80 {
			t.Errorf("line of %d columns: %s", got, line)
		}
	}
	if _, screen := newTerminal(t, 200).ends("bindings", "list", "--limit", "1"); !strings.Contains(screen, "aaaa") {
		t.Errorf("a wide terminal has room for the hash: %s", screen)
	}
}

// TestExportToTheTerminal is of what would steer it.
func TestExportToTheTerminal(t *testing.T) {
	serveAPI(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "label\n\x1b[2Jx\n") })
	code, screen := newTerminal(t, 80).ends("bindings", "export")
	if code != exitOK || strings.Contains(screen, "\x1b[2J") || !strings.Contains(screen, "?[2Jx") {
		t.Errorf("got %d, %q", code, screen)
	}
}

func TestProgressOnTheTerminal(t *testing.T) {
	serveAPI(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "label\nx\ny\n") })
	path := t.TempDir() + "/out.csv"
	code, screen := newTerminal(t, 80).ends("bindings", "export", path)
	if code != exitOK || !strings.Contains(screen, "2 rows") || !strings.HasSuffix(screen, clearLine+path+" written\r\n") {
		t.Errorf("got %d, %q, want progress that is gone at the end", code, screen)
	}
}

// TestKeyOnTheTerminalIsNotShown types it.
func TestKeyOnTheTerminalIsNotShown(t *testing.T) {
	key := testKey(3)
	var body string
	serveAPI(t, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		body = string(raw)
		_, _ = io.WriteString(w, `{"items":[],"key":{"hash":"abc"}}`)
	})
	term := newTerminal(t, 80)
	code := term.run("bindings", "show", "-")
	term.see("Key: ")
	term.enter(key + "\r")
	got := <-code
	term.see("not bound")
	if got != exitNotFound || body != fmt.Sprintf(`{"key":%q}`, key) || strings.Contains(term.screen.String(), key) {
		t.Errorf("got %d, the server %s, and on the screen %s", got, body, term.screen)
	}
}

// TestNoKeyOnTheTerminal ends the question with Ctrl-C.
func TestNoKeyOnTheTerminal(t *testing.T) {
	serveAPI(t, list())
	term := newTerminal(t, 80)
	code := term.run("bindings", "show", "-")
	term.see("Key: ")
	_, err := io.WriteString(term.person, "\x03")
	must(t, err)
	if got := <-code; got != exitUsage {
		t.Errorf("got %d, %s", got, term.screen)
	}
	term.see("has no key")
}
