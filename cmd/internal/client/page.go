package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// MaxPage is how many items the server puts on one page at most.
const MaxPage = 1000

// Item is one item of a list, read and as it came.
type Item[T any] struct {
	Value T
	Raw   json.RawMessage // with fields that this program does not know
}

// Page is one page of a list.
type Page[T any] struct {
	Items []Item[T]
	Next  string // Query's after for the next page; empty: this is the last one
	Total int    // of all pages; -1: unknown
}

// List returns one page of the list at a path, below /admin/api.
func List[T any](ctx context.Context, c *Client, path string, query url.Values) (Page[T], error) {
	var answer struct {
		Items []json.RawMessage `json:"items"`
		Next  string            `json:"next"`
		Total *int              `json:"total"`
	}
	if err := c.DoRequest(ctx, Request{Path: path, Query: query}, nil, &answer); err != nil {
		return Page[T]{}, err
	}
	p := Page[T]{Next: answer.Next, Total: -1, Items: make([]Item[T], len(answer.Items))}
	if answer.Total != nil {
		p.Total = *answer.Total
	}
	for i, raw := range answer.Items {
		p.Items[i].Raw = raw
		if err := json.Unmarshal(raw, &p.Items[i].Value); err != nil {
			return Page[T]{}, answerFault(c.place, err)
		}
	}
	return p, nil
}

// Pages returns the pages of a list, read one at a time, until limit items have
// come; limit 0: all. The last thing it yields may be an error.
func Pages[T any](ctx context.Context, c *Client, path string, query url.Values, limit int) iter.Seq2[Page[T], error] {
	return func(yield func(Page[T], error) bool) {
		q := url.Values{}
		for name, values := range query {
			q[name] = values
		}
		for got := 0; ; {
			size := MaxPage
			if limit > 0 {
				size = min(size, limit-got)
			}
			q.Set("limit", strconv.Itoa(size))
			p, err := List[T](ctx, c, path, q)
			if err == nil && p.Next != "" && p.Next == q.Get("after") {
				err = fmt.Errorf("the server (%s) sends the same page again", c.place)
			}
			if !yield(p, err) || err != nil {
				return
			}
			if got += len(p.Items); p.Next == "" || limit > 0 && got >= limit {
				return
			}
			q.Set("after", p.Next)
		}
	}
}

// get reads one document.
func get[T any](ctx context.Context, c *Client, path string) (Item[T], error) {
	var item Item[T]
	if err := c.Do(ctx, http.MethodGet, path, nil, &item.Raw); err != nil {
		return item, err
	}
	if err := json.Unmarshal(item.Raw, &item.Value); err != nil {
		return item, answerFault(c.place, err)
	}
	return item, nil
}
