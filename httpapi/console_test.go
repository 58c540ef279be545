package httpapi

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/key-ip-sentinel/sentinel/ui"
)

func testConsole(t *testing.T) *httptest.Server {
	t.Helper()
	c, err := newConsole(fstest.MapFS{
		"index.html":          {Data: []byte("<!doctype html>index")},
		"index.html.gz":       {Data: []byte("index as gzip")},
		"boot.js":             {Data: []byte("boot")},
		"assets/app-1a.js":    {Data: []byte("app")},
		"assets/app-1a.js.br": {Data: []byte("app as br")},
		"assets/app-1a.js.gz": {Data: []byte("app as gzip")},
		"assets/tiny-2b.css":  {Data: []byte("tiny")},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return server
}

func fetch(t *testing.T, method, url string, headers map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultTransport.RoundTrip(r) // follows no redirect, and adds no coding
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func TestConsole(t *testing.T) {
	server := testConsole(t)
	const immutable, revalidated = "public, max-age=31536000, immutable", "no-cache"
	cases := []struct {
		name, path, accept string
		status             int
		body, coding       string
		cache              string
	}{
		{"index", "/admin/ui/", "identity", 200, "<!doctype html>index", "", revalidated},
		{"index as gzip, since there is no br", "/admin/ui/", "br, gzip", 200, "index as gzip", "gzip", revalidated},
		{"a page of the console", "/admin/ui/bindings", "identity", 200, "<!doctype html>index", "", revalidated},
		{"a page below", "/admin/ui/a/b.c", "identity", 200, "<!doctype html>index", "", revalidated},
		{"asset", "/admin/ui/assets/app-1a.js", "identity", 200, "app", "", immutable},
		{"br before gzip", "/admin/ui/assets/app-1a.js", "gzip, deflate, br, zstd", 200, "app as br", "br", immutable},
		{"any coding", "/admin/ui/assets/app-1a.js", "*", 200, "app as br", "br", immutable},
		{"br refused", "/admin/ui/assets/app-1a.js", "br;q=0, gzip;q=0.5", 200, "app as gzip", "gzip", immutable},
		{"all refused but one", "/admin/ui/assets/app-1a.js", "gzip, *;q=0", 200, "app as gzip", "gzip", immutable},
		{"broken weight", "/admin/ui/assets/app-1a.js", "br;q=x", 200, "app", "", immutable},
		{"never compressed", "/admin/ui/assets/tiny-2b.css", "br, gzip", 200, "tiny", "", immutable},
		{"not hashed", "/admin/ui/boot.js", "br", 200, "boot", "", revalidated},
		{"asset of another build", "/admin/ui/assets/app-0.js", "br", 404, "404 page not found\n", "", "no-store"},
		{"compressed file by its name", "/admin/ui/assets/app-1a.js.br", "br", 404, "404 page not found\n", "", "no-store"},
		{"outside", "/admin/ui/assets/../index.html", "br", 404, "404 page not found\n", "", "no-store"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			answer, body := fetch(t, "GET", server.URL+c.path, map[string]string{"Accept-Encoding": c.accept})
			if answer.StatusCode != c.status || body != c.body || answer.Header.Get("Content-Encoding") != c.coding || answer.Header.Get("Cache-Control") != c.cache {
				t.Errorf("got %d %q, coding %q, cache %q", answer.StatusCode, body, answer.Header.Get("Content-Encoding"), answer.Header.Get("Cache-Control"))
			}
			if c.status == 200 && (answer.ContentLength != int64(len(body)) || answer.Header.Get("Vary") != "Accept-Encoding") {
				t.Errorf("got length %d of %d, Vary %q", answer.ContentLength, len(body), answer.Header.Get("Vary"))
			}
		})
	}
}

func TestConsoleRedirects(t *testing.T) {
	server := testConsole(t)
	for _, path := range []string{"/admin", "/admin/", "/admin/ui"} {
		answer, _ := fetch(t, "GET", server.URL+path, nil)
		if answer.StatusCode != http.StatusFound || answer.Header.Get("Location") != "/admin/ui/" {
			t.Errorf("%s: got %d to %q", path, answer.StatusCode, answer.Header.Get("Location"))
		}
	}
}

func TestConsoleHeaders(t *testing.T) {
	server := testConsole(t)
	answer, _ := fetch(t, "HEAD", server.URL+"/admin/ui/", nil)
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": consolePolicy,
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, forbidden := range []string{"unsafe", "*", "http"} {
		if strings.Contains(consolePolicy, forbidden) {
			t.Errorf("the policy has %q", forbidden)
		}
	}
	if answer, _ := fetch(t, "POST", server.URL+"/admin/ui/setup", nil); answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d, want 405", answer.StatusCode)
	}
}

func TestConsoleNotModified(t *testing.T) {
	server := testConsole(t)
	headers := map[string]string{"Accept-Encoding": "gzip"}
	first, _ := fetch(t, "GET", server.URL+"/admin/ui/bindings", headers)
	headers["If-None-Match"] = first.Header.Get("ETag")
	if again, body := fetch(t, "GET", server.URL+"/admin/ui/", headers); again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("got %d %q, want 304 and nothing", again.StatusCode, body)
	}
	headers["Accept-Encoding"] = "identity" // another form has another tag
	if other, _ := fetch(t, "GET", server.URL+"/admin/ui/", headers); other.StatusCode != http.StatusOK {
		t.Errorf("other coding: got %d, want 200", other.StatusCode)
	}
}

// TestConsoleBuild looks at the console that is in the program: the index names
// nothing that is not there, and nothing of another site.
func TestConsoleBuild(t *testing.T) {
	dist, err := fs.Sub(ui.Dist, "dist")
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConsole(dist)
	if err != nil {
		t.Fatal(err)
	}
	index, err := fs.ReadFile(dist, consoleIndex)
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllSubmatch(index, -1)
	if len(names) < 3 {
		t.Fatalf("the index names %d files: was the console built?", len(names))
	}
	for _, name := range names {
		if below, ok := strings.CutPrefix(string(name[1]), consoleBase); !ok || c.files[below] == nil {
			t.Errorf("the index names %q, which is not there", name[1])
		}
	}
	for name, file := range c.files {
		if file.contentType == "" {
			t.Errorf("%s has no content type", name)
		}
	}
}
