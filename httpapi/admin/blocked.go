package admin

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/network"
	"github.com/key-ip-sentinel/sentinel/store"
)

// maxBlockedBytes is how large a list of networks to block may be: 100,000 IPv6
// prefixes as JSON, each with a time.
const maxBlockedBytes = 9 << 20

// registerBlocked adds what is about the networks that nobody may come from.
func (a *API) registerBlocked() {
	handle(a, operation{
		method: http.MethodGet, path: "/blocked-networks", id: "list-blocked-networks", tag: tagNetworks, role: account.Viewer,
		summary: "List blocked networks", about: "Those that are all of what the filters say, in the order of their addresses.",
	}, a.listBlocked)
	handle(a, operation{
		method: http.MethodPost, path: "/blocked-networks", id: "block-networks", tag: tagNetworks, role: account.Operator,
		summary: "Block networks", maxBody: maxBlockedBytes, errors: []int{http.StatusConflict},
		about: "Requests from there are refused from the next one on, whatever the key, and open streams are cut; only an exception of a key is stronger. " +
			"All are blocked or none; of those that are blocked already, note and end are replaced. " + aboutLockOut,
	}, a.blockNetworks)
	handle(a, operation{
		method: http.MethodPost, path: "/blocked-networks/import", id: "import-blocked-networks", tag: tagNetworks, role: account.Operator,
		summary: "Block the networks of a list", receives: []string{"text/plain"}, errors: []int{http.StatusConflict},
		about: "Plain text of up to 9 MiB with one address or CIDR a line; what follows # is a comment. All are blocked or none. " + aboutLockOut,
	}, a.importBlocked)
	handle(a, operation{
		method: http.MethodPost, path: "/blocked-networks/remove", id: "unblock-networks", tag: tagNetworks, role: account.Operator,
		summary: "End the blocking of networks", maxBody: maxBlockedBytes,
	}, a.unblockNetworks)
	handle(a, operation{
		method: http.MethodGet, path: "/blocked-networks/export", id: "export-blocked-networks", tag: tagNetworks, role: account.Viewer,
		summary: "Export blocked networks", content: "text/plain", about: "One CIDR a line, which import-blocked-networks reads.",
	}, a.exportBlocked)
}

const aboutLockOut = "A block that has your own address in it is refused (would_lock_out), unless you force it."

// blockedBody is a blocked network as the API shows it.
type blockedBody struct {
	Prefix    netip.Prefix `json:"prefix" doc:"The network."`
	Note      string       `json:"note" doc:"What an administrator wrote of it."`
	Until     time.Time    `json:"until,omitzero" doc:"When it ends by itself; absent: never."`
	By        string       `json:"by" example:"account:admin" doc:"Who blocked it."`
	CreatedAt time.Time    `json:"createdAt" doc:"Since when it is blocked."`
}

func showBlocked(list []network.Blocked) []blockedBody {
	shown := make([]blockedBody, 0, len(list))
	for _, b := range list {
		shown = append(shown, blockedBody{b.Prefix, b.Note, b.Until.UTC(), b.By, b.CreatedAt.UTC()})
	}
	return shown
}

type listBlockedInput struct {
	Text    string `query:"text" minLength:"1" maxLength:"256" doc:"Part of the note, of who blocked it, or of the network."`
	Network string `query:"network" minLength:"1" maxLength:"64" example:"198.51.100.7" doc:"An address or CIDR: those that have at least one address of it."`
	PageInput
}

type listBlockedOutput struct {
	Body page[blockedBody]
}

func (a *API) listBlocked(_ context.Context, _ *call, in *listBlockedInput) (*listBlockedOutput, error) {
	var f faults
	filter := network.BlockedFilter{Text: in.Text, Network: networkInput(in.Network, "query.network", &f), Limit: in.Limit}
	if err := f.err(); err != nil {
		return nil, err
	}
	var err error
	if filter.After, err = parsePrefixCursor("query.after", in.After); err != nil {
		return nil, err
	}
	found := a.opts.Engine.Blocked().Page(filter)
	out := &listBlockedOutput{page[blockedBody]{Items: showBlocked(found.Entries), Total: &found.Total}}
	if found.Next.IsValid() {
		out.Body.Next = prefixCursor(found.Next)
	}
	return out, nil
}

// prefixCursor makes the cursor of a list that is ordered by prefix.
func prefixCursor(p netip.Prefix) string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.String()))
}

