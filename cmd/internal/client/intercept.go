package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// BindingDetail is everything that is known of a binding.
type BindingDetail struct {
	Binding
	Intercepts []Intercept `json:"intercepts"` // the newest
	// ArchivedAt is when an earlier binding of the key was archived, if the
	// archive still has it.
	ArchivedAt time.Time `json:"archivedAt"`
}

// Intercept is the record of refused requests.
type Intercept struct {
	ID        uint64    `json:"id"`
	At        time.Time `json:"at"`
	Last      time.Time `json:"last"`
	Count     uint64    `json:"count"`
	Reason    string    `json:"reason"`
	Observed  bool      `json:"observed"`
	Hash      string    `json:"hash"`
	Hint      string    `json:"hint"`
	ClientIP  string    `json:"clientIp"`
	PeerIP    string    `json:"peerIp"`
	Method    string    `json:"method"`
	Host      string    `json:"host"`
	Path      string    `json:"path"`
	UserAgent string    `json:"userAgent"`
	RequestID string    `json:"requestId"`
	Basis     Basis     `json:"basis"`
}

// Logs returns the newest intercepts that a filter chooses, newest first.
func (c *Client) Logs(ctx context.Context, f LogFilter, limit int) iter.Seq2[Page[Intercept], error] {
	return Pages[Intercept](ctx, c, "/logs", f.Query(), limit)
}

// LogsNewerThan returns the intercepts that a filter chooses with an ID above id,
// newest first, until limit have come; limit 0: all.
func (c *Client) LogsNewerThan(ctx context.Context, f LogFilter, id uint64, limit int) iter.Seq2[Page[Intercept], error] {
	q := f.Query()
	q.Set("newerThan", strconv.FormatUint(id, 10))
	return Pages[Intercept](ctx, c, "/logs", q, limit)
}

// ExportLogs returns the intercepts that a filter chooses as a file.
func (c *Client) ExportLogs(ctx context.Context, f LogFilter, format string) (*Response, error) {
	return c.export(ctx, "/logs/export", f.Query(), format)
}

// Archived is a binding in the archive.
type Archived struct {
	Binding
	ArchivedAt time.Time `json:"archivedAt"`
}

// Archive returns the entries of the archive that a filter chooses, page by
// page, until limit have come; limit 0: all.
func (c *Client) Archive(ctx context.Context, f BindingFilter, since, before time.Time, limit int) iter.Seq2[Page[Archived], error] {
	q := f.Query()
	setTime(q, "archivedSince", since)
	setTime(q, "archivedBefore", before)
	return Pages[Archived](ctx, c, "/archive", q, limit)
}

// Restore moves an entry of the archive back among the bindings.
func (c *Client) Restore(ctx context.Context, hash string) (Item[Binding], error) {
	return send[Binding](ctx, c, Request{Method: "POST", Path: "/archive/" + url.PathEscape(hash) + "/restore"}, nil)
}

// Housekeeping is what a run of the archive's housekeeping has done.
type Housekeeping struct {
	Archived   int `json:"archived"`
	Purged     int `json:"purged"`
	Intercepts int `json:"intercepts"`
	Counters   int `json:"counters"`
	Audit      int `json:"audit"`
}

// RunArchive archives what has been idle for long enough, and removes what is
// kept no longer, now instead of at the next hour.
func (c *Client) RunArchive(ctx context.Context) (Item[Housekeeping], error) {
	return send[Housekeeping](ctx, c, Request{Method: "POST", Path: "/archive/run", Long: true}, nil)
}
