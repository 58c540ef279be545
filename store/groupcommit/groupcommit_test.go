package groupcommit_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/groupcommit"
)

type queue = groupcommit.Queue[int]

func atMost(n int) func([]*groupcommit.Request[int]) int {
	return func(waiting []*groupcommit.Request[int]) int { return min(len(waiting), n) }
}

// held is a queue whose committer waits before each commit, and notes the batches.
type held struct {
	*queue
	begun, goOn chan struct{}
	batches     [][]int // only read once Ended
}

func start(t *testing.T, most int, answer func(r *groupcommit.Request[int])) *held {
	t.Helper()
	h := &held{queue: groupcommit.New[int](), begun: make(chan struct{}), goOn: make(chan struct{})}
	go h.Serve(atMost(most), func(batch []*groupcommit.Request[int]) {
		h.begun <- struct{}{}
		<-h.goOn
		var changes []int
		for _, r := range batch {
			changes = append(changes, r.Change)
			answer(r)
		}
		h.batches = append(h.batches, changes)
	})
	return h
}

// ask asks for changes one after the other, and waits until they are in the queue.
func (h *held) ask(wg *sync.WaitGroup, answered func(change int, err error), changes ...int) {
	for _, c := range changes {
		before := h.Len()
		wg.Go(func() { answered(c, h.Ask(context.Background(), c)) })
		for h.Len() == before {
			runtime.Gosched()
		}
	}
}

func TestWhatWaitsSharesACommit(t *testing.T) {
	errOdd, errAll := errors.New("odd"), errors.New("all")
	h := start(t, 3, func(r *groupcommit.Request[int]) {
		if r.Change%2 == 1 {
			r.Err = errOdd
		}
		r.Answer(errAll)
	})
	var wg sync.WaitGroup
	answered := func(change int, err error) {
		want := errAll
		if change%2 == 1 {
			want = errOdd
		}
		if !errors.Is(err, want) {
			t.Errorf("change %d: got %v, want %v", change, err, want)
		}
	}
	wg.Go(func() { answered(0, h.Ask(context.Background(), 0)) })
	<-h.begun
	h.ask(&wg, answered, 1, 2, 3, 4)
	if !h.Close() || h.Close() || !h.IsClosed() {
		t.Error("only the first Close closes it")
	}
	if err := h.Ask(t.Context(), 5); !errors.Is(err, store.ErrClosed) {
		t.Errorf("once closed: got %v, want ErrClosed", err)
	}
	h.goOn <- struct{}{}
	for range 2 {
		<-h.begun
		h.goOn <- struct{}{}
	}
	<-h.Ended()
	wg.Wait()
	if want := [][]int{{0}, {1, 2, 3}, {4}}; !slices.EqualFunc(h.batches, want, slices.Equal) {
		t.Errorf("got commits %v, want %v", h.batches, want)
	}
}

func TestWhoLeavesDoesNotWait(t *testing.T) {
	h := start(t, 3, func(r *groupcommit.Request[int]) { r.Answer(r.Ctx.Err()) })
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.Ask(context.Background(), 0); err != nil {
			t.Errorf("who stays: %v", err)
		}
	})
	<-h.begun
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- h.Ask(ctx, 1) }()
	for h.Len() == 0 {
		runtime.Gosched()
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves: got %v, want context.Canceled", err)
	}
	if err := h.Ask(ctx, 2); !errors.Is(err, context.Canceled) || h.Len() != 1 {
		t.Errorf("who has left before: got %v, and %d wait, want context.Canceled and 1", err, h.Len())
	}
	h.Close()
	h.goOn <- struct{}{}
	<-h.begun
	h.goOn <- struct{}{}
	<-h.Ended()
	wg.Wait()
}

func TestCloseOfAnIdleQueue(t *testing.T) {
	q := groupcommit.New[int]()
	go q.Serve(atMost(1), func([]*groupcommit.Request[int]) { t.Error("there was nothing to commit") })
	q.Close()
	<-q.Ended()
}
