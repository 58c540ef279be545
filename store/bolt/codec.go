package bolt

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/key-ip-sentinel/sentinel/store"
)

// be is the byte order of everything in keys and values that is not CBOR.
var be = binary.BigEndian

const revisionBytes = 8

// bindingRecord is a binding without its key and revision. Numbers of fields
// are never used again for something else; 10 to 12 were in format 1, those after
// 18 are free.
type bindingRecord struct {
	Hint     string `cbor:"1,keyasint,omitempty"`
	Label    string `cbor:"2,keyasint,omitempty"`
	Note     string `cbor:"3,keyasint,omitempty"`
	Status   uint8  `cbor:"4,keyasint,omitempty"` // an index of statuses
	Kind     uint8  `cbor:"5,keyasint,omitempty"` // an index of kinds
	Prefixes []byte `cbor:"6,keyasint,omitempty"` // as appendPrefix writes them
	FirstIP  []byte `cbor:"7,keyasint,omitempty"`
	Created  int64  `cbor:"8,keyasint,omitempty"` // ms
	Updated  int64  `cbor:"9,keyasint,omitempty"` // ms after Created

	ArchivedBefore int64 `cbor:"13,keyasint,omitempty"` // ms; 0: never

	Networks    []string `cbor:"14,keyasint,omitempty"`
	LearnLimit  uint8    `cbor:"15,keyasint,omitempty"`
	LearnWithin uint32   `cbor:"16,keyasint,omitempty"` // seconds
	LearnUntil  int64    `cbor:"17,keyasint,omitempty"` // ms; 0: not yet known

	HashedWith uint32 `cbor:"18,keyasint,omitempty"`
}

var (
	statuses = []store.Status{store.StatusActive, store.StatusBanned}
	kinds    = []store.RuleKind{store.RuleSingle, store.RuleMultiple, store.RuleAll, store.RuleLearn}
)

// decoding takes texts as they were stored: what a client sent need not be UTF-8.
var decoding = must(cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode())

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // only a wrong constant above can cause it
	}
	return v
}

// encodeBinding returns the value of a binding, with room for its revision,
// which setRevision fills in.
func encodeBinding(b store.Binding) ([]byte, error) {
	rec := bindingRecord{
		Hint: b.Hint, Label: b.Label, Note: b.Note,
		Status: indexOf(statuses, b.Status), Kind: indexOf(kinds, b.Rule.Kind),
		Created: b.CreatedAt.UnixMilli(), HashedWith: b.HashedWith,
	}
	rec.Updated = b.UpdatedAt.UnixMilli() - rec.Created
	if !b.ArchivedBefore.IsZero() {
		rec.ArchivedBefore = b.ArchivedBefore.UnixMilli()
	}
	for _, p := range b.Rule.Prefixes {
		rec.Prefixes = appendPrefix(rec.Prefixes, p)
	}
	rec.FirstIP = addrBytes(b.FirstIP)
	rec.setNamed(b.Rule)
	return encodeAfter(make([]byte, revisionBytes, 128), rec)
}

// setNamed sets what only rules that name networks or learn have.
func (r *bindingRecord) setNamed(rule store.Rule) {
	r.Networks = rule.Networks
	r.LearnLimit = uint8(rule.Learn.Limit)                  // #nosec G115 -- at most MaxLearnLimit
	r.LearnWithin = uint32(rule.Learn.Within / time.Second) // #nosec G115 -- at most MaxLearnWithin
	if !rule.Learn.Until.IsZero() {
		r.LearnUntil = rule.Learn.Until.UnixMilli()
	}
}

func setRevision(value []byte, revision uint64) { be.PutUint64(value, revision) }

// revisionOf reads the revision alone.
func revisionOf(value []byte) (uint64, error) {
	if len(value) < revisionBytes {
		return 0, damaged("binding of %d bytes", len(value))
	}
	return be.Uint64(value), nil
}

func decodeBinding(key, value []byte) (store.Binding, error) {
	b := store.Binding{}
	revision, err := revisionOf(value)
	if err != nil {
		return b, err
	}
	if len(key) != len(b.Hash) {
		return b, damaged("key hash of %d bytes", len(key))
	}
	b.Hash, b.Revision = store.KeyHash(key), revision
	var rec bindingRecord
	if err := decoding.Unmarshal(value[revisionBytes:], &rec); err != nil {
		return b, damaged("binding %s: %v", b.Hash, err)
	}
	return b, rec.fill(&b)
}

