package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const (
	patience   = 15 * time.Second // for one step
	askChat    = `{"model":"demo-chat","messages":[{"role":"user","content":"Hello!"}]}`
	askStream  = `{"model":"demo-chat","stream":true,"messages":[{"role":"user","content":"Hello!"}]}`
	askMessage = `{"model":"demo-chat","max_tokens":64,"messages":[{"role":"user","content":"Hello!"}]}`

	codeNotAllowed = "ip_not_allowed"
)

// step is one request of the script and what must come of it.
type step struct {
	who     person
	method  string
	path    string
	shown   string // path as printed; empty: as it is
	key     string // whose it is, as printed
	header  map[string]string
	body    string
	send    func(ctx context.Context, d *demo, s step) (answer, error)
	status  int
	code    string // of Sentinel's error
	meaning string
	show    bool // print the body
}

// answer is what came of it.
type answer struct {
	status int
	body   string
	note   string
}

// script is the story: Bob has got hold of Alice's key.
func (d *demo) script() []step {
	alice, bob := d.people.alice, d.people.bob
	bearer := func(key string) map[string]string { return map[string]string{"Authorization": "Bearer " + key} }
	return []step{
		{who: alice, method: "GET", path: "/v1/models", key: "Alice's", header: bearer(aliceKey), send: plain,
			status: 200, meaning: "first use: the key is now bound to " + alice.ip},
		{who: alice, method: "POST", path: "/v1/chat/completions", key: "Alice's", header: bearer(aliceKey), body: askChat, send: plain,
			status: 200, meaning: "the same address: passes"},
		{who: alice, method: "POST", path: "/v1/chat/completions", shown: "/v1/chat/completions (stream)", key: "Alice's", header: bearer(aliceKey), body: askStream, send: streamed,
			status: 200, meaning: "passed on event by event"},
		{who: alice, method: "GET", path: "/v1/realtime?model=demo-realtime", shown: "/v1/realtime (WebSocket)", key: "Alice's", header: bearer(aliceKey), send: realtime,
			status: 101, meaning: "open both ways"},
		{who: bob, method: "POST", path: "/v1/chat/completions", key: "Alice's", header: bearer(aliceKey), body: askChat, send: plain,
			status: 403, code: codeNotAllowed, meaning: "Bob has copied the key: intercepted", show: true},
		{who: bob, method: "POST", path: "/v1/chat/completions", key: "Bob's", header: bearer(bobKey), body: askChat, send: plain,
			status: 200, meaning: "his own key: bound to " + bob.ip},
		{who: bob, method: "POST", path: "/v1/messages", key: "Bob's, Alice's beside it", body: askMessage, send: plain,
			header: map[string]string{"Authorization": "Bearer " + bobKey, "x-api-key": aliceKey},
			status: 403, code: codeNotAllowed, meaning: "a decoy does not help"},
		{who: bob, method: "GET", path: "/v1beta/models?key=" + strings.TrimPrefix(aliceKey, "sk-") + "-1", shown: "/v1beta/models?key=…", key: "Alice's, spelled anew", send: plain,
			status: 403, code: codeNotAllowed, meaning: "nor does another spelling"},
		{who: bob, method: "GET", path: "/v1/realtime?model=demo-realtime", shown: "/v1/realtime (WebSocket)", key: "Alice's", header: bearer(aliceKey), send: realtime,
			status: 403, code: codeNotAllowed, meaning: "refused before the upgrade"},
		{who: bob, method: "GET", path: "/v1/models", key: "invented", header: bearer(inventedKey), send: plain,
			status: 401, meaning: "the gateway's own answer; nothing is bound"},
	}
}

// play runs the script, then compares it with what the gateway saw. It returns
// an error that counts what was not as expected.
func (d *demo) play(ctx context.Context) error {
	steps := d.script()
	table := d.newTable(steps)
	failures, uses := 0, map[string]int{}
	for _, s := range steps {
		if s.status < 300 {
			uses[s.key]++
		}
		if !d.take(ctx, table, s) {
			failures++
		}
		switch {
		case d.writeError != nil:
			return nil // Run returns it
		case ctx.Err() != nil:
			return fmt.Errorf("demo was interrupted: %w", context.Cause(ctx))
		}
	}
	if !d.compareUses(uses) {
		failures++
	}
	if failures > 0 {
		return fmt.Errorf("demo: %d of %d checks did not go as expected", failures, len(steps)+1)
	}
	return nil
}

