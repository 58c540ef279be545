package engine_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/store"
)

// sayMore are the counts of requests that are counted under another name too.
var sayMore = []string{
	"observed", "bound", "unbound", "failsafe_open", "cut", "downstream_failed", "body_too_large", "head_too_large",
	"intercepts_dropped", "hits_dropped",
}

// TestEachRequestIsCountedOnce sends a random mix: as allowed, anonymous or
// refused each request is counted once.
func TestEachRequestIsCountedOnce(t *testing.T) {
	for name, change := range map[string]func(*engine.Policy){
		"enforce":           func(*engine.Policy) {},
		"observe":           func(p *engine.Policy) { p.Mode = engine.ModeObserve },
		"failsafe open":     func(p *engine.Policy) { p.Failsafe = engine.FailsafeOpen },
		"anonymous refused": func(p *engine.Policy) { p.Anonymous = engine.AnonymousReject },
		"bind on request":   func(p *engine.Policy) { p.BindOn = engine.BindOnRequest },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, dashboards, policy(change)).bound(keyA, keyB)
			r.ban(keyB)
			broken := strings.Repeat("g7H8", 12)
			r.store.set(func(s *faultyStore) { s.binding = failFor(r.hash(broken)) })
			random := rand.New(rand.NewPCG(3, 4))
			requests := uint64(2) // the first uses
			for n := range 2000 {
				fresh := strings.Repeat(fmt.Sprintf("n%03d", n%1000), 12)
				keys := []string{keyA, keyB, broken, fresh, keyA + "é"}
				var lines []string
				if random.IntN(5) > 0 {
					lines = append(lines, bearer(keys[random.IntN(len(keys))]))
				}
				if random.IntN(3) == 0 {
					lines = append(lines, "X-Goog-Api-Key: "+keys[random.IntN(len(keys))])
				}
				if random.IntN(10) == 0 {
					lines = append(lines, bearer(keyA))
				}
				from := []string{atHome, atHome, atHome, elsewhere, elsewhere, trustedAt, "@"}[random.IntN(7)]
				target := []string{pathChat, pathPublic, "/pg/x", "/api/log/token"}[random.IntN(4)]
				_ = r.serve(from, request(t, target, lines...), random.IntN(2) == 0)
				requests++
			}
			counts := r.Counts()
			for _, name := range sayMore {
				delete(counts, name)
			}
			var sum uint64
			for n := range maps.Values(counts) {
				sum += n
			}
			if sum != requests {
				t.Errorf("%d requests are counted %d times: %v", requests, sum, counts)
			}
		})
	}
}

// TestRefusedAfterAllIsNotAllowed: a request that was forwarded and whose answer
// was withheld is a refused one, and one whose answer was cut an allowed one.
func TestRefusedAfterAllIsNotAllowed(t *testing.T) {
	cases := []struct {
		name string
		run  func(r *rig, f *flight)
		want map[string]uint64
	}{
		{"lost the race", func(r *rig, f *flight) {
			bindElsewhere(t, r, keyA)
			wantReason(t, "answer", f.accept(true).Refused, engine.IPNotAllowed)
		}, map[string]uint64{"intercepted": 1}},
		{"cut before the answer", func(r *rig, f *flight) {
			wantReason(t, "winner", r.use(atHome, keyA), "")
			wantReason(t, "answer", f.accept(true).Refused, engine.IPNotAllowed)
		}, map[string]uint64{"allowed": 1, "bound": 1, "intercepted": 1, "cut": 1}},
		{"cut after the answer", func(r *rig, f *flight) {
			wantReason(t, "answer", f.accept(true).Refused, "")
			r.ban(keyA)
		}, map[string]uint64{"allowed": 1, "bound": 1, "cut": 1}},
		{"not bound for want of the store", func(r *rig, f *flight) {
			r.store.set(func(s *faultyStore) { s.bind = failAlways })
			wantReason(t, "answer", f.accept(true).Refused, engine.StoreUnavailable)
		}, map[string]uint64{"failsafe_closed": 1}},
		{"without an answer", func(*rig, *flight) {}, map[string]uint64{"allowed": 1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			f := r.open(elsewhere, request(t, pathChat, bearer(keyA)))
			c.run(r, f)
			f.done()
			r.wantCounts(c.want)
		})
	}
}

