package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

const (
	consoleBase  = "/admin/ui/"
	consoleIndex = "index.html"
	// consoleAssets have a hash of their content in their names.
	consoleAssets = "assets/"
	// consolePolicy lets the console load nothing but its own files, and send
	// nothing anywhere else. Only pictures may be in the page itself: the QR code
	// of a second factor is.
	consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

// console serves the web console from the files that it was built to.
type console struct {
	files map[string]*consoleFile // by name below consoleBase
	fsys  fs.FS
}

// consoleFile is one file, with the forms of it that were made at build time.
type consoleFile struct {
	contentType string
	etag        string           // empty: its name changes with its content
	forms       map[string]int64 // size by content coding; "" is as it is
}

// codings are those that a build makes, the best first, with what their file
// names end in.
var codings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}, {"", ""}}

// newConsole reads what there is in fsys, which has the index at its root.
func newConsole(fsys fs.FS) (*console, error) {
	c := &console{files: make(map[string]*consoleFile), fsys: fsys}
	sizes := make(map[string]int64)
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			sizes[name] = info.Size()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for name := range sizes {
		if strings.HasSuffix(name, ".br") || strings.HasSuffix(name, ".gz") {
			continue
		}
		if c.files[name], err = c.describe(name, sizes); err != nil {
			return nil, err
		}
	}
	if c.files[consoleIndex] == nil {
		return nil, fs.ErrNotExist
	}
	return c, nil
}

func (c *console) describe(name string, sizes map[string]int64) (*consoleFile, error) {
	f := &consoleFile{contentType: mime.TypeByExtension(path.Ext(name)), forms: make(map[string]int64)}
	for _, coding := range codings {
		if size, ok := sizes[name+coding.suffix]; ok {
			f.forms[coding.name] = size
		}
	}
	if strings.HasPrefix(name, consoleAssets) {
		return f, nil
	}
	body, err := fs.ReadFile(c.fsys, name)
	sum := sha256.Sum256(body)
	f.etag = hex.EncodeToString(sum[:8])
	return f, err
}

// isConsole reports whether a path is the console's: all below /admin but the
// API.
func isConsole(path string) bool {
	return path == "/admin" || path == "/admin/" || path == strings.TrimSuffix(consoleBase, "/") || strings.HasPrefix(path, consoleBase)
}

// ServeHTTP serves a file, or the index for every page that the console itself
// finds its way to.
func (c *console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	admin.SetSecurityHeaders(w.Header())
	w.Header().Set("Content-Security-Policy", consolePolicy)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	name, below := strings.CutPrefix(r.URL.Path, consoleBase)
	if !below {
		w.Header().Set("Cache-Control", "no-cache")
		http.Redirect(w, r, consoleBase, http.StatusFound)
		return
	}
	file := c.files[name]
	switch {
	case file == nil && strings.HasPrefix(name, consoleAssets): // of another build
		w.Header().Set("Cache-Control", "no-store")
		http.NotFound(w, r)
		return
	case file == nil:
		name, file = consoleIndex, c.files[consoleIndex]
	}
	c.serve(w, r, name, file)
}

func (c *console) serve(w http.ResponseWriter, r *http.Request, name string, file *consoleFile) {
	coding, suffix := file.negotiate(r.Header.Values("Accept-Encoding"))
	h := w.Header()
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if file.etag != "" {
		etag := `"` + file.etag + suffix + `"`
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	body, err := c.fsys.Open(name + suffix)
	if err != nil { // not with files that are in the program
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	defer func() { _ = body.Close() }()
	h.Set("Content-Type", file.contentType)
	if coding != "" {
		h.Set("Content-Encoding", coding)
	}
	h.Set("Content-Length", strconv.FormatInt(file.forms[coding], 10))
	if r.Method == http.MethodGet {
		_, _ = io.Copy(w, body) // the client may have left
	}
}

// negotiate returns the smallest form that a client takes: RFC 9110 section
// 12.5.3, but for the order of preference, which is ours.
func (f *consoleFile) negotiate(accepted []string) (coding, suffix string) {
	takes := make(map[string]bool)
	for part := range strings.SplitSeq(strings.Join(accepted, ","), ",") {
		name, weight, _ := strings.Cut(part, ";")
		key, value, _ := strings.Cut(strings.TrimSpace(weight), "=")
		refused := false
		if strings.TrimSpace(key) == "q" {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			refused = err != nil || q <= 0
		}
		takes[strings.ToLower(strings.TrimSpace(name))] = !refused
	}
	for _, c := range codings {
		wanted, named := takes[c.name]
		if !named {
			wanted = takes["*"]
		}
		if _, made := f.forms[c.name]; made && (wanted || c.name == "") {
			return c.name, c.suffix
		}
	}
	return "", ""
}
