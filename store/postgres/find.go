package postgres

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/key-ip-sentinel/sentinel/store"
)

type pgTag = pgconn.CommandTag

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

func pageSize(limit int) int {
	if limit == 0 {
		return store.DefaultPage
	}
	return max(1, min(limit, store.MaxPage))
}

// sortColumns are what the orders are by. Each has an index with the hash behind it.
var sortColumns = map[store.BindingSort]string{
	store.SortCreated:  "created_at",
	store.SortLastUsed: "last_used",
	store.SortHits:     "hits",
	store.SortHint:     "hint",
	store.SortLabel:    "label",
}

// cursor is what orders the last row of a page.
type cursor struct {
	Sort       store.BindingSort
	Descending bool
	Hash       store.KeyHash
	Number     int64  `json:",omitempty"` // of a column of numbers
	Text       []byte `json:",omitempty"` // of one of texts
}

func newCursor(q store.BindingQuery, r store.BindingRow) (string, error) {
	c := cursor{Sort: q.Sort, Descending: q.Descending, Hash: r.Binding.Hash}
	switch q.Sort {
	case store.SortLastUsed:
		c.Number = r.Usage.LastUsed.UnixMilli()
	case store.SortHits:
		c.Number = number(r.Usage.Hits)
	case store.SortHint:
		c.Text = []byte(r.Binding.Hint)
	case store.SortLabel:
		c.Text = []byte(r.Binding.Label)
	default:
		c.Number = r.Binding.CreatedAt.UnixMilli()
	}
	text, err := json.Marshal(c)
	return base64.RawURLEncoding.EncodeToString(text), err
}

func parseCursor(q store.BindingQuery) (c cursor, err error) {
	text, err := base64.RawURLEncoding.DecodeString(q.After)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil || c.Sort != q.Sort || c.Descending != q.Descending {
		return c, fmt.Errorf("%w: cursor is none of order %q", store.ErrInvalid, q.Sort)
	}
	return c, nil
}

// value is what the column of the order has in the row of the cursor.
func (c cursor) value() any {
	if c.Sort == store.SortHint || c.Sort == store.SortLabel {
		return append([]byte{}, c.Text...) // never NULL
	}
	return c.Number
}

// FindBindings is part of store.Catalog.
func (s *Store) FindBindings(ctx context.Context, q store.BindingQuery) (store.BindingPage, error) {
	if q.Sort == "" {
		q.Sort = store.SortCreated
	}
	column, ok := sortColumns[q.Sort]
	if !ok {
		return store.BindingPage{}, fmt.Errorf("%w: order %q", store.ErrInvalid, q.Sort)
	}
	var c conditions
	c.bindings(q.Filter, "bindings")
	count := conditions{all: c.all, args: c.args, usage: c.usage}
	operator, direction := ">", ""
	if q.Descending {
		operator, direction = "<", " DESC"
	}
	if q.After != "" {
		at, err := parseCursor(q)
		if err != nil {
			return store.BindingPage{}, err
		}
		c.add(`(`+column+`, hash) `+operator+` (?, ?)`, at.value(), at.Hash[:])
	}
	limit := pageSize(q.Limit)
	sql := `SELECT ` + bindingColumns + `, last_used, last_ip, hits FROM sentinel.bindings JOIN sentinel.usage USING (hash)` +
		c.where() + ` ORDER BY ` + column + direction + `, hash` + direction + ` LIMIT ` + c.arg(limit+1)
	page, err := s.findPage(ctx, sql, c.args, count)
	if err != nil {
		return store.BindingPage{}, err
	}
	if len(page.Rows) > limit {
		page.Rows = page.Rows[:limit]
		page.Next, err = newCursor(q, page.Rows[limit-1])
	}
	return page, err
}

// findPage reads the rows and the total of one moment.
func (s *Store) findPage(ctx context.Context, sql string, args []any, count conditions) (page store.BindingPage, err error) {
	total := `SELECT bindings FROM sentinel.head`
	if len(count.all) > 0 {
		total = `SELECT count(*) FROM sentinel.bindings`
		if count.usage {
			total += ` JOIN sentinel.usage USING (hash)`
		}
		total += count.where()
	}
	err = s.use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		page = store.BindingPage{}
		b := &pgx.Batch{}
		b.Queue(`begin ISOLATION LEVEL REPEATABLE READ READ ONLY`)
		b.Queue(total, count.args...).QueryRow(func(row pgx.Row) error { return row.Scan(&page.Total) })
		b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
			return each(rows, func(rows pgx.Rows) error {
				var r bindingScan
				var u usageScan
				if err := rows.Scan(append(r.fields(), &u.lastUsed, &u.lastIP, &u.hits)...); err != nil {
					return err
				}
				page.Rows = append(page.Rows, store.BindingRow{Binding: r.binding(), Usage: u.plain()})
				return nil
			})
		})
		b.Queue(`commit`)
		return conn.SendBatch(ctx, b).Close()
	})
	return page, err
}