func TestCountsFromOutside(t *testing.T) {
	r := newRig(t)
	for _, c := range []engine.Counted{engine.CountDownstreamFailed, engine.CountBodyTooLarge, engine.CountHeadTooLarge} {
		r.Count(c)
	}
	r.wantCounts(map[string]uint64{"downstream_failed": 1, "body_too_large": 1, "head_too_large": 1})
}

// usageOf returns what is stored of a key's use.
func (r *rig) usageOf(key string) store.Usage {
	r.t.Helper()
	u, err := r.store.Usage(r.t.Context(), r.hash(key))
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

// storedCounts returns the sum of each counter over all hours.
func (r *rig) storedCounts() map[string]uint64 {
	r.t.Helper()
	now := time.Now()
	list, err := r.store.Counters(r.t.Context(), now.Add(-100*time.Hour), now.Add(100*time.Hour))
	if err != nil {
		r.t.Fatal(err)
	}
	sums := map[string]uint64{}
	for _, c := range list {
		sums[c.Name] += c.N
	}
	return sums
}

func TestUsageIsWrittenEvery5s(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA, keyB)
		time.Sleep(time.Second)
		wantReason(t, "second use", r.use(atHome, keyA), "")
		wantReason(t, "refused", r.use(elsewhere, keyA), engine.IPNotAllowed)
		time.Sleep(3999 * time.Millisecond)
		synctest.Wait()
		if u := r.usageOf(keyA); u.Hits != 0 {
			t.Errorf("after 4.999 s: %+v", u)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if u := r.usageOf(keyA); u.Hits != 2 || !u.LastUsed.Equal(time.Now()) || u.LastIP.String() != "192.0.2.1" {
			t.Errorf("after 5 s: %+v, want 2 hits and the time of writing, %v", u, time.Now())
		}
		if u := r.usageOf(keyB); u.Hits != 1 {
			t.Errorf("of the other key: %+v", u)
		}
		want := map[string]uint64{"allowed": 3, "bound": 2, "intercepted": 1}
		if got := r.storedCounts(); !maps.Equal(got, want) {
			t.Errorf("stored counts %v, want %v", got, want)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := r.storedCounts(); !maps.Equal(got, want) {
			t.Errorf("after 10 s: stored counts %v, want %v", got, want)
		}
		r.wantCounts(want)
	})
}

func TestUsageNamesTheLastAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA)
		r.setRule(keyA, store.Rule{Kind: store.RuleAll})
		for _, from := range []string{elsewhere, atHome, "[2001:db8::1]:1"} {
			time.Sleep(time.Second)
			wantReason(t, from, r.use(from, keyA), "")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if u := r.usageOf(keyA); u.Hits != 4 || u.LastIP.String() != "2001:db8::1" || !u.LastUsed.Equal(time.Now()) {
			t.Errorf("got %+v", u)
		}
	})
}

func TestCloseWritesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA)
		wantReason(t, "from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
		r.close()
		if u := r.usageOf(keyA); u.Hits != 1 {
			t.Errorf("got %+v", u)
		}
		if got := r.storedCounts(); got["allowed"] != 1 || got["intercepted"] != 1 {
			t.Errorf("stored counts %v", got)
		}
		if page, err := r.store.ListIntercepts(t.Context(), store.InterceptFilter{}); err != nil || len(page.Records) != 1 {
			t.Errorf("got %v, %v, want one record", page.Records, err)
		}
	})
}

func TestCloseReportsWhatIsLost(t *testing.T) {
	r := newRig(t).bound(keyA)
	wantReason(t, "from elsewhere", r.use(elsewhere, keyA), engine.IPNotAllowed)
	r.store.Fail(errBroken)
	if err := r.Close(t.Context()); err == nil || !strings.Contains(err.Error(), errBroken.Error()) {
		t.Errorf("got %v, want the cause", err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Errorf("second time: %v", err)
	}
}

// TestFailedUsageIsWrittenLater has the store fail now and then, in each of the
// ways it may: nothing is lost, and nothing is counted twice.
func TestFailedUsageIsWrittenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).bound(keyA, keyB, keyC)
		random := rand.New(rand.NewPCG(5, 6))
		hits := map[string]uint64{keyA: 1, keyB: 1, keyC: 1}
		allowed := uint64(3)
		for range 200 {
			for range random.IntN(4) {
				key := []string{keyA, keyB, keyC}[random.IntN(3)]
				wantReason(t, "use", r.use(atHome, key), "")
				hits[key]++
				allowed++
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			down, written := random.IntN(3) > 0, random.IntN(4)
			r.store.set(func(s *faultyStore) {
				s.addUsage = func(batch store.UsageBatch) error { return failInPart(t, r, batch, down, written) }
			})
		}
		if r.store.set(func(s *faultyStore) { s.addUsage = nil }); r.usageOf(keyA).Hits == 0 {
			t.Error("nothing was written before the end")
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for key, want := range hits {
			if u := r.usageOf(key); u.Hits != want {
				t.Errorf("hits: got %d, want %d", u.Hits, want)
			}
		}
		if got := r.storedCounts()["allowed"]; got != allowed {
			t.Errorf("stored count of allowed: got %d, want %d", got, allowed)
		}
		r.wantCounts(map[string]uint64{"allowed": allowed, "bound": 3})
	})
}

