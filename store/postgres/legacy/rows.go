package legacy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/key-ip-sentinel/sentinel/store"
)

// The fields of the two tables.
var (
	bindingFields = []field{
		{name: "hash", names: []string{"token_hash", "key_hash", "hash", "token_hmac"}, required: true},
		{name: "hint", names: []string{"token_display", "key_display", "display", "token_hint", "hint", "masked_token"}},
		{name: "ip", names: []string{"bound_ip", "bound_cidr", "bound_network", "ip", "cidr"}, required: true},
		{name: "rule", names: []string{"binding_mode", "bind_mode", "ip_mode", "mode", "rule", "rule_type"}},
		{name: "allowed", names: []string{"allowed_ips", "allowed_cidrs", "allowed_networks", "bound_ips", "ips"}},
		{name: "status", names: []string{"status", "state"}},
		{name: "banned", names: []string{"is_banned", "banned", "is_blocked", "blocked", "disabled"}},
		{name: "active", names: []string{"is_active", "active", "enabled"}},
		{name: "label", names: []string{"label", "name", "owner"}},
		{name: "note", names: []string{"note", "remark", "comment", "description"}},
		{name: "first", names: []string{"first_used_at", "first_seen_at", "bound_at", "created_at"}},
		{name: "last", names: []string{"last_used_at", "last_seen_at", "updated_at"}},
		{name: "hits", names: []string{"hit_count", "hits", "use_count", "request_count"}},
	}
	interceptFields = []field{
		{name: "hash", names: []string{"token_hash", "key_hash", "hash", "token_hmac"}, required: true},
		{name: "hint", names: []string{"token_display", "key_display", "display", "token_hint", "hint", "masked_token"}},
		{name: "ip", names: []string{"attempt_ip", "client_ip", "source_ip", "ip"}, required: true},
		{name: "at", names: []string{"intercepted_at", "created_at", "attempted_at", "timestamp"}, required: true},
	}
)

// Binding is a row of token_bindings.
type Binding struct {
	store.Binding           // without HashedWith
	LastUsed      time.Time // zero: not known
	Hits          uint64
	// Doubts are what was not clear, and how it was taken.
	Doubts []string
}

// Bindings calls visit for each row, with why it cannot be taken, if it cannot.
func (s *Source) Bindings(ctx context.Context, visit func(n int, b Binding, fault error) error) error {
	return s.each(ctx, s.bindings, func(n int, r row) error {
		b, err := r.binding(s.at)
		return visit(n, b, err)
	})
}

// Intercepts calls visit for each row of intercept_logs, oldest first, as Bindings does.
func (s *Source) Intercepts(ctx context.Context, visit func(n int, i store.Intercept, fault error) error) error {
	if s.intercepts == nil {
		return nil
	}
	t := *s.intercepts
	t.order = ` ORDER BY ` + strconv.Itoa(slices.Index(t.fields, "at")+1) + `, ctid`
	return s.each(ctx, t, func(n int, r row) error {
		i, err := r.intercept(n)
		return visit(n, i, err)
	})
}

func (r row) binding(now time.Time) (b Binding, err error) {
	if b.Hash, err = parseHash(r["hash"]); err != nil {
		return b, err
	}
	b.Hint, b.Label, b.Note = hintOf(r["hint"]), textOf(r["label"], store.MaxLabelBytes), textOf(r["note"], store.MaxNoteBytes)
	r.fillStatus(&b)
	if b.Rule, err = r.rule(); err != nil {
		return b, err
	}
	if p := b.Rule.Prefixes; len(p) == 1 && p[0].IsSingleIP() {
		b.FirstIP = p[0].Addr()
	}
	first, err := timeOf(r["first"])
	if err != nil {
		return b, fmt.Errorf("first use: %w", err)
	}
	if first.IsZero() || first.After(now) {
		first = now
	}
	b.CreatedAt, b.UpdatedAt = store.StoredTime(first), store.StoredTime(first)
	if b.LastUsed, err = timeOf(r["last"]); err != nil {
		return b, fmt.Errorf("last use: %w", err)
	}
	b.Hits, _ = strconv.ParseUint(r["hits"], 10, 64) // none: not counted
	return b, b.Validate()
}

// parseHash reads hex digits, in any case, perhaps with the \x of bytea.
func parseHash(s string) (store.KeyHash, error) {
	s = strings.ToLower(strings.TrimPrefix(strings.TrimSpace(s), `\x`))
	hash, err := store.ParseKeyHash(s)
	if err != nil || hash.IsZero() {
		return hash, fmt.Errorf("hash: %d characters that are no HMAC-SHA256, want 64 hex digits", len(s))
	}
	return hash, nil
}

// hintOf returns what may be shown of a key. Threat: the column has whole keys. Answer:
// what does not look shortened is shortened.
func hintOf(s string) string {
	s = strings.TrimSpace(textOf(s, store.MaxHintBytes))
	const whole = 12
	if len(s) > whole && !strings.ContainsAny(s, "*.…•") {
		s = s[:4] + "…" + s[len(s)-4:]
	}
	return s
}

// textOf returns a text without what no text may have, cut to so many bytes.
func textOf(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
	for len(s) > most {
		s = s[:len(s)-1]
	}
	return strings.ToValidUTF8(s, "")
}

