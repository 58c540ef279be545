package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxAnswerBytes bounds an answer that is read whole: more than a page of
	// 1,000 bindings with all their prefixes ever has.
	maxAnswerBytes = 512 << 20
	// maxProblemBytes bounds an error, with its 100 faults of an import.
	maxProblemBytes = 1 << 20
)

// Request is one call of the API.
type Request struct {
	Method string // default GET
	Path   string // below /admin/api, such as /bindings; with escapes, and may have a query
	Query  url.Values
	Header http.Header // beside those that every call has
	Body   io.Reader   // nil: none
	// Long is set for work that may take any time before the answer begins, such
	// as an import or a compaction: only ctx ends it.
	Long bool
}

// Response is an answer whose body is still to be read; the caller closes it.
type Response struct {
	Status int
	Header http.Header
	// Length is that of the body; -1: unknown.
	Length int64
	// Body ends with io.EOF only if all of it has come; if the connection is lost
	// before, it is an *UnreachableError.
	Body io.ReadCloser
}

// Do makes a call with in as its JSON body, nil being none, and puts the JSON of
// the answer into out, nil being for answers that do not matter. Path is below
// /admin/api, and may have a query. An error is a *Problem if the server has
// answered, and an *UnreachableError if it has not.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	return c.DoRequest(ctx, Request{Method: method, Path: path}, in, out)
}

// DoRequest is Do for calls that have headers, such as If-Match. The request's
// Body must be nil.
func (c *Client) DoRequest(ctx context.Context, r Request, in, out any) error {
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("write request: %w", err)
		}
		r.Body = bytes.NewReader(body)
		if r.Header = r.Header.Clone(); r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := c.Stream(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if out == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(res.Body, maxProblemBytes)) // so that the connection is kept
		return err
	}
	dec := json.NewDecoder(io.LimitReader(res.Body, maxAnswerBytes))
	if err := dec.Decode(out); err != nil {
		return answerFault(c.place, err)
	}
	return nil
}

// answerFault tells a lost connection from an answer that is none of the API's.
func answerFault(place string, err error) error {
	if unreachable := (*UnreachableError)(nil); errors.As(err, &unreachable) {
		return unreachable
	}
	return fmt.Errorf("the answer from %s is not what the admin API answers: %w", place, err)
}

// Stream makes a call and returns its answer, whose body comes as the server
// sends it, or the error as Do has it.
func (c *Client) Stream(ctx context.Context, r Request) (*Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := c.request(ctx, r)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if c.patience > 0 && !r.Long {
		timer := time.AfterFunc(c.patience, func() { cancel(errNoAnswer{c.patience}) })
		defer timer.Stop()
	}
	res, err := c.http.Do(req) //nolint:bodyclose // answerBody closes it
	if err != nil {
		err = c.lost(ctx, err)
		cancel(nil)
		return nil, err
	}
	body := &answerBody{ReadCloser: res.Body, client: c, ctx: ctx, cancel: cancel}
	if res.StatusCode >= 200 && res.StatusCode <= 299 {
		return &Response{Status: res.StatusCode, Header: res.Header, Length: res.ContentLength, Body: body}, nil
	}
	defer func() { _ = body.Close() }()
	return nil, problemOf(res)
}

// errNoAnswer is why a call was ended that the server did not begin to answer.
type errNoAnswer struct{ after time.Duration }

func (e errNoAnswer) Error() string { return fmt.Sprintf("no answer within %s", e.after) }

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	path, query, _ := strings.Cut(r.Path, "?")
	if len(r.Query) > 0 {
		query = strings.TrimPrefix(query+"&"+r.Query.Encode(), "&")
	}
	target := c.base.String() + apiBase + path
	if query != "" {
		target += "?" + query
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, r.Body)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", path, err)
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("User-Agent", c.agent)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// lost makes an error of a connection that could not be made, or has ended.
func (c *Client) lost(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if !errors.As(cause, new(errNoAnswer)) {
			return fmt.Errorf("broken off: %w", cause)
		}
		err = cause
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // which repeats the whole URL, filters and all
	}
	return &UnreachableError{Place: c.place, Err: err}
}

// answerBody names the server when it goes before its answer has come whole.
type answerBody struct {
	io.ReadCloser
	client *Client
	ctx    context.Context // of the request that the body belongs to
	cancel context.CancelCauseFunc
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a reader's end is io.EOF itself
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the connection ended in the middle of the answer")
		}
		err = b.client.lost(b.ctx, err)
	}
	return n, err
}

// Close ends the call, whether its answer has come whole or not.
func (b *answerBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