// TestUsageOfManyKeysIsWrittenInParts: a flood of many keys is not gathered as a whole,
// which would take as much memory as everything else.
func TestUsageOfManyKeysIsWrittenInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		const keys, most = 20_000, 10_000
		for i := range keys {
			wantReason(t, "use", r.use(atHome, fmt.Sprintf("%048d", i)), "")
		}
		var sizes []int
		var last store.KeyHash
		r.store.set(func(s *faultyStore) {
			s.addUsage = func(batch store.UsageBatch) error {
				if len(batch.Touches) == 0 {
					return nil
				}
				sizes = append(sizes, len(batch.Touches))
				hashes := make([]store.KeyHash, len(batch.Touches))
				for i, touch := range batch.Touches {
					hashes[i] = touch.Hash
				}
				slices.SortFunc(hashes, func(a, b store.KeyHash) int { return bytes.Compare(a[:], b[:]) })
				if bytes.Compare(hashes[0][:], last[:]) <= 0 {
					t.Error("two parts overlap: each would change the same pages of the file")
				}
				last = hashes[len(hashes)-1]
				return nil
			}
		})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		total := 0
		for _, n := range sizes {
			total += n
		}
		if total != keys || slices.Max(sizes) > most {
			t.Errorf("%d keys were written in parts of %v, want %d in parts of up to %d", total, sizes, keys, most)
		}
	})
}

// failInPart is a store that is down, or writes so many touches of what it is
// given.
func failInPart(t *testing.T, r *rig, batch store.UsageBatch, down bool, n int) error {
	t.Helper()
	cause := fmt.Errorf("%w: %w", store.ErrUnavailable, errBroken)
	if down {
		return cause
	}
	if n >= len(batch.Touches) {
		return nil
	}
	if err := r.store.Store.AddUsage(t.Context(), store.UsageBatch{Touches: batch.Touches[:n], Counters: batch.Counters}); err != nil {
		t.Error(err)
	}
	return &store.UnfinishedError{Rest: store.UsageBatch{Touches: batch.Touches[n:]}, Err: cause}
}

// TestHitAllocatesNothing: a decision in memory leaves no work to the garbage
// collector.
func TestHitAllocatesNothing(t *testing.T) {
	r := newRig(t).bound(keyA)
	var reads int
	r.store.set(func(s *faultyStore) { s.binding = func(store.KeyHash) error { reads++; return nil } })
	for before := -1; before != reads; { // the cache takes it in on another goroutine
		before = reads
		wantReason(t, "use", r.use(atHome, keyA), "")
	}
	req := request(t, pathChat, bearer(keyA), "User-Agent: agent/1", "Accept: application/json")
	x, peer, cancel := new(engine.Exchange), r.Peer(atHome), func() {}
	if n := testing.AllocsPerRun(1000, func() { hit(t, r, x, req, func() engine.Decision { return r.Arrive(x, req, peer, cancel) }) }); n != 0 {
		t.Errorf("a hit allocates %v times", n)
	}
	through := request(t, pathChat, bearer(keyA), "X-Real-IP: 192.0.2.1")
	proxy := r.Peer(trustedAt)
	if n := testing.AllocsPerRun(1000, func() {
		hit(t, r, x, through, func() engine.Decision { return r.Arrive(x, through, proxy, cancel) })
	}); n != 0 {
		t.Errorf("a hit through a trusted proxy allocates %v times", n)
	}
}

func hit(t *testing.T, r *rig, x *engine.Exchange, req *http.Request, arrive func() engine.Decision) {
	d := arrive()
	if d.Passes() {
		d = r.Admit(req.Context(), x, req.URL.Path)
	}
	if !d.Passes() || x.Pending() {
		t.Errorf("got %+v, pending %v", d, x.Pending())
	}
	r.Done(x)
}
