package admin

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/ipset"
	"github.com/key-ip-sentinel/sentinel/store"
)

// HashPath is the key hash in a path.
type HashPath struct {
	Hash string `path:"hash" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"The key hash: 64 hex digits."`
}

// hash cannot fail, since the pattern has been checked.
func (p HashPath) hash() (store.KeyHash, error) { return parseHash("path.hash", p.Hash) }

func parseHash(location, s string) (store.KeyHash, error) {
	h, err := store.ParseKeyHash(s)
	if err != nil || h.IsZero() {
		return h, invalidField(location, "is no key hash, which has 64 hex digits and is not zero")
	}
	return h, nil
}

// Binding is a binding as the API shows it. It is embedded, and so exported.
type Binding struct {
	Hash   store.KeyHash `json:"hash" doc:"The key hash: 64 hex digits. The key itself is not kept."`
	Hint   string        `json:"hint" doc:"A few characters of the key." example:"sk-ab…9fQ2"`
	Label  string        `json:"label" doc:"What an administrator calls the key."`
	Note   string        `json:"note" doc:"What an administrator wrote of the key; may have several lines."`
	Status store.Status  `json:"status" enum:"active,banned" doc:"A banned key is refused from everywhere."`
	Rule   ruleBody      `json:"rule" doc:"Where the key may be used from."`

	FirstIP        netip.Addr `json:"firstIp,omitzero" doc:"The client IP that bound the key; absent if it was bound by hand."`
	CreatedAt      time.Time  `json:"createdAt" doc:"When the key was bound."`
	UpdatedAt      time.Time  `json:"updatedAt" doc:"When the binding was last changed."`
	ArchivedBefore time.Time  `json:"archivedBefore,omitzero" doc:"When an earlier binding of the key was archived; absent if there was none."`
	Revision       uint64     `json:"revision" doc:"Grows with every change; the ETag is made of it."`
}

// Usage is the usage of a key as the API shows it. It is embedded, and so
// exported.
type Usage struct {
	LastUsed time.Time  `json:"lastUsed,omitzero" doc:"When the key was last let pass, to within 5 seconds; absent if it never was."`
	LastIP   netip.Addr `json:"lastIp,omitzero" doc:"From which client IP."`
	Hits     uint64     `json:"hits" doc:"How often the key was let pass; up to 5 seconds late."`
}

func showBinding(b store.Binding) Binding {
	return Binding{
		Hash: b.Hash, Hint: b.Hint, Label: b.Label, Note: b.Note, Status: b.Status, Rule: showRule(b.Rule),
		FirstIP: b.FirstIP, CreatedAt: b.CreatedAt.UTC(), UpdatedAt: b.UpdatedAt.UTC(),
		ArchivedBefore: b.ArchivedBefore.UTC(), Revision: b.Revision,
	}
}

func showUsage(u store.Usage) Usage {
	return Usage{LastUsed: u.LastUsed.UTC(), LastIP: u.LastIP, Hits: u.Hits}
}

// bindingOutput answers with one binding and its ETag.
type bindingOutput struct {
	ETag
	Body changedBinding
}

// changedBinding is a binding as the answer to a change of it.
type changedBinding struct {
	Binding
	Warnings []warning `json:"warnings,omitempty" doc:"What is odd about the rule that was sent, such as a prefix that adds nothing; absent if nothing is."`
}

func answerBinding(b store.Binding) *bindingOutput {
	return &bindingOutput{ETag: etagOf(b.Revision), Body: changedBinding{Binding: showBinding(b)}}
}

// faults gathers what is wrong with the fields of one request.
type faults []fieldFault

func (f *faults) addf(location, format string, args ...any) {
	*f = append(*f, fieldFault{Location: location, Message: fmt.Sprintf(format, args...)})
}

// err is nil if nothing was wrong.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return invalid(f...)
}

// maxPrefixText is about as long as an address with a length can be.
const maxPrefixText = 64

// parsePrefix reads an address or a CIDR, and says what is wrong with it. What
// looks like neither is not repeated: it may be a key that was pasted into the
// wrong place.
func parsePrefix(s string) (netip.Prefix, string) {
	p, err := ipset.ParsePrefix(s)
	switch {
	case err == nil:
		return p, ""
	case len(s) > maxPrefixText || !strings.ContainsAny(s, ".:") || strings.Trim(s, "0123456789abcdefABCDEF.:/%[] ") != "":
		return p, "is no IP address or prefix, such as 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32"
	}
	return p, err.Error()
}

// invalidTexts are the fields that the engine checks and names.
var invalidTexts = []string{"label", "note", "hint", "status", "rule", "hash", "since", "name:", "prefixes:", "until:"}

// locate names the field of an error of the engine that wraps store.ErrInvalid,
// as a field below prefix, such as "body.". Other errors stay as they are.
func locate(err error, prefix string) error {
	if err == nil {
		return nil
	}
	_, text, found := strings.Cut(err.Error(), store.ErrInvalid.Error()+": ")
	if !found {
		return err
	}
	if names, ok := strings.CutPrefix(text, "rule names network "); ok {
		return invalidField(prefix+"rule.networks", "names network %s", names)
	}
	for _, field := range invalidTexts {
		if rest, ok := strings.CutPrefix(text, field+" "); ok {
			return invalidField(prefix+strings.TrimSuffix(field, ":"), "%s", rest)
		}
	}
	return err
}
