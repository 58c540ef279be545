package replay

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	day = 24 * time.Hour
	// keptSubjects bounds how many keys of intercepts are remembered between one
	// and the next; most of the intercepts are of few keys.
	keptSubjects = 4096
	// maxMissing bounds how many unknown networks are named.
	maxMissing = 20
)

// run is one replay.
type run struct {
	store     Store
	query     Query
	now       time.Time
	usesSince time.Time

	edited   *judge          // of Query.Rule
	chosen   []store.KeyHash // in order, each once; nil: all
	subjects map[store.KeyHash]*subject

	result  Result
	refused keySet
	passed  keySet
	rows    rowTable
}

// subject is a key with its rule as it would be; nil: there is none to replay.
type subject struct {
	store.Binding
	*judge
}

func newRun(s Store, q Query, now time.Time) *run {
	r := &run{
		store: s, query: q, now: now, usesSince: q.Since.UTC().Truncate(day),
		subjects: make(map[store.KeyHash]*subject), rows: newRowTable(),
	}
	r.result.Since, r.result.UsesSince = q.Since.UTC(), r.usesSince
	if first := now.UTC().Truncate(day).AddDate(0, 0, 1-store.UsageDays); r.usesSince.Before(first) {
		r.result.Uncertain.UsesFrom = first
	}
	return r
}

// choose finds the keys that the query chooses.
func (r *run) choose(ctx context.Context) error {
	switch {
	case r.query.Hashes != nil:
		r.chosen = slices.Clone(r.query.Hashes)
	case reflect.ValueOf(r.query.Filter).IsZero():
		return nil
	default:
		r.chosen = []store.KeyHash{}
		q := store.BindingQuery{Filter: r.query.Filter, Limit: store.MaxPage}
		for isLast := false; !isLast; isLast = q.After == "" {
			page, err := r.store.FindBindings(ctx, q)
			if err != nil {
				return err
			}
			for _, row := range page.Rows {
				r.chosen = append(r.chosen, row.Binding.Hash)
			}
			q.After = page.Next
		}
	}
	slices.SortFunc(r.chosen, compareHashes)
	r.chosen = slices.Compact(r.chosen) // a binding that changes meanwhile may be on two pages
	return nil
}

func compareHashes(a, b store.KeyHash) int { return slices.Compare(a[:], b[:]) }

func (r *run) chooses(hash store.KeyHash) bool {
	if r.chosen == nil {
		return true
	}
	_, found := slices.BinarySearchFunc(r.chosen, hash, compareHashes)
	return found
}

