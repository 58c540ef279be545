package catalog

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"time"
	"unique"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt/fold"
)

// Query is a store.BindingQuery, made ready to be asked.
type Query struct {
	by         order
	descending bool
	after      *point // nil: the first page
	limit      int

	narrows         bool            // some binding may not match
	nothing         bool            // no binding can match
	hashes          []store.KeyHash // in order, each once; none: all
	mask, want      uint16          // of the flags
	created, used   span
	isUsed          bool  // used is asked for, which what was never used is not
	idle            int64 // was neither made nor used from then on
	hitsBelow       uint64
	text            fold.Part
	hint, label     fold.Part
	hasText, hasNet bool
	network         netip.Prefix  // masked
	net             uint64        // as row has it
	netFlags        uint16        // of a row whose prefix is of the same family
	within          map[name]bool // networks that have an address of network
	named           name          // that a rule has to name; zero: none
}

// order is an index of store.BindingSorts, which a scan tells apart faster.
type order uint8

const (
	byCreated order = iota
	byLastUsed
	byHits
	byHint
	byLabel
)

// kindFlags has the flag of each kind of rule, and none for no kind.
var kindFlags = map[store.RuleKind]uint16{
	"": 0, store.RuleSingle: flagSingle, store.RuleMultiple: flagMultiple, store.RuleAll: flagAll, store.RuleLearn: flagLearn,
}

// span is a store.TimeRange in milliseconds.
type span struct{ since, before int64 }

func (s span) contains(ms int64) bool { return ms >= s.since && ms < s.before }

// point is a place in an order.
type point struct {
	key  int64  // ascending, whichever the order is
	text []byte // of the orders by text
	hash *store.KeyHash
}

// NewQuery returns an error that wraps store.ErrInvalid if the order is unknown,
// or the cursor none of it.
func NewQuery(q store.BindingQuery) (*Query, error) {
	if q.Sort == "" {
		q.Sort = store.SortCreated
	}
	by := slices.Index(store.BindingSorts, q.Sort)
	if by < 0 {
		return nil, fmt.Errorf("%w: order %q", store.ErrInvalid, q.Sort)
	}
	c := &Query{by: order(by), descending: q.Descending, limit: store.DefaultPage} // #nosec G115 -- the list is short
	if q.Limit != 0 {
		c.limit = max(1, min(q.Limit, store.MaxPage))
	}
	if q.After != "" {
		if c.after = c.parseCursor(q.After); c.after == nil {
			return nil, fmt.Errorf("%w: cursor is none of order %q", store.ErrInvalid, q.Sort)
		}
	}
	c.setFilter(q.Filter)
	return c, nil
}

func (q *Query) setFilter(f store.BindingFilter) {
	q.hashes = slices.Clone(f.Hashes)
	slices.SortFunc(q.hashes, compareHashes)
	q.hashes = slices.Compact(q.hashes)
	q.text, q.hint, q.label = fold.New(f.Text), fold.New(f.Hint), fold.New(f.Label)
	q.hasText = !q.text.IsEmpty() || !q.hint.IsEmpty() || !q.label.IsEmpty()
	if f.Network.IsValid() {
		q.hasNet, q.network, q.net, q.netFlags = true, f.Network.Masked(), firstBits(f.Network.Addr()), flagPrefix
		if f.Network.Addr().Is6() {
			q.netFlags |= flagV6
		}
		q.within = make(map[name]bool, len(f.Within))
		for _, n := range namesOf(f.Within) {
			q.within[n] = true
		}
	}
	if f.Names != "" {
		q.mask, q.want, q.named = q.mask|flagNamed, q.want|flagNamed, unique.Make(f.Names)
	}
	switch f.Status {
	case "":
	case store.StatusActive:
		q.mask |= flagBanned
	case store.StatusBanned:
		q.mask, q.want = q.mask|flagBanned, q.want|flagBanned
	default:
		q.nothing = true
	}
	kind, known := kindFlags[f.Rule]
	q.mask, q.want, q.nothing = q.mask|kind, q.want|kind, q.nothing || !known
	if f.Returned {
		q.mask, q.want = q.mask|flagReturned, q.want|flagReturned
	}
	q.created, q.used, q.isUsed = spanOf(f.Created), spanOf(f.Used), !f.Used.IsZero()
	q.idle = math.MaxInt64
	if !f.IdleSince.IsZero() {
		q.idle = ceilMs(f.IdleSince)
	}
	q.hitsBelow = f.HitsBelow
	f.Hashes = nil
	q.narrows = !reflect.ValueOf(f).IsZero()
}

