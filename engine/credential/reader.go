package credential

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// The profiles: which places are read, and how.
const (
	ProfileNewAPI  = "newapi"  // New API and One API
	ProfileOpenAI  = "openai"  // servers with the APIs of OpenAI, Anthropic or Gemini
	ProfileLiteLLM = "litellm" // the LiteLLM proxy
	ProfileGeneric = "generic" // as configured
)

// Options says which downstream the keys belong to.
type Options struct {
	// Profile is one of the Profile constants.
	Profile string
	// Secret is the key of the HMAC. It must not be empty.
	Secret []byte
	// Previous are secrets that keys were hashed with before, the last one first.
	Previous [][]byte
	// BindDashboard reads the personal access tokens of New API's dashboard
	// too, and refuses the playground. Profile newapi only.
	BindDashboard bool
	// ExtraHeader is the header that LiteLLM's setting litellm_key_header_name
	// names; empty if there is none. Profile litellm only.
	ExtraHeader string
	// Locations and Canonical are of profile generic only. The downstream is
	// taken to prefer earlier locations.
	Locations []Location
	Canonical Canonical
	// BindPaths are beginnings of the paths on which the downstream checks keys;
	// empty means all paths. Profile generic only.
	BindPaths []string
}

// Request is what of a request is read.
type Request struct {
	// Method is the method; empty means one that is not OPTIONS.
	Method string
	// Header is as it will be sent, with canonical names.
	Header http.Header
	// Path is the decoded path as received, SentPath the same with the prefix
	// of the downstream's own URL. A rule of a path holds if either matches:
	// what stands before the downstream may take the prefix away again.
	Path, SentPath string
	// RawQuery is the query as sent, without '?'.
	RawQuery string
}

// anyPath reports whether a rule holds for the path or the sent path.
func (r *Request) anyPath(rule func(path string) bool) bool {
	return rule(r.Path) || r.SentPath != r.Path && r.SentPath != "" && rule(r.SentPath)
}

// Reader reads credentials. It is immutable and safe for concurrent use.
type Reader struct {
	profile       string
	secret        []byte
	previous      [][]byte
	places        []place
	foldsCase     bool
	bindDashboard bool
	hasExtra      bool
	canonical     Canonical
	bindPaths     []string
}

// New returns a Reader, or an error that names every option that is wrong.
func New(o Options) (*Reader, error) {
	r := &Reader{profile: o.Profile, secret: slices.Clone(o.Secret)}
	var errs []error
	if len(o.Secret) == 0 {
		errs = append(errs, errors.New("secret is empty"))
	}
	for _, previous := range o.Previous {
		switch {
		case len(previous) == 0:
			errs = append(errs, errors.New("previous secret is empty"))
		case !bytes.Equal(previous, o.Secret):
			r.previous = append(r.previous, slices.Clone(previous))
		}
	}
	switch o.Profile {
	case ProfileNewAPI:
		r.places, r.foldsCase, r.bindDashboard = newAPIPlaces, true, o.BindDashboard
	case ProfileOpenAI:
		r.places = openAIPlaces
	case ProfileLiteLLM:
		r.places = liteLLMPlaces
		if o.ExtraHeader != "" {
			errs = append(errs, r.addExtraHeader(o.ExtraHeader))
		}
	case ProfileGeneric:
		errs = append(errs, r.configure(o))
	default:
		errs = append(errs, fmt.Errorf("profile %q, want %s, %s, %s or %s",
			o.Profile, ProfileNewAPI, ProfileOpenAI, ProfileLiteLLM, ProfileGeneric))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("credential reader: %w", err)
	}
	return r, nil
}

// placeKind is the part of a request that a place belongs to.
type placeKind uint8

const (
	inHeader   placeKind = iota
	inQuery              // every parameter of that name
	inProtocol           // parts of Sec-WebSocket-Protocol after a prefix
)

// place is where a key can be. Its index in Reader.places is its slot in
// Set.at.
type place struct {
	kind   placeKind
	name   string // of the header in canonical form, or of the parameter
	prefix string // of inProtocol
	shown  string // in messages
}

const (
	headerProtocol = "Sec-Websocket-Protocol"
	protocolPrefix = "openai-insecure-api-key."
)

func header(name string) place {
	return place{kind: inHeader, name: textproto.CanonicalMIMEHeaderKey(name), shown: name + " header"}
}

func query(name string) place {
	return place{kind: inQuery, name: name, shown: "query parameter " + name}
}

func protocol(prefix string) place {
	return place{kind: inProtocol, name: headerProtocol, prefix: prefix, shown: "Sec-WebSocket-Protocol header"}
}

// Headers returns the canonical names of all headers that are read.
func (r *Reader) Headers() []string {
	var names []string
	for i := range r.places {
		if p := &r.places[i]; p.kind != inQuery && !slices.Contains(names, p.name) {
			names = append(names, p.name)
		}
	}
	return names
}

// Read collects the keys of a request into set, which it resets. The strings of
// set are parts of the request's own. Returns an *Error; set is empty then.
func (r *Reader) Read(req *Request, set *Set) error {
	set.reset(r)
	if err := r.collect(req, set); err != nil {
		set.Reset()
		return err
	}
	if set.n > 0 {
		r.settle(req, set)
	}
	return nil
}

