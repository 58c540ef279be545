package admin

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

// fileDate is how a file that is downloaded says when it was made.
const fileDate = "2006-01-02"

// registerExport adds the export of bindings.
func (a *API) registerExport() {
	handle(a, operation{
		method: http.MethodGet, path: "/bindings/export", id: "export-bindings", tag: bindingTag, role: account.Viewer,
		summary: "Export bindings", content: "text/csv",
		contents: map[string]*huma.Schema{
			"application/json":  {Type: huma.TypeArray, Items: a.schemaOf(reflect.TypeFor[exportedBinding]())},
			"application/jsonl": {Type: huma.TypeString},
		},
		about: "All that the filters choose, oldest first, as CSV, as a JSON list, or as JSON Lines (one object a line); import-bindings " +
			"reads all three. It is written while it is read, page by page: what changes meanwhile may be in it as it was or as it is. " +
			"CSV cells that a spreadsheet would run as a formula get an apostrophe in front, which an import takes away again.",
	}, a.exportBindings)
}

// exportedBinding is a row of an export. The fields are those of an import, and
// then those that an import passes over.
type exportedBinding struct {
	Hash     store.KeyHash  `json:"hash" doc:"The key hash: 64 hex digits."`
	Hint     string         `json:"hint" doc:"A few characters of the key."`
	Label    string         `json:"label" doc:"What an administrator calls the key."`
	Note     string         `json:"note" doc:"What an administrator wrote of the key."`
	Status   store.Status   `json:"status" enum:"active,banned" doc:"A banned key is refused from everywhere."`
	Rule     store.RuleKind `json:"rule" enum:"single,multiple,all,learn" doc:"The kind of the rule."`
	Prefixes []netip.Prefix `json:"prefixes" doc:"The prefixes of the rule; none for all."`
	Networks []string       `json:"networks,omitempty" doc:"The networks that the rule names."`
	Learn    *learnBody     `json:"learn,omitempty" doc:"How the rule learns; of the kind learn only."`

	FirstIP        netip.Addr `json:"firstIp,omitzero" doc:"The client IP that bound the key."`
	CreatedAt      time.Time  `json:"createdAt" doc:"When the key was bound."`
	UpdatedAt      time.Time  `json:"updatedAt" doc:"When the binding was last changed."`
	ArchivedBefore time.Time  `json:"archivedBefore,omitzero" doc:"When an earlier binding of the key was archived."`
	LastUsed       time.Time  `json:"lastUsed,omitzero" doc:"When the key was last let pass."`
	LastIP         netip.Addr `json:"lastIp,omitzero" doc:"From which client IP."`
	Hits           uint64     `json:"hits" doc:"How often the key was let pass."`
}

// schemaOf returns the schema of a type in the document.
func (a *API) schemaOf(t reflect.Type) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
}

// exportColumns are the columns of an export as CSV. New ones come last: who reads
// them may count.
var exportColumns = []string{
	"hash", "hint", "label", "note", "status", "rule", "prefixes",
	"firstIp", "createdAt", "updatedAt", "archivedBefore", "lastUsed", "lastIp", "hits", "learnUntil",
}

func exportRow(row store.BindingRow) exportedBinding {
	b := showBinding(row.Binding)
	return exportedBinding{
		Hash: b.Hash, Hint: b.Hint, Label: b.Label, Note: b.Note, Status: b.Status, Rule: b.Rule.Kind, Prefixes: b.Rule.Prefixes,
		Networks: b.Rule.Networks, Learn: b.Rule.Learn,
		FirstIP: b.FirstIP, CreatedAt: b.CreatedAt, UpdatedAt: b.UpdatedAt, ArchivedBefore: b.ArchivedBefore,
		LastUsed: row.Usage.LastUsed.UTC(), LastIP: row.Usage.LastIP, Hits: row.Usage.Hits,
	}
}

func (b exportedBinding) cells() []string {
	rule, until := string(b.Rule), time.Time{}
	if b.Learn != nil {
		rule, until = learnMark+b.Learn.learn().String(), b.Learn.Until
	}
	prefixes := make([]string, 0, len(b.Prefixes)+len(b.Networks))
	for _, p := range b.Prefixes {
		prefixes = append(prefixes, p.String())
	}
	for _, name := range b.Networks {
		prefixes = append(prefixes, networkMark+name)
	}
	return []string{
		b.Hash.String(), b.Hint, b.Label, b.Note, string(b.Status), rule, strings.Join(prefixes, " "),
		addrCell(b.FirstIP), timeCell(b.CreatedAt), timeCell(b.UpdatedAt), timeCell(b.ArchivedBefore),
		timeCell(b.LastUsed), addrCell(b.LastIP), strconv.FormatUint(b.Hits, 10), timeCell(until),
	}
}

func addrCell(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

func timeCell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

type exportInput struct {
	Format string `query:"format" json:"format" enum:"csv,json,jsonl" default:"csv" doc:"How the file is written."`
	BindingFilter
}

func (a *API) exportBindings(ctx context.Context, c *call, in *exportInput) (*huma.StreamResponse, error) {
	var f faults
	filter := in.filter("query.", &f)
	if err := f.err(); err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "binding.export", "", nil, in); err != nil {
		return nil, err
	}
	format := formats[in.Format]
	name := "sentinel-bindings-" + a.now().UTC().Format(fileDate) + "." + format.extension
	return a.attachment(format.contentType, name, func(ctx context.Context, w io.Writer) error {
		rows, err := newRowWriter(w, in.Format, exportColumns, exportedBinding.cells)
		if err != nil {
			return err
		}
		err = a.eachBinding(ctx, filter, func(found []store.BindingRow) error {
			for _, row := range found {
				if err := rows.row(exportRow(row)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return rows.end()
	}), nil
}

// eachBinding hands on all bindings that a filter chooses, page by page, oldest
// first.
func (a *API) eachBinding(ctx context.Context, filter store.BindingFilter, take func([]store.BindingRow) error) error {
	q := store.BindingQuery{Filter: a.reaching(filter), Sort: store.SortCreated, Limit: pageLimit}
	for {
		found, err := a.opts.Store.FindBindings(ctx, q)
		if err != nil {
			return err
		}
		if err := take(found.Rows); err != nil {
			return err
		}
		if found.Next == "" {
			return nil
		}
		q.After = found.Next
	}
}
