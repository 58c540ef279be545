package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"reflect"
	"slices"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	// bulkChunk is how many bindings are changed, and told to the audit trail, at
	// a time.
	bulkChunk = 1000
	// bulkBody is what 10,000 hashes and a large rule need.
	bulkBody = 2 << 20
)

// registerBulk adds what changes many bindings at once.
func (a *API) registerBulk() {
	handle(a, operation{
		method: http.MethodPost, path: "/bindings/bulk", id: "change-bindings", tag: bindingTag, role: account.Operator,
		summary: "Change many bindings at once", maxBody: bulkBody, errors: []int{http.StatusConflict},
		about: "Does one act to the bindings listed, or to all that a filter chooses. Each is a change of its own: if the store fails, " +
			"or the caller leaves, midway, those before are changed, and the audit trail has them; doing it again does the rest. " +
			"Send dryRun first, and then expect with the number that it counted.",
	}, a.bulk)
}

type bulkInput struct {
	Hashes []string      `json:"hashes,omitempty" minItems:"1" maxItems:"10000" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"Key hashes. Either these or filter."`
	Filter *bulkFilter   `json:"filter,omitempty" doc:"Chooses the bindings. Either this or hashes."`
	Act    string        `json:"act" enum:"ban,unban,unbind,edit" doc:"What to do to each."`
	Edit   *bulkEdit     `json:"edit,omitempty" doc:"What to change; with the act edit only."`
	DryRun bool          `json:"dryRun,omitempty" doc:"Count what would change, and change nothing."`
	Expect *expectedSize `json:"expect,omitempty" minimum:"0" maximum:"9007199254740991" doc:"How many bindings this is meant for: if it is another number now, nothing is changed and the answer is 409."`
}

type expectedSize int

type bulkFilter struct {
	BindingFilter
	All bool `json:"all,omitempty" doc:"Must be true for a filter without any other field: every binding there is."`
}

type bulkEdit struct {
	Label *string    `json:"label,omitempty" maxLength:"256" doc:"The label that all get."`
	Note  *string    `json:"note,omitempty" maxLength:"4096" doc:"The note that all get."`
	Rule  *ruleInput `json:"rule,omitempty" doc:"The rule that all get."`
}

// bulkResult is engine.BulkResult as the API shows it.
type bulkResult struct {
	Matched    int      `json:"matched" doc:"Distinct keys given, or chosen by the filter."`
	Changed    int      `json:"changed" doc:"Changed, or with dryRun: would be changed."`
	Unchanged  int      `json:"unchanged" doc:"Already as the act would have them."`
	Missing    int      `json:"missing" doc:"Without a binding."`
	Failed     int      `json:"failed" doc:"Not changed because of an error."`
	FirstError *failure `json:"firstError,omitempty" doc:"Why the first one failed."`
	DryRun     bool     `json:"dryRun" doc:"Whether this was a dry run, which has changed nothing."`
	ID         string   `json:"id,omitempty" doc:"Names the change, for undo; absent if nothing was changed."`

	Warnings []warning `json:"warnings,omitempty" doc:"What is odd about the rule that was sent, such as a prefix that adds nothing; absent if nothing is."`
}

func (a *API) addBulk(ctx context.Context, r *bulkResult, part engine.BulkResult) {
	r.Changed += part.Changed
	r.Unchanged += part.Unchanged
	r.Missing += part.Missing
	r.Failed += part.Failed
	r.FirstError = a.firstFailure(ctx, r.FirstError, part.FirstError)
}

type bulkOutput struct {
	Body bulkResult
}

