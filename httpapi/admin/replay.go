package admin

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/replay"
	"github.com/key-ip-sentinel/sentinel/store"
)

const replayAbout = "Holds what is recorded against the rules as they are, or against another rule: what was allowed, which is known by key, " +
	"day and network for 30 days, and the intercepts, among them those that were only observed. Nothing is changed. "

// registerReplay adds what tells what a rule would have refused.
func (a *API) registerReplay() {
	handle(a, operation{
		method: http.MethodPost, path: "/replay", id: "replay", tag: bindingTag, role: account.Viewer,
		summary: "Tell what the rules would have refused", maxBody: bulkBody,
		about: replayAbout + "Send neither hashes nor filter for all keys. One runs at a time; others wait.",
	}, a.replay)
	handle(a, operation{
		method: http.MethodPost, path: "/bindings/{hash}/replay", id: "replay-binding", tag: bindingTag, role: account.Viewer,
		summary: "Tell what a rule of a key would have refused", errors: []int{http.StatusNotFound}, maxBody: bulkBody,
		about: replayAbout + "Send the rule that you are about to give the key.",
	}, a.replayBinding)
}

// ReplayInput is embedded, and so exported.
type ReplayInput struct {
	Since time.Time  `json:"since" pattern:"^(19[7-9]|[2-9][0-9][0-9])[0-9]-" patternDescription:"time of 1970 or later" doc:"When to begin. What was allowed counts from the start of that day on, in UTC."`
	Rule  *ruleInput `json:"rule,omitempty" doc:"The rule as it would be. Without it, every key has its own."`
	Rows  int        `json:"rows,omitempty" minimum:"1" maximum:"1000" default:"100" doc:"How many rows the answer may have."`
}

func (in ReplayInput) query() (replay.Query, error) {
	var f faults
	q := replay.Query{Since: in.Since, Rows: in.Rows}
	if in.Rule != nil {
		rule := in.Rule.rule("body.rule", &f)
		q.Rule = &rule
	}
	return q, f.err()
}

type replayManyInput struct {
	ReplayInput
	Hashes []string       `json:"hashes,omitempty" minItems:"1" maxItems:"10000" pattern:"^[0-9a-fA-F]{64}$" patternDescription:"64 hex digits" doc:"Key hashes. Either these or filter, or neither for all keys."`
	Filter *BindingFilter `json:"filter,omitempty" doc:"Chooses the keys by how their bindings are now."`
}

// replayBody is replay.Result as the API shows it.
type replayBody struct {
	Since     time.Time `json:"since" doc:"When it begins, of intercepts."`
	UsesSince time.Time `json:"usesSince" doc:"When it begins, of what was allowed: the start of that day in UTC."`
	Checked   int       `json:"checked" doc:"How many bindings it looked at."`

	Refused     uint64 `json:"refused" doc:"Requests that would have been refused."`
	Keys        int    `json:"keys" doc:"Of how many keys."`
	RefusedThen uint64 `json:"refusedThen" doc:"How many of them were refused then as well."`
	Passed      uint64 `json:"passed" doc:"Requests that were refused and would have passed."`
	PassedKeys  int    `json:"passedKeys" doc:"Of how many keys."`

	Rows      []replayRow     `json:"rows" doc:"Of whom; those with most requests first."`
	Omitted   uint64          `json:"omitted" doc:"Requests of refused and passed that no row tells of."`
	Uncertain uncertainReplay `json:"uncertain" doc:"What nobody can tell. It is in no other number."`
}

type replayRow struct {
	Hash    store.KeyHash `json:"hash" doc:"The key hash."`
	Hint    string        `json:"hint" doc:"A few characters of the key."`
	Label   string        `json:"label" doc:"What an administrator calls the key."`
	Network netip.Prefix  `json:"network,omitzero" doc:"From where: an IPv4 address, or the /64 of an IPv6 one; absent if it is not known."`
	Day     time.Time     `json:"day" doc:"On which day: its start, UTC."`
	Count   uint64        `json:"count" doc:"How many requests."`
	Would   string        `json:"would" enum:"refuse,pass" doc:"What would have become of them."`
	Did     string        `json:"did" enum:"refuse,pass" doc:"What became of them."`
}

