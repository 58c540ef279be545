package admin_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/roster"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
	"github.com/key-ip-sentinel/sentinel/store"
)

type nodeList struct {
	Items []struct {
		ID, Name, State, Version, Address string
		Self, Leader                      bool
		SeenAt, StartedAt                 time.Time
		Position, Behind, Waiting         uint64
		LagSeconds                        *float64
		PostgreSQL, Redis                 struct{ State, Error string }
	}
	Total   int
	Current bool
}

func TestTheOnlyNode(t *testing.T) {
	s := newSite(t)
	var list nodeList
	s.call(account.Viewer, "GET", "/nodes", nil).want(http.StatusOK).into(&list)
	if len(list.Items) != 1 || list.Total != 1 || !list.Current {
		t.Fatalf("got %+v", list)
	}
	n := list.Items[0]
	if !n.Self || !n.Leader || n.State != "here" || n.Name == "" || n.StartedAt.IsZero() || n.PostgreSQL.State != "none" || n.Redis.State != "none" {
		t.Errorf("got %+v", n)
	}
	s.call("", "GET", "/nodes", nil).want(http.StatusUnauthorized)
}

// severalNodes are two, of which one is lost.
type severalNodes struct{}

func (severalNodes) Self() store.NodeState { return store.NodeState{} }

func (severalNodes) List(context.Context) ([]roster.Node, bool) {
	seen := time.UnixMilli(1_700_000_000_000).UTC()
	return []roster.Node{
		{NodeState: store.NodeState{
			ID: "a/1", Name: "a", Version: "v1", Address: "[::]:7000", Started: seen, Position: 7, Behind: 2, Lag: 1500 * time.Millisecond, Waiting: 3,
			Authority: store.Health{State: store.HealthGood}, Redis: store.Health{State: store.HealthAway, Error: "it hangs"},
		}, State: roster.Here, SeenAt: seen, IsSelf: true},
		{NodeState: store.NodeState{ID: "b/1", Name: "b", Lag: -1}, State: roster.Lost, SeenAt: seen},
	}, false
}

func TestNodesOfACluster(t *testing.T) {
	s := newSite(t, func(o *admin.Options) { o.Nodes = severalNodes{} })
	var list nodeList
	s.call(account.Viewer, "GET", "/nodes", nil).want(http.StatusOK).into(&list)
	if len(list.Items) != 2 || list.Total != 2 || list.Current {
		t.Fatalf("got %+v", list)
	}
	a, b := list.Items[0], list.Items[1]
	if a.ID != "a/1" || a.Position != 7 || a.Behind != 2 || a.Waiting != 3 || a.LagSeconds == nil || *a.LagSeconds != 1.5 ||
		a.PostgreSQL.State != "ok" || a.Redis.State != "away" || a.Redis.Error != "it hangs" {
		t.Errorf("got %+v", a)
	}
	if b.State != "lost" || b.Self || b.LagSeconds != nil {
		t.Errorf("got %+v", b)
	}
}
