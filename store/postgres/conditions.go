package postgres

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/key-ip-sentinel/sentinel/store"
)

// conditions are those of a WHERE, with their arguments.
type conditions struct {
	all   []string
	args  []any
	usage bool // whether a column of usage is among them
}

// arg adds an argument and returns its placeholder.
func (c *conditions) arg(v any) string {
	c.args = append(c.args, v)
	return "$" + strconv.Itoa(len(c.args))
}

// add adds a condition that has a ? for each argument.
func (c *conditions) add(sql string, args ...any) {
	var out strings.Builder
	for _, arg := range args {
		before, after, _ := strings.Cut(sql, "?")
		out.WriteString(before)
		out.WriteString(c.arg(arg))
		sql = after
	}
	c.all = append(c.all, out.String()+sql)
}

func (c *conditions) where() string {
	if len(c.all) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.all, " AND ")
}

// times adds that a column is within a range.
func (c *conditions) times(column string, r store.TimeRange) {
	if !r.Since.IsZero() {
		c.add(column+` >= ?`, ceilMs(r.Since))
	}
	if !r.Before.IsZero() {
		c.add(column+` < ?`, ceilMs(r.Before))
	}
}

// bindings adds what store.BindingFilter.Matches says, of the bindings or the archive.
func (c *conditions) bindings(f store.BindingFilter, table string) {
	if len(f.Hashes) > 0 {
		c.add(`hash = ANY(?::bytea[])`, hashBytes(f.Hashes))
	}
	if f.Text != "" {
		c.add(`(position(?::bytea IN hint_folded) > 0 OR position(?::bytea IN label_folded) > 0)`, folded(f.Text), folded(f.Text))
	}
	if f.Hint != "" {
		c.add(`position(?::bytea IN hint_folded) > 0`, folded(f.Hint))
	}
	if f.Label != "" {
		c.add(`position(?::bytea IN label_folded) > 0`, folded(f.Label))
	}
	if f.Network.IsValid() {
		c.network(f.Network, f.Within, table)
	}
	c.known(`networks @> ARRAY[?::text] AND networks <> '{}'`, f.Names, store.ValidateNetworkName(f.Names) == nil)
	c.known(`status = ?`, string(f.Status), f.Status == store.StatusActive || f.Status == store.StatusBanned)
	c.known(`rule = ?`, string(f.Rule), slices.Contains(ruleKinds, f.Rule))
	c.times("created_at", f.Created)
	c.used(f)
	if f.Returned {
		c.all = append(c.all, `archived_before IS NOT NULL`)
	}
}

var ruleKinds = []store.RuleKind{store.RuleSingle, store.RuleMultiple, store.RuleAll, store.RuleLearn}

// known adds a condition on a word, if there is one: of a word that no record can
// have, that there is none. Such words need not be texts that the server takes.
func (c *conditions) known(sql, word string, isKnown bool) {
	switch {
	case word == "":
	case isKnown:
		c.add(sql, word)
	default:
		c.all = append(c.all, `false`)
	}
}

// used adds what is asked of the usage.
func (c *conditions) used(f store.BindingFilter) {
	before := len(c.all)
	if !f.Used.IsZero() {
		c.all = append(c.all, `hits > 0`)
		c.times("last_used", f.Used)
	}
	if !f.IdleSince.IsZero() {
		since := ceilMs(f.IdleSince)
		c.add(`created_at < ? AND last_used < ?`, since, since)
	}
	if f.HitsBelow > 0 {
		c.add(`hits < ?`, number(f.HitsBelow))
	}
	c.usage = c.usage || len(c.all) > before
}

// network adds that a rule lets an address of a network pass, or names one of those
// that have one. Each part of the union has an index.
func (c *conditions) network(network netip.Prefix, within []string, table string) {
	named := slices.DeleteFunc(slices.Clone(within), func(name string) bool { return store.ValidateNetworkName(name) != nil })
	n := c.arg(network.String()) + `::text::inet`
	if table == "archive" {
		c.add(`(rule = 'all' OR EXISTS (SELECT FROM unnest(prefixes) AS p WHERE p && `+n+`) OR networks && ?::text[])`, slices.Concat([]string{}, named))
		return
	}
	sql := `hash IN (
    SELECT hash FROM sentinel.bindings WHERE rule = 'all'
    UNION ALL SELECT hash FROM sentinel.bindings WHERE prefixes[1]::inet && ` + n + `
    UNION ALL SELECT hash FROM sentinel.binding_prefixes WHERE prefix::inet && ` + n
	if len(named) == 0 {
		c.all = append(c.all, sql+`)`)
		return
	}
	c.add(sql+`
    UNION ALL SELECT hash FROM sentinel.bindings WHERE networks && ?::text[] AND networks <> '{}')`, named)
}
