package admin

import (
	"context"
	"io"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/store"
)

// registerLogExport adds the export of the log.
func (a *API) registerLogExport() {
	handle(a, operation{
		method: http.MethodGet, path: "/logs/export", id: "export-logs", tag: logTag, role: account.Viewer,
		summary: "Export intercepts", content: "text/csv", contents: map[string]*huma.Schema{"application/jsonl": {Type: huma.TypeString}},
		about: "All that the filters choose, newest first, as CSV or as JSON Lines (one object a line). It is written while it is read, " +
			"page by page, so that its size does not matter; records that are made meanwhile are not in it. " +
			"CSV cells that a spreadsheet would run as a formula get an apostrophe in front.",
	}, a.exportLogs)
}

// logColumns are the columns of an export as CSV. New ones come last: who reads
// them may count.
var logColumns = []string{
	"id", "at", "last", "count", "reason", "observed", "hash", "hint", "clientIp", "peerIp",
	"method", "host", "path", "userAgent", "requestId", "basis", "basisName",
}

func (r interceptBody) cells() []string {
	basis := basisBody{}
	if r.Basis != nil {
		basis = *r.Basis
	}
	return []string{
		strconv.FormatUint(r.ID, 10), timeCell(r.At), timeCell(r.Last), strconv.FormatUint(r.Count, 10), string(r.Reason),
		strconv.FormatBool(r.Observed), r.Hash.String(), r.Hint, addrCell(r.ClientIP), addrCell(r.PeerIP),
		r.Method, r.Host, r.Path, r.UserAgent, r.RequestID, string(basis.Kind), basis.Name,
	}
}

type exportLogsInput struct {
	Format string `query:"format" json:"format" enum:"csv,jsonl" default:"csv" doc:"How the file is written."`
	InterceptFilter
}

func (a *API) exportLogs(ctx context.Context, c *call, in *exportLogsInput) (*huma.StreamResponse, error) {
	var f faults
	filter := in.filter("query.", &f)
	if err := f.err(); err != nil {
		return nil, err
	}
	if err := a.audit(ctx, c, "log.export", "", nil, in); err != nil {
		return nil, err
	}
	format := formats[in.Format]
	name := "sentinel-intercepts-" + a.now().UTC().Format(fileDate) + "." + format.extension
	return a.attachment(format.contentType, name, func(ctx context.Context, w io.Writer) error {
		rows, err := newRowWriter(w, in.Format, logColumns, interceptBody.cells)
		if err != nil {
			return err
		}
		if err := a.eachIntercept(ctx, filter, func(r store.Intercept) error { return rows.row(showIntercept(r)) }); err != nil {
			return err
		}
		return rows.end()
	}), nil
}

// eachIntercept hands on all records that a filter chooses, newest first, page
// by page.
func (a *API) eachIntercept(ctx context.Context, f store.InterceptFilter, take func(store.Intercept) error) error {
	f.Limit = pageLimit
	for {
		found, err := a.opts.Store.ListIntercepts(ctx, f)
		if err != nil {
			return err
		}
		for _, r := range found.Records {
			if err := take(r); err != nil {
				return err
			}
		}
		if found.Next == 0 {
			return nil
		}
		f.Before = found.Next
	}
}
