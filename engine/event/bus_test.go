package event_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/event"
)

func clock() time.Time { return time.UnixMilli(1_700_000_000_123) }

// next returns what waits for a subscriber, in short: "1 a" is the event 1 with
// the data a, "3 lagged 2" says that two were missed.
func next(events <-chan event.Event) string {
	var texts []string
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return strings.Join(append(texts, "closed"), ", ")
			}
			text := fmt.Sprintf("%d %v", e.ID, e.Data)
			if lagged, ok := e.Data.(event.Lagged); ok {
				text = fmt.Sprintf("%d %s %d", e.ID, e.Type, lagged.Missed)
			}
			texts = append(texts, text)
		default:
			return strings.Join(texts, ", ")
		}
	}
}

func want(t *testing.T, events <-chan event.Event, text string) {
	t.Helper()
	if got := next(events); got != text {
		t.Errorf("got %q, want %q", got, text)
	}
}

func TestEventsGoToAllSubscribers(t *testing.T) {
	b := event.NewBus(clock)
	b.Publish(event.TypeSetting, "before")
	one, cancelOne := b.Subscribe(8)
	two, cancelTwo := b.Subscribe(8)
	defer cancelTwo()
	b.Publish(event.TypeSetting, "a")
	b.Publish(event.TypeSetting, "b")
	want(t, one, "2 a, 3 b")
	cancelOne()
	b.Publish(event.TypeSetting, "c")
	want(t, one, "closed")
	want(t, two, "2 a, 3 b, 4 c")
}

func TestAnEventSaysWhatAndWhen(t *testing.T) {
	b := event.NewBus(func() time.Time { return clock().Add(456 * time.Microsecond) })
	events, cancel := b.Subscribe(1)
	defer cancel()
	b.Publish(event.TypeSetting, "a")
	got := <-events
	if got != (event.Event{ID: 1, At: clock().UTC(), Type: event.TypeSetting, Data: "a"}) {
		t.Errorf("got %+v", got)
	}
}

func TestASlowSubscriberLearnsWhatItMissed(t *testing.T) {
	b := event.NewBus(clock)
	slow, cancel := b.Subscribe(2)
	defer cancel()
	quick, cancelQuick := b.Subscribe(20)
	defer cancelQuick()
	for n := range 5 {
		b.Publish(event.TypeSetting, n)
	}
	want(t, slow, "1 0, 2 1")
	b.Publish(event.TypeSetting, "a")
	want(t, slow, "5 lagged 3, 6 a")
	b.Publish(event.TypeSetting, "b")
	want(t, slow, "7 b")
	want(t, quick, "1 0, 2 1, 3 2, 4 3, 5 4, 6 a, 7 b")
}

// With room for the lagged event only, the one after it is missed in turn.
func TestLaggedTakesTheLastRoom(t *testing.T) {
	b := event.NewBus(clock)
	events, cancel := b.Subscribe(2)
	defer cancel()
	for n := range 3 {
		b.Publish(event.TypeSetting, n)
	}
	<-events
	b.Publish(event.TypeSetting, "a")
	want(t, events, "2 1, 3 lagged 1")
	b.Publish(event.TypeSetting, "b")
	want(t, events, "4 lagged 1, 5 b")
}

func TestSkippedEventsAreTold(t *testing.T) {
	b := event.NewBus(clock)
	b.Skip(7)
	events, cancel := b.Subscribe(4)
	defer cancel()
	b.Skip(0)
	b.Skip(3)
	b.Publish(event.TypeSetting, "a")
	want(t, events, "10 lagged 3, 11 a")
}

func TestCloseEndsSubscriptions(t *testing.T) {
	b := event.NewBus(clock)
	events, cancel := b.Subscribe(2)
	b.Publish(event.TypeSetting, "a")
	b.Close()
	b.Close()
	b.Publish(event.TypeSetting, "b")
	b.Skip(1)
	want(t, events, "1 a, closed")
	cancel()
	cancel()
	late, cancelLate := b.Subscribe(2)
	want(t, late, "closed")
	cancelLate()
}

// TestPublishNeverBlocks: nobody reads, and every event is either there or
// counted as missed. Under synctest, what blocks for ever fails.
func TestPublishNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const publishers, each = 8, 500
		b := event.NewBus(time.Now)
		events, cancel := b.Subscribe(16)
		var wg sync.WaitGroup
		for range publishers {
			wg.Go(func() {
				for n := range each {
					b.Publish(event.TypeSetting, n)
					if n%100 == 0 {
						_, cancelOther := b.Subscribe(1)
						cancelOther()
					}
				}
			})
		}
		wg.Wait()
		got := uint64(len(events))
		for range got {
			<-events
		}
		b.Publish(event.TypeSetting, "last")
		lagged, ok := (<-events).Data.(event.Lagged)
		if last := <-events; !ok || got+lagged.Missed != publishers*each || last.ID != publishers*each+1 {
			t.Errorf("%d events, %d missed, last %+v; want %d in all", got, lagged.Missed, last, publishers*each)
		}
		cancel()
	})
}
