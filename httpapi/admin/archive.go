package admin

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	archiveTag = "archive"
	// archiveLooks is how often the store is asked for one page, as logLooks.
	archiveLooks = 8
)

// registerArchive adds what concerns the archive.
func (a *API) registerArchive() {
	handle(a, operation{
		method: http.MethodGet, path: "/archive", id: "list-archive", tag: archiveTag, role: account.Viewer,
		summary: "List the archive",
		about: "Bindings that left the active set for want of use, in the order of their hashes. They do not decide: a key is bound anew " +
			"at its next use. A page may be short, or even empty, and still have a next: the search goes on there.",
	}, a.listArchive)
	handle(a, operation{
		method: http.MethodGet, path: "/archive/{hash}", id: "get-archived", tag: archiveTag, role: account.Viewer,
		summary: "Show an entry of the archive", errors: []int{http.StatusNotFound},
	}, a.getArchived)
	handle(a, operation{
		method: http.MethodPost, path: "/archive/{hash}/restore", id: "restore-archived", tag: archiveTag, role: account.Operator,
		summary: "Put a binding back in force", errors: []int{http.StatusNotFound, http.StatusConflict},
		about: "Moves the binding from the archive back, with its rule, label, note and usage. It counts as new, so that it is not archived again at once.",
	}, a.restoreArchived)
	handle(a, operation{
		method: http.MethodPost, path: "/archive/{hash}/restore/undo", id: "undo-restore-archived", tag: archiveTag, role: account.Operator,
		summary: "Take a restore back", errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		about: "Moves a binding that was restored into the archive again, as it was but for the time. A key that has been used since stays bound. " +
			"If-Match with the ETag of the restore keeps a binding that somebody has changed since.",
	}, a.undoRestore)
	handle(a, operation{
		method: http.MethodPost, path: "/archive/run", id: "run-archive", tag: archiveTag, role: account.Admin,
		summary: "Archive now what its time has come for", errors: []int{http.StatusConflict},
		about: "The same as run-housekeeping, which otherwise runs every hour. " + aboutLongWork,
	}, a.housekeep)
}

type archiveInput struct {
	BindingFilter
	ArchivedSince  time.Time `query:"archivedSince" pattern:"^(19[7-9]|[2-9][0-9][0-9])[0-9]-" patternDescription:"time of 1970 or later" doc:"Archived at this time or later."`
	ArchivedBefore time.Time `query:"archivedBefore" pattern:"^(19[7-9]|[2-9][0-9][0-9])[0-9]-" patternDescription:"time of 1970 or later" doc:"Archived before this time."`
	PageInput
}

// archivedRow is an entry in a list.
type archivedRow struct {
	Binding
	Usage      Usage     `json:"usage" doc:"How the key had been used."`
	ArchivedAt time.Time `json:"archivedAt" doc:"When it was archived."`
}

type listArchiveOutput struct {
	Body page[archivedRow]
}

func (a *API) listArchive(ctx context.Context, _ *call, in *archiveInput) (*listArchiveOutput, error) {
	var f faults
	q := store.ArchiveQuery{
		Filter: in.filter("query.", &f), Archived: timeRange(in.ArchivedSince, in.ArchivedBefore, "query.archivedBefore", &f),
		After: in.After, Limit: in.Limit,
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	out := &listArchiveOutput{page[archivedRow]{Items: []archivedRow{}}}
	if reflect.ValueOf(q.Filter).IsZero() && q.Archived.IsZero() {
		total, err := a.opts.Store.CountArchived(ctx)
		if err != nil {
			return nil, err
		}
		out.Body.Total = &total
	}
	q.Filter = a.reaching(q.Filter)
	for range archiveLooks {
		found, err := a.opts.Store.FindArchived(ctx, q)
		if err != nil {
			return nil, cursorFault(err, "query.after", in.After)
		}
		for _, row := range found.Rows {
			out.Body.Items = append(out.Body.Items, archivedRow{showBinding(row.Binding), showUsage(row.Usage), row.ArchivedAt.UTC()})
		}
		q.After, q.Limit = found.Next, in.Limit-len(out.Body.Items)
		if q.After == "" || q.Limit <= 0 {
			break
		}
	}
	out.Body.Next = q.After
	return out, nil
}

// archivedDetails is all there is of one entry.
type archivedDetails struct {
	Binding
	Usage      usageDetails `json:"usage" doc:"How the key had been used."`
	ArchivedAt time.Time    `json:"archivedAt" doc:"When it was archived."`
	Bound      bool         `json:"bound" doc:"Whether the key has been bound anew since: then it cannot be restored."`
}

type archivedOutput struct {
	Body archivedDetails
}

func (a *API) getArchived(ctx context.Context, _ *call, in *struct{ HashPath }) (*archivedOutput, error) {
	hash, err := in.hash()
	if err != nil {
		return nil, err
	}
	entry, err := a.opts.Store.Archived(ctx, hash)
	if err != nil {
		return nil, err
	}
	_, err = a.opts.Store.Binding(ctx, hash)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return &archivedOutput{archivedDetails{
		showBinding(entry.Binding), showUsageDetails(entry.Usage), entry.ArchivedAt.UTC(), err == nil,
	}}, nil
}

func (a *API) restoreArchived(ctx context.Context, c *call, in *struct{ HashPath }) (*bindingOutput, error) {
	hash, err := in.hash()
	if err != nil {
		return nil, err
	}
	b, err := a.opts.Engine.Restore(ctx, hash)
	if errors.Is(err, store.ErrConflict) {
		return nil, faultf(http.StatusConflict, "already_bound", "the key has been bound anew: unbind it first")
	}
	if err != nil {
		return nil, err
	}
	return answerBinding(b), a.audit(ctx, c, "binding.restore", bindingTarget(hash), nil, showBinding(b))
}

type undoRestoreInput struct {
	HashPath
	IfMatch
}

func (a *API) undoRestore(ctx context.Context, c *call, in *undoRestoreInput) (*struct{}, error) {
	hash, err := in.hash()
	if err != nil {
		return nil, err
	}
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	b, err := a.opts.Engine.UndoRestore(ctx, hash, revision)
	if errors.Is(err, engine.ErrUsedSince) {
		return nil, faultf(http.StatusConflict, "used_since", "the key has been used since it was restored: unbind it instead")
	}
	if err != nil {
		return nil, err
	}
	return nil, a.audit(ctx, c, "binding.restore_undo", bindingTarget(hash), showBinding(b), nil)
}