type uncertainReplay struct {
	Requests   uint64 `json:"requests" doc:"How many requests are uncertain in all."`
	Unrecorded uint64 `json:"unrecorded" doc:"Allowed on days of which the networks were not kept yet."`
	Elsewhere  uint64 `json:"elsewhere" doc:"Allowed from further networks of a day on which a key was used from more than 32."`
	Partly     uint64 `json:"partly" doc:"Allowed from an IPv6 /64 of which the rule has a part only."`
	Learning   uint64 `json:"learning" doc:"From networks that the rule may have learnt."`
	Unbound    uint64 `json:"unbound" doc:"Refused, of keys that have no binding any more."`
	Dropped    uint64 `json:"dropped" doc:"Refused since the start of the server, whenever that was, and not recorded for want of room."`

	UsesFrom        time.Time `json:"usesFrom,omitzero" doc:"What was allowed before this day is not kept; absent if nothing before was asked for."`
	InterceptsFrom  time.Time `json:"interceptsFrom,omitzero" doc:"Intercepts from before this time are not kept; absent if none before was asked for."`
	UnknownNetworks []string  `json:"unknownNetworks" doc:"Networks that rules name and that there are none of: they let nothing pass."`
}

type replayOutput struct {
	Body replayBody
}

func (a *API) replay(ctx context.Context, _ *call, in *struct{ Body replayManyInput }) (*replayOutput, error) {
	q, err := in.Body.query()
	if err != nil {
		return nil, err
	}
	switch {
	case in.Body.Hashes != nil && in.Body.Filter != nil:
		return nil, invalidField("body.filter", "give either hashes or a filter, or neither for all keys")
	case in.Body.Hashes != nil:
		if q.Hashes, err = a.bulkTarget(ctx, bulkInput{Hashes: in.Body.Hashes}); err != nil {
			return nil, err
		}
	case in.Body.Filter != nil:
		var f faults
		q.Filter = in.Body.Filter.filter("body.filter.", &f)
		if err := f.err(); err != nil {
			return nil, err
		}
	}
	return a.runReplay(ctx, q)
}

type replayBindingInput struct {
	HashPath
	Body ReplayInput
}

func (a *API) replayBinding(ctx context.Context, _ *call, in *replayBindingInput) (*replayOutput, error) {
	hash, err := in.hash()
	if err != nil {
		return nil, err
	}
	q, err := in.Body.query()
	if err != nil {
		return nil, err
	}
	if _, err := a.opts.Store.Binding(ctx, hash); err != nil {
		return nil, err
	}
	q.Hashes = []store.KeyHash{hash}
	return a.runReplay(ctx, q)
}

func (a *API) runReplay(ctx context.Context, q replay.Query) (*replayOutput, error) {
	result, err := a.opts.Engine.Replay(ctx, q)
	if err != nil {
		return nil, locate(err, "body.")
	}
	return &replayOutput{showReplay(result)}, nil
}

func showReplay(r replay.Result) replayBody {
	u := r.Uncertain
	body := replayBody{
		Since: r.Since, UsesSince: r.UsesSince, Checked: r.Checked,
		Refused: r.Refused, Keys: r.Keys, RefusedThen: r.RefusedThen, Passed: r.Passed, PassedKeys: r.PassedKeys,
		Rows: make([]replayRow, len(r.Rows)), Omitted: r.Omitted,
		Uncertain: uncertainReplay{
			Requests: u.Requests(), Unrecorded: u.Unrecorded, Elsewhere: u.Elsewhere, Partly: u.Partly, Learning: u.Learning,
			Unbound: u.Unbound, Dropped: u.Dropped, UsesFrom: u.UsesFrom, InterceptsFrom: u.InterceptsFrom,
			UnknownNetworks: u.UnknownNetworks,
		},
	}
	orEmpty(&body.Uncertain.UnknownNetworks)
	outcome := map[bool]string{true: "refuse", false: "pass"}
	for i, row := range r.Rows {
		body.Rows[i] = replayRow{
			Hash: row.Hash, Hint: row.Hint, Label: row.Label, Network: row.Network, Day: row.Day, Count: row.Count,
			Would: outcome[row.Refused], Did: outcome[row.Then],
		}
	}
	return body
}
