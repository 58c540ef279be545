package bolt

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Networks are told by their number: first those of the addresses of the same
// history, in their order, each once, and then those of a table, in which only those
// are that no address of the history has. So a key that is used from where it is
// always used from needs one byte a day.
//
// The table comes first: how many there are, and each as appendPrefix writes it.
// There follow the days, the newest first. Of the newest one, its first number is
// twice how many networks it has besides the one that was used last, and one more if
// something was allowed elsewhere; then these, each with its count, and then how much
// that was. What is left of the day is of the network that was used last, or, if
// there is no room for it in the day, of elsewhere. Of each other day, its first
// number is 0 if everything was allowed elsewhere, twice the number of the network
// plus one if everything was allowed from one, and otherwise twice how many networks
// there are; then these, each with its count. What is left is of elsewhere.

// dayNetworks is what a value says of the networks of one day.
type dayNetworks struct {
	all       bool // the one use is of everything
	uses      []numberedUse
	elsewhere uint64
}

type numberedUse struct {
	number  uint64
	prefix  netip.Prefix // once the addresses are known
	allowed uint64
}

// numbering gives networks their numbers.
type numbering []netip.Prefix

func newNumbering(addresses []store.AddressUse) (n numbering) {
	for _, a := range addresses {
		if p := store.NetworkOf(a.IP); p.IsValid() {
			n.number(p)
		}
	}
	return n
}

// number returns the number of a network, which is the next one if it has none.
func (n *numbering) number(p netip.Prefix) uint64 {
	i := slices.Index(*n, p)
	if i < 0 {
		i = len(*n)
		*n = append(*n, p)
	}
	return uint64(i) // #nosec G115 -- not negative
}

func appendNetworks(out []byte, u store.Usage) []byte {
	known := newNumbering(u.Addresses)
	implied := len(known)
	var body []byte
	for i := len(u.Days) - 1; i >= 0; i-- {
		if i == len(u.Days)-1 {
			body = appendNewest(body, &known, u.Days[i], store.NetworkOf(u.LastIP))
		} else {
			body = appendEarlier(body, &known, u.Days[i])
		}
	}
	table := known[implied:]
	out = binary.AppendUvarint(out, uint64(len(table)))
	for _, p := range table {
		out = appendPrefix(out, p)
	}
	return append(out, body...)
}

func appendNewest(out []byte, known *numbering, d store.DayUse, last netip.Prefix) []byte {
	others := slices.DeleteFunc(slices.Clone(d.Networks), func(n store.NetworkUse) bool { return n.Prefix == last })
	head := 2 * uint64(len(others))
	tells := d.Elsewhere > 0 && len(others) < store.UsageNetworks
	if tells {
		head++
	}
	out = appendUses(binary.AppendUvarint(out, head), known, others)
	if tells {
		out = binary.AppendUvarint(out, d.Elsewhere)
	}
	return out
}

func appendEarlier(out []byte, known *numbering, d store.DayUse) []byte {
	if len(d.Networks) == 1 && d.Elsewhere == 0 {
		return binary.AppendUvarint(out, 2*known.number(d.Networks[0].Prefix)+1)
	}
	return appendUses(binary.AppendUvarint(out, 2*uint64(len(d.Networks))), known, d.Networks)
}

func appendUses(out []byte, known *numbering, uses []store.NetworkUse) []byte {
	for _, n := range uses {
		out = binary.AppendUvarint(out, known.number(n.Prefix))
		out = binary.AppendUvarint(out, n.Allowed)
	}
	return out
}

// networks reads what appendNetworks wrote, and returns the table.
func (r *varints) networks(h *history) (table []netip.Prefix) {
	for n := r.uint(); n > 0 && !r.bad; n-- {
		if len(r.rest) == 0 {
			r.bad = true
			return nil
		}
		p, rest, err := cutPrefix(r.rest)
		r.rest, r.bad = rest, err != nil
		table = append(table, p)
	}
	for i := range h.days {
		var d dayNetworks
		head := r.uint()
		switch {
		case i > 0 && head%2 == 1:
			d.all, d.uses = true, []numberedUse{{number: head / 2}}
		default:
			d.uses = r.uses(head / 2)
			if head%2 == 1 {
				d.elsewhere = r.uint()
			}
		}
		h.networks = append(h.networks, d)
	}
	return table
}

func (r *varints) uses(n uint64) (uses []numberedUse) {
	if n > store.UsageNetworks {
		r.bad = true
		return nil
	}
	for range n {
		uses = append(uses, numberedUse{number: r.uint(), allowed: r.uint()})
	}
	return uses
}

// resolveNetworks finds the networks of all numbers, and reports whether there is
// one of each, and none twice on one day.
func (h *history) resolveNetworks(table []netip.Prefix) bool {
	known := append(newNumbering(h.addresses), table...)
	for _, d := range h.networks {
		for i := range d.uses {
			use := &d.uses[i]
			if use.number >= uint64(len(known)) {
				return false
			}
			use.prefix = known[use.number]
			if slices.ContainsFunc(d.uses[:i], func(u numberedUse) bool { return u.prefix == use.prefix }) {
				return false
			}
		}
	}
	return true
}

// completeNetworks sets the networks of the days, of which all else is known.
func (h *history) completeNetworks(u store.Usage) {
	newest := len(u.Days) - 1
	for i := range u.Days {
		d := &u.Days[i]
		if h.networks == nil {
			d.Elsewhere = d.Allowed
			continue
		}
		told := h.networks[newest-i]
		last := netip.Prefix{}
		if i == newest && len(told.uses) < store.UsageNetworks {
			last = store.NetworkOf(u.LastIP)
		}
		told.complete(d, last)
	}
}

// complete sets the networks of a day; what is left of it is of last, if that is
// valid.
func (n *dayNetworks) complete(d *store.DayUse, last netip.Prefix) {
	left := d.Allowed
	add := func(p netip.Prefix, allowed uint64) {
		if allowed = min(allowed, left); allowed > 0 {
			left -= allowed
			d.Networks = append(d.Networks, store.NetworkUse{Prefix: p, Allowed: allowed})
		}
	}
	d.Elsewhere = min(n.elsewhere, left)
	left -= d.Elsewhere
	for _, use := range n.uses {
		if n.all {
			use.allowed = left
		}
		add(use.prefix, use.allowed)
	}
	if last.IsValid() {
		add(last, left)
	}
	d.Elsewhere += left
	slices.SortFunc(d.Networks, func(a, b store.NetworkUse) int { return a.Prefix.Compare(b.Prefix) })
}
