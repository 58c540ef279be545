package memory

import (
	"context"
	"slices"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// PutIntercepts is part of store.Intercepts.
func (s *Store) PutIntercepts(ctx context.Context, recs []store.Intercept) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.putInterceptsLocked(recs)
	return nil
}

func (s *Store) putInterceptsLocked(recs []store.Intercept) {
	for i := range recs {
		isNew := recs[i].ID == 0
		if isNew {
			s.lastIntercept++
			recs[i].ID = s.lastIntercept
		}
		r := recs[i]
		r.At, r.Last = store.StoredTime(r.At), store.StoredTime(r.Last)
		if isNew {
			s.intercepts = append(s.intercepts, r)
			continue
		}
		if at, found := slices.BinarySearchFunc(s.intercepts, r.ID, compareID); found {
			s.intercepts[at] = r
		}
	}
}

func compareID(r store.Intercept, id uint64) int {
	switch {
	case r.ID < id:
		return -1
	case r.ID > id:
		return 1
	}
	return 0
}

// ListIntercepts is part of store.Intercepts.
func (s *Store) ListIntercepts(ctx context.Context, f store.InterceptFilter) (store.InterceptPage, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return store.InterceptPage{}, err
	}
	defer leave()
	var page store.InterceptPage
	for _, r := range slices.Backward(s.intercepts) {
		if !f.Matches(r) {
			continue
		}
		if len(page.Records) == pageSize(f.Limit) {
			page.Next = page.Records[len(page.Records)-1].ID
			break
		}
		page.Records = append(page.Records, r)
	}
	return page, nil
}

// DeleteIntercepts is part of store.Intercepts.
func (s *Store) DeleteIntercepts(ctx context.Context, before time.Time, limit int) (int, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	n := 0
	s.intercepts = slices.DeleteFunc(s.intercepts, func(r store.Intercept) bool { return takes(&n, limit, r.At.Before(before)) })
	return n, nil
}

// takes counts in n what is wanted, up to a limit, and reports whether this is.
func takes(n *int, limit int, isWanted bool) bool {
	if *n >= limit || !isWanted {
		return false
	}
	*n++
	return true
}
