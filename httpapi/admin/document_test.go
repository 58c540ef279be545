package admin_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

// document checks answers against the document, which is the same for every
// site, by the schemas that are in it.
var document struct {
	once     sync.Once
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by JSON pointer
	value    any
	err      error
}

const documentURL = "https://sentinel.test/openapi.json"

func readDocument(t testing.TB, api *admin.API) {
	t.Helper()
	document.once.Do(func() {
		raw, err := json.Marshal(api.OpenAPI())
		if err == nil {
			document.value, err = jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		}
		document.compiler = jsonschema.NewCompiler()
		document.compiler.AssertFormat()
		document.schemas = map[string]*jsonschema.Schema{}
		if err == nil {
			err = document.compiler.AddResource(documentURL, document.value)
		}
		document.err = err
	})
	must(t, document.err)
}

// schemaAt returns a schema of the document, which may point to others in it.
func schemaAt(path ...string) (*jsonschema.Schema, error) {
	escape := strings.NewReplacer("~", "~0", "/", "~1", "%", "%25", "{", "%7B", "}", "%7D", "+", "%2B")
	pointer := ""
	for _, p := range path {
		pointer += "/" + escape.Replace(p)
	}
	document.mu.Lock()
	defer document.mu.Unlock()
	if s := document.schemas[pointer]; s != nil {
		return s, nil
	}
	s, err := document.compiler.Compile(documentURL + "#" + pointer)
	if err == nil {
		document.schemas[pointer] = s
	}
	return s, err
}

// checkDocumented fails the test if an answer is not one that the document
// tells of: its status, its media type, its schema.
func checkDocumented(t testing.TB, api *admin.API, req *http.Request, a *answer) {
	t.Helper()
	path := strings.TrimPrefix(req.URL.Path, admin.Base)
	op := findOperation(api, req.Method, req.URL.Path)
	if path == req.URL.Path || op == nil {
		return // no operation of the API
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	checkMediaType(t, op, media, a)
	if t.Failed() || !strings.HasSuffix(media, "json") || len(a.body) == 0 || media == "application/openapi+json" {
		return
	}
	readDocument(t, api)
	schema, err := schemaAt("paths", op.Path, strings.ToLower(op.Method), "responses", strconv.Itoa(a.status), "content", media, "schema")
	must(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Errorf("%s: answer %d is not as documented: %v\n%.500s", a.what, a.status, err, a.body)
	}
}

// checkMediaType holds status and media type of an answer against the document.
func checkMediaType(t testing.TB, op *huma.Operation, media string, a *answer) {
	t.Helper()
	documented := op.Responses[strconv.Itoa(a.status)]
	if documented == nil || len(a.body) > 0 && documented.Content[media] == nil {
		t.Errorf("%s: answer %d of type %q is not documented", a.what, a.status, media)
	}
}

// operations lists those of the document.
func operations(api *admin.API) []*huma.Operation {
	var list []*huma.Operation
	for _, item := range api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete, item.Patch, item.Head, item.Options, item.Trace} {
			if op != nil {
				list = append(list, op)
			}
		}
	}
	slices.SortFunc(list, func(a, b *huma.Operation) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	return list
}

func findOperation(api *admin.API, method, path string) *huma.Operation {
	have := strings.Split(path, "/")
	var found *huma.Operation
	for _, op := range operations(api) {
		want := strings.Split(op.Path, "/")
		if op.Method != method || len(want) != len(have) {
			continue
		}
		fits, exact := true, true
		for i := range want {
			parameter := strings.HasPrefix(want[i], "{")
			fits = fits && (parameter || want[i] == have[i])
			exact = exact && !parameter
		}
		if fits && (found == nil || exact) {
			found = op
		}
	}
	return found
}

// public are the operations that anybody who reaches the API may call. Whoever
// adds one here has thought about it.
var public = []string{"login", "get-setup", "set-up", "get-openapi"}

// openAPISchema returns the OpenAPI Initiative's own schema of OpenAPI 3.1.
func openAPISchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	const url = "https://spec.openapis.org/oas/3.1/schema/2022-10-07"
	f, err := os.Open("testdata/openapi-3.1-schema.json")
	must(t, err)
	defer func() { _ = f.Close() }()
	value, err := jsonschema.UnmarshalJSON(f)
	must(t, err)
	c := jsonschema.NewCompiler()
	must(t, c.AddResource(url, value))
	schema, err := c.Compile(url)
	must(t, err)
	return schema
}

func TestTheDocumentIsValidOpenAPI(t *testing.T) {
	s := newSite(t)
	readDocument(t, s.api)
	if err := openAPISchema(t).Validate(document.value); err != nil {
		t.Error(err)
	}
	for name := range s.api.OpenAPI().Components.Schemas.Map() {
		if _, err := schemaAt("components", "schemas", name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	var doc struct {
		OpenAPI    string                     `json:"openapi"`
		Paths      map[string]json.RawMessage `json:"paths"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	got := s.call(nobody, "GET", "/openapi.json", nil).want(http.StatusOK).into(&doc)
	if doc.OpenAPI != "3.1.0" || len(doc.Paths) == 0 {
		t.Errorf("got OpenAPI %q with %d paths", doc.OpenAPI, len(doc.Paths))
	}
	if ct := got.header.Get("Content-Type"); ct != "application/openapi+json" {
		t.Errorf("got content type %q", ct)
	}
	if _, ok := doc.Components.Schemas["ErrorModel"]; ok {
		t.Error("the document has a shape of errors that no answer has")
	}
}

func TestEveryOperationIsDescribed(t *testing.T) {
	s := newSite(t)
	ids := map[string]bool{}
	for _, op := range operations(s.api) {
		if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 {
			t.Errorf("%s %s: got id %q, summary %q, tags %v", op.Method, op.Path, op.OperationID, op.Summary, op.Tags)
		}
		if ids[op.OperationID] {
			t.Errorf("%s is the ID of two operations", op.OperationID)
		}
		ids[op.OperationID] = true
		role := roleOf(op)
		if isPublic := slices.Contains(public, op.OperationID); isPublic != (role == nobody) {
			t.Errorf("%s: needs role %q, and is listed as public: %v", op.OperationID, role, isPublic)
		}
		if (role != nobody) != (len(op.Security) == 1) {
			t.Errorf("%s: needs role %q, and its security is %v", op.OperationID, role, op.Security)
		}
		for _, p := range op.Parameters {
			if p.Description == "" {
				t.Errorf("%s: parameter %s is not described", op.OperationID, p.Name)
			}
		}
	}
	for _, id := range public {
		if !ids[id] {
			t.Errorf("%s is public, and does not exist", id)
		}
	}
	for name, schema := range s.api.OpenAPI().Components.Schemas.Map() {
		for field, f := range schema.Properties {
			if f.Description == "" && f.Ref == "" {
				t.Errorf("field %s of %s is not described", field, name)
			}
		}
	}
}

func roleOf(op *huma.Operation) account.Role {
	role, _ := op.Extensions["x-role"].(string)
	return account.Role(role)
}
