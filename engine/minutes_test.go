package engine

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

func allowed(n uint64) *[counted]uint64 { return &[counted]uint64{CountAllowed: n} }

func TestMinutesAreARing(t *testing.T) {
	start := time.Date(2026, 11, 26, 10, 0, 30, 0, time.UTC)
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	type step struct {
		minute int
		n      uint64
	}
	tests := []struct {
		name  string
		steps []step
		last  int // the last minute looked at, with 9 before it
		want  string
	}{
		{"nothing", nil, 0, "- - - - - - - - - -"},
		{"quiet minutes are known", []step{{0, 0}, {1, 2}, {1, 3}, {3, 0}}, 4, "- - - - - 0 5 - 0 -"},
		{"a day later the slot is another's", []step{{0, 7}, {minutesKept, 1}}, minutesKept, "- - - - - - - - - 1"},
		{"a day later the old one is gone", []step{{0, 7}, {minutesKept, 1}}, 0, "- - - - - - - - - -"},
		{"a clock set back keeps the newer one", []step{{minutesKept, 1}, {0, 7}}, minutesKept, "- - - - - - - - - 1"},
		{"more than fits", []step{{0, math.MaxUint32}, {0, 5}}, 0, "- - - - - - - - - 4294967295"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m minutes
			for _, s := range tt.steps {
				m.add(at(s.minute), allowed(s.n))
			}
			last := minuteOf(at(tt.last))
			mc := make(minuteCounts)
			mc.add(m.between(last-9, last+1)...)
			var texts []string
			for number := last - 9; number <= last; number++ {
				n, known := mc.sum(number, 1)
				text, _ := json.Marshal(n[CountAllowed])
				if !known {
					text = []byte("-")
				}
				texts = append(texts, string(text))
			}
			if got := strings.Join(texts, " "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestMinutesFormat: what is stored stays readable for later versions.
func TestMinutesFormat(t *testing.T) {
	first := minuteOf(time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC))
	list := []minute{{number: first + 3, n: [counted]uint32{CountAllowed: 5}}, {number: first + 59, n: [counted]uint32{CountIntercepted: 2}}}
	body, err := json.Marshal(storeMinutes(first, list))
	want := `{"minutes":[3,59],"counts":{"allowed":[5,0],"intercepted":[0,2]}}`
	if err != nil || string(body) != want {
		t.Errorf("got %s, %v, want %s", body, err, want)
	}
	got, err := parseMinutes(store.Document{ID: "2026-11-26T10/node", Body: body})
	if err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("got %v, %v, want %v", got, err, list)
	}
}

func TestMinutesThatCannotBeRead(t *testing.T) {
	for name, d := range map[string]store.Document{
		"no hour":           {ID: "yesterday/node", Body: []byte(`{}`)},
		"no object":         {ID: "2026-11-26T10/node", Body: []byte(`[]`)},
		"minute 60":         {ID: "2026-11-26T10/node", Body: []byte(`{"minutes":[60]}`)},
		"minute -1":         {ID: "2026-11-26T10/node", Body: []byte(`{"minutes":[-1]}`)},
		"too few counts":    {ID: "2026-11-26T10/node", Body: []byte(`{"minutes":[1,2],"counts":{"allowed":[1]}}`)},
		"a negative number": {ID: "2026-11-26T10/node", Body: []byte(`{"minutes":[1],"counts":{"allowed":[-1]}}`)},
	} {
		if list, err := parseMinutes(d); err == nil {
			t.Errorf("%s: got %v, want an error", name, list)
		}
	}
	d := store.Document{ID: "2026-11-26T10/node", Body: []byte(`{"minutes":[1],"counts":{"of_the_future":[9],"allowed":[4]}}`)}
	if list, err := parseMinutes(d); err != nil || len(list) != 1 || list[0].n[CountAllowed] != 4 {
		t.Errorf("with a counter of another version: got %v, %v", list, err)
	}
}

func TestAFullHourOfMinutesIsSmall(t *testing.T) {
	var list []minute
	for i := range minutesHour {
		one := minute{number: int64(i)}
		for c := range counted {
			one.n[c] = math.MaxUint32
		}
		list = append(list, one)
	}
	if body, err := json.Marshal(storeMinutes(0, list)); err != nil || len(body) > 16<<10 {
		t.Errorf("got %d bytes, %v, want at most 16 KiB", len(body), err)
	}
}