var (
	activeWords = []string{"active", "1", "true", "t", "enabled", "ok", "normal", "bound", "yes"}
	bannedWords = []string{"banned", "0", "2", "false", "f", "disabled", "blocked", "ban", "no", "-1"}
	yesWords    = []string{"true", "t", "1", "yes"}
)

// fillStatus takes what is not clear for a ban: the other way round, a banned key would
// be let pass.
func (r row) fillStatus(b *Binding) {
	b.Status = store.StatusActive
	word, has := r["status"]
	word = strings.ToLower(strings.TrimSpace(word))
	switch {
	case !has, slices.Contains(activeWords, word):
	case slices.Contains(bannedWords, word):
		b.Status = store.StatusBanned
	default:
		b.Status = store.StatusBanned
		b.Doubts = append(b.Doubts, fmt.Sprintf("status %.20q is not known: taken for banned", word))
	}
	if word, has := r["banned"]; has && slices.Contains(yesWords, strings.ToLower(word)) {
		b.Status = store.StatusBanned
	}
	if word, has := r["active"]; has && !slices.Contains(yesWords, strings.ToLower(word)) {
		b.Status = store.StatusBanned
	}
}

// rule reads the mode and the addresses.
func (r row) rule() (rule store.Rule, err error) {
	mode := strings.ToLower(strings.TrimSpace(r["rule"]))
	bound, err := parsePrefixes(r["ip"])
	if err != nil && mode != "all" {
		return rule, fmt.Errorf("bound address: %w", err)
	}
	allowed, err := parsePrefixes(r["allowed"])
	if err != nil && mode != "all" {
		return rule, fmt.Errorf("allowed addresses: %w", err)
	}
	switch mode {
	case "all", "any":
		return store.Rule{Kind: store.RuleAll}, nil
	case "multiple", "multi", "list":
		if len(allowed) == 0 {
			allowed = bound
		}
		rule = store.Rule{Kind: store.RuleMultiple, Prefixes: allowed}
	case "", "single":
		rule = store.Rule{Kind: store.RuleSingle, Prefixes: bound}
		if len(bound) > 1 {
			rule.Kind = store.RuleMultiple
		}
	default:
		return rule, fmt.Errorf("rule %.20q is not known, want single, multiple or all", mode)
	}
	if len(rule.Prefixes) == 0 {
		return rule, fmt.Errorf("rule %q without an address", cmpOr(mode, "single"))
	}
	return rule, rule.Validate()
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// parsePrefixes reads addresses and prefixes: a JSON array, an array as PostgreSQL writes
// it, or a list with commas or spaces.
func parsePrefixes(s string) (list []netip.Prefix, err error) {
	s = strings.TrimSpace(s)
	var texts []string
	switch {
	case s == "" || s == "null":
		return nil, nil
	case strings.HasPrefix(s, "["), strings.HasPrefix(s, `"`):
		if texts, err = jsonTexts(s); err != nil {
			return nil, err
		}
	default:
		texts = strings.FieldsFunc(strings.Trim(s, "{}"), func(r rune) bool { return r == ',' || r == ' ' || r == ';' || r == '\n' })
	}
	for _, text := range texts {
		p, err := parsePrefix(strings.Trim(text, `" `))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list, nil
}

// jsonTexts reads an array of texts, or a text that has such an array in it.
func jsonTexts(s string) (texts []string, err error) {
	if json.Unmarshal([]byte(s), &texts) == nil {
		return texts, nil
	}
	var inner string
	if json.Unmarshal([]byte(s), &inner) == nil && strings.HasPrefix(strings.TrimSpace(inner), "[") {
		return jsonTexts(inner)
	}
	return nil, fmt.Errorf("%.40q is no list of addresses", s)
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%.50q is no address, nor a prefix", s)
	}
	if addr := p.Addr(); addr.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// timeOf reads milliseconds, as a column of times is selected, or a time as text.
func timeOf(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, nil
	}
	const seconds = 100_000_000_000 // less than that are seconds, in a column of numbers
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n < seconds && n > -seconds {
			return time.Unix(n, 0).UTC(), nil
		}
		return time.UnixMilli(n).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return store.StoredTime(t), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no time", s)
}

func (r row) intercept(n int) (i store.Intercept, err error) {
	if i.Hash, err = parseHash(r["hash"]); err != nil {
		return i, err
	}
	from, err := parsePrefix(strings.TrimSpace(r["ip"]))
	if err != nil || !from.IsSingleIP() {
		return i, fmt.Errorf("address %.50q is none", r["ip"])
	}
	if i.At, err = timeOf(r["at"]); err != nil || i.At.IsZero() {
		return i, fmt.Errorf("time %.40q is none", r["at"])
	}
	i.Last, i.Count, i.Reason, i.ClientIP, i.Hint = i.At, 1, store.ReasonIPNotAllowed, from.Addr(), hintOf(r["hint"])
	i.PeerIP, i.RequestID = i.ClientIP, InterceptMark+strconv.Itoa(n)
	return i, nil
}

// InterceptMark begins the request ID of intercepts that were taken over; their number
// follows.
const InterceptMark = "legacy-"
