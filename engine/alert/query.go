package alert

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Filter chooses alerts; its zero fields choose all.
type Filter struct {
	State  State
	Kind   Kind
	Hash   store.KeyHash
	Text   string // only those whose subject has this part, in any case
	Limit  int    // 1 to store.MaxPage; 0: store.DefaultPage
	Cursor string // Next of the page before
}

// Page is one page of alerts, those that opened last first.
type Page struct {
	Alerts []Alert `json:"alerts"`
	Total  int     `json:"total"`          // that match, on all pages
	Next   string  `json:"next,omitempty"` // Cursor of the next page; empty: this is the last one
}

func (f Filter) matches(a *Alert) bool {
	return (f.State == "" || a.State == f.State) &&
		(f.Kind == "" || a.Kind == f.Kind) &&
		(f.Hash.IsZero() || a.Subject.Hash == f.Hash) &&
		(f.Text == "" || a.Subject.has(f.Text))
}

func (s Subject) has(text string) bool {
	network := ""
	if s.Network.IsValid() {
		network = s.Network.String()
	}
	return slices.ContainsFunc([]string{s.Hint, s.Label, s.Account, network}, func(part string) bool {
		return store.HasText(part, text)
	})
}

// List returns the alerts that match, those that opened last first.
func (c *Center) List(f Filter) Page {
	c.mu.Lock()
	defer c.mu.Unlock()
	var rows []*row[alertRecord]
	page := Page{Alerts: []Alert{}}
	for _, r := range c.alerts.rows {
		if !f.matches(&r.value.Alert) {
			continue
		}
		page.Total++
		if f.Cursor == "" || r.id < f.Cursor {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b *row[alertRecord]) int { return cmp.Compare(b.id, a.id) })
	limit := pageSize(f.Limit)
	for i, r := range rows {
		if i == limit {
			page.Next = rows[i-1].id
			break
		}
		page.Alerts = append(page.Alerts, r.value.clone())
	}
	return page
}

// Get returns one alert. Returns store.ErrNotFound.
func (c *Center) Get(id string) (Alert, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.alerts.rows[id]
	if !ok {
		return Alert{}, store.ErrNotFound
	}
	return r.value.clone(), nil
}

// Acknowledge stops the reminders of an alert, for which by is responsible.
// Doing it again changes nothing. Returns store.ErrNotFound, or an error of the
// store: then it holds until the process ends, and is written when possible.
func (c *Center) Acknowledge(ctx context.Context, id, by string) (Alert, error) {
	r, a, err := c.acknowledge(id, by, c.stamp())
	if err != nil {
		return Alert{}, err
	}
	return a, c.alerts.save(ctx, r)
}

// acknowledge does it in memory.
func (c *Center) acknowledge(id, by string, at time.Time) (*row[alertRecord], Alert, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.alerts.rows[id]
	if !ok {
		return nil, Alert{}, store.ErrNotFound
	}
	if r.value.AcknowledgedAt.IsZero() {
		r.value.AcknowledgedBy, r.value.AcknowledgedAt = strings.Clone(by), at
		r.touchLocked()
		c.publishLocked("acknowledged", &r.value.Alert)
	}
	return r, r.value.clone(), nil
}
