package send

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// request is what is posted.
type request struct {
	url    string
	header map[string]string
	body   []byte
}

// judge says from the body of a 2xx answer whether the message was taken.
type judge func(body []byte) *Error

// maxRetryAfter bounds what a receiver can ask for.
const maxRetryAfter = time.Hour

func newClient(proxy func(*http.Request) (*url.URL, error), roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  proxy,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    Timeout,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           32,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxAnswerBytes,
		},
		// A redirect could lead what is meant for one receiver to another one,
		// and a POST that becomes a GET says nothing.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *Sender) post(ctx context.Context, t Target, r request, taken judge) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(r.body))
	if err != nil {
		return Answer{}, &Error{text: "the URL cannot be used"} // the error would show it
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Key-IP-Sentinel")
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	client := s.direct
	if t.UseProxy {
		client = s.proxied
	}
	res, err := client.Do(req) // #nosec G704 -- where administrators want alerts to go, which may be a private address
	if err != nil {
		return Answer{}, &Error{text: "post", err: withoutURL(err)}
	}
	defer func() { _ = res.Body.Close() }() // what was needed of it has been read
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	answer := Answer{Status: res.StatusCode, Text: clean(string(body), MaxAnswerRunes)}
	if err != nil {
		return answer, &Error{text: "read the answer", err: withoutURL(err)}
	}
	if failure := judgeStatus(res); failure != nil {
		return answer, failure
	}
	if failure := taken(body); failure != nil {
		return answer, failure
	}
	return answer, nil
}

// withoutURL returns the cause of an error of a request: the URL holds secrets.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// rejections are the answers that speak of this message, not of the receiver.
var rejections = []int{
	http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
}

func judgeStatus(res *http.Response) *Error {
	code := res.StatusCode
	switch code / 100 {
	case 2:
		return nil
	case 3:
		return &Error{text: fmt.Sprintf("answered with status %d: redirects are not followed", code)}
	default:
		return &Error{
			text:       fmt.Sprintf("answered with status %d", code),
			Rejected:   slices.Contains(rejections, code),
			RetryAfter: retryAfter(res.Header.Get("Retry-After")),
		}
	}
}

// retryAfter reads a number of seconds (RFC 9110, section 10.2.3); of the other
// form, a date, nothing is made.
func retryAfter(value string) time.Duration {
	seconds, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter) // #nosec G115 -- 31 bits
}

func anyAnswer([]byte) *Error { return nil }

// coded judges an answer that says in its body whether it went well.
type coded struct {
	code string             // name of the number that is 0 if it went well
	text string             // name of the text beside it
	tune func(int64) *Error // what is known of a code; nil: nothing
}

func (c coded) judge(body []byte) *Error {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil || fields[c.code] == nil {
		return &Error{text: "the answer is not one of such a bot"}
	}
	var code int64
	if err := json.Unmarshal(fields[c.code], &code); err != nil {
		return &Error{text: "the answer is not one of such a bot"}
	}
	if code == 0 {
		return nil
	}
	var said string
	_ = json.Unmarshal(fields[c.text], &said) // then it has said nothing
	failure := c.tune(code)
	failure.text = strings.TrimSpace(fmt.Sprintf("answered with %s %d %s", c.code, code, clean(said, MaxAnswerRunes)))
	return failure
}

// encode writes JSON without turning < into its escape, which counts for limits.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // strings, numbers and maps of them: cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func hmacSHA256(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}
