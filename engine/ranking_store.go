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

func (e *Engine) putRanking(ctx context.Context, r *ranking, stored storedRanking) error {
	body, err := json.Marshal(stored)
	if err != nil {
		return fmt.Errorf("write who was refused most in %s: %w", r.id, err)
	}
	d, err := e.store.PutDocument(ctx, store.Document{Kind: rankingKind, ID: e.rankingDocument(r.id), Revision: r.revision, Body: body})
	if errors.Is(err, store.ErrConflict) {
		// A write that failed may have happened. What is there is older than r,
		// which holds all of it.
		if d, err = e.store.Document(ctx, rankingKind, e.rankingDocument(r.id)); err == nil {
			d, err = e.store.PutDocument(ctx, store.Document{Kind: rankingKind, ID: e.rankingDocument(r.id), Revision: d.Revision, Body: body})
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
	d, err := e.store.Document(ctx, rankingKind, e.rankingDocument(r.id))
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
		of, _, _ := strings.Cut(d.ID, "/")
		hour, hourErr := time.Parse(hourLayout, of)
		day, dayErr := time.Parse(dayLayout, of)
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

// rankingDocument returns the ID of the document of an hour or a day: nodes that share a
// store count for themselves.
func (e *Engine) rankingDocument(id string) string {
	if e.authority == nil {
		return id
	}
	return id + "/" + e.nodeID
}

// addOtherRankings adds what other nodes have stored.
func (e *Engine) addOtherRankings(ctx context.Context, to map[string]storedRanking) error {
	if e.authority == nil {
		return nil
	}
	list, err := e.store.ListDocuments(ctx, rankingKind)
	if err != nil {
		return fmt.Errorf("list who was refused most: %w", err)
	}
	for _, d := range list {
		id, node, _ := strings.Cut(d.ID, "/")
		sum, wanted := to[id]
		if !wanted || node == e.nodeID {
			continue
		}
		other, err := parseRanking(d)
		if err != nil {
			e.logger.Debug("list of who was refused most by another node is left out", "error", err)
		}
		to[id] = storedRanking{
			slices.Concat(sum.Keys, other.Keys), slices.Concat(sum.Addresses, other.Addresses), slices.Concat(sum.Networks, other.Networks),
		}
	}
	return nil
}

// rankingOf returns a ranking of this node as it is now, for the goroutine that writes usage:
// one that grows, or what is stored of one that has ended.
func (e *Engine) rankingOf(ctx context.Context, id string) (storedRanking, error) {
	rs := &e.rankings
	rs.mu.Lock()
	var growing *ranking
	for _, r := range append([]*ranking{rs.hour, rs.day}, rs.ended...) {
		if r != nil && r.id == id {
			growing = r
		}
	}
	rs.mu.Unlock()
	if growing != nil {
		if err := e.loadRanking(ctx, growing); err != nil {
			return storedRanking{}, err
		}
		rs.mu.Lock()
		defer rs.mu.Unlock()
		return growing.stored(), nil
	}
	if r, ok := e.oldRankings[id]; ok {
		return r, nil
	}
	d, err := e.store.Document(ctx, rankingKind, e.rankingDocument(id))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return storedRanking{}, fmt.Errorf("look up who was refused most in %s: %w", id, err)
	}
	var stored storedRanking
	if err == nil {
		if stored, err = parseRanking(d); err != nil {
			e.logger.Warn("list of who was refused most is left out", "error", err)
		}
	}
	return stored, nil
}
