package admin

import (
	"context"
	"io"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
)

const (
	maintenanceTag = "maintenance"
	// backupTime is the time in the name of a backup: in UTC, and without what
	// file systems do not take.
	backupTime    = "2006-01-02T150405Z"
	aboutLongWork = "The answer comes when it is done. It goes on if the caller leaves before; the audit trail tells the end of it."
)

// works are the long works of which one runs at a time.
type works struct {
	importing, housekeeping, compacting sync.Mutex
}

// registerMaintenance adds the care of the store.
func (a *API) registerMaintenance() {
	handle(a, operation{
		method: http.MethodGet, path: "/backup", id: "get-backup", tag: maintenanceTag, role: account.Admin,
		summary: "Download a backup", content: "application/octet-stream", errors: []int{http.StatusNotImplemented},
		about: "A consistent copy of everything in the data file, as of one moment, while the server goes on: sentinel restore takes it, " +
			"and so does a start with it in the place of the data file. It has no secrets of the configuration. An answer that ends early is no backup; " +
			"clients see that as a broken transfer.",
	}, a.backup)
	handle(a, operation{
		method: http.MethodPost, path: "/maintenance/compact", id: "compact-store", tag: maintenanceTag, role: account.Admin,
		summary: "Give disk space back", errors: []int{http.StatusConflict, http.StatusNotImplemented},
		about: "Writes the data file anew without its free space. Reads go on meanwhile; changes, first uses among them, wait. " + aboutLongWork,
	}, a.compact)
	handle(a, operation{
		method: http.MethodPost, path: "/maintenance/housekeeping", id: "run-housekeeping", tag: maintenanceTag, role: account.Admin,
		summary: "Archive and remove now what its time has come for", errors: []int{http.StatusConflict},
		about: "What otherwise runs every hour, as the settings of retention say. " + aboutLongWork,
	}, a.housekeep)
}

func noMaintainer() error {
	return faultf(http.StatusNotImplemented, "not_implemented", "the store is not a file of this server's own: use the tools of where it is")
}

func (a *API) backup(ctx context.Context, c *call, _ *struct{}) (*huma.StreamResponse, error) {
	if a.opts.Maintainer == nil {
		return nil, noMaintainer()
	}
	if err := a.audit(ctx, c, "store.backup", "", nil, nil); err != nil {
		return nil, err
	}
	name := "sentinel-" + a.now().UTC().Format(backupTime) + ".db"
	return a.attachment("application/octet-stream", name, func(ctx context.Context, w io.Writer) error {
		_, err := a.opts.Maintainer.Snapshot(ctx, w)
		return err
	}), nil
}

type compactResult struct {
	Before int64 `json:"before" doc:"Bytes that the data file had."`
	After  int64 `json:"after" doc:"Bytes that it has."`
}

type compactOutput struct {
	Body compactResult
}

func (a *API) compact(ctx context.Context, c *call, _ *struct{}) (*compactOutput, error) {
	if a.opts.Maintainer == nil {
		return nil, noMaintainer()
	}
	if !a.works.compacting.TryLock() {
		return nil, alreadyRunning("a compaction")
	}
	defer a.works.compacting.Unlock()
	before, after, err := a.opts.Maintainer.Compact(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	result := compactResult{before, after}
	return &compactOutput{result}, a.audit(ctx, c, "store.compact", "", nil, result)
}

func alreadyRunning(what string) error {
	return faultf(http.StatusConflict, "already_running", "%s is under way already: one at a time", what)
}

type housekeepingResult struct {
	Archived   int   `json:"archived" doc:"Bindings that went to the archive."`
	Purged     int   `json:"purged" doc:"Bindings that were removed from the archive."`
	Intercepts int   `json:"intercepts" doc:"Records of the log that were removed."`
	Counters   int   `json:"counters" doc:"Counters that were removed."`
	Audit      int   `json:"audit" doc:"Entries of the audit trail that were removed."`
	TookMs     int64 `json:"tookMs" doc:"How long it took, in milliseconds."`
}

type housekeepingOutput struct {
	Body housekeepingResult
}

func showHousekeeping(r engine.HousekeepingResult) housekeepingResult {
	return housekeepingResult{r.Archived, r.Purged, r.Intercepts, r.Counters, r.Audit, r.Took.Milliseconds()}
}

func (a *API) housekeep(ctx context.Context, c *call, _ *struct{}) (*housekeepingOutput, error) {
	if !a.works.housekeeping.TryLock() {
		return nil, alreadyRunning("housekeeping")
	}
	defer a.works.housekeeping.Unlock()
	done, err := a.opts.Engine.Housekeep(context.WithoutCancel(ctx))
	result := showHousekeeping(done)
	if auditErr := a.audit(ctx, c, "housekeeping.run", "", nil, result); err == nil {
		err = auditErr
	}
	if err != nil {
		return nil, err
	}
	return &housekeepingOutput{result}, nil
}
