// Package rebind is the page that a re-bind link opens: it shows the holder of a
// key where it would be bound to, and binds it there when they say so. It is on
// the public address, where the client IP is the one that requests with the key
// have too.
package rebind

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/rebind"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
)

// Base is where the paths of links begin; the token follows.
const Base = admin.RebindPath

const (
	// actor is who the audit trail says has used a link: whoever had it.
	actor = "rebind-link"
	// maxFormBytes is more than the form of the page has.
	maxFormBytes = 4 << 10
	formTimeout  = 10 * time.Second
)

// Options of New. All but Now are required.
type Options struct {
	Links    *rebind.Links
	Engine   *engine.Engine
	Resolver *clientip.Resolver
	Audit    store.AuditLog
	Logger   *slog.Logger
	Now      func() time.Time // default time.Now
}

// Page is the handler of all paths below Base. It is safe for concurrent use.
type Page struct {
	opts Options
}

// New returns the page.
func New(opts Options) (*Page, error) {
	if opts.Links == nil || opts.Engine == nil || opts.Resolver == nil || opts.Audit == nil || opts.Logger == nil {
		return nil, errors.New("re-bind page without links, engine, resolver, audit trail or logger")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Page{opts}, nil
}

// ServeHTTP shows the page, and with POST does what it offers. What mail and chat
// programs fetch to show a preview changes nothing: they do not post.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	text := textsFor(r.Header.Get("Accept-Language"))
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	peer := p.opts.Engine.Peer(r.RemoteAddr)
	ip, err := p.opts.Resolver.Resolve(peer, r.Header)
	limited := ip
	if err != nil {
		limited = peer.Addr
	}
	// Threat: tokens are guessed. Answer: there are 2^256, and each guess counts as
	// a request.
	if ok, after := p.opts.Engine.Limit(limited); !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
		p.say(w, http.StatusTooManyRequests, text, text.limited, toneFault)
		return
	}
	switch {
	case err != nil:
		p.opts.Logger.Warn("re-bind link opened from an address that cannot be told", "peer", r.RemoteAddr, "error", err)
		p.say(w, http.StatusBadRequest, text, text.hidden, toneFault)
	case p.opts.Resolver.Trusts(ip):
		p.opts.Logger.Warn("re-bind link opened from the address of a trusted proxy, which everybody behind it shares", "client_ip", ip)
		p.say(w, http.StatusBadRequest, text, text.proxy, toneFault)
	case r.Method == http.MethodPost:
		p.use(w, r, text, ip)
	default:
		p.show(w, r, text, ip, "")
	}
}

func tokenOf(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, Base) }

// show offers what the link would do.
func (p *Page) show(w http.ResponseWriter, r *http.Request, text *texts, ip netip.Addr, note string) {
	offer, err := p.opts.Links.Look(r.Context(), tokenOf(r), ip)
	if err != nil {
		p.fail(w, text, err)
		return
	}
	status := http.StatusOK
	if note != "" {
		status = http.StatusConflict
	}
	v := view{Text: text, Title: text.offer.title, Lead: text.offer.lead, Note: note, Hint: offer.Hint, Offers: true, Prefix: offer.Prefix.String()}
	v.bound(ip, offer.Prefix)
	v.Until = offer.ExpiresAt.Format("2006-01-02 15:04 UTC")
	p.write(w, status, v)
}

// use does what the link is for.
func (p *Page) use(w http.ResponseWriter, r *http.Request, text *texts, ip netip.Addr) {
	// Threat: another site has a browser post to a link that it has got hold of.
	// Answer: browsers say which site has caused a request, and of others nothing
	// is taken.
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		p.say(w, http.StatusForbidden, text, text.foreign, toneFault)
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(p.opts.Now().Add(formTimeout)) // not every connection has deadlines
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		p.say(w, http.StatusBadRequest, text, text.away, toneFault)
		return
	}
	_ = control.SetReadDeadline(time.Time{})
	if shown := r.PostForm.Get("prefix"); shown != "" {
		offer, err := p.opts.Links.Look(r.Context(), tokenOf(r), ip)
		if err == nil && offer.Prefix.String() != shown { // nobody has agreed to this one
			p.show(w, r, text, ip, text.moved)
			return
		}
	}
	use, err := p.opts.Links.Use(r.Context(), tokenOf(r), ip)
	if use.Link.ID != "" { // it is used up, whatever came of it
		err = errors.Join(err, p.record(r.Context(), use, ip, err))
	}
	if err != nil {
		p.fail(w, text, err)
		return
	}
	p.opts.Logger.Info("key bound by a re-bind link", "hint", use.After.Hint, "prefix", use.Link.UsedFor, "client_ip", ip, "link", use.Link.ID)
	v := view{Text: text, Title: text.done.title, Lead: text.done.lead, Tone: toneDone, Hint: use.After.Hint}
	v.bound(ip, use.Link.UsedFor)
	p.write(w, http.StatusOK, v)
}

// usedLink is what the audit trail says of a link that was used.
type usedLink struct {
	Link   string         `json:"link"`
	Kind   store.RuleKind `json:"kind,omitempty"`
	Bound  []netip.Prefix `json:"prefixes,omitempty"`
	Failed bool           `json:"failed,omitempty"` // the key is bound as it was
}

// record writes the use of a link into the audit trail.
func (p *Page) record(ctx context.Context, use rebind.Use, ip netip.Addr, failure error) error {
	was := usedLink{Link: use.Link.ID, Kind: use.Before.Rule.Kind, Bound: use.Before.Rule.Prefixes}
	is := usedLink{Link: use.Link.ID, Kind: use.After.Rule.Kind, Bound: use.After.Rule.Prefixes, Failed: failure != nil}
	entry, err := store.AuditEntry{
		At: p.opts.Now(), Actor: actor, ClientIP: ip, Action: "rebind.use", Target: "binding:" + use.Link.Key.String(),
	}.Changed(was, is)
	if err == nil {
		_, err = p.opts.Audit.AppendAudit(context.WithoutCancel(ctx), entry)
	}
	if err != nil {
		p.opts.Logger.Error("use of a re-bind link not recorded", "link", use.Link.ID, "client_ip", ip, "error", err)
	}
	return err
}

// fail tells of a link that is over, always in the same words, or of a failure,
// whose cause is for the log.
func (p *Page) fail(w http.ResponseWriter, text *texts, err error) {
	if errors.Is(err, rebind.ErrGone) {
		p.say(w, http.StatusGone, text, text.gone, toneOver)
		return
	}
	p.opts.Logger.Error("re-bind link failed", "error", err)
	p.say(w, http.StatusServiceUnavailable, text, text.away, toneFault)
}