func parsePrefixCursor(location, cursor string) (netip.Prefix, error) {
	if cursor == "" {
		return netip.Prefix{}, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return netip.Prefix{}, wrongCursor(location)
	}
	p, err := netip.ParsePrefix(string(raw))
	if err != nil || prefixCursor(p) != cursor {
		return netip.Prefix{}, wrongCursor(location)
	}
	return p, nil
}

// BlockOptions are what holds for all networks of a call.
type BlockOptions struct {
	Note             string    `query:"note" json:"note,omitempty" maxLength:"1024" doc:"What there is to say of those without a note of their own."`
	Until            time.Time `query:"until" json:"until,omitzero" pattern:"^(19[7-9]|[2-9][0-9][0-9])[0-9]-" patternDescription:"time of 1970 or later" doc:"When those end by themselves that do not say it themselves; absent: never."`
	ConfirmAnySource bool      `query:"confirmAnySource" json:"confirmAnySource,omitempty" doc:"Must be true if 0.0.0.0/0 or ::/0 is among them."`
	Force            bool      `query:"force" json:"force,omitempty" doc:"Blocks them even if your own address is among them."`
}

type blockInput struct {
	Body struct {
		Networks []newBlocked `json:"networks,omitempty" maxItems:"100000" doc:"What to block. Either these or text, or both."`
		Text     string       `json:"text,omitempty" doc:"A list with one address or CIDR a line; what follows # is a comment."`
		BlockOptions
	}
}

type newBlocked struct {
	Prefix string    `json:"prefix" maxLength:"1000" example:"198.51.100.0/24" doc:"An address or CIDR without host bits."`
	Note   string    `json:"note,omitempty" maxLength:"1024" doc:"What there is to say of it."`
	Until  time.Time `json:"until,omitzero" doc:"When it ends by itself."`
}

type blockOutput struct {
	Body struct {
		Added    int       `json:"added" doc:"How many were not blocked before."`
		Replaced int       `json:"replaced" doc:"How many were, and have another note and end now."`
		Total    int       `json:"total" doc:"How many networks are blocked now."`
		Warnings []warning `json:"warnings,omitempty" doc:"What is odd about the list, such as a network that adds nothing; absent if nothing is."`
	}
}

func (a *API) blockNetworks(ctx context.Context, c *call, in *blockInput) (*blockOutput, error) {
	var f faults
	entries := make([]network.Blocked, 0, len(in.Body.Networks))
	for i, n := range in.Body.Networks {
		location := fmt.Sprintf("body.networks[%d]", i)
		if !n.Until.IsZero() && !n.Until.After(a.now()) && len(f) < maxRuleFaults {
			f.addf(location+".until", "is in the past")
		}
		entries = append(entries, network.Blocked{
			Prefix: prefixInput(n.Prefix, location+".prefix", in.Body.ConfirmAnySource, &f), Note: n.Note, Until: n.Until,
		})
	}
	entries = append(entries, readBlocked(in.Body.Text, "body.text", in.Body.ConfirmAnySource, &f)...)
	return a.block(ctx, c, entries, in.Body.BlockOptions, "body.", f)
}

// readBlocked reads a list with one network a line.
func readBlocked(text, location string, anySource bool, f *faults) (entries []network.Blocked) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			entries = append(entries, network.Blocked{Prefix: prefixInput(line, fmt.Sprintf("%s, line %d", location, n), anySource, f)})
		}
	}
	return entries
}

