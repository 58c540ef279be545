package rebind

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // of the page
	"encoding/base64"
	"html/template"
	"net/http"
	"net/netip"
	"strconv"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// contentPolicy lets the page have its own style and its own form, and nothing
// else: no script, no picture, no frame around it.
var contentPolicy = "default-src 'none'; style-src 'sha256-" + hashOf(pageCSS) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// setHeaders sets what every answer has. The address of the page is a secret: it
// is neither kept by caches nor told to other sites, and no frame shows the page.
func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// The looks of the card.
const (
	toneDone  = "done"
	toneOver  = "over"
	toneFault = "fault"
)

// view is what the page shows; empty fields are left out.
type view struct {
	Text              *texts
	Title, Lead, Note string
	Tone              string
	Hint              string
	Address, Covers   string
	Until             string
	Offers            bool
	Prefix            string // what the form says that was shown
}

// bound fills in where the key is or would be bound to.
func (v *view) bound(ip netip.Addr, prefix netip.Prefix) {
	v.Address = ip.String()
	if !prefix.IsSingleIP() {
		v.Covers = prefix.String()
	}
}

// Style is the style sheet, whose hash the content policy has.
func (view) Style() template.CSS { return template.CSS(pageCSS) } //nolint:gosec // G203: a constant of this program

// say shows a page of words alone.
func (p *Page) say(w http.ResponseWriter, status int, text *texts, what said, tone string) {
	p.write(w, status, view{Text: text, Title: what.title, Lead: what.lead, Tone: tone})
}

func (p *Page) write(w http.ResponseWriter, status int, v view) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		p.opts.Logger.Error("re-bind page cannot be made", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may have left
}
