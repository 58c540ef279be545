package engine

import (
	"math"
	"sync"
	"time"
)

const (
	// minutesKept is how many minutes are kept: a day.
	minutesKept = 24 * 60
	minutesHour = 60
)

// minutes is what was counted in each of the last minutes. Counts come to it
// every 5 s, so that those of a minute may be up to 5 s off its edges.
type minutes struct {
	mu   sync.Mutex
	ring [minutesKept]minute // by the number of the minute

	// Of the goroutine that writes usage.
	loaded   bool
	written  int64  // the latest minute that is stored; 0: none since the start
	id       string // of the document written last
	revision uint64 // of that document
}

// minute is one minute, in which counting was going on.
type minute struct {
	number int64 // since 1970; 0: none
	n      [counted]uint32
}

// minuteOf returns the number of the minute of a time.
func minuteOf(t time.Time) int64 { return t.Unix() / int64(time.Minute/time.Second) }

// add adds to the minute of now. Nothing to add is worth noting too: that makes
// a quiet minute, where one without it is unknown.
func (m *minutes) add(now time.Time, n *[counted]uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.addLocked(minuteOf(now), n)
}

func (m *minutes) addLocked(number int64, n *[counted]uint64) {
	slot := &m.ring[number%minutesKept]
	if slot.number > number {
		return // a clock that was set back by more than is kept
	}
	if slot.number != number {
		*slot = minute{number: number}
	}
	for c, more := range n {
		slot.n[c] = uint32(min(uint64(slot.n[c])+more, math.MaxUint32)) // #nosec G115 -- bounded
	}
}

// between returns the known ones of [from, until), oldest first.
func (m *minutes) between(from, until int64) []minute {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []minute
	for number := max(from, until-minutesKept); number < until; number++ {
		if slot := m.ring[number%minutesKept]; slot.number == number {
			list = append(list, slot)
		}
	}
	return list
}

// minuteCounts is what was counted in each minute, by its number. A minute that
// is not in it is unknown.
type minuteCounts map[int64]*[counted]uint64

func (mc minuteCounts) add(list ...minute) {
	for _, one := range list {
		if mc[one.number] == nil {
			mc[one.number] = new([counted]uint64)
		}
		for c, n := range one.n {
			mc[one.number][c] += uint64(n)
		}
	}
}

// sum adds up so many minutes; known is false if it is so of none of them.
func (mc minuteCounts) sum(from int64, length int) (total *[counted]uint64, known bool) {
	total = new([counted]uint64)
	for number := from; number < from+int64(length); number++ {
		counts, ok := mc[number]
		if !ok {
			continue
		}
		known = true
		for c, n := range counts {
			total[c] += n
		}
	}
	return total, known
}

// SeriesName names a period of which there are points finer than hours.
type SeriesName string

// The periods of the series.
const (
	SeriesHour  SeriesName = "1h"
	SeriesHours SeriesName = "6h"
)

// Series is a period in points finer than hours. Its edges are those of its
// steps, and the last point still grows.
type Series struct {
	Range       SeriesName    `json:"range"`
	StepSeconds int           `json:"stepSeconds"`
	Period      Period        `json:"period"` // of what is known
	Points      []SeriesPoint `json:"points"` // oldest first
}

// SeriesPoint is one step of a series.
type SeriesPoint struct {
	At     time.Time     `json:"at"`     // its start
	Counts *SeriesCounts `json:"counts"` // nil: not known, such as while Sentinel did not run
}

// SeriesCounts is what was counted in one step.
type SeriesCounts struct {
	Allowed          uint64 `json:"allowed"`
	Intercepted      uint64 `json:"intercepted"`
	Bound            uint64 `json:"bound"`
	Unbound          uint64 `json:"unbound"`
	DownstreamFailed uint64 `json:"downstreamFailed"`
}

// seriesShapes says in which steps, in minutes, each series is.
var seriesShapes = []struct {
	name          SeriesName
	points, steps int
}{{SeriesHour, 60, 1}, {SeriesHours, 72, 5}}

// seriesMinutes is how many minutes back the longest series with the period
// before it looks.
const seriesMinutes = 2 * 72 * 5

// series makes all series that end now.
func (mc minuteCounts) series(now time.Time) []Series {
	list := make([]Series, 0, len(seriesShapes))
	for _, shape := range seriesShapes {
		step := int64(shape.steps)
		first := (minuteOf(now)/step - int64(shape.points-1)) * step
		length := shape.points * shape.steps
		during, _ := mc.sum(first, length)
		before, _ := mc.sum(first-int64(length), length)
		s := Series{
			Range: shape.name, StepSeconds: shape.steps * int(time.Minute/time.Second),
			Period: Period{Since: timeOfMinute(first), Now: totals(during), Previous: totals(before)},
		}
		for i := range shape.points {
			at := first + int64(i)*step
			p := SeriesPoint{At: timeOfMinute(at)}
			if n, known := mc.sum(at, shape.steps); known {
				p.Counts = &SeriesCounts{
					Allowed: n[CountAllowed], Intercepted: n[CountIntercepted], Bound: n[CountBound],
					Unbound: n[CountUnbound], DownstreamFailed: n[CountDownstreamFailed],
				}
			}
			s.Points = append(s.Points, p)
		}
		list = append(list, s)
	}
	return list
}

func timeOfMinute(number int64) time.Time {
	return time.Unix(number*int64(time.Minute/time.Second), 0).UTC()
}