// block blocks networks of which f says what was wrong with them.
func (a *API) block(ctx context.Context, c *call, entries []network.Blocked, o BlockOptions, location string, f faults) (*blockOutput, error) {
	switch {
	case len(f) > 0:
	case len(entries) == 0:
		f.addf(strings.TrimSuffix(location, "."), "has no network to block")
	case !o.Until.IsZero() && !o.Until.After(a.now()):
		f.addf(location+"until", "is in the past")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	var before []network.Blocked
	prefixes := make([]netip.Prefix, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.By = c.actor; e.Note == "" {
			e.Note = o.Note
		}
		if e.Until.IsZero() {
			e.Until = o.Until
		}
		if c.clientIP.IsValid() && e.Prefix.Contains(c.clientIP) && !o.Force {
			return nil, faultf(http.StatusConflict, "would_lock_out",
				"your own address, %s, is in %s: requests with keys from where you are would be refused. Nothing was changed; send force to do it all the same",
				c.clientIP, e.Prefix)
		}
		if old, exists := a.opts.Engine.Blocked().Get(e.Prefix); exists {
			before = append(before, old)
		}
		prefixes[i] = e.Prefix
	}
	out := new(blockOutput)
	var err error
	if out.Body.Added, err = a.opts.Engine.Block(ctx, entries); err != nil {
		return nil, locate(err, location)
	}
	out.Body.Replaced, out.Body.Total = len(before), a.opts.Engine.Blocked().Len()
	out.Body.Warnings = warningsOf(ruleWarnings(store.Rule{Prefixes: prefixes}))
	return out, a.auditBlocked(ctx, c, "blocked.add", before, entries)
}

// auditBlocked writes an act on many networks as several entries, so that none is
// too large to be shown.
func (a *API) auditBlocked(ctx context.Context, c *call, action string, before, after []network.Blocked) error {
	type part struct {
		Networks []blockedBody `json:"networks"`
	}
	for len(before)+len(after) > 0 {
		was, is := before[:min(len(before), bulkChunk)], after[:min(len(after), bulkChunk)]
		before, after = before[len(was):], after[len(is):]
		var from, to any
		if len(was) > 0 {
			from = part{showBlocked(was)}
		}
		if len(is) > 0 {
			to = part{showBlocked(is)}
		}
		if err := a.audit(ctx, c, action, blockedTarget(append(slices.Clone(was), is...)), from, to); err != nil {
			return err
		}
	}
	return nil
}

// blockedTarget names a blocked network in the audit trail, if it is one alone.
func blockedTarget(list []network.Blocked) string {
	for _, b := range list[1:] {
		if b.Prefix != list[0].Prefix {
			return ""
		}
	}
	return "blocked:" + list[0].Prefix.String()
}

type importBlockedInput struct {
	BlockOptions

	body io.Reader
}

// Resolve is part of huma.Resolver: the body is not JSON, and is read by the
// handler.
func (in *importBlockedInput) Resolve(ctx huma.Context) []error {
	c := humagin.Unwrap(ctx)
	in.body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBlockedBytes)
	return nil
}

func (a *API) importBlocked(ctx context.Context, c *call, in *importBlockedInput) (*blockOutput, error) {
	raw, err := io.ReadAll(in.body)
	if err != nil {
		return nil, faultf(http.StatusRequestEntityTooLarge, "too_large", "the list could not be read, or is larger than %d MiB", maxBlockedBytes>>20)
	}
	var f faults
	entries := readBlocked(strings.TrimPrefix(string(raw), "\ufeff"), "body", in.ConfirmAnySource, &f)
	return a.block(ctx, c, entries, in.BlockOptions, "query.", f)
}

type unblockInput struct {
	Body struct {
		Prefixes []string `json:"prefixes" minItems:"1" maxItems:"100000" example:"[\"198.51.100.0/24\"]" doc:"What is to be blocked no more, as it is listed."`
	}
}

type unblockOutput struct {
	Body struct {
		Removed int            `json:"removed" doc:"How many were blocked."`
		Missing []netip.Prefix `json:"missing,omitempty" doc:"Those that were not, of which there may be more: at most 20."`
		Total   int            `json:"total" doc:"How many networks are blocked now."`
	}
}

func (a *API) unblockNetworks(ctx context.Context, c *call, in *unblockInput) (*unblockOutput, error) {
	var f faults
	prefixes := make([]netip.Prefix, len(in.Body.Prefixes))
	for i, text := range in.Body.Prefixes {
		prefixes[i] = prefixInput(text, fmt.Sprintf("body.prefixes[%d]", i), true, &f)
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	gone, err := a.opts.Engine.Unblock(ctx, prefixes)
	if err != nil {
		return nil, err
	}
	was := make(map[netip.Prefix]bool, len(gone))
	for _, b := range gone {
		was[b.Prefix] = true
	}
	out := new(unblockOutput)
	for _, p := range prefixes {
		if !was[p] && len(out.Body.Missing) < maxRuleFaults {
			out.Body.Missing = append(out.Body.Missing, p)
		}
	}
	out.Body.Removed, out.Body.Total = len(gone), a.opts.Engine.Blocked().Len()
	return out, a.auditBlocked(ctx, c, "blocked.remove", gone, nil)
}

func (a *API) exportBlocked(context.Context, *call, *struct{}) (*huma.StreamResponse, error) {
	name := "sentinel-blocked-" + a.now().UTC().Format(fileDate) + ".txt"
	return a.attachment("text/plain; charset=utf-8", name, func(_ context.Context, w io.Writer) error {
		for _, p := range a.opts.Engine.Blocked().Prefixes() {
			if _, err := fmt.Fprintln(w, p); err != nil {
				return err
			}
		}
		return nil
	}), nil
}
