package store

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// AuditLog keeps the record of every administrative act.
type AuditLog interface {
	// AppendAudit stores an entry and returns it with its ID, which is higher
	// than that of any before.
	AppendAudit(ctx context.Context, e AuditEntry) (AuditEntry, error)

	// ListAudit returns the entries that match, newest first. It may look at a
	// bounded number only: then the page is not full, and Next is not 0.
	ListAudit(ctx context.Context, f AuditFilter) (AuditPage, error)

	// DeleteAudit removes up to limit entries from before a time, oldest first,
	// and returns how many it was.
	DeleteAudit(ctx context.Context, before time.Time, limit int) (int, error)
}

// AuditEntry is one administrative act: who did what to what, from where.
type AuditEntry struct {
	ID uint64    `json:"id"`
	At time.Time `json:"at"` // milliseconds, UTC
	// Actor is "account:NAME", "token:NAME", "local" for who may open the socket
	// in the data directory, "rebind-link" for who had one, or "system".
	Actor    string     `json:"actor"`
	ClientIP netip.Addr `json:"clientIp,omitzero"`
	Action   string     `json:"action"` // such as binding.ban
	// Target is what was acted on: "binding:HASH", "account:NAME",
	// "setting:NAME", "token:NAME" or nothing.
	Target string `json:"target,omitempty"`
	// Before and After are what the act changed, without secrets.
	Before    json.RawMessage `json:"before,omitempty"`
	After     json.RawMessage `json:"after,omitempty"`
	RequestID string          `json:"requestId,omitempty"`
}

// Changed returns e with what an act changed, as JSON; nil is left out. Neither may
// hold secrets.
func (e AuditEntry) Changed(before, after any) (AuditEntry, error) {
	for _, side := range []struct {
		value any
		raw   *json.RawMessage
	}{{before, &e.Before}, {after, &e.After}} {
		if side.value == nil {
			continue
		}
		raw, err := json.Marshal(side.value)
		if err != nil {
			return AuditEntry{}, fmt.Errorf("audit %s: %w", e.Action, err)
		}
		*side.raw = raw
	}
	return e, nil
}

// AuditFilter chooses entries; its zero fields choose all.
type AuditFilter struct {
	Before uint64    // only IDs below this one
	Time   TimeRange // only At within
	Actor  string    // exactly
	Action string    // exactly, or all that begin with it if it ends in "."
	Target string    // exactly
	Limit  int       // 1 to MaxPage; 0: DefaultPage
}

// AuditPage is one page of entries.
type AuditPage struct {
	Entries []AuditEntry
	Next    uint64 // Before of the next page; 0: this is the last one
}

// Matches reports whether the filter chooses an entry, but for its Limit.
func (f AuditFilter) Matches(e AuditEntry) bool {
	action := f.Action == "" || e.Action == f.Action ||
		strings.HasSuffix(f.Action, ".") && strings.HasPrefix(e.Action, f.Action)
	return action && (f.Before == 0 || e.ID < f.Before) && f.Time.Contains(e.At) &&
		(f.Actor == "" || e.Actor == f.Actor) && (f.Target == "" || e.Target == f.Target)
}
