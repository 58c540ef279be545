package window_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/alert/window"
)

const minute = time.Minute

var start = time.UnixMilli(1_700_000_000_000)

func TestCountsWithinTheWindow(t *testing.T) {
	tests := []struct {
		name  string
		after []time.Duration // each one counts 1
		want  uint64          // after the last one
	}{
		{"one", []time.Duration{0}, 1},
		{"all at once", []time.Duration{0, 0, 0}, 3},
		{"within", []time.Duration{0, 20 * time.Second, minute - 1}, 3},
		{"the first one is a window ago", []time.Duration{0, 20 * time.Second, minute}, 2},
		{"slides", []time.Duration{0, 30 * time.Second, minute + 29*time.Second}, 2},
		{"a pause", []time.Duration{0, 1, 2, time.Hour}, 1},
		{"one that comes late counts as of now", []time.Duration{0, 50 * time.Second, 10 * time.Second}, 3},
	}
	for _, test := range tests {
		c := window.New[string, int](10)
		var got uint64
		for _, after := range test.after {
			got, _ = c.Add("key", start.Add(after), 1, minute)
		}
		if got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

// TestManyMomentsStayNear: more moments than are kept, one in 100 ms, of which
// the window holds 600.
func TestManyMomentsStayNear(t *testing.T) {
	c := window.New[string, int](10)
	for i := range 10_000 {
		got, _ := c.Add("key", start.Add(time.Duration(i)*100*time.Millisecond), 1, minute)
		exact := uint64(min(i+1, 600))
		if got < exact || got > exact+exact/10+1 {
			t.Fatalf("after %d: got %d, want %d or a little more", i, got, exact)
		}
	}
}

func TestValueLivesWithTheCount(t *testing.T) {
	c := window.New[string, int](10)
	_, value := c.Add("a", start, 1, minute)
	*value = 7
	c.Trim(start.Add(minute-1), minute)
	if _, value = c.Add("a", start.Add(minute-1), 1, minute); *value != 7 {
		t.Errorf("got %d, want the value kept", *value)
	}
	c.Trim(start.Add(2*minute), minute)
	if c.Len() != 0 {
		t.Errorf("%d keys left after a window without any", c.Len())
	}
	if _, value = c.Add("a", start.Add(2*minute), 1, minute); *value != 0 {
		t.Errorf("got %d, want a new value", *value)
	}
	c.Drop("a")
	c.Drop("b")
	if n, _ := c.Add("a", start.Add(2*minute), 1, minute); n != 1 {
		t.Errorf("got %d after a drop, want 1", n)
	}
}

// TestAFloodDoesNotHideAHeavyKey: many more keys than there is room for,, and one that
// comes with every thousandth of them.
func TestAFloodDoesNotHideAHeavyKey(t *testing.T) {
	const keys, every, capacity, threshold = 300_000, 1_000, 4_096, 50
	c := window.New[int, [64]byte](capacity)
	var found int
	heap := heapSize()
	for i := range keys {
		at := start.Add(time.Duration(i) * minute / keys)
		if n, _ := c.Add(i+1, at, 1, minute); n != 1 {
			t.Fatalf("key %d came once, and was counted %d times", i, n)
		}
		if i%every == 0 {
			if n, _ := c.Add(0, at, 1, minute); n >= threshold && found == 0 {
				found = i / every
			}
		}
	}
	if found == 0 || found > 4*threshold {
		t.Errorf("the heavy key was found after %d of its %d", found, keys/every)
	}
	if c.Len() != capacity || c.Evicted() == 0 {
		t.Errorf("%d keys, %d evicted", c.Len(), c.Evicted())
	}
	if grown := heapSize() - heap; grown > 4<<20 {
		t.Errorf("%d bytes for %d keys", grown, capacity)
	}
	runtime.KeepAlive(c)
}

func heapSize() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestDistinct(t *testing.T) {
	for _, n := range []int{0, 1, 10, 1_000, 300_000} {
		var d window.Distinct
		for i := range 2 * n {
			d.Add(fmt.Sprint(i % n))
		}
		if got := int(d.Count()); got < n-n/20 || got > n+n/20 {
			t.Errorf("got %d, want %d", got, n)
		}
	}
}