func spanOf(r store.TimeRange) span {
	s := span{math.MinInt64, math.MaxInt64}
	if !r.Since.IsZero() {
		s.since = ceilMs(r.Since)
	}
	if !r.Before.IsZero() {
		s.before = ceilMs(r.Before)
	}
	return s
}

// ceilMs returns the first millisecond that is not before t.
func ceilMs(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}

// matches reports whether a row is chosen.
func (q *Query) matches(c *Catalog, r *row) bool {
	return r.flags&q.mask == q.want &&
		q.created.contains(r.created) &&
		(!q.isUsed || r.hits > 0 && q.used.contains(r.used)) &&
		max(r.created, r.used) < q.idle &&
		(q.hitsBelow == 0 || r.hits < q.hitsBelow) &&
		(!q.hasNet || q.isReached(c, r)) &&
		(q.named == name{} || slices.Contains(c.extraOf(r).sources.networks, q.named)) &&
		(!q.hasText || q.hasTextOf(c, r))
}

func (q *Query) isReached(c *Catalog, r *row) bool {
	if r.flags&flagAll != 0 {
		return true
	}
	if r.flags&(flagPrefix|flagV6) == q.netFlags {
		bits := min(int(r.bits), q.network.Bits())
		if (r.net^q.net)>>(64-bits) == 0 {
			return true
		}
	}
	if r.flags&flagExtra == 0 {
		return false
	}
	s := c.extraOf(r).sources
	return s != nil && (overlapsAny(s.prefixes, q.network) || slices.ContainsFunc(s.networks, q.isWithin))
}

func (q *Query) isWithin(network name) bool { return q.within[network] }

func (q *Query) hasTextOf(c *Catalog, r *row) bool {
	in := fold.Part.InSimple
	if r.flags&flagFold != 0 {
		in = fold.Part.In
	}
	hint, label := c.hintOf(r), c.labelOf(r)
	return (in(q.text, hint) || in(q.text, label)) && in(q.hint, hint) && in(q.label, label)
}

// keyOf returns the key of a row in the order; that of all rows is the same in the
// orders by text.
func (q *Query) keyOf(r *row) (key int64) {
	switch q.by {
	case byHint, byLabel:
		return 0
	case byLastUsed:
		key = r.used
	case byHits:
		key = int64(r.hits ^ 1<<63) // #nosec G115 -- keeps the order
	case byCreated:
		key = r.created
	}
	if q.descending {
		return ^key // the other way round
	}
	return key
}

// pointOf returns where a row is in the order, whose key is known.
func (q *Query) pointOf(c *Catalog, r *row, key int64) point {
	p := point{key: key, hash: &r.hash}
	switch q.by {
	case byHint:
		p.text = c.hintOf(r)
	case byLabel:
		p.text = c.labelOf(r)
	}
	return p
}

// compare orders two points as the query asks for.
func (q *Query) compare(a, b *point) int {
	if a.key != b.key {
		if a.key < b.key {
			return -1
		}
		return 1
	}
	c := bytes.Compare(a.text, b.text)
	if c == 0 {
		c = bytes.Compare(a.hash[:], b.hash[:])
	}
	if q.descending {
		return -c
	}
	return c
}

func compareHashes(a, b store.KeyHash) int { return bytes.Compare(a[:], b[:]) }

func (q *Query) isText() bool { return q.by == byHint || q.by == byLabel }

// kind tells the cursors of different orders apart.
func (q *Query) kind() byte {
	kind := byte(q.by)
	if q.descending {
		kind |= 0x80
	}
	return kind
}

// cursor writes a point: its kind, its key or text, and its hash.
func (q *Query) cursor(p point) string {
	out := []byte{q.kind()}
	if q.isText() {
		out = append(out, p.text...)
	} else {
		out = binary.BigEndian.AppendUint64(out, uint64(p.key)) // #nosec G115 -- read the same way
	}
	return base64.RawURLEncoding.EncodeToString(append(out, p.hash[:]...))
}

// parseCursor reads what cursor wrote; nil if it did not.
func (q *Query) parseCursor(text string) *point {
	in, err := base64.RawURLEncoding.Strict().DecodeString(text)
	hash := len(in) - len(store.KeyHash{})
	if err != nil || hash < 1 || in[0] != q.kind() {
		return nil
	}
	p := &point{hash: (*store.KeyHash)(in[hash:])}
	if q.isText() {
		p.text = in[1:hash]
		return p
	}
	if hash != 1+8 {
		return nil
	}
	p.key = int64(binary.BigEndian.Uint64(in[1:])) // #nosec G115 -- as written
	return p
}
