package rebind

import (
	"crypto/sha256"
	_ "embed" // of the style
	"encoding/base64"
	"io"
	"net/http"
	"net/netip"
	"strconv"
)

//go:embed page.css
var pageCSS string

// style is the style sheet, whose hash the content policy has.
var style = markup(pageCSS)

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

// html returns the page.
func (v *view) html() string {
	var d document
	d.put(`<!doctype html>
<html lang="%s">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>%s · Key-IP Sentinel</title>
<style>`, v.Text.Lang, v.Title)
	d.put(style)
	d.put(`</style>
</head>
<body>
<main>
<p class="brand">`+shield+`Key-IP Sentinel</p>
<section class="card %s">
<h1>%s</h1>`, v.Tone, v.Title)
	if v.Note != "" {
		d.put("\n<p class=\"note\" role=\"status\">%s</p>", v.Note)
	}
	d.put("\n<p>%s</p>", v.Lead)
	if v.Hint != "" {
		v.putKey(&d)
	}
	if v.Offers {
		d.put(`
<form method="post" autocomplete="off">
<input type="hidden" name="prefix" value="%s">
<button type="submit">%s</button>
</form>
<p class="small">%s</p>`, v.Prefix, v.Text.Button, v.Text.Once)
	}
	d.put("\n</section>\n</main>\n</body>\n</html>\n")
	return d.text.String()
}

// putKey adds what is known of the key.
func (v *view) putKey(d *document) {
	const word = `
<div><dt>%s</dt><dd><code>%s</code></dd></div>`
	d.put("\n<dl>")
	d.put(word, v.Text.Key, v.Hint)
	d.put(word, v.Text.Address, v.Address)
	if v.Covers != "" {
		d.put(word, v.Text.Covers, v.Covers)
	}
	if v.Until != "" {
		d.put("\n<div><dt>%s</dt><dd>%s</dd></div>", v.Text.Until, v.Until)
	}
	d.put("\n</dl>")
}

const shield = `<svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true"><path class="shield" d="M16 2 4 6.5v8.6c0 7.3 5 12.7 12 14.9 7-2.2 12-7.6 12-14.9V6.5z"/><path class="keyhole" d="M16 9.5a4 4 0 0 0-1.4 7.75v5.25h2.8v-1.6h1.5v-2.3h-1.5v-1.35A4 4 0 0 0 16 9.5m0 2.6a1.4 1.4 0 1 1 0 2.8 1.4 1.4 0 0 1 0-2.8"/></svg>`

// say shows a page of words alone.
func (p *Page) say(w http.ResponseWriter, status int, text *texts, what said, tone string) {
	p.write(w, status, view{Text: text, Title: what.title, Lead: what.lead, Tone: tone})
}

func (p *Page) write(w http.ResponseWriter, status int, v view) {
	page := v.html()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(page)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, page) // the client may have left
}
