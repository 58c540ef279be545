package admin

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

const tagAbout = "about"

// aboutView is what this server is and how much it keeps.
type aboutView struct {
	Version       string    `json:"version" doc:"Of the program."`
	GoVersion     string    `json:"goVersion" doc:"Of the Go that it was made with."`
	Node          string    `json:"node" doc:"Name of this node."`
	StartedAt     time.Time `json:"startedAt" doc:"When it was started."`
	UptimeSeconds int64     `json:"uptimeSeconds" doc:"How long ago that was."`
	Bindings      int       `json:"bindings" doc:"How many there are."`
	Archived      int       `json:"archived" doc:"How many entries the archive has."`

	Hashes       *hashesView       `json:"hashes,omitempty" doc:"Bindings that are found by another key hash than that of today; absent where the HMAC secret was never changed."`
	Store        *storeView        `json:"store,omitempty" doc:"The data file; absent where the store is on a server of its own."`
	Housekeeping *housekeepingView `json:"housekeeping,omitempty" doc:"The last run; absent before the first."`
	Retention    retentionView     `json:"retention" doc:"For how long things are kept."`
}

type storeView struct {
	TotalBytes int64 `json:"totalBytes" doc:"Size of the data file."`
	FreeBytes  int64 `json:"freeBytes" doc:"What a compaction could give back, at least about."`
}

// hashesView has the fields of engine.HashesLeft.
type hashesView struct {
	Previous  int       `json:"previous" doc:"Bindings under an HMAC secret from before: as long as there are any, that secret is needed."`
	AsSent    int       `json:"asSent" doc:"Bindings under the key as it was sent, as the earlier deployment hashed it."`
	Unknown   int       `json:"unknown" doc:"Bindings under a secret that is not given: their keys are unknown."`
	Archived  int       `json:"archived" doc:"Entries of the archive under any of these."`
	CountedAt time.Time `json:"countedAt" doc:"When they were counted; what this server has moved since is taken off."`
}

func viewHashes(e *engine.Engine) *hashesView {
	left, isCounted := e.HashesLeft()
	if !isCounted {
		return nil
	}
	return &hashesView{left.Previous, left.AsSent, left.Unknown, left.Archived, left.At}
}

type housekeepingView struct {
	At         time.Time `json:"at" doc:"When it ended."`
	TookMs     int64     `json:"tookMs" doc:"How long it took."`
	Archived   int       `json:"archived" doc:"Bindings moved to the archive."`
	Purged     int       `json:"purged" doc:"Entries removed from the archive."`
	Intercepts int       `json:"intercepts" doc:"Records of intercepts removed."`
	Counters   int       `json:"counters" doc:"Counters removed."`
	Audit      int       `json:"audit" doc:"Entries of the audit trail removed."`
	Failed     bool      `json:"failed" doc:"Whether it could not do everything; the log says why."`
}

// retentionView is in days; 0: for ever.
type retentionView struct {
	ArchiveDays   int `json:"archiveDays" doc:"Days without use after which a binding is archived; 0: never."`
	PurgeDays     int `json:"purgeDays" doc:"Days in the archive after which an entry is removed; 0: never."`
	InterceptDays int `json:"interceptDays" doc:"Days for which intercepts are kept; 0: for ever."`
	CounterDays   int `json:"counterDays" doc:"Days for which counters are kept; 0: for ever."`
	AuditDays     int `json:"auditDays" doc:"Days for which the audit trail is kept; 0: for ever."`
}

type aboutOut struct{ Body aboutView }

type countsOut struct {
	Body map[string]uint64 `doc:"What was counted since the start, by name."`
}

func (a *API) registerAbout() {
	handle(a, operation{
		method: http.MethodGet, path: "/about", id: "get-about", tag: tagAbout, summary: "Version, uptime and sizes", role: account.Viewer,
	}, a.about)
	handle(a, operation{
		method: http.MethodGet, path: "/counts", id: "get-counts", tag: tagAbout, summary: "What this node has counted since its start",
		about: "The dashboard has the counts of all nodes over time.", role: account.Viewer,
	}, a.counts)
}

func (a *API) about(ctx context.Context, _ *call, _ *struct{}) (*aboutOut, error) {
	now := a.now()
	v := aboutView{
		Version: a.opts.Version, GoVersion: runtime.Version(), Node: a.opts.Node,
		StartedAt: store.StoredTime(a.started), UptimeSeconds: int64(now.Sub(a.started) / time.Second),
		Retention: retentionView(a.opts.Engine.Retention()),
	}
	var err error
	if v.Bindings, err = a.opts.Store.CountBindings(ctx); err != nil {
		return nil, err
	}
	if v.Archived, err = a.opts.Store.CountArchived(ctx); err != nil {
		return nil, err
	}
	if a.opts.Maintainer != nil {
		size, err := a.opts.Maintainer.Size(ctx)
		if err != nil {
			return nil, err
		}
		v.Store = &storeView{size.Total, size.Free}
	}
	v.Hashes = viewHashes(a.opts.Engine)
	v.Housekeeping = viewHousekeeping(a.opts.Engine.LastHousekeeping())
	return &aboutOut{v}, nil
}

func viewHousekeeping(at time.Time, r engine.HousekeepingResult, err error) *housekeepingView {
	if at.IsZero() {
		return nil
	}
	return &housekeepingView{
		At: store.StoredTime(at), TookMs: r.Took.Milliseconds(), Archived: r.Archived, Purged: r.Purged,
		Intercepts: r.Intercepts, Counters: r.Counters, Audit: r.Audit, Failed: err != nil,
	}
}

func (a *API) counts(context.Context, *call, *struct{}) (*countsOut, error) {
	return &countsOut{a.opts.Engine.Counts()}, nil
}