func (a *API) bulk(ctx context.Context, c *call, in *struct{ Body bulkInput }) (*bulkOutput, error) {
	act, err := in.Body.act()
	if err != nil {
		return nil, err
	}
	hashes, err := a.bulkTarget(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	if expect := in.Body.Expect; expect != nil && int(*expect) != len(hashes) {
		return nil, faultf(http.StatusConflict, "number_changed", "this is %d bindings now, and not %d: nothing was changed", len(hashes), *expect)
	}
	result := bulkResult{Matched: len(hashes), DryRun: in.Body.DryRun}
	if act.Edit != nil && act.Edit.Rule != nil {
		if err := a.opts.Engine.Networks().Check(*act.Edit.Rule); err != nil { // rather than once for each binding
			return nil, locate(err, "body.edit.")
		}
		result.Warnings = warningsOf(ruleWarnings(*act.Edit.Rule))
	}
	run := bulkRun{ID: rand.Text(), Act: in.Body.Act}
	for chunk := range slices.Chunk(hashes, bulkChunk) {
		part, err := a.bulkChunk(ctx, c, run, chunk, act, in.Body.DryRun)
		a.addBulk(ctx, &result, part)
		if errors.Is(err, store.ErrUnavailable) && result.Changed > 0 {
			a.opts.Logger.Error("change of many bindings not finished", "request_id", c.requestID, "changed", result.Changed, "error", err)
			return nil, faultf(http.StatusServiceUnavailable, "store_unavailable",
				"the store does not answer: %d of %d bindings were changed; do it again for the rest", result.Changed, len(hashes))
		}
		if err != nil {
			return nil, locate(err, "body.edit.")
		}
	}
	if !result.DryRun && result.Changed > 0 {
		result.ID = run.ID
	}
	return &bulkOutput{result}, nil
}

// act returns what is to be done to each binding.
func (in bulkInput) act() (engine.BulkAct, error) {
	var f faults
	act := engine.BulkAct{}
	if in.Act != "edit" && in.Edit != nil {
		f.addf("body.edit", "goes with the act edit only")
	}
	banned, active := store.StatusBanned, store.StatusActive
	switch in.Act {
	case "ban":
		act.Edit = &engine.BindingEdit{Status: &banned}
	case "unban":
		act.Edit = &engine.BindingEdit{Status: &active}
	case actUnbind:
		act.Unbind = true
	default:
		var patch bindingPatch
		if in.Edit != nil {
			patch = bindingPatch{Label: in.Edit.Label, Note: in.Edit.Note, Rule: in.Edit.Rule}
		}
		edit := patch.edit("body.edit", &f)
		act.Edit = &edit
	}
	return act, f.err()
}

// bulkTarget returns the distinct keys that are meant.
func (a *API) bulkTarget(ctx context.Context, in bulkInput) ([]store.KeyHash, error) {
	if (in.Hashes == nil) == (in.Filter == nil) {
		return nil, invalidField("body.filter", "give either hashes or a filter")
	}
	if in.Filter != nil {
		return a.filterTarget(ctx, *in.Filter)
	}
	hashes := make([]store.KeyHash, 0, len(in.Hashes))
	for _, text := range in.Hashes {
		hash, err := parseHash("body.hashes", text)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return distinct(hashes), nil
}

func (a *API) filterTarget(ctx context.Context, in bulkFilter) ([]store.KeyHash, error) {
	var f faults
	filter := in.filter("body.filter.", &f)
	if empty := reflect.ValueOf(filter).IsZero(); empty != in.All {
		f.addf("body.filter.all", "must be true for a filter that chooses every binding, and only for that")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	var hashes []store.KeyHash
	err := a.eachBinding(ctx, filter, func(rows []store.BindingRow) error {
		for _, row := range rows {
			hashes = append(hashes, row.Binding.Hash)
		}
		return nil
	})
	return distinct(hashes), err
}

// distinct returns the hashes in their order, each once.
func distinct(hashes []store.KeyHash) []store.KeyHash {
	seen := make(map[store.KeyHash]struct{}, len(hashes))
	return slices.DeleteFunc(hashes, func(h store.KeyHash) bool {
		_, again := seen[h]
		seen[h] = struct{}{}
		return again
	})
}

// bulkAction is what the audit trail calls a change of many bindings.
const bulkAction = "binding.bulk"

// bulkTargetName names one in the audit trail.
func bulkTargetName(id string) string { return "bulk:" + id }

// bulkRun is what the audit entries of one request have in common.
type bulkRun struct {
	ID  string `json:"bulk"`
	Act string `json:"act"`
}

// bulkChunk acts on a part, and tells the audit trail of what has changed in
// it: one entry for the whole part, with every binding as it was and as it is.
func (a *API) bulkChunk(
	ctx context.Context, c *call, run bulkRun, hashes []store.KeyHash, act engine.BulkAct, dryRun bool,
) (engine.BulkResult, error) {
	if dryRun {
		return a.opts.Engine.Bulk(ctx, engine.BulkTarget{Hashes: hashes}, act, true, nil)
	}
	before, err := a.readBindings(ctx, hashes)
	if err != nil {
		return engine.BulkResult{}, err
	}
	result, actErr := a.opts.Engine.Bulk(ctx, engine.BulkTarget{Hashes: hashes}, act, false, nil)
	if actErr != nil && errors.Is(actErr, store.ErrInvalid) {
		return result, actErr // of none of them
	}
	after, err := a.readBindings(context.WithoutCancel(ctx), hashes)
	if err != nil {
		return result, errors.Join(actErr, err)
	}
	for hash, b := range after {
		// What somebody else has made meanwhile, such as a first use of a key that
		// was unbound here, is not of this act.
		if was, ok := before[hash]; !ok || act.Unbind && was.Revision != b.Revision {
			delete(after, hash)
		}
	}
	return result, errors.Join(actErr, a.auditMany(ctx, c, bulkAction, run, before, after))
}

// readBindings returns those that there are.
func (a *API) readBindings(ctx context.Context, hashes []store.KeyHash) (map[store.KeyHash]store.Binding, error) {
	found := make(map[store.KeyHash]store.Binding, len(hashes))
	for _, hash := range hashes {
		b, err := a.opts.Store.Binding(ctx, hash)
		switch {
		case err == nil:
			found[hash] = b
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	return found, nil
}

// removedBinding is a binding in the audit trail, with what it takes to bind its key
// again as it was.
type removedBinding struct {
	Binding
	HashedWith uint32 `json:"hashedWith,omitempty"`
}

// manyChanges is a side of an audit entry that tells of many bindings.
type manyChanges struct {
	bulkRun
	Bindings []any `json:"bindings"`
}

// auditMany writes one entry for all bindings that are different, in the order
// of their hashes.
func (a *API) auditMany(
	ctx context.Context, c *call, action string, run bulkRun, before, after map[store.KeyHash]store.Binding,
) error {
	was, is := manyChanges{bulkRun: run}, manyChanges{bulkRun: run}
	for _, hash := range keysOfBoth(before, after) {
		b, existed := before[hash]
		n, exists := after[hash]
		switch {
		case existed && exists:
			from, to := differences(b, n)
			if reflect.ValueOf(from).IsZero() {
				continue
			}
			from.Hash, to.Hash, to.Revision = hash.String(), hash.String(), n.Revision
			was.Bindings, is.Bindings = append(was.Bindings, from), append(is.Bindings, to)
		case existed:
			was.Bindings = append(was.Bindings, removedBinding{showBinding(b), b.HashedWith})
		default:
			is.Bindings = append(is.Bindings, showBinding(n))
		}
	}
	if len(was.Bindings)+len(is.Bindings) == 0 {
		return nil
	}
	return a.audit(ctx, c, action, bulkTargetName(run.ID), was, is)
}

func keysOfBoth(a, b map[store.KeyHash]store.Binding) []store.KeyHash {
	keys := make([]store.KeyHash, 0, max(len(a), len(b)))
	for hash := range a {
		keys = append(keys, hash)
	}
	for hash := range b {
		if _, ok := a[hash]; !ok {
			keys = append(keys, hash)
		}
	}
	slices.SortFunc(keys, func(a, b store.KeyHash) int { return slices.Compare(a[:], b[:]) })
	return keys
}
