package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/key-ip-sentinel/sentinel/engine/event"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// changesAtOnce is how many changes of an act on many run at a time, so that
	// they share commits.
	changesAtOnce = 64
	// progressSteps is about how often the progress of a long act is told.
	progressSteps = 200
)

// BulkAct is what Bulk does to each binding: exactly one of these.
type BulkAct struct {
	Edit   *BindingEdit // with Revision 0
	Unbind bool
}

// BulkTarget is the bindings that Bulk acts on.
type BulkTarget struct {
	Hashes []store.KeyHash     // these; nil: those that Filter chooses
	Filter store.BindingFilter // the zero filter chooses all
}

// BulkResult counts what became of the bindings. Each one that was acted on is
// counted in exactly one of Changed, Unchanged, Missing and Failed.
type BulkResult struct {
	Matched   int `json:"matched"`   // distinct keys given, or chosen by the filter
	Changed   int `json:"changed"`   // in a dry run: would be
	Unchanged int `json:"unchanged"` // are as the act would have them already
	Missing   int `json:"missing"`   // without a binding
	Failed    int `json:"failed"`
	// FirstError is why the first of those that failed did; nil if none did.
	FirstError error `json:"-"`
}

// Bulk does one act to many bindings, each in a step of its own. With a filter,
// it acts on those that are chosen when it begins. A dry run counts what would
// change, and changes nothing. progress, if not nil, is called now and then,
// never twice at a time.
//
// Returns store.ErrInvalid for an act that cannot be done to any. If ctx is done
// or the store does not answer, it ends early with that error, and the result
// says how far it came: doing it again does the rest.
func (e *Engine) Bulk(
	ctx context.Context, target BulkTarget, act BulkAct, dryRun bool, progress func(done, total int),
) (BulkResult, error) {
	act, err := act.clean()
	if err != nil {
		return BulkResult{}, fmt.Errorf("change bindings: %w", err)
	}
	hashes := distinct(target.Hashes)
	if target.Hashes == nil {
		if hashes, err = e.findHashes(ctx, target.Filter); err != nil {
			return BulkResult{}, fmt.Errorf("choose bindings: %w", err)
		}
	}
	do := e.unbindOne
	switch {
	case dryRun:
		do = func(ctx context.Context, hash store.KeyHash) (event.Action, error) { return e.tryOne(ctx, hash, act) }
	case act.Edit != nil:
		do = func(ctx context.Context, hash store.KeyHash) (event.Action, error) {
			return e.editOne(ctx, hash, *act.Edit)
		}
	}
	t := tally{result: BulkResult{Matched: len(hashes)}, actions: make(map[event.Action]int)}
	err = forEach(ctx, len(hashes), progress, func(ctx context.Context, i int) error {
		action, err := do(ctx, hashes[i])
		return t.add(action, err)
	})
	if !dryRun {
		for action, n := range t.actions {
			e.tellMany(action, n)
		}
	}
	if err != nil {
		return t.result, fmt.Errorf("change bindings: %w", err)
	}
	return t.result, nil
}

func (act BulkAct) clean() (BulkAct, error) {
	switch {
	case act.Unbind == (act.Edit != nil):
		return act, fmt.Errorf("%w: act: want either an edit or to unbind", store.ErrInvalid)
	case act.Edit == nil:
		return act, nil
	case act.Edit.Revision != 0:
		return act, fmt.Errorf("%w: revision: an edit of many bindings takes none", store.ErrInvalid)
	}
	edit, err := act.Edit.clean()
	act.Edit = &edit
	return act, err
}

// editOne, unbindOne and tryOne return what became, or would become, of one
// binding: no action if it is as it was.
func (e *Engine) editOne(ctx context.Context, hash store.KeyHash, edit BindingEdit) (event.Action, error) {
	before, after, err := e.edit(ctx, hash, edit)
	if err != nil || before.Revision == after.Revision {
		return "", err
	}
	return editAction(before, after), nil
}

func (e *Engine) unbindOne(ctx context.Context, hash store.KeyHash) (event.Action, error) {
	_, err := e.unbind(ctx, hash, 0)
	return event.Unbound, err
}

func (e *Engine) tryOne(ctx context.Context, hash store.KeyHash, act BulkAct) (event.Action, error) {
	before, err := e.store.Binding(ctx, hash)
	if err != nil || act.Unbind {
		return event.Unbound, err
	}
	after := before
	act.Edit.apply(&after)
	if sameBinding(before, after) {
		return "", nil
	}
	return editAction(before, after), nil
}

// tally adds up what became of many bindings.
type tally struct {
	mu      sync.Mutex
	result  BulkResult
	actions map[event.Action]int
}

// add returns the errors that end the whole.
func (t *tally) add(action event.Action, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil && action == "":
		t.result.Unchanged++
	case err == nil:
		t.result.Changed++
		t.actions[action]++
	case errors.Is(err, store.ErrNotFound):
		t.result.Missing++
	default:
		t.result.Failed++
		if t.result.FirstError == nil {
			t.result.FirstError = err
		}
		if errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	return nil
}

// findHashes returns the keys of all bindings that a filter chooses.
func (e *Engine) findHashes(ctx context.Context, f store.BindingFilter) ([]store.KeyHash, error) {
	var hashes []store.KeyHash
	q := store.BindingQuery{Filter: f, Limit: store.MaxPage}
	for {
		page, err := e.store.FindBindings(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, row := range page.Rows {
			hashes = append(hashes, row.Binding.Hash)
		}
		if page.Next == "" {
			return distinct(hashes), nil // a binding that changes meanwhile may be on two pages
		}
		q.After = page.Next
	}
}

// distinct returns the hashes in their order, each once.
func distinct(hashes []store.KeyHash) []store.KeyHash {
	seen := make(map[store.KeyHash]struct{}, len(hashes))
	once := make([]store.KeyHash, 0, len(hashes))
	for _, hash := range hashes {
		if _, ok := seen[hash]; !ok {
			seen[hash] = struct{}{}
			once = append(once, hash)
		}
	}
	return once
}

// forEach calls do for 0 to n-1, changesAtOnce at a time, until one returns an
// error or ctx is done: then those under way are finished, and that error is
// returned.
func forEach(ctx context.Context, n int, progress func(done, total int), do func(ctx context.Context, i int) error) error {
	var mu sync.Mutex
	done, step := 0, max(1, n/progressSteps)
	group, stop := errgroup.WithContext(ctx)
	group.SetLimit(changesAtOnce)
	for i := 0; i < n && stop.Err() == nil; i++ {
		group.Go(func() error {
			// Not with the group's context: one that fails must not break off
			// others in the middle of a commit.
			if err := do(ctx, i); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if done++; progress != nil && (done%step == 0 || done == n) {
				progress(done, n)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
