package engine

import (
	"errors"
	"fmt"
	"time"
)

// maxRetentionDays is a hundred years.
const maxRetentionDays = 36_500

// Retention says after how many days what is kept goes; 0: never.
type Retention struct {
	ArchiveDays   int `json:"archiveDays"`   // without use, until a binding goes to the archive
	PurgeDays     int `json:"purgeDays"`     // in the archive, until it is removed
	InterceptDays int `json:"interceptDays"` // until a record of a refused request is removed
	CounterDays   int `json:"counterDays"`   // until a counter is; the dashboard looks back 60 days
	AuditDays     int `json:"auditDays"`     // until an entry of the audit trail is
}

// DefaultRetention returns what applies where nothing is set.
func DefaultRetention() Retention {
	return Retention{ArchiveDays: 90, PurgeDays: 365, InterceptDays: 90, CounterDays: 400}
}

// Validate returns every fault of the retention, joined.
func (r Retention) Validate() error {
	days := func(name string, n int) error {
		if n < 0 || n > maxRetentionDays {
			return fmt.Errorf("%s %d, want 0 (never) to %d", name, n, maxRetentionDays)
		}
		return nil
	}
	return errors.Join(
		days("archive days", r.ArchiveDays), days("purge days", r.PurgeDays), days("intercept days", r.InterceptDays),
		days("counter days", r.CounterDays), days("audit days", r.AuditDays),
	)
}

// before returns the time that so many days have passed since, and reports
// whether anything goes at all.
func before(now time.Time, days int) (time.Time, bool) {
	return now.Add(-time.Duration(days) * 24 * time.Hour), days > 0
}

// Retention returns how long things are kept now.
func (e *Engine) Retention() Retention { return *e.retention.Load() }

// SetRetention replaces how long things are kept, from the next housekeeping on.
func (e *Engine) SetRetention(r Retention) error {
	if err := r.Validate(); err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	e.retention.Store(&r)
	return nil
}
