package store

import (
	"cmp"
	"context"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Catalog finds bindings.
type Catalog interface {
	// FindBindings returns one page of the bindings that match, in the order
	// asked for, and how many match in all. A page is a moment: what changes
	// between two pages may be on both or on none, but what does not change is on
	// exactly one. Returns ErrInvalid for a cursor that is none of this order, or
	// an unknown order.
	FindBindings(ctx context.Context, q BindingQuery) (BindingPage, error)
}

// BindingSort is what a page of bindings is ordered by. Equals are ordered by
// hash.
type BindingSort string

// The orders.
const (
	SortCreated  BindingSort = "created"  // the default
	SortLastUsed BindingSort = "lastUsed" // never used: before all others
	SortHits     BindingSort = "hits"
	SortHint     BindingSort = "hint"
	SortLabel    BindingSort = "label"
)

// BindingSorts lists the orders.
var BindingSorts = []BindingSort{SortCreated, SortLastUsed, SortHits, SortHint, SortLabel}

// BindingQuery asks for one page.
type BindingQuery struct {
	Filter     BindingFilter
	Sort       BindingSort // empty: SortCreated
	Descending bool
	After      string // BindingPage.Next of the page before; empty: the first page
	Limit      int    // 1 to MaxPage; 0: DefaultPage
}

// Sizes of a page.
const (
	DefaultPage = 50
	MaxPage     = 1000
)

// BindingPages yields all bindings in the order of their hashes, up to MaxPage at a time.
// An error is the last that it yields.
func BindingPages(ctx context.Context, from interface {
	ListBindings(ctx context.Context, after KeyHash, limit int) ([]Binding, error)
}) iter.Seq2[[]Binding, error] {
	return func(yield func([]Binding, error) bool) {
		for after := (KeyHash{}); ; {
			page, err := from.ListBindings(ctx, after, MaxPage)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(page) == 0 || !yield(page, nil) {
				return
			}
			after = page[len(page)-1].Hash
		}
	}
}

// BindingPage is one page of bindings.
type BindingPage struct {
	Rows  []BindingRow
	Next  string // opaque; empty: this is the last page
	Total int    // of all pages
}

// BindingRow is a binding with its usage, without the usage's history.
type BindingRow struct {
	Binding Binding
	Usage   Usage
}

// BindingFilter chooses bindings that are all of what its fields say; zero
// fields choose all.
type BindingFilter struct {
	Hashes []KeyHash // one of these
	Text   string    // part of hint or label, in any case
	Hint   string    // part of the hint, in any case
	Label  string    // part of the label, in any case
	// Network chooses rules that let at least one address of it pass, the rule
	// RuleAll among them: which keys may come from there.
	Network netip.Prefix
	// Within are the names of networks that have an address of Network: rules that
	// name one of them let it pass too. Without a Network it says nothing.
	Within []string
	Names  string // chooses rules that name this network
	Status Status
	Rule   RuleKind
	// Created and Used choose by time; Used never chooses what was never used.
	Created, Used TimeRange
	// IdleSince chooses what was neither made nor used at or after this time.
	IdleSince time.Time
	// HitsBelow chooses what was used less often than this; 0: all.
	HitsBelow uint64
	// Returned chooses what was bound anew after it had been archived.
	Returned bool
}

// TimeRange holds times from Since on and before Before; a zero end is open.
type TimeRange struct{ Since, Before time.Time }

// IsZero reports whether both ends are open.
func (r TimeRange) IsZero() bool { return r.Since.IsZero() && r.Before.IsZero() }

// Contains reports whether t is in the range.
func (r TimeRange) Contains(t time.Time) bool {
	return (r.Since.IsZero() || !t.Before(r.Since)) && (r.Before.IsZero() || t.Before(r.Before))
}

// Matches reports whether the filter chooses a binding: what every
// implementation's own way must agree with.
func (f BindingFilter) Matches(b Binding, u Usage) bool {
	idle := b.CreatedAt
	if u.LastUsed.After(idle) {
		idle = u.LastUsed
	}
	return (len(f.Hashes) == 0 || slices.Contains(f.Hashes, b.Hash)) &&
		(f.Text == "" || HasText(b.Hint, f.Text) || HasText(b.Label, f.Text)) &&
		HasText(b.Hint, f.Hint) && HasText(b.Label, f.Label) &&
		(!f.Network.IsValid() || b.Rule.reaches(f.Network) || slices.ContainsFunc(b.Rule.Networks, f.isWithin)) &&
		(f.Names == "" || slices.Contains(b.Rule.Networks, f.Names)) &&
		(f.Status == "" || b.Status == f.Status) &&
		(f.Rule == "" || b.Rule.Kind == f.Rule) &&
		f.Created.Contains(b.CreatedAt) &&
		(f.Used.IsZero() || u.Hits > 0 && f.Used.Contains(u.LastUsed)) &&
		(f.IdleSince.IsZero() || idle.Before(f.IdleSince)) &&
		(f.HitsBelow == 0 || u.Hits < f.HitsBelow) &&
		(!f.Returned || !b.ArchivedBefore.IsZero())
}

func (f BindingFilter) isWithin(network string) bool { return slices.Contains(f.Within, network) }

// HasText reports whether part is in s, in any case.
func HasText(s, part string) bool {
	return part == "" || strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// reaches reports whether the rule lets at least one address of a network pass,
// but for the networks that it names.
func (r Rule) reaches(network netip.Prefix) bool {
	return r.Kind == RuleAll || slices.ContainsFunc(r.Prefixes, network.Overlaps)
}

// Compare orders two rows by what a query asks for, ascending.
func (s BindingSort) Compare(a, b BindingRow) int {
	var c int
	switch s {
	case SortLastUsed:
		c = a.Usage.LastUsed.Compare(b.Usage.LastUsed)
	case SortHits:
		c = cmp.Compare(a.Usage.Hits, b.Usage.Hits)
	case SortHint:
		c = cmp.Compare(a.Binding.Hint, b.Binding.Hint)
	case SortLabel:
		c = cmp.Compare(a.Binding.Label, b.Binding.Label)
	default:
		c = a.Binding.CreatedAt.Compare(b.Binding.CreatedAt)
	}
	return cmp.Or(c, slices.Compare(a.Binding.Hash[:], b.Binding.Hash[:]))
}
