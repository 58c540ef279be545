package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

// TestInterceptsAreTold: one by one, and of a flood only so many a second.
func TestInterceptsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA)
		events, cancel := r.Events().Subscribe(1000)
		defer cancel()
		wantReason(t, "refused", r.use(elsewhere, keyA), engine.IPNotAllowed)
		wantReason(t, "refused", r.use(elsewhere, keyA), engine.IPNotAllowed)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(events) != 1 {
			t.Fatalf("%d events, want one for the record", len(events))
		}
		if rec, ok := (<-events).Data.(store.Intercept); !ok || rec.ID == 0 || rec.Count != 2 || rec.Hash != r.hash(keyA) {
			t.Errorf("got %+v", rec)
		}
		for n := range 300 {
			wantReason(t, "flood", r.use(fmt.Sprintf("203.0.113.%d:%d", n%250, 1+n), keyA), engine.IPNotAllowed)
		}
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		told, missed := 0, uint64(0)
		for len(events) > 0 {
			switch data := (<-events).Data.(type) {
			case store.Intercept:
				told++
			case event.Lagged:
				missed += data.Missed
			}
		}
		if told != 50 || missed != 200 {
			t.Errorf("told of %d, and of %d missed; want 50 and 200 of 250 records", told, missed)
		}
		r.close()
		if _, ok := <-events; ok {
			t.Error("the subscription goes on after the end")
		}
	})
}

func TestFirstUsesAreTold(t *testing.T) {
	r := newRig(t)
	events, cancel := r.Events().Subscribe(8)
	defer cancel()
	r.bound(keyA)
	b := r.stored(keyA)
	want := event.Binding{Action: event.Bound, Hash: b.Hash, Hint: b.Hint, ClientIP: b.FirstIP, Revision: b.Revision}
	if got := (<-events).Data; got != want {
		t.Errorf("told of %+v, want %+v", got, want)
	}
}

// TestHistoryOfAKey: refusals and addresses reach the store with the hits.
func TestHistoryOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA)
		r.setRule(keyA, store.Rule{Kind: store.RuleAll})
		for _, from := range []string{elsewhere, atHome, "[2001:db8::1]:1", elsewhere} {
			wantReason(t, from, r.use(from, keyA), "")
		}
		r.setRule(keyA, single("192.0.2.1/32"))
		wantReason(t, "refused", r.use(elsewhere, keyA), engine.IPNotAllowed)
		wantReason(t, "refused", r.use(elsewhere, keyA), engine.IPNotAllowed)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		u := r.usageOf(keyA)
		if len(u.Days) != 1 || u.Days[0].Allowed != 5 || u.Days[0].Refused != 2 || len(u.Addresses) != 3 ||
			len(u.Days[0].Networks) != 3 || u.Days[0].Networks[1].Allowed != 2 || u.Days[0].Elsewhere != 0 {
			t.Errorf("got %+v", u)
		}
		r.close()
	})
}