func (r *Reader) collect(req *Request, set *Set) error {
	if req.RawQuery != "" {
		if err := checkQuery(req.RawQuery); err != nil {
			return err
		}
	}
	for i := range r.places {
		p := &r.places[i]
		if p.kind == inQuery {
			if req.RawQuery != "" {
				if err := r.readQuery(req, set, i, p); err != nil {
					return err
				}
			}
			continue
		}
		values := req.Header[p.name]
		if len(values) == 0 {
			continue
		}
		if len(values) > 1 {
			return &Error{Kind: Repeated, Place: p.shown}
		}
		if err := r.readHeader(req, set, i, p, values[0]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) readHeader(req *Request, set *Set, slot int, p *place, value string) error {
	if len(value) > MaxValueBytes {
		return &Error{Kind: TooLong, Place: p.shown}
	}
	switch {
	case r.profile == ProfileNewAPI && slot == newAPIAuthorization:
		return r.readAuthorization(req, set, p, value)
	case r.profile == ProfileNewAPI && slot == newAPIProtocol:
		return r.readNewAPIProtocol(set, p, value)
	case p.kind == inProtocol:
		return r.readProtocol(set, slot, p, value)
	}
	return r.note(set, slot, p, value)
}

// note reads one credential of a place into its slot. Of several the first
// counts, except where the downstream takes the last.
func (r *Reader) note(set *Set, slot int, p *place, value string) error {
	found, err := r.read(set, slot, p, value)
	if err != nil {
		return err
	}
	if !set.at[slot].seen || r.profile == ProfileLiteLLM && p.kind == inQuery {
		set.at[slot] = found
	}
	return nil
}

// read adds the key of one credential to the set.
func (r *Reader) read(set *Set, slot int, p *place, value string) (reading, error) {
	found := reading{seen: true, present: value != ""}
	key := r.canonicalKey(value, &found)
	if key == "" {
		return found, nil
	}
	i, err := set.add(key, p)
	if err != nil {
		return found, err
	}
	if set.raw[i] == "" {
		set.raw[i] = value
	}
	found.key = uint8(i + 1) //nolint:gosec // at most MaxKeys
	set.masks[slot] |= 1 << i
	return found, nil
}

// canonicalKey returns the canonical key of a credential, in the case it has,
// or "" if there is none.
func (r *Reader) canonicalKey(value string, found *reading) string {
	switch r.profile {
	case ProfileNewAPI:
		rest := stripBearer(value)
		found.blank = isBlank(rest)
		if found.blank {
			return ""
		}
		return cutNewAPI(rest)
	case ProfileLiteLLM:
		return canonicalLiteLLM(value)
	case ProfileOpenAI:
		return canonicalOpenAI(value)
	default:
		return r.canonical.apply(value)
	}
}

// readProtocol reads every part of the header that has the place's prefix.
func (r *Reader) readProtocol(set *Set, slot int, p *place, value string) error {
	for rest := value; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		key, ok := strings.CutPrefix(strings.TrimSpace(part), p.prefix)
		if !ok {
			continue
		}
		if err := r.note(set, slot, p, key); err != nil {
			return err
		}
	}
	return nil
}

// settle finds the primary key of a set that has any.
func (r *Reader) settle(req *Request, set *Set) {
	switch r.profile {
	case ProfileNewAPI:
		r.settleNewAPI(req, set)
	case ProfileLiteLLM:
		r.settleLiteLLM(req, set)
	case ProfileOpenAI:
		r.settleOpenAI(req, set)
	default:
		r.settleInOrder(set)
	}
}

// settleInOrder takes the first place that has a key. What else the request
// carries is not to reach a downstream that may prefer it.
func (r *Reader) settleInOrder(set *Set) {
	set.primary, set.ambiguous = -1, set.n > 1
	for i := range r.places {
		if key := set.at[i].index(); key >= 0 {
			set.primary = key
			return
		}
	}
	set.primary = 0
}

// ChecksKeys reports whether a success on this path proves that the downstream
// accepted the primary key: it looks at keys there, and at nothing else that
// would do. What it calls a success is 101, or 2xx with a header for which
// IsPage is false. It is false for OPTIONS, which CORS answers without a look
// at keys, and where NeedsSuccessField is true.
func (r *Reader) ChecksKeys(req *Request) bool {
	if req.Method == http.MethodOptions {
		return false
	}
	switch r.profile {
	case ProfileNewAPI:
		return req.anyPath(newAPIChecksCleaned)
	case ProfileLiteLLM:
		return !req.anyPath(liteLLMIsPublic)
	case ProfileOpenAI:
		return req.anyPath(openAIChecks)
	default:
		return len(r.bindPaths) == 0 || req.anyPath(r.isBindPath)
	}
}

// NeedsSuccessField reports whether an answer of 2xx on this path proves that
// the primary key was accepted if, and only if, it is a JSON object with
// "success":true. New API answers some refusals with 200 and "success":false.
func (r *Reader) NeedsSuccessField(req *Request) bool {
	if r.profile != ProfileNewAPI || req.Method == http.MethodOptions {
		return false
	}
	return req.anyPath(isLogOfToken) || r.bindDashboard && req.anyPath(isDashboardAPI)
}

// RefusesPath reports whether a path must not be forwarded: with BindDashboard
// New API's playground, which spends quota with the dashboard's login alone.
func (r *Reader) RefusesPath(req *Request) bool {
	return r.bindDashboard && req.anyPath(isPlayground)
}

// IsPage reports whether an answer with this header is a web page of a
// downstream that has them. It is so with profile newapi only.
//
// Threat: a downstream with a console answers unknown paths with its page and
// 200, whatever the key (New API: NoRoute in router/web-router.go, also for
// /%761/x, whose decoded path looks like an API's). Invented keys would be
// bound. Answer: a page proves nothing.
func (r *Reader) IsPage(answer http.Header) bool {
	if r.profile != ProfileNewAPI {
		return false
	}
	const html = "text/html"
	contentType := answer.Get("Content-Type")
	return len(contentType) >= len(html) && strings.EqualFold(contentType[:len(html)], html)
}
