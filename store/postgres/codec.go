package postgres

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// optionalMs returns nil for the zero time.
func optionalMs(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

func optionalTime(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return timeOf(*ms)
}

// ceilMs returns the first millisecond that is not before t.
func ceilMs(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}

// number returns n as a bigint, cut to what it holds.
func number(n uint64) int64 { return int64(min(n, math.MaxInt64)) } // #nosec G115 -- cut

// addrText returns nil for the zero Addr. Zones mean nothing on another machine.
func addrText(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	text := a.WithZone("").String()
	return &text
}

// folded is how texts are compared in any case: store.HasText does it in the same way.
func folded(s string) []byte { return []byte(strings.ToLower(s)) }

// bindingColumns are those of a binding, in the order that bindingScan reads.
const bindingColumns = `hash, revision, hint, label, note, status, rule, prefixes, networks,
learn_limit, learn_within, learn_until, first_ip, created_at, updated_at, archived_before, hashed_with`

// bindingScan is a row of bindingColumns.
type bindingScan struct {
	hash, hint, label, note []byte
	revision                int64
	status, rule            string
	prefixes                []netip.Prefix
	networks                []string
	limit, within           int32
	until, archivedBefore   *int64
	firstIP                 netip.Addr
	created, updated        int64
	hashedWith              int64
}

// fields are what rows.Scan fills.
func (r *bindingScan) fields() []any {
	return []any{
		&r.hash, &r.revision, &r.hint, &r.label, &r.note, &r.status, &r.rule, &r.prefixes, &r.networks,
		&r.limit, &r.within, &r.until, &r.firstIP, &r.created, &r.updated, &r.archivedBefore, &r.hashedWith,
	}
}

func (r *bindingScan) binding() store.Binding {
	b := store.Binding{
		Hash: store.KeyHash(r.hash), Hint: string(r.hint), Label: string(r.label), Note: string(r.note),
		Status: store.Status(r.status), FirstIP: r.firstIP, CreatedAt: timeOf(r.created), UpdatedAt: timeOf(r.updated),
		ArchivedBefore: optionalTime(r.archivedBefore), Revision: uint64(r.revision), // #nosec G115 -- not negative
		HashedWith: uint32(r.hashedWith), // #nosec G115 -- it was one when it was stored
	}
	b.Rule.Kind = store.RuleKind(r.rule)
	if len(r.prefixes) > 0 {
		b.Rule.Prefixes = r.prefixes
	}
	if len(r.networks) > 0 {
		b.Rule.Networks = r.networks
	}
	b.Rule.Learn = store.Learn{Limit: int(r.limit), Within: time.Duration(r.within) * time.Second, Until: optionalTime(r.until)}
	return b
}

func scanBinding(rows pgx.Rows) (store.Binding, error) {
	var r bindingScan
	if err := rows.Scan(r.fields()...); err != nil {
		return store.Binding{}, err
	}
	return r.binding(), nil
}

// bindingRows are bindings on their way to the server, by column. Arrays of a row are
// texts there: rows may differ in the length of theirs.
type bindingRows struct {
	hash, hint, label, note, hintFolded, labelFolded [][]byte
	status, rule, prefixes, networks                 []string
	limit, within                                    []int32
	until                                            []*int64
	firstIP                                          []*string
	created, updated                                 []int64
	archivedBefore                                   []*int64
	hashedWith                                       []int64
}

// givenBindings are bindingRows as a table, g, whose n counts its rows from 1.
const givenBindings = `
unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::text[], $8::text[], $9::text[], $10::text[],
       $11::integer[], $12::integer[], $13::bigint[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[])
WITH ORDINALITY AS g(hash, hint, label, note, hint_folded, label_folded, status, rule, prefixes, networks,
                     learn_limit, learn_within, learn_until, first_ip, created_at, updated_at, archived_before, hashed_with, n)`

// args are the parameters of givenBindings.
func (r *bindingRows) args() []any {
	return []any{
		r.hash, r.hint, r.label, r.note, r.hintFolded, r.labelFolded, r.status, r.rule, r.prefixes, r.networks,
		r.limit, r.within, r.until, r.firstIP, r.created, r.updated, r.archivedBefore, r.hashedWith,
	}
}

func (r *bindingRows) add(b store.Binding) {
	r.hash = append(r.hash, b.Hash[:])
	r.hint, r.hintFolded = append(r.hint, []byte(b.Hint)), append(r.hintFolded, folded(b.Hint))
	r.label, r.labelFolded = append(r.label, []byte(b.Label)), append(r.labelFolded, folded(b.Label))
	r.note = append(r.note, []byte(b.Note))
	r.status, r.rule = append(r.status, string(b.Status)), append(r.rule, string(b.Rule.Kind))
	r.prefixes = append(r.prefixes, prefixesText(b.Rule.Prefixes))
	r.networks = append(r.networks, networksText(b.Rule.Networks))
	r.limit = append(r.limit, int32(b.Rule.Learn.Limit))                // #nosec G115 -- at most MaxLearnLimit
	r.within = append(r.within, int32(b.Rule.Learn.Within/time.Second)) // #nosec G115 -- at most MaxLearnWithin
	r.until = append(r.until, optionalMs(b.Rule.Learn.Until))
	r.firstIP = append(r.firstIP, addrText(b.FirstIP))
	r.created, r.updated = append(r.created, b.CreatedAt.UnixMilli()), append(r.updated, b.UpdatedAt.UnixMilli())
	r.archivedBefore = append(r.archivedBefore, optionalMs(b.ArchivedBefore))
	r.hashedWith = append(r.hashedWith, int64(b.HashedWith))
}

// prefixesText returns an array as PostgreSQL writes it.
func prefixesText(prefixes []netip.Prefix) string {
	out := []byte{'{'}
	for i, p := range prefixes {
		if i > 0 {
			out = append(out, ',')
		}
		out = p.AppendTo(out)
	}
	return string(append(out, '}'))
}

// networksText returns an array as PostgreSQL writes it. Names of networks have
// nothing that would have to be escaped: see store.ValidateNetworkName.
func networksText(names []string) string {
	if len(names) == 0 {
		return "{}"
	}
	return `{"` + strings.Join(names, `","`) + `"}`
}
