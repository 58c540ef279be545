package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/sharing"
	"github.com/key-ip-sentinel/sentinel/store"
)

const tagSuspicions = "suspicions"

// registerSuspicions adds what tells of keys that several people seem to use.
func (a *API) registerSuspicions() {
	handle(a, operation{
		method: http.MethodGet, path: "/suspicions", id: "list-suspicions", tag: tagSuspicions, role: account.Viewer,
		summary: "List the keys that several people seem to use",
		about: "Keys whose rules let them be used from several networks, and which were used from two at a time in so many minutes of one day " +
			"as SENTINEL_SHARING_MINUTES says. There are at most 1,000; the one with the newest such minute comes first.",
	}, a.listSuspicions)
	handle(a, operation{
		method: http.MethodDelete, path: "/suspicions/{hash}", id: "dismiss-suspicion", tag: tagSuspicions, role: account.Operator,
		summary: "Dismiss a suspicion", errors: []int{http.StatusNotFound},
		about: "The key is suspected again after as many minutes as at first. To hold it to one network, change its rule.",
	}, a.dismissSuspicion)
}

// suspicionBody is sharing.Suspicion as the API shows it.
type suspicionBody struct {
	Hash     store.KeyHash  `json:"hash" doc:"The key hash."`
	Hint     string         `json:"hint" doc:"A few characters of the key."`
	Label    string         `json:"label" doc:"What an administrator calls the key now."`
	Bound    bool           `json:"bound" doc:"Whether the key has a binding now."`
	First    time.Time      `json:"first" doc:"The first minute in which it was used from several networks."`
	Last     time.Time      `json:"last" doc:"The newest one."`
	Minutes  int            `json:"minutes" doc:"How many there were."`
	Evidence []sharedMinute `json:"evidence" doc:"The newest of these minutes, at most 20, the newest first."`
}

type sharedMinute struct {
	Minute   time.Time      `json:"minute" doc:"Its start."`
	Networks []netip.Prefix `json:"networks" doc:"Where from the key was used in it, at most 8: IPv4 addresses, and the /64 of IPv6 ones."`
}

type suspicionsOutput struct {
	Body struct {
		Items  []suspicionBody `json:"items" doc:"All there are."`
		Total  int             `json:"total" doc:"How many there are."`
		Beyond uint64          `json:"beyond" doc:"How many more there was no room for since the start of the server."`
	}
}

func (a *API) listSuspicions(ctx context.Context, _ *call, _ *struct{}) (*suspicionsOutput, error) {
	list, beyond := a.opts.Engine.Suspicions().List()
	out := new(suspicionsOutput)
	out.Body.Items, out.Body.Total, out.Body.Beyond = make([]suspicionBody, 0, len(list)), len(list), beyond
	for _, s := range list {
		item := showSuspicion(s)
		switch b, err := a.opts.Store.Binding(ctx, s.Hash); {
		case err == nil:
			item.Label, item.Bound = b.Label, true
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
		out.Body.Items = append(out.Body.Items, item)
	}
	return out, nil
}

func showSuspicion(s sharing.Suspicion) suspicionBody {
	body := suspicionBody{
		Hash: s.Hash, Hint: s.Hint, First: s.First, Last: s.Last, Minutes: s.Minutes, Evidence: make([]sharedMinute, len(s.Evidence)),
	}
	for i, e := range s.Evidence {
		body.Evidence[i] = sharedMinute(e)
	}
	return body
}

// dismissedSuspicion is what the audit trail says of one.
type dismissedSuspicion struct {
	Hint    string    `json:"hint"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Minutes int       `json:"minutes"`
}

func (a *API) dismissSuspicion(ctx context.Context, c *call, in *struct{ HashPath }) (*struct{}, error) {
	hash, err := in.hash()
	if err != nil {
		return nil, err
	}
	s, err := a.opts.Engine.Suspicions().Dismiss(ctx, hash)
	if err != nil {
		return nil, err
	}
	return nil, a.audit(ctx, c, "suspicion.dismiss", bindingTarget(hash), dismissedSuspicion{s.Hint, s.First, s.Last, s.Minutes}, nil)
}
