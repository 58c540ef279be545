//go:build linux

package faulttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/wire"
)

// act is one thing that happened to a key, as the checker is given it.
type act struct {
	key  string
	node int  // that was asked, or, of a ban, that the ban reaches
	ban  bool // or a use
	from int  // of a use: index of addresses
}

// answer is what came of an act.
type answer int

const (
	unknown answer = iota // nobody was told: it may happen at any time, or never
	passed                // of a ban: acknowledged
	refusedAddress
	refusedBanned
)

// history is all that happened to the rivals' keys during one fault.
type history struct {
	*run
	series string
	began  time.Time
	next   int // number of the next key

	mu    sync.Mutex
	ops   []porcupine.Operation
	bans  []acknowledgedBan
	heals int64 // when the fault was over, in ns since began; 0: not yet
	// refusals is how many answers were one, and unseen how many answers nobody saw, which
	// may have been one.
	refusals, unseen int
}

// acknowledgedBan reaches each node at some time of its own.
type acknowledgedBan struct {
	key            string
	call, returned int64
	known          bool // that it was acknowledged
}

func newHistory(r *run) *history {
	return &history{run: r, series: string("abcdefghijklmnopqrstuvwxyz"[len(r.report.Faults)]), began: time.Now()}
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

// healed notes that all nodes are connected again, and level.
func (h *history) healed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heals = h.now()
}

// compete has two addresses compete for new keys, for some time. The life of a key: both
// use it at the same moment, by two nodes; one of two keys is banned, by a third; then
// both use it again and again, by any.
func (h *history) compete(ctx context.Context, keys int, lasts time.Duration) {
	var done sync.WaitGroup
	end := time.Now().Add(lasts)
	for i := range keys {
		key := wire.Key("r"+h.series, h.next+i)
		plan := [3]int{h.random.IntN(len(h.nodes)), h.random.IntN(len(h.nodes)), h.random.IntN(len(h.nodes))}
		start := time.Duration(h.random.Int64N(int64(lasts)/2 + 1))
		done.Go(func() {
			time.Sleep(start) // the moments of a plan, no wait for something
			h.live(ctx, key, plan, i%2 == 0, end)
		})
	}
	h.next += keys
	done.Wait()
}

func (h *history) live(ctx context.Context, key string, plan [3]int, isBanned bool, end time.Time) {
	var first sync.WaitGroup
	for from := range addresses {
		first.Go(func() { h.use(ctx, key, plan[from], from) })
	}
	first.Wait()
	if isBanned {
		h.ban(ctx, key, plan[2])
	}
	for i := plan[0]; time.Now().Before(end); i++ {
		h.use(ctx, key, i%len(h.nodes), i%len(addresses))
		time.Sleep(h.opts.Hold / 10) // a pace, no wait for something
	}
}

// use sends one request, and records it.
func (h *history) use(ctx context.Context, key string, number, from int) {
	n := h.nodes[number]
	if n.isOut.Load() {
		return
	}
	c := wire.NewClient(*n.address.Load(), addresses[from])
	defer func() { _ = c.Close() }()
	call := h.now()
	code, err := use(context.WithoutCancel(ctx), c, key)
	op := porcupine.Operation{ClientId: number, Input: act{key: key, node: number, from: from}, Call: call, Return: h.now()}
	switch {
	case err == nil && code == "":
		op.Output = passed
	case code == "ip_not_allowed":
		op.Output = refusedAddress
	case code == "key_banned":
		op.Output = refusedBanned
	default:
		op.Output, op.Return = unknown, math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case op.Output == unknown:
		h.unseen++
	case code != "":
		h.refusals++
	}
	h.ops = append(h.ops, op)
}

// ban bans a key by one node.
func (h *history) ban(ctx context.Context, key string, number int) {
	n := h.nodes[number]
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience/4)
	defer cancel()
	found, err := n.admin.FindKey(ctx, key)
	if err != nil || len(found.Bindings) == 0 {
		return // not bound, or not known there yet: there is nothing to ban
	}
	status := "banned"
	call := h.now()
	_, err = n.admin.EditBinding(ctx, found.Key.Hash, 0, client.BindingEdit{Status: &status})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bans = append(h.bans, acknowledgedBan{key: key, call: call, returned: h.now(), known: err == nil})
}

func (h *history) acknowledged() (n int) {
	for _, b := range h.bans {
		if b.known {
			n++
		}
	}
	return n
}

func (h *history) won() int {
	winners := make(map[string]bool)
	for _, op := range h.ops {
		if op.Output == passed {
			winners[op.Input.(act).key] = true
		}
	}
	return len(winners)
}

// operations returns what the checker is given. A ban reaches each node some time from
// when it was asked for until Bound after it was acknowledged, or, on nodes that the
// fault cut off, after that was over. One of which nobody was told may reach it any time.
func (h *history) operations(cutOff bool) []porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	ops := h.ops[:len(h.ops):len(h.ops)]
	for _, b := range h.bans {
		for node := range h.nodes {
			op := porcupine.Operation{ClientId: node, Input: act{key: b.key, node: node, ban: true}, Call: b.call, Output: passed, Return: b.returned + int64(Bound)}
			if cutOff && b.call < h.heals {
				op.Return = max(op.Return, h.heals+int64(Bound))
			}
			if !b.known {
				op.Output, op.Return = unknown, math.MaxInt64
			}
			ops = append(ops, op)
		}
	}
	return ops
}

