package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

func (d *demo) printf(format string, args ...any) {
	if d.writeError != nil {
		return
	}
	if _, err := fmt.Fprintf(d.opts.Out, format, args...); err != nil {
		d.writeError = fmt.Errorf("show the demo: %w", err)
		d.giveUp(d.writeError)
	}
}

func (d *demo) println(text string) { d.printf("%s\n", text) }

func (d *demo) printHead(downstream *url.URL, dataDir string, taken error) {
	d.println("Key-IP Sentinel: a demo")
	d.println("")
	d.printf("  Sentinel  %s\n", d.url)
	d.printf("  gateway   %s  (built in, speaks the APIs of OpenAI, Anthropic and Gemini)\n", downstream)
	d.printf("  data      %s  (removed at the end)\n", dataDir)
	d.println("")
	if taken != nil {
		d.printf("%s cannot be used (%v), so another port is.\n", d.opts.Listen, taken)
	}
	if d.people.alice.header {
		d.printf("There is no second loopback address to connect from on this system, so %s names the\n", realIPHeader)
		d.println("addresses, and Sentinel trusts it from this machine, as it would from a proxy in front.")
	}
	d.printf("Alice is at %s, Bob at %s.\n\n", d.people.alice.ip, d.people.bob.ip)
}

// table prints steps in columns.
type table struct {
	d                     *demo
	from, request, keyCol int
}

func (d *demo) newTable(steps []step) table {
	t := table{d: d, from: len("from"), request: len("request"), keyCol: len("key")}
	for _, s := range steps {
		t.from = max(t.from, utf8.RuneCountInString(s.who.ip))
		t.request = max(t.request, utf8.RuneCountInString(s.title()))
		t.keyCol = max(t.keyCol, utf8.RuneCountInString(s.key))
	}
	t.line("from", "request", "key", "answer")
	return t
}

func (s step) title() string {
	if s.shown != "" {
		return s.method + " " + s.shown
	}
	return s.method + " " + s.path
}

func (t table) line(from, request, key, rest string) {
	t.d.printf("  %-*s  %-*s  %-*s  %s\n", t.from, from, t.request, request, t.keyCol, key, rest)
}

// row prints a step; status 0 means that there was no answer.
func (t table) row(s step, status int, rest string) {
	shown := "---"
	if status != 0 {
		shown = fmt.Sprint(status)
	}
	t.line(s.who.ip, s.title(), s.key, shown+"  "+rest)
}

// body prints JSON below the row, in lines of its own.
func (t table) body(text string) {
	var pretty bytes.Buffer
	if json.Indent(&pretty, []byte(strings.TrimSpace(text)), "", "  ") == nil {
		text = pretty.String()
	}
	indent := strings.Repeat(" ", 2+t.from+2)
	for line := range strings.Lines(text) {
		t.d.printf("%s%s\n", indent, strings.TrimRight(line, "\r\n"))
	}
}

// printTry prints command lines that work as they stand.
func (d *demo) printTry() {
	alice, bob := d.people.alice.curl(), d.people.bob.curl()
	key := func(key string) string { return " -H 'Authorization: Bearer " + key + "' " }
	const isJSON = " -H 'Content-Type: application/json' -d '"
	tries := []struct{ what, command string }{
		{"Alice's key from where it is bound, streaming: 200",
			alice + " -N" + key(aliceKey) + d.url + "/v1/chat/completions" + isJSON + askStream + "'"},
		{"The same key from elsewhere: 403",
			bob + key(aliceKey) + d.url + "/v1/models"},
		{"A key that has not been used yet: 200, and from then on bound",
			bob + key(carolKey) + d.url + "/v1/models"},
		{"After that, the same from Alice's address: 403",
			alice + key(carolKey) + d.url + "/v1/models"},
	}
	d.println("\nTo try in another terminal:")
	for _, try := range tries {
		d.printf("\n  # %s\n  %s\n", try.what, try.command)
	}
	d.println("\nCtrl-C ends the demo.")
}
