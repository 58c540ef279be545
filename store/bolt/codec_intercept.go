package bolt

import (
	"errors"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// interceptRecord is an intercept without ID, key hash and time.
type interceptRecord struct {
	Last      int64  `cbor:"1,keyasint,omitempty"` // ms after At
	Count     uint64 `cbor:"2,keyasint,omitempty"`
	Reason    string `cbor:"3,keyasint,omitempty"` // if the head does not have it
	Observed  bool   `cbor:"4,keyasint,omitempty"`
	Hint      string `cbor:"5,keyasint,omitempty"`
	ClientIP  []byte `cbor:"6,keyasint,omitempty"` // if the head does not have it
	PeerIP    []byte `cbor:"7,keyasint,omitempty"`
	Method    string `cbor:"8,keyasint,omitempty"`
	Host      string `cbor:"9,keyasint,omitempty"`
	Path      string `cbor:"10,keyasint,omitempty"`
	UserAgent string `cbor:"11,keyasint,omitempty"`
	RequestID string `cbor:"12,keyasint,omitempty"`
	BasisKind string `cbor:"13,keyasint,omitempty"`
	BasisName string `cbor:"14,keyasint,omitempty"`
}

const (
	// headBytes is the length of hash and time, which are before everything else.
	headBytes = len(store.KeyHash{}) + 8

	// headMark follows them where the head goes on: with the index of the reason,
	// the length of the client IP, and the client IP. Where it does not, as in
	// records from before format 3, there is the first byte of a CBOR map, which
	// is another one.
	headMark = 0x01
)

// reasons are those that the head of an intercept can have, by their index.
// Others are in the CBOR.
var reasons = []store.Reason{
	"", store.ReasonIPNotAllowed, store.ReasonKeyBanned, store.ReasonLostRace, store.ReasonCut, store.ReasonBlocked,
}

// interceptHead is by what an intercept can be chosen without decoding the rest.
type interceptHead struct {
	hash     store.KeyHash
	at       int64 // ms
	reason   store.Reason
	clientIP netip.Addr
	rest     []byte // the CBOR
}

func encodeIntercept(r store.Intercept) ([]byte, error) {
	at := r.At.UnixMilli()
	rec := interceptRecord{
		Last: r.Last.UnixMilli() - at, Count: r.Count, Observed: r.Observed,
		Hint: r.Hint, PeerIP: addrBytes(r.PeerIP),
		Method: r.Method, Host: r.Host, Path: r.Path, UserAgent: r.UserAgent, RequestID: r.RequestID,
		BasisKind: string(r.Basis.Kind), BasisName: r.Basis.Name,
	}
	value := make([]byte, 0, 256)
	value = append(value, r.Hash[:]...)
	value = be.AppendUint64(value, uint64(at)) // #nosec G115 -- decoded the same way
	reason := indexOf(reasons, r.Reason)
	if int(reason) == len(reasons) {
		reason, rec.Reason = 0, string(r.Reason)
	}
	ip := addrBytes(r.ClientIP)
	if len(ip) > len(netip.Addr{}.As16()) { // it has a zone, as no client IP should
		ip, rec.ClientIP = nil, ip
	}
	value = append(value, headMark, reason, byte(len(ip))) // #nosec G115 -- at most 16
	return encodeAfter(append(value, ip...), rec)
}

// cutInterceptHead reads the head of a record, as far as it has one.
func cutInterceptHead(value []byte) (h interceptHead, err error) {
	if len(value) <= headBytes {
		return h, damaged("intercept of %d bytes", len(value))
	}
	h.hash = store.KeyHash(value)
	h.at = int64(be.Uint64(value[len(h.hash):])) // #nosec G115 -- as encoded
	h.rest = value[headBytes:]
	if h.rest[0] != headMark {
		return h, nil
	}
	const fixed = 3
	if len(h.rest) < fixed || int(h.rest[1]) >= len(reasons) || len(h.rest) < fixed+int(h.rest[2]) {
		return h, damaged("head of an intercept of %d bytes", len(value))
	}
	h.reason = reasons[h.rest[1]]
	ip, rest := h.rest[fixed:fixed+int(h.rest[2])], h.rest[fixed+int(h.rest[2]):]
	h.rest = rest
	h.clientIP, err = parseAddr(ip)
	return h, err
}

func decodeIntercept(key, value []byte) (store.Intercept, error) {
	h, err := cutInterceptHead(value)
	if err != nil {
		return store.Intercept{}, err
	}
	return h.decode(key)
}

// decode decodes the whole record.
func (h *interceptHead) decode(key []byte) (store.Intercept, error) {
	var rec interceptRecord
	if len(key) != 8 {
		return store.Intercept{}, damaged("intercept with a key of %d bytes", len(key))
	}
	if err := decoding.Unmarshal(h.rest, &rec); err != nil {
		return store.Intercept{}, damaged("intercept %x: %v", key, err)
	}
	r := store.Intercept{
		ID: be.Uint64(key), At: time.UnixMilli(h.at).UTC(), Last: time.UnixMilli(h.at + rec.Last).UTC(),
		Count: rec.Count, Reason: h.reason, Observed: rec.Observed, Hash: h.hash, Hint: rec.Hint, ClientIP: h.clientIP,
		Method: rec.Method, Host: rec.Host, Path: rec.Path, UserAgent: rec.UserAgent, RequestID: rec.RequestID,
		Basis: store.Basis{Kind: store.BasisKind(rec.BasisKind), Name: rec.BasisName},
	}
	if r.Reason == "" {
		r.Reason = store.Reason(rec.Reason)
	}
	var clientErr, peerErr error
	if !r.ClientIP.IsValid() {
		r.ClientIP, clientErr = parseAddr(rec.ClientIP)
	}
	r.PeerIP, peerErr = parseAddr(rec.PeerIP)
	return r, errors.Join(clientErr, peerErr)
}

// path returns the path of a record without decoding the rest, or false if that
// cannot be done: then it has to be decoded.
func (h *interceptHead) path() (path []byte, ok bool) {
	const field = 10
	return cborText(h.rest, field)
}
