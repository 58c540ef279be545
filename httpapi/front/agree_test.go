package front

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func request(method, target string, more ...string) string {
	head, body := strings.Join(more, "\r\n"), ""
	if head != "" {
		head += "\r\n"
	}
	if before, after, ok := strings.Cut(head, "\r\nBODY "); ok {
		head, body = before+"\r\n", strings.TrimSuffix(after, "\r\n")
	}
	return method + " " + target + " HTTP/1.1\r\nHost: example.test\r\n" + head + "\r\n" + body
}

// What is served here is answered as net/http answers it.
func TestAnswersAsNetHTTPDoes(t *testing.T) {
	here, there := serve(t, http.HandlerFunc(parts)), serve(t, http.HandlerFunc(parts), netHTTPOnly)
	get := func(target string, more ...string) string { return request("GET", target, more...) }
	last := get("/last", "Connection: close")
	large := strings.Repeat("x", 300<<10)
	tests := map[string]struct {
		text    string
		methods string
	}{
		"length":                           {get("/length?size=5"), "GET"},
		"length, none":                     {get("/length?size=0"), "GET"},
		"length, large":                    {get("/length?size=100000"), "GET"},
		"length, more than the buffer":     {get("/length?size=8100"), "GET"},
		"less than its length":             {get("/short?size=5"), "GET"},
		"more than its length":             {get("/long?size=5"), "GET"},
		"no length, short":                 {get("/pieces?size=1000"), "GET"},
		"no length, long":                  {get("/pieces?size=50000"), "GET"},
		"no length, at the limit":          {get("/pieces?size=2048"), "GET"},
		"no length, just over it":          {get("/pieces?size=2049"), "GET"},
		"stream":                           {get("/stream?size=9000"), "GET"},
		"stream, large":                    {get("/stream?size=70000"), "GET"},
		"trailers":                         {get("/trailers?size=10"), "GET"},
		"hints":                            {get("/hints?size=10"), "GET"},
		"no content":                       {get("/status?size=204"), "GET"},
		"not modified":                     {get("/status?size=304"), "GET"},
		"not found":                        {get("/status?size=404"), "GET"},
		"status without a name":            {get("/status?size=599"), "GET"},
		"header that must not be":          {get("/odd?size=4"), "GET"},
		"aborted":                          {get("/abort?size=10"), "GET"},
		"nothing":                          {get("/nothing"), "GET"},
		"closed by the handler":            {get("/close") + last, "GET GET"},
		"closed by the client":             {last + last, "GET GET"},
		"kept by the client":               {get("/a", "Connection: Keep-Alive") + last, "GET GET"},
		"pipelined":                        {get("/length?size=5") + get("/pieces?size=3000") + get("/nothing") + last, "GET GET GET GET"},
		"head":                             {request("HEAD", "/length?size=5") + request("HEAD", "/pieces?size=5000") + request("HEAD", "/nothing") + last, "HEAD HEAD HEAD GET"},
		"head of a stream":                 {request("HEAD", "/stream?size=5") + last, "HEAD GET"},
		"body":                             {request("POST", "/echo", "Content-Length: 5", "BODY hello") + last, "POST GET"},
		"body of nothing":                  {request("POST", "/echo", "Content-Length: 0") + last, "POST GET"},
		"post without a length":            {request("POST", "/echo") + last, "POST GET"},
		"body of a get":                    {get("/echo", "Content-Length: 5", "BODY hello") + last, "GET GET"},
		"body, large":                      {request("PUT", "/echo", fmt.Sprintf("Content-Length: %d", len(large)), "BODY "+large) + last, "PUT GET"},
		"body that is not read":            {request("POST", "/nothing", "Content-Length: 5", "BODY hello") + last, "POST GET"},
		"body that is not read, too large": {request("POST", "/nothing", fmt.Sprintf("Content-Length: %d", len(large)), "BODY "+large) + last, "POST GET"},
		"body that is read too late":       {request("POST", "/early?size=10", "Content-Length: 5", "BODY hello") + last, "POST GET"},
		"line break behind a body":         {request("POST", "/echo", "Content-Length: 5", "BODY hello\r\n") + last, "POST GET"},
		"five of them behind a body":       {request("POST", "/echo", "Content-Length: 5", "BODY hello\r\n\n\n\n") + last, "POST GET"},
		"line break before a get":          {get("/a") + "\r\n" + last, "GET GET"},
		"pragma":                           {get("/a", "Pragma: no-cache") + last, "GET GET"},
		"escaped path":                     {get("/a%2fb%20c?d=%zz") + last, "GET GET"},
		"bad escape":                       {get("/a%zz") + last, "GET GET"},
		"two slashes":                      {get("//example.test/a") + last, "GET GET"},
		"whole URL":                        {get("http://other.test/a") + last, "GET GET"},
		"chunks":                           {request("POST", "/echo", "Transfer-Encoding: chunked", "BODY 5\r\nhello\r\n0\r\n\r\n") + last, "POST GET"},
		"chunks and a length":              {request("POST", "/echo", "Transfer-Encoding: chunked", "Content-Length: 3", "BODY 5\r\nhello\r\n0\r\n\r\n") + last, "POST GET"},
		"two lengths":                      {request("POST", "/echo", "Content-Length: 5", "Content-Length: 6", "BODY hello") + last, "POST GET"},
		"the same length twice":            {request("POST", "/echo", "Content-Length: 5", "Content-Length: 5", "BODY hello") + last, "POST GET"},
		"negative length":                  {request("POST", "/echo", "Content-Length: -5", "BODY hello") + last, "POST GET"},
		"signed length":                    {request("POST", "/echo", "Content-Length: +5", "BODY hello") + last, "POST GET"},
		"length in hexadecimal":            {request("POST", "/echo", "Content-Length: 0x5", "BODY hello") + last, "POST GET"},
		"two hosts":                        {get("/a", "Host: other.test") + last, "GET GET"},
		"no host":                          {"GET /a HTTP/1.1\r\n\r\n", "GET"},
		"empty host":                       {"GET /a HTTP/1.1\r\nHost:\r\n\r\n" + last, "GET GET"},
		"bad host":                         {"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", "GET"},
		"folded header":                    {get("/a", "X-A: 1", " 2") + last, "GET GET"},
		"blank before the colon":           {get("/a", "X-A : 1") + last, "GET GET"},
		"bare line feeds":                  {"GET /a HTTP/1.1\nHost: h\n\n" + last, "GET GET"},
		"bare carriage return":             {get("/a", "X-A: 1\r2") + last, "GET GET"},
		"control character":                {get("/a", "X-A: 1\x012") + last, "GET GET"},
		"high byte":                        {get("/a", "X-A: \xff") + last, "GET GET"},
		"HTTP/1.0":                         {"GET /a HTTP/1.0\r\nHost: h\r\n\r\n", "GET"},
		"HTTP/1.0, kept":                   {"GET /length?size=5 HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n" + last, "GET GET"},
		"HTTP/3.0":                         {"GET /a HTTP/3.0\r\nHost: h\r\n\r\n", "GET"},
		"small letters":                    {"get /a HTTP/1.1\r\nHost: h\r\n\r\n" + last, "GET GET"},
		"no version":                       {"GET /a\r\n\r\n", "GET"},
		"expects":                          {request("POST", "/echo", "Content-Length: 5", "Expect: 100-continue", "BODY hello") + last, "POST GET"},
		"expects something else":           {request("POST", "/echo", "Content-Length: 5", "Expect: more", "BODY hello"), "POST"},
		"administration between":           {get("/a") + get("/admin/x") + get("/b") + last, "GET GET GET GET"},
		"large head":                       {get("/a", "X-A: "+strings.Repeat("a", 20000)) + last, "GET GET"},
		"many headers":                     {get("/a", strings.Repeat("X-A: a\r\n", 100)+"X-B: b") + last, "GET GET"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, piece := range []int{len(test.text), 1000, 7} {
				methods := strings.Fields(test.methods)
				got, want := here.answers(t, test.text, piece, methods...), there.answers(t, test.text, piece, methods...)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("in pieces of %d\n got %s\nwant %s", piece, brief(got), brief(want))
				}
			}
		})
	}
}

// brief prints answers, without all of a large body.
func brief(all []answered) string {
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "\n  %d %q body %d bytes %.200q trailer %q length %s chunked %v closes %v failed %v", a.status, a.header, len(a.body), a.body, a.trailer, a.length, a.chunked, a.closes, a.failed)
	}
	return b.String()
}