// fill sets the fields of b.
func (r *bindingRecord) fill(b *store.Binding) (err error) {
	if int(r.Status) >= len(statuses) || int(r.Kind) >= len(kinds) {
		return damaged("binding %s: status %d, kind of rule %d", b.Hash, r.Status, r.Kind)
	}
	b.Hint, b.Label, b.Note, b.Status, b.Rule.Kind = r.Hint, r.Label, r.Note, statuses[r.Status], kinds[r.Kind]
	b.HashedWith = r.HashedWith
	b.CreatedAt = time.UnixMilli(r.Created).UTC()
	b.UpdatedAt = time.UnixMilli(r.Created + r.Updated).UTC()
	if r.ArchivedBefore != 0 {
		b.ArchivedBefore = time.UnixMilli(r.ArchivedBefore).UTC()
	}
	if b.FirstIP, err = parseAddr(r.FirstIP); err != nil {
		return err
	}
	for rest := r.Prefixes; len(rest) > 0; {
		var p netip.Prefix
		if p, rest, err = cutPrefix(rest); err != nil {
			return fmt.Errorf("%w (binding %s)", err, b.Hash)
		}
		b.Rule.Prefixes = append(b.Rule.Prefixes, p)
	}
	r.fillNamed(&b.Rule)
	return nil
}

// fillNamed reads what setNamed wrote.
func (r *bindingRecord) fillNamed(rule *store.Rule) {
	if len(r.Networks) > 0 {
		rule.Networks = r.Networks
	}
	rule.Learn.Limit, rule.Learn.Within = int(r.LearnLimit), time.Duration(r.LearnWithin)*time.Second
	if r.LearnUntil != 0 {
		rule.Learn.Until = time.UnixMilli(r.LearnUntil).UTC()
	}
}

func indexOf[T comparable](list []T, v T) uint8 {
	for i := range list {
		if list[i] == v {
			return uint8(i) // #nosec G115 -- the lists are short
		}
	}
	return uint8(len(list)) // #nosec G115 -- Validate comes first
}

// ipv6Bits is added to the length of an IPv6 prefix, to tell it from an IPv4 one.
const ipv6Bits = 64

// appendPrefix writes a masked prefix as its length and the bytes that it covers.
func appendPrefix(dst []byte, p netip.Prefix) []byte {
	used := (p.Bits() + 7) / 8
	if p.Addr().Is4() {
		addr := p.Addr().As4()
		return append(append(dst, byte(p.Bits())), addr[:used]...) // #nosec G115 -- at most 32
	}
	addr := p.Addr().As16()
	return append(append(dst, byte(ipv6Bits+p.Bits())), addr[:used]...) // #nosec G115 -- at most 192
}

// cutPrefix reads what appendPrefix wrote.
func cutPrefix(src []byte) (p netip.Prefix, rest []byte, err error) {
	bits, src := int(src[0]), src[1:]
	var v4 [4]byte
	var v6 [16]byte
	addr := v4[:]
	if bits >= ipv6Bits {
		bits, addr = bits-ipv6Bits, v6[:]
	}
	used := (bits + 7) / 8
	if used > len(addr) || used > len(src) {
		return p, nil, damaged("prefix of %d bits", bits)
	}
	copy(addr, src[:used])
	ip, _ := netip.AddrFromSlice(addr) // of 4 or 16 bytes
	return netip.PrefixFrom(ip, bits), src[used:], nil
}

// addrBytes returns nothing for the zero Addr.
func addrBytes(a netip.Addr) []byte {
	b, _ := a.MarshalBinary() // never fails
	return b
}

// appendAddr appends the length of an address's bytes, and these.
func appendAddr(out []byte, a netip.Addr) []byte {
	out = binary.AppendUvarint(out, uint64(a.BitLen()/8+len(a.Zone()))) // #nosec G115 -- not negative
	out, _ = a.AppendBinary(out)                                        // never fails
	return out
}

func parseAddr(b []byte) (a netip.Addr, err error) {
	if err := a.UnmarshalBinary(b); err != nil {
		return a, damaged("address: %v", err)
	}
	return a, nil
}

// usageBytes is the length of a usage without its address.
const usageBytes = 16

func appendUsage(dst []byte, u store.Usage) []byte {
	dst = be.AppendUint64(dst, uint64(u.LastUsed.UnixMilli())) // #nosec G115 -- decoded the same way
	dst = be.AppendUint64(dst, u.Hits)
	return append(dst, addrBytes(u.LastIP)...)
}

// decodeUsage returns the zero Usage for no value.
func decodeUsage(value []byte) (u store.Usage, err error) {
	if value == nil {
		return u, nil
	}
	if len(value) < usageBytes {
		return u, damaged("usage of %d bytes", len(value))
	}
	u.LastUsed = time.UnixMilli(int64(be.Uint64(value))).UTC() // #nosec G115 -- as encoded
	u.Hits = be.Uint64(value[8:])
	u.LastIP, err = parseAddr(value[usageBytes:])
	return u, err
}

// encodeAfter appends the CBOR of v.
func encodeAfter(head []byte, v any) ([]byte, error) {
	body, err := cbor.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return append(head, body...), nil
}
