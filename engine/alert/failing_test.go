package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/memory"
)

// TestAFailingStoreKeepsNoAlertBack: what fails is told of, and written later.
func TestAFailingStoreKeepsNoAlertBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents, o := memory.New(), &outbox{}
		c := open(t, options(documents, o))
		fault := errors.New("disk full")
		documents.Fail(fault)
		c.StoreHealth(fault)
		refuse(c, 1)
		pass(12 * time.Second)
		wantSaid(t, o, "opened key_refused 5", "opened store_failing 1")
		if s := c.Stats(); s.Unsaved != 4 {
			t.Errorf("stats %+v, want 2 alerts and 2 deliveries to be written", s)
		}
		documents.Fail(nil)
		c.StoreHealth(nil)
		pass(time.Minute)
		if s := c.Stats(); s.Unsaved != 0 {
			t.Errorf("stats %+v", s)
		}
		closeCenter(t, c)
		c = open(t, options(documents, o))
		pass(3 * window5)
		closeCenter(t, c)
		got := o.said(t)
		slices.Sort(got)
		if want := []string{"closed key_refused 5", "closed store_failing 1", "opened key_refused 5", "opened store_failing 1"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// hanging never answers while it hangs.
type hanging struct {
	store.Documents
	answers chan struct{} // receivable: it does
}

func (h *hanging) wait(ctx context.Context) error {
	select {
	case <-h.answers:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestAHangingStoreKeepsNoAlertBackForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents, o := &hanging{memory.New(), make(chan struct{}, 3)}, &outbox{}
		for range 3 { // New reads three kinds
			documents.answers <- struct{}{}
		}
		c := open(t, options(documents, o))
		for round := range 10 { // over the times when it tidies, too
			for i := range 100 {
				refuse(c, i+100*round)
			}
			pass(4 * writeTimeout)
			if got := len(o.said(t)); got < min(maxOpen, 100*(round+1)) {
				t.Errorf("%d are told in round %d", got, round)
			}
		}
		close(documents.answers)
		pass(time.Minute)
		if s := c.Stats(); s.Unsaved != 0 {
			t.Errorf("stats %+v", s)
		}
		closeCenter(t, c)
	})
}

// slowWriter does what it was asked for after the one who asked has gone, as a
// database may.
type slowWriter struct {
	store.Documents
	once sync.Once
}

func TestAWriteThatHappenedAllTheSameIsNoConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents, o := &slowWriter{Documents: memory.New()}, &outbox{}
		c := open(t, options(documents, o))
		refuse(c, 1)
		pass(time.Minute)
		if s := c.Stats(); s.Unsaved != 0 {
			t.Errorf("stats %+v", s)
		}
		wantSaid(t, o, "opened key_refused 5")
		closeCenter(t, c)
	})
}

func TestUnreadableDocumentsStopNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents, o := memory.New(), &outbox{}
		for _, kind := range []string{"alert", "delivery", "channel"} {
			if _, err := documents.PutDocument(t.Context(), store.Document{Kind: kind, ID: "x", Body: []byte(`[]`)}); err != nil {
				t.Fatal(err)
			}
		}
		c := open(t, options(documents, o))
		chat(t, c, "ops", send.Slack)
		refuse(c, 1)
		pass(time.Minute)
		if len(o.all()) != 2 {
			t.Errorf("%d messages", len(o.all()))
		}
		closeCenter(t, c)
	})
}

func TestNewRefusesWhatIsMissing(t *testing.T) {
	failing := memory.New()
	failing.Fail(errors.New("disk full"))
	for name, change := range map[string]func(*Options){
		"documents": func(o *Options) { o.Documents = nil },
		"logger":    func(o *Options) { o.Logger = nil },
		"key":       func(o *Options) { o.Key = testKey(1)[1:] },
		"settings":  func(o *Options) { o.Settings = Settings{} },
		"console":   func(o *Options) { o.ConsoleURL = "sentinel" },
		"store":     func(o *Options) { o.Documents = failing },
	} {
		opts := options(memory.New(), &outbox{})
		change(&opts)
		if c, err := New(t.Context(), opts); err == nil {
			t.Errorf("%s: no error", name)
			closeCenter(t, c)
		}
	}
}

// picky does not take documents of one kind while told so.
type picky struct {
	store.Documents
	mu   sync.Mutex
	kind string
}

func (p *picky) refuse(kind string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kind = kind
}

// TestWhatCouldBeMadeAgainIsNotDeleted: a delivery whose alert still says in the
// store that it is to be made.
func TestWhatCouldBeMadeAgainIsNotDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents, o := &picky{Documents: memory.New()}, &outbox{}
		c := open(t, options(documents, o))
		o.fail(func(send.Target, send.Message) error {
			documents.refuse("alert")
			return nil
		})
		chat(t, c, "ops", send.Webhook)
		refuse(c, 1)
		pass(time.Second)
		o.fail(nil)
		c.mu.Lock()
		for _, r := range c.alerts.rows {
			r.touchLocked()
		}
		c.mu.Unlock()
		if _, n, err := c.Purge(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		documents.refuse("")
		pass(time.Minute)
		if _, n, err := c.Purge(t.Context(), time.Now().Add(time.Hour)); n != 2 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		closeCenter(t, c)
	})
}

func (h *hanging) PutDocument(ctx context.Context, d store.Document) (store.Document, error) {
	if err := h.wait(ctx); err != nil {
		return store.Document{}, err
	}
	return h.Documents.PutDocument(ctx, d)
}

func (h *hanging) ListDocuments(ctx context.Context, kind string) ([]store.Document, error) {
	if err := h.wait(ctx); err != nil {
		return nil, err
	}
	return h.Documents.ListDocuments(ctx, kind)
}

func (h *hanging) Document(ctx context.Context, kind, id string) (store.Document, error) {
	if err := h.wait(ctx); err != nil {
		return store.Document{}, err
	}
	return h.Documents.Document(ctx, kind, id)
}

func (s *slowWriter) PutDocument(ctx context.Context, d store.Document) (store.Document, error) {
	late := false
	s.once.Do(func() { late = true })
	stored, err := s.Documents.PutDocument(ctx, d)
	if late {
		return store.Document{}, fmt.Errorf("%w: connection lost", store.ErrUnavailable)
	}
	return stored, err
}

func (p *picky) PutDocument(ctx context.Context, d store.Document) (store.Document, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.Kind == p.kind {
		return store.Document{}, store.ErrUnavailable
	}
	return p.Documents.PutDocument(ctx, d)
}
