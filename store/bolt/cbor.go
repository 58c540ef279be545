package bolt

// The kinds of CBOR items, RFC 8949 section 3.1, that records are made of.
const (
	cborUint   = 0
	cborNint   = 1
	cborBytes  = 2
	cborString = 3
	cborMap    = 5
	cborSimple = 7
)

// cborText returns the text or bytes of one field of a record, nothing if the
// record lacks it, by stepping over the others: in a small part of the time that
// decoding takes. It is not ok if the record has anything in it that records of
// the current format have not.
func cborText(rec []byte, field uint64) (text []byte, ok bool) {
	kind, fields, rec, ok := cborHead(rec)
	if !ok || kind != cborMap {
		return nil, false
	}
	for range fields {
		var key uint64
		if kind, key, rec, ok = cborHead(rec); !ok || kind != cborUint {
			return nil, false
		}
		var n uint64
		if kind, n, rec, ok = cborHead(rec); !ok {
			return nil, false
		}
		switch kind {
		case cborUint, cborNint, cborSimple:
			n = 0 // there is nothing behind the head
		case cborBytes, cborString:
			if n > uint64(len(rec)) {
				return nil, false
			}
		default:
			return nil, false
		}
		if key == field {
			return rec[:n], kind == cborBytes || kind == cborString
		}
		rec = rec[n:]
	}
	return nil, true
}

// cborHead reads the head of an item: its kind, and its number or length.
func cborHead(in []byte) (kind byte, n uint64, rest []byte, ok bool) {
	if len(in) == 0 {
		return 0, 0, nil, false
	}
	kind, n, rest = in[0]>>5, uint64(in[0]&0x1F), in[1:]
	if n < 24 {
		return kind, n, rest, true
	}
	if n > 27 || len(rest) < 1<<(n-24) {
		return 0, 0, nil, false // of indefinite length, reserved, or cut off
	}
	size := 1 << (n - 24)
	n = 0
	for _, b := range rest[:size] {
		n = n<<8 | uint64(b)
	}
	return kind, n, rest[size:], true
}
