package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/engine/seal"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// outbox is a sender that keeps what it is to send.
type outbox struct {
	mu     sync.Mutex
	sent   []sent
	answer func(t send.Target, m send.Message) error // nil: all is taken
	closed bool
}

type sent struct {
	at     time.Time
	target send.Target
	m      send.Message
	err    error
}

func (o *outbox) Send(ctx context.Context, t send.Target, m send.Message) (send.Answer, error) {
	o.mu.Lock()
	answer := o.answer
	o.mu.Unlock()
	var err error
	if answer != nil {
		err = answer(t, m)
	}
	if ctx.Err() != nil {
		return send.Answer{}, ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(o.sent, sent{time.Now(), t, m, err})
	if err != nil {
		return send.Answer{Status: 503, Text: "no"}, err
	}
	return send.Answer{Status: 200, Text: "ok"}, nil
}

func (o *outbox) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

func (o *outbox) fail(answer func(t send.Target, m send.Message) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = answer
}

func (o *outbox) all() []sent {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.sent)
}

func (o *outbox) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = nil
}

// said is what was taken, in short: "opened key_refused 5" is the event, the
// kind and the count of an alert.
func (o *outbox) said(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, s := range o.all() {
		if s.err == nil {
			b := body(t, s.m)
			out = append(out, fmt.Sprintf("%s %s %d", b.Event, b.Alert.Kind, b.Alert.Count))
		}
	}
	return out
}

func body(t testing.TB, m send.Message) Body {
	t.Helper()
	var b Body
	if err := json.Unmarshal(m.Body, &b); err != nil {
		t.Fatalf("%v in %s", err, m.Body)
	}
	return b
}

var errReceiver = errors.New("no such receiver")

const testURL = "https://hooks.example.com/token-for-tests-only"

func testKey(fill byte) []byte { return bytes.Repeat([]byte{fill}, seal.KeyBytes) }

// testSettings send to the channel of the settings.
func testSettings() Settings {
	s := DefaultSettings()
	s.WebhookURL = testURL
	return s
}

func options(documents store.Documents, o *outbox) Options {
	return Options{
		Documents: documents, Logger: slog.New(slog.DiscardHandler), Node: "node-1", Key: testKey(1),
		Settings: testSettings(), sender: o,
	}
}

func open(t testing.TB, opts Options) *Center {
	t.Helper()
	c, err := New(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func closeCenter(t testing.TB, c *Center) {
	t.Helper()
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// inBubble runs a test with a center on a store in memory, on a clock of its own.
// synctest fails it if a goroutine is left.
func inBubble(t *testing.T, test func(t *testing.T, c *Center, o *outbox)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		c := open(t, options(memory.New(), o))
		test(t, c, o)
		closeCenter(t, c)
		if !o.closed {
			t.Error("the sender is not closed")
		}
	})
}

// pass lets time pass, and all be done that is due by then.
func pass(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func hashOf(n int) store.KeyHash {
	var h store.KeyHash
	copy(h[:], fmt.Sprintf("%032d", n))
	return h
}

func intercept(n int) store.Intercept {
	now := store.StoredTime(time.Now())
	return store.Intercept{
		At: now, Last: now, Count: 1, Reason: store.ReasonIPNotAllowed, Hash: hashOf(n), Hint: fmt.Sprintf("sk-te…%04d", n),
		ClientIP: netip.MustParseAddr("203.0.113.9"), Method: "POST", Path: "/v1/chat/completions",
	}
}

// refuse makes an alert of a key.
func refuse(c *Center, n int) { c.Intercept(intercept(n), 5) }

func wantSaid(t testing.TB, o *outbox, want ...string) {
	t.Helper()
	if got := o.said(t); !slices.Equal(got, want) {
		t.Errorf("said\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func ptr[T any](v T) *T { return &v }

// chat adds a channel of a type.
func chat(t testing.TB, c *Center, id string, typ send.Type, kinds ...Kind) Channel {
	t.Helper()
	ch, err := c.CreateChannel(context.Background(), id, ChannelInput{
		Type: typ, Enabled: true, Kinds: kinds, URL: ptr("https://chat.example.com/" + id),
	})
	if err != nil {
		t.Fatal(err)
	}
	return ch
}
