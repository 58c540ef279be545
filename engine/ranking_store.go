package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// keepHourRankings is how long the rankings of single hours are kept.
const keepHourRankings = 48 * time.Hour

// writeRankings stores the rankings that have changed. It belongs to the
// goroutine that writes usage.
func (e *Engine) writeRankings(ctx context.Context) error {
	rs := &e.rankings
	rs.mu.Lock()
	waiting := append([]*ranking(nil), rs.ended...)
	for _, r := range []*ranking{rs.hour, rs.day} {
		if r != nil {
			waiting = append(waiting, r)
		}
	}
	rs.mu.Unlock()
	for _, r := range waiting {
		if err := e.writeRanking(ctx, r); err != nil {
			return err
		}
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for len(rs.ended) > 0 && !rs.ended[0].changed {
		rs.ended = rs.ended[1:]
	}
	return nil
}

// writeRanking stores one ranking, if it has changed.
func (e *Engine) writeRanking(ctx context.Context, r *ranking) error {
	rs := &e.rankings
	if err := e.loadRanking(ctx, r); err != nil {
		return err
	}
	rs.mu.Lock()
	changed, stored := r.changed, storedRanking{}
	if changed {
		stored = r.stored()
	}
	r.changed = false
	rs.mu.Unlock()
	if !changed {
		return nil
	}
	err := e.putRanking(ctx, r, stored)
	if err != nil {
		rs.mu.Lock()
		r.changed = true
		rs.mu.Unlock()
	}
	return err
}

// documentOf returns the ID of the document of a ranking: each node has its own, which
// nobody else writes.
func (e *Engine) documentOf(r *ranking) string { return r.id + "/" + e.nodeID }

func (e *Engine) putRanking(ctx context.Context, r *ranking, stored storedRanking) error {
	id := e.documentOf(r)
	body, err := json.Marshal(stored)
	if err != nil {
		return fmt.Errorf("write who was refused most in %s: %w", r.id, err)
	}
	d, err := e.store.PutDocument(ctx, store.Document{Kind: rankingKind, ID: id, Revision: r.revision, Body: body})
	if errors.Is(err, store.ErrConflict) {
		// A write that failed may have happened. What is there is older than r,
		// which holds all of it.
		if d, err = e.store.Document(ctx, rankingKind, id); err == nil {
			d, err = e.store.PutDocument(ctx, store.Document{Kind: rankingKind, ID: id, Revision: d.Revision, Body: body})
		}
	}
	if err != nil {
		return fmt.Errorf("write who was refused most in %s: %w", r.id, err)
	}
	r.revision = d.Revision
	return nil
}

// loadRanking adds what was stored of a ranking before this start. A document
// that cannot be read is replaced: it is no reason to count nothing.
func (e *Engine) loadRanking(ctx context.Context, r *ranking) error {
	if r.loaded {
		return nil
	}
	d, err := e.store.Document(ctx, rankingKind, e.documentOf(r))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("look up who was refused most in %s: %w", r.id, err)
	}
	if err == nil {
		stored, err := parseRanking(d)
		if err != nil {
			e.logger.Warn("list of who was refused most begins anew", "error", err)
		}
		e.rankings.mu.Lock()
		r.merge(stored)
		e.rankings.mu.Unlock()
	}
	r.loaded, r.revision = true, d.Revision
	return nil
}

// removeRankings removes the rankings of hours after two days, and those of
// days as counters go.
func (e *Engine) removeRankings(ctx context.Context, now time.Time, days int) (removed int, err error) {
	list, err := e.store.ListDocuments(ctx, rankingKind)
	if err != nil {
		return 0, fmt.Errorf("list who was refused most: %w", err)
	}
	hoursBefore := now.Add(-keepHourRankings)
	daysBefore, goes := before(now, days)
	for _, d := range list {
		period, _, _ := strings.Cut(d.ID, "/")
		hour, hourErr := time.Parse(hourLayout, period)
		day, dayErr := time.Parse(dayLayout, period)
		old := hourErr == nil && hour.Before(hoursBefore) || dayErr == nil && goes && day.Before(daysBefore)
		if !old {
			continue
		}
		if err := e.store.DeleteDocument(ctx, rankingKind, d.ID, d.Revision); err != nil && !errors.Is(err, store.ErrNotFound) {
			return removed, fmt.Errorf("remove who was refused most in %s: %w", d.ID, err)
		}
		removed++
	}
	return removed, nil
}

// readRanking is a document that has been read.
type readRanking struct {
	revision uint64
	storedRanking
}

// rankingsOf returns the rankings of periods as they are now, of all nodes, for the
// goroutine that writes usage: those of this node that grow, and what is stored of the
// others.
func (e *Engine) rankingsOf(ctx context.Context, periods []string) (map[string][]storedRanking, error) {
	found := make(map[string][]storedRanking, len(periods))
	growing, err := e.growingRankings(ctx, periods)
	if err != nil {
		return nil, err
	}
	list, err := e.store.ListDocuments(ctx, rankingKind)
	if err != nil {
		return nil, fmt.Errorf("list who was refused most: %w", err)
	}
	read := make(map[string]readRanking, len(list))
	for _, d := range list {
		period, node, _ := strings.Cut(d.ID, "/")
		if _, grows := growing[period]; grows && node == e.nodeID || !slices.Contains(periods, period) {
			continue
		}
		r, ok := e.readRankings[d.ID]
		if !ok || r.revision != d.Revision {
			r.revision = d.Revision
			if r.storedRanking, err = parseRanking(d); err != nil {
				e.logger.Warn("list of who was refused most is left out", "error", err)
			}
		}
		read[d.ID] = r
		found[period] = append(found[period], r.storedRanking)
	}
	e.readRankings = read
	for period, stored := range growing {
		found[period] = append(found[period], stored)
	}
	return found, nil
}

// growingRankings returns those of this node that are not all in the store, by period.
func (e *Engine) growingRankings(ctx context.Context, periods []string) (map[string]storedRanking, error) {
	rs := &e.rankings
	rs.mu.Lock()
	list := append([]*ranking{rs.hour, rs.day}, rs.ended...)
	rs.mu.Unlock()
	growing := make(map[string]storedRanking)
	for _, r := range list {
		if r == nil || !slices.Contains(periods, r.id) {
			continue
		}
		if err := e.loadRanking(ctx, r); err != nil {
			return nil, err
		}
		rs.mu.Lock()
		growing[r.id] = r.stored()
		rs.mu.Unlock()
	}
	return growing, nil
}
