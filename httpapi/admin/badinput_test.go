package admin_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

// bodyOf returns the schema of the JSON object that an operation takes; nil if
// it takes none.
func bodyOf(api *admin.API, op *huma.Operation) *huma.Schema {
	if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
		return nil
	}
	return resolved(api, op.RequestBody.Content["application/json"].Schema)
}

func resolved(api *admin.API, s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return api.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// refused makes sure that a request is a client's fault, says so as a problem,
// and has changed nothing.
func refused(t *testing.T, s *site, a *answer, statuses ...int) fault {
	t.Helper()
	ok := a.status >= 400 && a.status < 500 && len(statuses) == 0
	for _, status := range statuses {
		ok = ok || a.status == status
	}
	if !ok || a.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("got %d %.300s, want a problem %v", a.status, a.body, statuses)
	}
	var f fault
	a.into(&f)
	if f.Code == "" || f.RequestID == "" || f.Detail == "" {
		t.Errorf("got problem %s without code, request ID or detail", a.body)
	}
	if n := len(s.trail()); n != 0 {
		t.Fatalf("got an audit trail of %d entries", n)
	}
	return f
}

// TestBadBodies sends every operation that takes a body what it cannot take.
func TestBadBodies(t *testing.T) {
	s := newSite(t)
	huge := bytes.Repeat([]byte(`"0123456789" `), 10<<20/13)
	for _, op := range operations(s.api) {
		if op.RequestBody == nil {
			continue
		}
		send := func(body any, headers ...string) *answer {
			return s.call(account.Admin, op.Method, pathOf(op), body, headers...)
		}
		schema := bodyOf(s.api, op)
		t.Run(op.OperationID, func(t *testing.T) {
			for _, body := range []string{`{"`, `{"a":}`, "\x00", `{} {}`} {
				refused(t, s, send(body))
			}
			if schema == nil || schema.Type != huma.TypeObject {
				return
			}
			refused(t, s, send(huge), http.StatusRequestEntityTooLarge)
			for _, body := range []string{`[]`, `"text"`, `1`, `null`, `true`} {
				refused(t, s, send(body), http.StatusUnprocessableEntity)
			}
			refused(t, s, send(`{}`, "Content-Type: application/xml"), http.StatusUnsupportedMediaType)
			got := refused(t, s, send(`{"unknownField":1}`), http.StatusUnprocessableEntity)
			wantLocation(t, got, "body.unknownField")
		})
	}
}

func wantLocation(t *testing.T, f fault, location string) {
	t.Helper()
	for _, e := range f.Errors {
		if e.Location == location || strings.HasPrefix(e.Location, location+".") || strings.HasPrefix(e.Location, location+"[") {
			return
		}
	}
	t.Errorf("got faults %+v, want one of %s", f.Errors, location)
}

// TestWrongTypes gives every field of every body a value of another type.
func TestWrongTypes(t *testing.T) {
	s := newSite(t)
	wrong := map[string]string{
		huma.TypeString: `1`, huma.TypeInteger: `"text"`, huma.TypeNumber: `"text"`, huma.TypeBoolean: `"text"`,
		huma.TypeArray: `"text"`, huma.TypeObject: `"text"`,
	}
	for _, op := range operations(s.api) {
		schema := bodyOf(s.api, op)
		if schema == nil {
			continue
		}
		for name, field := range schema.Properties {
			t.Run(op.OperationID+" "+name, func(t *testing.T) {
				value := wrong[resolved(s.api, field).Type]
				if value == "" {
					t.Skip("takes anything")
				}
				body, err := json.Marshal(map[string]json.RawMessage{name: json.RawMessage(value)})
				must(t, err)
				got := refused(t, s, s.call(account.Admin, op.Method, pathOf(op), body), http.StatusUnprocessableEntity)
				wantLocation(t, got, "body."+name)
			})
		}
	}
}

// TestBadParameters gives every operation parameters that it does not know, and
// those that it knows values that they cannot have.
func TestBadParameters(t *testing.T) {
	s := newSite(t)
	for _, op := range operations(s.api) {
		t.Run(op.OperationID, func(t *testing.T) {
			got := refused(t, s, s.call(account.Admin, op.Method, pathOf(op)+"?unknownParameter=1", nil), http.StatusUnprocessableEntity)
			wantLocation(t, got, "query.unknownParameter")
			for _, p := range op.Parameters {
				if p.In != "query" || p.Schema.Type == huma.TypeString && p.Schema.Format == "" && len(p.Schema.Enum) == 0 && p.Schema.MaxLength == nil {
					continue
				}
				value := "no value"
				if p.Schema.Type == huma.TypeString && p.Schema.MaxLength != nil {
					value = strings.Repeat("x", *p.Schema.MaxLength+1)
				}
				got := refused(t, s, s.call(account.Admin, op.Method, pathOf(op)+query(p.Name, value), nil), http.StatusUnprocessableEntity)
				wantLocation(t, got, "query."+p.Name)
			}
		})
	}
}

// TestNothingThere asks for what does not exist.
func TestNothingThere(t *testing.T) {
	s := newSite(t)
	for path, status := range map[string]int{
		"/nothing": http.StatusNotFound, "/accounts/nothing/at/all": http.StatusNotFound, "/accounts/nothing": http.StatusNotFound,
		"/../../etc/passwd": http.StatusNotFound,
	} {
		a := s.call(account.Admin, "GET", path, nil)
		if a.status != status || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d %s", path, a.status, a.header.Get("Content-Type"))
		}
	}
	if a := s.call(account.Admin, "PUT", "/login", nil); a.status != http.StatusMethodNotAllowed {
		t.Errorf("PUT /login: got %d, want 405", a.status)
	}
}

// TestSecurityHeaders: whatever the answer, it has them.
func TestSecurityHeaders(t *testing.T) {
	s := newSite(t)
	for _, a := range []*answer{
		s.call(nobody, "GET", "/setup", nil), s.call(nobody, "GET", "/me", nil), s.call(account.Viewer, "GET", "/nothing", nil),
		s.call(account.Viewer, "GET", "/me?x=1", nil), s.call(account.Viewer, "GET", "/metrics", nil),
	} {
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: got %s %q, want %q", a.what, name, got, want)
			}
		}
	}
}
