package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// minutesKind is the kind of the documents that hold the minutes of one hour of
// one node; their IDs are the hour, a slash and the ID of the node.
const minutesKind = "minutes"

// storedMinutes is one document. Counters that are 0 throughout are left out.
type storedMinutes struct {
	Minutes []int               `json:"minutes"` // of the hour, in which counting was going on
	Counts  map[string][]uint32 `json:"counts"`  // by name, one for each of these
}

func (e *Engine) minutesID(hour time.Time) string {
	return hour.Format(hourLayout) + "/" + e.nodeID
}

// writeMinutes stores the minutes since the last time, once a minute and at the
// end. It belongs to the goroutine that writes usage.
func (e *Engine) writeMinutes(ctx context.Context, last bool) error {
	m := &e.minutes
	now := e.now().UTC()
	if err := e.loadMinutes(ctx, now); err != nil {
		return err
	}
	this := minuteOf(now)
	if this == m.written && !last {
		return nil
	}
	// An hour that has ended meanwhile gets its last minutes.
	hour := store.StoredHour(now)
	first := hour
	if from := timeOfMinute(m.written); m.written > 0 && from.Before(hour) && now.Sub(from) < minutesKept*time.Minute {
		first = store.StoredHour(from)
	}
	for ; !first.After(hour); first = first.Add(time.Hour) {
		if err := e.putMinutes(ctx, first); err != nil {
			return err
		}
	}
	m.written = this
	return nil
}

func (e *Engine) putMinutes(ctx context.Context, hour time.Time) error {
	m, id := &e.minutes, e.minutesID(hour)
	if m.id != id {
		m.id, m.revision = id, 0
	}
	first := minuteOf(hour)
	body, err := json.Marshal(storeMinutes(first, m.between(first, first+minutesHour)))
	if err != nil {
		return fmt.Errorf("write the minutes of %s: %w", id, err)
	}
	d, err := e.store.PutDocument(ctx, store.Document{Kind: minutesKind, ID: id, Revision: m.revision, Body: body})
	if errors.Is(err, store.ErrConflict) {
		// A write that failed may have happened; what is there is older.
		if d, err = e.store.Document(ctx, minutesKind, id); err == nil {
			d, err = e.store.PutDocument(ctx, store.Document{Kind: minutesKind, ID: id, Revision: d.Revision, Body: body})
		}
	}
	if err != nil {
		return fmt.Errorf("write the minutes of %s: %w", id, err)
	}
	m.revision = d.Revision
	return nil
}

func storeMinutes(first int64, list []minute) storedMinutes {
	s := storedMinutes{Minutes: []int{}, Counts: map[string][]uint32{}}
	for _, one := range list {
		s.Minutes = append(s.Minutes, int(one.number-first))
	}
	for c := range counted {
		n := make([]uint32, len(list))
		for i, one := range list {
			n[i] = one.n[c]
		}
		if slices.ContainsFunc(n, func(n uint32) bool { return n > 0 }) {
			s.Counts[c.String()] = n
		}
	}
	return s
}

// parseMinutes reads a document. What another version has counted is left out.
func parseMinutes(d store.Document) ([]minute, error) {
	hour, err := hourOfMinutes(d.ID)
	var s storedMinutes
	if err == nil {
		err = json.Unmarshal(d.Body, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("minutes of %s: %w", d.ID, err)
	}
	list := make([]minute, len(s.Minutes))
	for i, offset := range s.Minutes {
		if offset < 0 || offset >= minutesHour {
			return nil, fmt.Errorf("minutes of %s: minute %d", d.ID, offset)
		}
		list[i].number = minuteOf(hour) + int64(offset)
	}
	for name, n := range s.Counts {
		if len(n) != len(list) {
			return nil, fmt.Errorf("minutes of %s: %d counts of %s for %d minutes", d.ID, len(n), name, len(list))
		}
		if c, ok := countedByName[name]; ok {
			for i := range n {
				list[i].n[c] = n[i]
			}
		}
	}
	return list, nil
}

func hourOfMinutes(id string) (time.Time, error) {
	hour, _, _ := strings.Cut(id, "/")
	return time.Parse(hourLayout, hour)
}

// loadMinutes takes in what this node stored before this start. A document that
// cannot be read is left out: it is no reason to count nothing.
func (e *Engine) loadMinutes(ctx context.Context, now time.Time) error {
	m := &e.minutes
	if m.loaded {
		return nil
	}
	var all []minute
	hour := store.StoredHour(now)
	for back := range minutesKept/minutesHour + 1 {
		id := e.minutesID(hour.Add(-time.Duration(back) * time.Hour))
		d, err := e.store.Document(ctx, minutesKind, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look up the minutes of %s: %w", id, err)
		}
		list, err := parseMinutes(d)
		if err != nil {
			e.logger.Warn("counts by the minute are left out", "error", err)
		}
		all = append(all, list...)
		if back == 0 {
			m.id, m.revision = id, d.Revision
		}
	}
	m.take(all, minuteOf(now))
	m.loaded = true
	return nil
}

// take adds minutes of before this start, but for those too old to be kept.
func (m *minutes) take(list []minute, now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range list {
		if one.number <= now-minutesKept || one.number > now {
			continue
		}
		var n [counted]uint64
		for c, count := range one.n {
			n[c] = uint64(count)
		}
		m.addLocked(one.number, &n)
	}
}

// readMinutes returns what was counted in the minutes that series need: by this
// node, and as far as it is written by others.
func (e *Engine) readMinutes(ctx context.Context, now time.Time) (minuteCounts, error) {
	mc := make(minuteCounts)
	until := minuteOf(now) + 1
	from := until - seriesMinutes
	read := false
	// Where usage is written: nothing is on its way, and so in neither of them.
	err := e.onWriter(ctx, func(context.Context) error {
		read = true
		err := e.loadMinutes(ctx, now)
		e.addOwnMinutes(mc, from, until)
		if err != nil {
			return err
		}
		list, err := e.store.ListDocuments(ctx, minutesKind)
		for _, d := range list {
			if _, node, _ := strings.Cut(d.ID, "/"); node == e.nodeID {
				continue
			}
			others, err := parseMinutes(d)
			if err != nil {
				e.logger.Debug("counts by the minute of another node are left out", "error", err)
			}
			mc.add(slices.DeleteFunc(others, func(m minute) bool { return m.number < from || m.number >= until })...)
		}
		return err
	})
	if !read {
		e.addOwnMinutes(mc, from, until)
	}
	return mc, err
}

// addOwnMinutes adds what this node has counted, up to now.
func (e *Engine) addOwnMinutes(mc minuteCounts, from, until int64) {
	mc.add(e.minutes.between(from, until)...)
	growing := minute{number: until - 1}
	for c := range counted {
		growing.n[c] = uint32(min(e.usage.now[c].Load(), math.MaxUint32)) // #nosec G115 -- bounded
	}
	mc.add(growing)
}

// removeMinutes removes the documents whose minutes are not kept any more.
func (e *Engine) removeMinutes(ctx context.Context, now time.Time) error {
	list, err := e.store.ListDocuments(ctx, minutesKind)
	if err != nil {
		return fmt.Errorf("list the counts by the minute: %w", err)
	}
	for _, d := range list {
		hour, err := hourOfMinutes(d.ID)
		if err == nil && now.Sub(hour) < (minutesKept+minutesHour)*time.Minute {
			continue
		}
		if err := e.store.DeleteDocument(ctx, minutesKind, d.ID, d.Revision); err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("remove the minutes of %s: %w", d.ID, err)
		}
	}
	return nil
}
