package admin

import (
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// BindingFilter chooses bindings. It is the same in a query and in a body.
type BindingFilter struct {
	Text          string         `query:"text" json:"text,omitempty" minLength:"1" maxLength:"256" doc:"Part of the hint or the label, in any case."`
	Hint          string         `query:"hint" json:"hint,omitempty" minLength:"1" maxLength:"64" doc:"Part of the hint, in any case."`
	Label         string         `query:"label" json:"label,omitempty" minLength:"1" maxLength:"256" doc:"Part of the label, in any case."`
	Network       string         `query:"network" json:"network,omitempty" minLength:"1" maxLength:"64" example:"10.1.0.0/16" doc:"An address or CIDR: keys that may be used from at least one address of it, by their own prefixes or those of the networks that they name, those with the rule all among them."`
	Status        store.Status   `query:"status" json:"status,omitempty" enum:"active,banned" doc:"Only keys of this status."`
	Rule          store.RuleKind `query:"rule" json:"rule,omitempty" enum:"single,multiple,all,learn" doc:"Only keys with a rule of this kind."`
	NamesNetwork  string         `query:"namesNetwork" json:"namesNetwork,omitempty" minLength:"1" maxLength:"64" example:"office" doc:"Only keys whose rule names this network."`
	CreatedSince  time.Time      `query:"createdSince" json:"createdSince,omitzero" pattern:"^(19[7-9]|[2-9][0-9][0-9])[0-9]-" patternDescription:"time of 1970 or later" doc:"Bound at this time or later."`
	CreatedBefore time.Time      `query:"createdBefore" json:"createdBefore,omitzero" pattern:"^(19[7-9]|[2-9][0-9][0-9])[0-9]-" patternDescription:"time of 1970 or later" doc:"Bound before this time."`
	UsedSince     time.Time      `query:"usedSince" json:"usedSince,omitzero" pattern:"^(19[7-9]|[2-9][0-9][0-9])[0-9]-" patternDescription:"time of 1970 or later" doc:"Last used at this time or later."`
	UsedBefore    time.Time      `query:"usedBefore" json:"usedBefore,omitzero" pattern:"^(19[7-9]|[2-9][0-9][0-9])[0-9]-" patternDescription:"time of 1970 or later" doc:"Last used before this time, and used at all."`
	IdleSince     time.Time      `query:"idleSince" json:"idleSince,omitzero" pattern:"^(19[7-9]|[2-9][0-9][0-9])[0-9]-" patternDescription:"time of 1970 or later" doc:"Neither bound nor used at this time or later."`
	HitsBelow     uint64         `query:"hitsBelow" json:"hitsBelow,omitempty" minimum:"1" maximum:"9007199254740991" doc:"Used less often than this."`
	Returned      bool           `query:"returned" json:"returned,omitempty" doc:"Only keys that were bound anew after they had been archived."`
}

// filter returns what the store understands. location is "query." or where
// the filter is in the body, with a dot.
func (in BindingFilter) filter(location string, f *faults) store.BindingFilter {
	return store.BindingFilter{
		Text: in.Text, Hint: in.Hint, Label: in.Label, Status: in.Status, Rule: in.Rule,
		Names:   in.NamesNetwork,
		Network: networkInput(in.Network, location+"network", f),
		Created: timeRange(in.CreatedSince, in.CreatedBefore, location+"createdBefore", f),
		Used:    timeRange(in.UsedSince, in.UsedBefore, location+"usedBefore", f),
		// Nothing can have been used since a time to come: that is most likely a
		// slip, but it says what it says.
		IdleSince: in.IdleSince, HitsBelow: in.HitsBelow, Returned: in.Returned,
	}
}

// reaching completes a filter with the named networks that reach what it asks for.
func (a *API) reaching(f store.BindingFilter) store.BindingFilter {
	if f.Network.IsValid() {
		f.Within = a.opts.Engine.Networks().Reaching(f.Network)
	}
	return f
}

func networkInput(s, location string, f *faults) netip.Prefix {
	if s == "" {
		return netip.Prefix{}
	}
	p, fault := parsePrefix(s)
	if fault != "" {
		f.addf(location, "%s", fault)
	}
	return p
}

// timeRange refuses a range that holds no time.
func timeRange(since, before time.Time, location string, f *faults) store.TimeRange {
	if !since.IsZero() && !before.IsZero() && !since.Before(before) {
		f.addf(location, "is not after the beginning of the range, so that nothing is in it")
	}
	return store.TimeRange{Since: since, Before: before}
}

// BindingQuery is a filter with the order and the page that are wanted.
type BindingQuery struct {
	BindingFilter
	Sort  store.BindingSort `query:"sort" json:"sort,omitempty" enum:"created,lastUsed,hits,hint,label" default:"created" doc:"What the list is ordered by; equals are ordered by hash. Never used comes before all times."`
	Order string            `query:"order" json:"order,omitempty" enum:"asc,desc" default:"desc" doc:"Ascending or descending."`
	PageInput
}

func (in BindingQuery) query(location string) (store.BindingQuery, error) {
	var f faults
	q := store.BindingQuery{
		Filter: in.filter(location, &f), Sort: in.Sort, Descending: in.Order != "asc", Limit: in.Limit, After: in.After,
	}
	return q, f.err()
}