// take runs one step and prints it. It reports whether all went as expected.
func (d *demo) take(ctx context.Context, table table, s step) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	got, err := s.send(ctx, d, s)
	if err != nil {
		table.row(s, 0, "UNEXPECTED: "+err.Error())
		return false
	}
	if got.status != s.status || s.code != "" && errorCode(got.body) != s.code {
		table.row(s, got.status, fmt.Sprintf("UNEXPECTED: want %d %s", s.status, s.code))
		table.body(got.body)
		return false
	}
	table.row(s, got.status, strings.TrimSpace(s.meaning+" "+got.note))
	if s.show {
		table.body(got.body)
	}
	return true
}

// compareUses prints how often keys have reached the gateway.
func (d *demo) compareUses(want map[string]int) bool {
	seen := d.gateway.State().Keys
	alice, bob := seen[strings.TrimPrefix(aliceKey, "sk-")], seen[strings.TrimPrefix(bobKey, "sk-")]
	d.printf("\nThe gateway has seen Alice's key %d times, never from %s, and Bob's %d.\n",
		alice, d.people.bob.ip, bob)
	if alice == want["Alice's"] && bob == want["Bob's"] {
		return true
	}
	d.printf("UNEXPECTED: want %d and %d\n", want["Alice's"], want["Bob's"])
	return false
}

func (s step) request(ctx context.Context, d *demo) (*http.Request, error) {
	r, err := s.who.request(ctx, s.method, d.url+s.path, s.body)
	if err != nil {
		return nil, err
	}
	for name, value := range s.header {
		r.Header.Set(name, value)
	}
	return r, nil
}

// plain sends the request and takes the whole answer.
func plain(ctx context.Context, d *demo, s step) (answer, error) {
	r, err := s.request(ctx, d)
	if err != nil {
		return answer{}, err
	}
	res, err := s.who.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return answer{status: res.StatusCode, body: string(body)}, err
}

// streamed takes the answer event by event, up to the last one.
func streamed(ctx context.Context, d *demo, s step) (answer, error) {
	r, err := s.request(ctx, d)
	if err != nil {
		return answer{}, err
	}
	res, err := s.who.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	events, last := 0, ""
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if data, isData := strings.CutPrefix(lines.Text(), "data: "); isData {
			events, last = events+1, data
		}
	}
	if err := lines.Err(); err != nil {
		return answer{}, err
	}
	if res.StatusCode == http.StatusOK && last != "[DONE]" {
		return answer{}, errors.New("the stream broke off")
	}
	return answer{status: res.StatusCode, body: last, note: fmt.Sprintf("(%d events)", events)}, nil
}

// realtime opens a WebSocket, takes the greeting, and has one message sent back.
func realtime(ctx context.Context, d *demo, s step) (answer, error) {
	r, err := s.request(ctx, d)
	if err != nil {
		return answer{}, err
	}
	conn, res, err := websocket.Dial(ctx, r.URL.String(), &websocket.DialOptions{HTTPClient: s.who.client, HTTPHeader: r.Header})
	if err != nil {
		if res == nil {
			return answer{}, err
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body) // Dial keeps the beginning of it
		return answer{status: res.StatusCode, body: string(body)}, err
	}
	defer func() { _ = conn.CloseNow() }()
	if err := receive(ctx, conn, "session.created"); err != nil {
		return answer{}, err
	}
	const message = `{"type":"input_audio_buffer.clear"}`
	if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		return answer{}, err
	}
	if err := receive(ctx, conn, message); err != nil {
		return answer{}, err
	}
	return answer{status: res.StatusCode}, conn.Close(websocket.StatusNormalClosure, "")
}

// receive takes one message, which has to contain the text.
func receive(ctx context.Context, conn *websocket.Conn, text string) error {
	_, message, err := conn.Read(ctx)
	if err != nil {
		return fmt.Errorf("receive %s: %w", text, err)
	}
	if !strings.Contains(string(message), text) {
		return fmt.Errorf("want %s, got %q", text, message)
	}
	return nil
}

// errorCode returns the code of an error in the OpenAI shape.
func errorCode(body string) string {
	var parsed struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(body), &parsed) != nil {
		return ""
	}
	return parsed.Error.Code
}
