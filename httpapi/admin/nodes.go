package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/roster"
	"github.com/key-ip-sentinel/sentinel/store"
)

const tagNodes = "nodes"

// Nodes tells which nodes there are.
type Nodes interface {
	// List returns all, in the order of their names, and whether the others are as the
	// authority tells now.
	List(ctx context.Context) (list []roster.Node, isCurrent bool)
	// Self returns how this one is. It does not wait.
	Self() store.NodeState
}

func (a *API) registerNodes() {
	handle(a, operation{
		method: http.MethodGet, path: "/nodes", id: "list-nodes", tag: tagNodes, role: account.Viewer,
		summary: "List the nodes of the cluster",
		about: "Each node tells every 3 seconds how it is. One that was not heard of for 15 seconds is lost, and after a day it is not listed any more. " +
			"A Sentinel that runs alone lists itself.",
	}, a.listNodes)
}

// nodeBody is roster.Node as the API shows it.
type nodeBody struct {
	ID         string    `json:"id" doc:"Tells nodes apart, also those of one name; the same after a restart."`
	Name       string    `json:"name" doc:"What the node is called."`
	Self       bool      `json:"self" doc:"Whether it is the one that answers."`
	State      string    `json:"state" enum:"here,lost" doc:"lost: not heard of for 15 seconds."`
	SeenAt     time.Time `json:"seenAt" doc:"When it was last heard of."`
	Leader     bool      `json:"leader" doc:"Whether it does what is to be done once in the cluster."`
	Version    string    `json:"version" doc:"Of the program."`
	Address    string    `json:"address" doc:"Where it takes requests."`
	StartedAt  time.Time `json:"startedAt" doc:"When it was started."`
	Position   uint64    `json:"position" doc:"Up to which change its copy has everything; 0 for one that runs alone."`
	Behind     uint64    `json:"behind" doc:"How many changes it knows of and does not have."`
	LagSeconds *float64  `json:"lagSeconds" nullable:"true" doc:"How long ago its copy was level with the authority. A node looks once a second, so that less means nothing. Null: it never was."`
	Clock      *float64  `json:"clockAheadSeconds" nullable:"true" doc:"How far its own clock is ahead of that of PostgreSQL, negative if it is behind. It goes by its own within 2 seconds, and otherwise by that of PostgreSQL. Null: not known, or none."`
	Waiting    uint64    `json:"waiting" doc:"Batches of what it has counted and recorded that PostgreSQL does not have yet."`

	PostgreSQL healthBody `json:"postgresql" doc:"As this node sees it."`
	Redis      healthBody `json:"redis" doc:"As this node sees it."`
}

type healthBody struct {
	State string `json:"state" enum:"none,ok,away" doc:"none: it is not set to use one."`
	Error string `json:"error,omitempty" doc:"Why it is away."`
}

type nodesOutput struct {
	Body struct {
		Items   []nodeBody `json:"items" doc:"All nodes, in the order of their names."`
		Total   int        `json:"total" doc:"How many there are."`
		Current bool       `json:"current" doc:"false: PostgreSQL is away from the node that answers, and the others are as they were last heard of."`
	}
}

func (a *API) listNodes(ctx context.Context, _ *call, _ *struct{}) (*nodesOutput, error) {
	list, isCurrent := a.opts.Nodes.List(ctx)
	out := new(nodesOutput)
	out.Body.Items, out.Body.Total, out.Body.Current = make([]nodeBody, len(list)), len(list), isCurrent
	for i, n := range list {
		out.Body.Items[i] = showNode(n)
	}
	return out, nil
}

func showNode(n roster.Node) nodeBody {
	b := nodeBody{
		ID: n.ID, Name: n.Name, Self: n.IsSelf, State: string(n.State), SeenAt: n.SeenAt, Leader: n.Leader,
		Version: n.Version, Address: n.Address, StartedAt: n.Started,
		Position: n.Position, Behind: n.Behind, Waiting: n.Waiting,
		PostgreSQL: showHealth(n.Authority), Redis: showHealth(n.Redis),
	}
	if n.Lag >= 0 {
		seconds := n.Lag.Seconds()
		b.LagSeconds = &seconds
	}
	if n.Ahead != nil {
		seconds := n.Ahead.Seconds()
		b.Clock = &seconds
	}
	return b
}

func showHealth(h store.Health) healthBody {
	if h.State == "" {
		h.State = store.HealthNone
	}
	return healthBody{string(h.State), h.Error}
}

// onlyNode is a node that runs alone.
type onlyNode struct{ api *API }

func (o onlyNode) Self() store.NodeState {
	a := o.api
	return store.NodeState{ID: a.opts.Node, Name: a.opts.Node, Version: a.opts.Version, Started: store.StoredTime(a.started), Leader: true}
}

func (o onlyNode) List(context.Context) (list []roster.Node, isCurrent bool) {
	return []roster.Node{{NodeState: o.Self(), State: roster.Here, SeenAt: store.StoredTime(o.api.now()), IsSelf: true}}, true
}
