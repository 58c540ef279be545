package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/http/pprof"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"

	"github.com/key-ip-sentinel/sentinel/engine/account"
)

// The command line is not among them: secrets may have been given as flags.
type profileIn struct {
	Profile string `path:"profile" enum:"allocs,block,goroutine,heap,mutex,threadcreate,profile,trace" doc:"Which one; profile is of the processor."`
	Seconds int    `query:"seconds" minimum:"1" maximum:"60" doc:"For how long to watch. Of profile and trace: 10 unless given; of the others: what happened within that time."`
	Debug   int    `query:"debug" minimum:"0" maximum:"2" doc:"1 or 2: as text."`
	GC      int    `query:"gc" minimum:"0" maximum:"1" doc:"1: collect garbage first, for heap."`
}

// profileSeconds is how long the processor is watched unless told.
const profileSeconds = 10

func (a *API) registerProfile() {
	handle(a, operation{
		method: http.MethodGet, path: "/pprof/{profile}", id: "get-profile", tag: tagAbout, summary: "A profile of this process",
		about: "In the format that go tool pprof and go tool trace read.",
		role:  account.Admin, content: "application/octet-stream", contents: map[string]*huma.Schema{"text/plain": {Type: huma.TypeString}},
	}, a.profile)
}

func (a *API) profile(ctx context.Context, c *call, in *profileIn) (*huma.StreamResponse, error) {
	query := url.Values{"debug": {strconv.Itoa(in.Debug)}, "gc": {strconv.Itoa(in.GC)}}
	var serve http.Handler
	switch in.Profile {
	case "profile":
		serve, in.Seconds = http.HandlerFunc(pprof.Profile), cmp.Or(in.Seconds, profileSeconds)
	case "trace":
		serve, in.Seconds = http.HandlerFunc(pprof.Trace), cmp.Or(in.Seconds, profileSeconds)
	default:
		serve = pprof.Handler(in.Profile)
	}
	if in.Seconds > 0 {
		query.Set("seconds", strconv.Itoa(in.Seconds))
	}
	if err := a.audit(ctx, c, "profile.read", in.Profile, nil, nil); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		g := humagin.Unwrap(ctx)
		r := g.Request.Clone(ctx.Context())
		r.URL = &url.URL{Path: "/debug/pprof/" + in.Profile, RawQuery: query.Encode()}
		r.Form = nil
		serve.ServeHTTP(g.Writer, r)
	}}, nil
}
