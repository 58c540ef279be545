package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

// operation is what the document says of one call, and who may make it.
type operation struct {
	method  string
	path    string // below Base, with {parameters}
	id      string // operationId, such as list-bindings
	tag     string
	summary string
	about   string       // more than the summary; may be empty
	role    account.Role // needed; empty: anybody who can reach the API
	maxBody int64        // bytes; 0: 1 MiB
	status  int          // of success; 0: 200, or 204 without a body
	content string       // media type of success, where it is not JSON
	errors  []int        // statuses beside those that describe knows

	contents   map[string]*huma.Schema // further media types of success
	receives   []string                // media types of a body that the handler reads by itself
	deprecated bool
}

const roleExtension = "x-role"

// handle registers an operation. The handler's error becomes a problem; see
// problemOf.
func handle[I, O any](a *API, op operation, handler func(ctx context.Context, c *call, in *I) (*O, error)) {
	huma.Register(a.huma, op.describe(a.huma.OpenAPI().Components.Schemas, takesBody[I]()), func(ctx context.Context, in *I) (*O, error) {
		c := callOf(ctx)
		c.bodyRead()
		out, err := handler(ctx, c, in)
		if err != nil {
			return nil, a.problemOf(ctx, err)
		}
		return out, nil
	})
}

func takesBody[I any]() bool {
	in := reflect.TypeFor[I]()
	_, body := in.FieldByName("Body")
	_, raw := in.FieldByName("RawBody")
	return body || raw
}

// describe makes what the document says. It names every status that the
// operation may answer with, so that a client need not find out.
func (op operation) describe(schemas huma.Registry, takesBody bool) huma.Operation {
	o := huma.Operation{
		Method: op.method, Path: Base + op.path, OperationID: op.id, Tags: []string{op.tag},
		Summary: op.summary, Description: op.about, DefaultStatus: op.status, MaxBodyBytes: op.maxBody,
		Deprecated: op.deprecated, Responses: map[string]*huma.Response{},
	}
	statuses := append([]int{
		http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable,
	}, op.errors...)
	if op.role != "" {
		statuses = append(statuses, http.StatusUnauthorized, http.StatusForbidden)
		o.Security = []map[string][]string{{"bearer": {}}}
		o.Extensions = map[string]any{roleExtension: string(op.role)}
	}
	if takesBody || len(op.receives) > 0 {
		statuses = append(statuses, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	shape := schemas.Schema(reflect.TypeFor[problem](), true, "Problem")
	for _, status := range statuses {
		o.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status), Content: map[string]*huma.MediaType{problemType: {Schema: shape}},
		}
	}
	if op.content != "" {
		status := cmp.Or(op.status, http.StatusOK)
		schema := &huma.Schema{Type: huma.TypeString}
		if strings.HasSuffix(op.content, "json") {
			schema.Type = huma.TypeObject
		}
		o.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status), Content: map[string]*huma.MediaType{op.content: {Schema: schema}},
		}
	}
	for media, schema := range op.contents {
		o.Responses[strconv.Itoa(cmp.Or(op.status, http.StatusOK))].Content[media] = &huma.MediaType{Schema: schema}
	}
	if len(op.receives) > 0 {
		o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
		for _, media := range op.receives {
			o.RequestBody.Content[media] = &huma.MediaType{} // with a schema, huma would read the body
		}
	}
	return o
}

// neededRole returns the role that describe has noted; empty if none is needed.
func neededRole(op *huma.Operation) account.Role {
	role, _ := op.Extensions[roleExtension].(string)
	return account.Role(role)
}

// registerDocument serves the document itself.
func (a *API) registerDocument() {
	type document struct {
		ContentType string `header:"Content-Type"`
		Body        []byte
	}
	handle(a, operation{
		method: http.MethodGet, path: "/openapi.json", id: "get-openapi", tag: "about", summary: "This document",
		content: "application/openapi+json",
	}, func(context.Context, *call, *struct{}) (*document, error) {
		body, err := json.Marshal(a.huma.OpenAPI())
		if err != nil {
			return nil, err
		}
		return &document{ContentType: "application/openapi+json", Body: body}, nil
	})
}