// allUses replays what all keys were allowed.
func (r *run) allUses(ctx context.Context) error {
	if r.chosen != nil {
		return r.chosenUses(ctx)
	}
	for page, err := range store.BindingPages(ctx, r.store) {
		if err != nil {
			return err
		}
		for _, b := range page {
			if err := r.uses(ctx, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) chosenUses(ctx context.Context) error {
	for _, hash := range r.chosen {
		b, err := r.store.Binding(ctx, hash)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err == nil {
			err = r.uses(ctx, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// judgeOf returns the rule of a binding as it would be.
func (r *run) judgeOf(b store.Binding) (*judge, error) {
	if r.query.Rule == nil {
		return newJudge(b.Rule, r.query.Surroundings, r.now, r.missing)
	}
	var err error
	if r.edited == nil {
		r.edited, err = newJudge(*r.query.Rule, r.query.Surroundings, r.now, r.missing)
	}
	return r.edited, err
}

func (r *run) missing(name string) {
	u := &r.result.Uncertain
	if len(u.UnknownNetworks) < maxMissing && !slices.Contains(u.UnknownNetworks, name) {
		u.UnknownNetworks = append(u.UnknownNetworks, name)
	}
}

// uses replays what a key was allowed.
func (r *run) uses(ctx context.Context, b store.Binding) error {
	r.result.Checked++
	u, err := r.store.Usage(ctx, b.Hash)
	if err != nil {
		return err
	}
	j, err := r.judgeOf(b)
	if err != nil {
		return err
	}
	s := &subject{b, j}
	for _, d := range u.Days {
		if !d.Day.Before(r.usesSince) {
			r.useDay(s, d)
		}
	}
	return nil
}

func (r *run) useDay(s *subject, d store.DayUse) {
	banned, unsure := s.Status == store.StatusBanned, &r.result.Uncertain
	for _, n := range d.Networks {
		switch s.decide(n.Prefix, r.query.Surroundings) {
		case refuses:
			r.refuse(s, Row{Network: n.Prefix, Day: d.Day, Count: n.Allowed})
		case partly:
			unsure.Partly += n.Allowed
		case learns:
			unsure.Learning += n.Allowed
		}
	}
	switch {
	case d.Elsewhere == 0:
	case banned:
		r.refuse(s, Row{Day: d.Day, Count: d.Elsewhere})
	case s.all:
	case len(d.Networks) == 0:
		unsure.Unrecorded += d.Elsewhere
	default:
		unsure.Elsewhere += d.Elsewhere
	}
}

// intercepts replays what was refused, or would have been had Sentinel not only
// observed.
func (r *run) intercepts(ctx context.Context) error {
	f := store.InterceptFilter{Time: store.TimeRange{Since: r.query.Since}, Limit: store.MaxPage}
	if len(r.chosen) == 1 {
		f.Hash = r.chosen[0]
	}
	for {
		page, err := r.store.ListIntercepts(ctx, f)
		if err != nil {
			return err
		}
		for _, rec := range page.Records {
			if err := r.intercept(ctx, rec); err != nil {
				return err
			}
		}
		if f.Before = page.Next; f.Before == 0 {
			return nil
		}
	}
}

func (r *run) intercept(ctx context.Context, rec store.Intercept) error {
	if rec.Reason == store.ReasonCut || !r.chooses(rec.Hash) {
		return nil // the request of a cut stream was let pass, and is among the uses
	}
	s, err := r.subjectOf(ctx, rec.Hash)
	if err != nil {
		return err
	}
	row := Row{
		Network: store.NetworkOf(rec.ClientIP), Day: rec.At.UTC().Truncate(day), Count: rec.Count, Then: !rec.Observed,
	}
	if s == nil {
		r.result.Uncertain.Unbound += rec.Count
		return nil
	}
	exact := netip.PrefixFrom(rec.ClientIP, rec.ClientIP.BitLen())
	switch s.decide(exact, r.query.Surroundings) {
	case refuses:
		r.refuse(s, row)
	case learns:
		r.result.Uncertain.Learning += rec.Count
	default:
		if row.Then {
			r.pass(s, row)
		}
	}
	return nil
}

// subjectOf returns nil for a key without a binding.
func (r *run) subjectOf(ctx context.Context, hash store.KeyHash) (*subject, error) {
	if s, ok := r.subjects[hash]; ok {
		return s, nil
	}
	b, err := r.store.Binding(ctx, hash)
	var s *subject
	if err == nil {
		s = &subject{Binding: b}
		s.judge, err = r.judgeOf(b)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if len(r.subjects) >= keptSubjects {
		clear(r.subjects)
	}
	r.subjects[hash] = s
	return s, nil
}

func (r *run) refuse(s *subject, row Row) {
	row.Refused = true
	r.result.Refused += row.Count
	if row.Then {
		r.result.RefusedThen += row.Count
	}
	r.refused.add(s.Hash)
	r.addRow(s, row)
}

func (r *run) pass(s *subject, row Row) {
	r.result.Passed += row.Count
	r.passed.add(s.Hash)
	r.addRow(s, row)
}

func (r *run) addRow(s *subject, row Row) {
	row.Hash, row.Hint, row.Label = s.Hash, s.Hint, s.Label
	r.rows.add(row)
}

func (r *run) finish() Result {
	r.result.Keys, r.result.PassedKeys = r.refused.len(), r.passed.len()
	slices.Sort(r.result.Uncertain.UnknownNetworks)
	r.result.Rows = r.rows.most(r.query.Rows)
	r.result.Omitted = r.result.Refused + r.result.Passed
	for _, row := range r.result.Rows {
		r.result.Omitted -= row.Count
	}
	return r.result
}

// compareRows puts those with most requests first.
func compareRows(a, b Row) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), b.Day.Compare(a.Day), compareHashes(a.Hash, b.Hash), a.Network.Compare(b.Network))
}