// keyState is what the checker knows of a key.
type keyState struct {
	owner  int    // index of addresses; -1: not bound
	banned uint64 // a bit for each node that the ban has reached
}

// model is what a key does, whichever node is asked.
var model = (&porcupine.NondeterministicModel{
	Partition: byKey,
	Init:      func() []any { return []any{keyState{owner: -1}} },
	Step: func(state, input, output any) []any {
		return step(state.(keyState), input.(act), output.(answer))
	},
	DescribeOperation: func(input, output any) string {
		in := input.(act)
		what := "use from " + addresses[in.from].String()
		if in.ban {
			what = "ban reaches it"
		}
		return fmt.Sprintf("node %d: %s: %s", in.node+1, what, [...]string{"?", "ok", "other address", "banned"}[output.(answer)])
	},
}).ToModel()

func byKey(ops []porcupine.Operation) (parts [][]porcupine.Operation) {
	index := make(map[string]int)
	for _, op := range ops {
		key := op.Input.(act).key
		i, isThere := index[key]
		if !isThere {
			i = len(parts)
			index[key] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}

// step returns what a key may be after an act with an answer; nothing if it cannot have
// had that answer.
func step(s keyState, in act, out answer) []any {
	bit := uint64(1) << in.node
	if in.ban {
		reached := keyState{owner: s.owner, banned: s.banned | bit}
		if out == unknown {
			return []any{s, reached}
		}
		return []any{reached}
	}
	taken := keyState{owner: in.from, banned: s.banned}
	switch isBanned := s.banned&bit != 0; {
	case out == unknown && s.owner == -1:
		return []any{s, taken}
	case out == unknown, out == refusedBanned && isBanned:
		return []any{s}
	case out == passed && !isBanned && (s.owner == -1 || s.owner == in.from):
		return []any{taken}
	case out == refusedAddress && !isBanned && s.owner != -1 && s.owner != in.from:
		return []any{s}
	}
	return nil
}

// check explains the history, and asks every node whether it agrees with the end of it.
func (h *history) check(ctx context.Context, f fault) error {
	ops := h.operations(f.cutsOff)
	if h.won() == 0 {
		return errors.New("nobody won a key: there is nothing to check")
	}
	result, info := porcupine.CheckOperationsVerbose(model, ops, patience)
	if result != porcupine.Ok {
		picture := filepath.Join(h.opts.Dir, "history-"+h.series+".html")
		err := fmt.Errorf("the history of %d acts: %s: no order of them explains it; see %s", len(ops), result, picture)
		return errors.Join(err, drawHistory(info, picture))
	}
	return errors.Join(h.checkEnd(ctx), h.checkRecords(ctx, f))
}

func drawHistory(info porcupine.LinearizationInfo, path string) error {
	out, err := os.Create(path) // #nosec G304 -- in the directory of the run
	if err != nil {
		return err
	}
	return errors.Join(porcupine.Visualize(model, info, out), out.Close())
}

// checkEnd asks every node about every key: each has one owner, the same everywhere,
// and is banned if that was acknowledged.
func (h *history) checkEnd(ctx context.Context) error {
	banned := make(map[string]bool)
	for _, b := range h.bans {
		if b.known {
			banned[b.key] = true
		}
	}
	var errs []error
	for i := range h.next {
		key := wire.Key("r"+h.series, i)
		for _, n := range h.nodes {
			found, err := n.admin.FindKey(ctx, key)
			switch {
			case err != nil:
				return err
			case len(found.Bindings) == 0 && banned[key]:
				errs = append(errs, fmt.Errorf("%s: the ban of %s was acknowledged, and it is not bound", n.name, key))
			case len(found.Bindings) == 1 && banned[key] && found.Bindings[0].Status != "banned":
				errs = append(errs, fmt.Errorf("%s: the ban of %s was acknowledged, and it is %s", n.name, key, found.Bindings[0].Status))
			}
		}
	}
	return errors.Join(errs...)
}

// checkRecords counts what was refused: each refusal that a client saw is in the
// records once, whatever was away in the meantime.
func (h *history) checkRecords(ctx context.Context, f fault) error {
	if f.losesRecords {
		return nil
	}
	for deadline := time.Now().Add(patience / 4); ; time.Sleep(pollEvery) {
		recorded, err := h.recorded(ctx)
		if err == nil && recorded >= h.refusals && recorded <= h.refusals+h.unseen {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d refusals were seen, %d answers were not, and %d are in the records: %w", h.refusals, h.unseen, recorded, cmp.Or(err, errOther))
		}
	}
}

var errOther = errors.New("some are missing, or there twice")

// recorded counts the refusals of this history's keys in the records.
func (h *history) recorded(ctx context.Context) (total int, err error) {
	hint := "sk-r" + h.series
	for page, err := range h.nodes[0].admin.Logs(ctx, client.LogFilter{Since: h.began.Add(-time.Second)}, 0) {
		if err != nil {
			return 0, err
		}
		for _, rec := range page.Items {
			if strings.HasPrefix(rec.Value.Hint, hint) {
				total += int(rec.Value.Count) // #nosec G115 -- of what this test has sent
			}
		}
	}
	return total, nil
}
