//go:build unix

package replica_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
	"github.com/key-ip-sentinel/sentinel/store/postgres/pgtest"
	"github.com/key-ip-sentinel/sentinel/store/replica"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// server is the one of most tests, each of which has a database of its own. Tests that
// harm a server start another one.
var server *pgtest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(pgtest.Main(m, &server, makeTemplate))
}

// template is a database with an empty schema, of which tests get copies.
const template = "empty_sentinel"

func makeTemplate() error {
	if err := server.Create(template); err != nil {
		return err
	}
	s, err := connect(context.Background(), server.DSN(template))
	if err != nil {
		return err
	}
	return s.Close()
}

// node is one node of a cluster, with what it was told.
type node struct {
	*replica.Store
	local     *bolt.Store
	authority *counted
	deaf      bool // nothing wakes it

	mu       sync.Mutex
	changes  []store.Change
	replaced int
}

// told returns what OnChange and OnReplace were called with.
func (n *node) told() (changes []store.Change, replaced int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.changes), n.replaced
}

// counted is an authority that counts what comes to it, and may fail.
type counted struct {
	store.Authority
	deaf   bool
	mu     sync.Mutex
	writes int
	refuse error // of the next writes
	// delivered is called after each delivery, and says what its answer is.
	delivered func(ctx context.Context) error
}

func (c *counted) Deliver(ctx context.Context, node string, sequence uint64, batch store.Batch) error {
	err := c.Authority.Deliver(ctx, node, sequence, batch)
	c.mu.Lock()
	delivered := c.delivered
	c.mu.Unlock()
	if err == nil && delivered != nil {
		err = delivered(ctx)
	}
	return err
}

func (c *counted) onDelivery(do func(ctx context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delivered = do
}

func (c *counted) Bind(ctx context.Context, b store.Binding) (store.Binding, bool, error) {
	if err := c.count(); err != nil {
		return store.Binding{}, false, err
	}
	return c.Authority.Bind(ctx, b)
}

func (c *counted) Listen(ctx context.Context, wake func()) error {
	if c.deaf {
		<-ctx.Done()
		return ctx.Err()
	}
	return c.Authority.Listen(ctx, wake)
}

func (c *counted) Probe(ctx context.Context) error {
	c.mu.Lock()
	err := c.refuse
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return c.Authority.Probe(ctx)
}

func (c *counted) count() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	return c.refuse
}

func (c *counted) seen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

func (c *counted) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = err
}

// options are quick ones.
func options() replica.Options {
	return replica.Options{
		AuthorityTimeout: 500 * time.Millisecond, ProbeInterval: 20 * time.Millisecond, PollInterval: 20 * time.Millisecond,
	}
}

// start opens a node of a database, with the file of a directory. The caller closes it.
func start(tb testing.TB, dsn, dir string, opts replica.Options) *node {
	tb.Helper()
	return startNode(tb, &node{}, dsn, dir, opts)
}

func startNode(tb testing.TB, n *node, dsn, dir string, opts replica.Options) *node {
	tb.Helper()
	var err error
	if n.local, err = bolt.Open(filepath.Join(dir, bolt.FileName), bolt.Options{}); err != nil {
		tb.Fatal(err)
	}
	opts.Local = n.local
	opts.Connect = func(ctx context.Context) (store.Authority, error) {
		s, err := postgres.Open(ctx, postgres.Options{DSN: dsn, ConnectTimeout: 2 * time.Second})
		if err != nil {
			return nil, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.authority = &counted{Authority: s, deaf: n.deaf}
		return n.authority, nil
	}
	opts.OnChange = func(changes []store.Change) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.changes = append(n.changes, changes...)
	}
	opts.OnReplace = func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.replaced++
	}
	if n.Store, err = replica.Open(tb.Context(), opts); err != nil {
		tb.Fatal(err)
	}
	return n
}

// join opens a node until the end of the test, and waits until it is level.
func join(tb testing.TB, dsn string, opts replica.Options) *node {
	tb.Helper()
	return joinDeaf(tb, dsn, opts, false)
}

// joinDeaf is join, of a node that nothing wakes if it is deaf.
func joinDeaf(tb testing.TB, dsn string, opts replica.Options, deaf bool) *node {
	tb.Helper()
	n := startNode(tb, &node{deaf: deaf}, dsn, tb.TempDir(), opts)
	tb.Cleanup(func() { mustClose(tb, n) })
	awaitLevel(tb, n)
	return n
}

// awaitLevel waits until a node has been level after now.
func awaitLevel(tb testing.TB, n *node) {
	tb.Helper()
	now := time.Now()
	eventually(tb, "level", func() bool {
		_, since := n.Lag()
		return since.After(now) && n.Away() == nil
	})
}

func mustClose(tb testing.TB, n *node) {
	tb.Helper()
	if err := n.Close(); err != nil {
		tb.Error(err)
	}
}

// eventually waits until something is so.
func eventually(tb testing.TB, what string, isSo func() bool) {
	tb.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !isSo() {
		if time.Now().After(deadline) {
			tb.Fatalf("never so: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func must[T any](v T, err error) func(tb testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func check(tb testing.TB, errs ...error) {
	tb.Helper()
	if err := errors.Join(errs...); err != nil {
		tb.Fatal(err)
	}
}

// database makes an empty database, which is not related to any other one.
func database(tb testing.TB) (dsn string) {
	tb.Helper()
	dsn = server.DSN(server.NewDatabase(tb, template))
	sql(tb, dsn, `UPDATE sentinel.head SET identity = gen_random_uuid()::text`)
	return dsn
}

// sql runs a statement at a database of the common server.
func sql(tb testing.TB, dsn, statement string, args ...any) {
	tb.Helper()
	at := must(url.Parse(dsn))(tb)
	server.Exec(tb, strings.TrimPrefix(at.Path, "/"), fmt.Sprintf(statement, args...))
}

func bind(tb testing.TB, s store.Bindings, numbers ...int) (list []store.Binding) {
	tb.Helper()
	for _, n := range numbers {
		b, created, err := s.Bind(context.Background(), storetest.Binding(n))
		if err != nil || !created {
			tb.Fatalf("bind %d: created %v, %v", n, created, err)
		}
		list = append(list, b)
	}
	return list
}

// ban bans a key, and returns its binding.
func ban(tb testing.TB, s store.Bindings, n int) store.Binding {
	tb.Helper()
	b := must(s.Binding(context.Background(), storetest.Hash(n)))(tb)
	b.Status = store.StatusBanned
	return must(s.ReplaceBinding(context.Background(), b))(tb)
}

func isBanned(s store.Bindings, n int) bool {
	b, err := s.Binding(context.Background(), storetest.Hash(n))
	return err == nil && b.Status == store.StatusBanned
}

// wantSame fails the test unless a node has what another one has, once both are level.
func wantSame(tb testing.TB, nodes ...*node) {
	tb.Helper()
	for _, n := range nodes {
		awaitLevel(tb, n)
	}
	want := must(nodes[0].ListBindings(tb.Context(), store.KeyHash{}, 1<<30))(tb)
	for _, n := range nodes[1:] {
		got := must(n.ListBindings(tb.Context(), store.KeyHash{}, 1<<30))(tb)
		if !slices.EqualFunc(got, want, func(a, b store.Binding) bool {
			return a.Hash == b.Hash && a.Revision == b.Revision && a.Status == b.Status && a.Label == b.Label
		}) {
			tb.Errorf("%d bindings, and %d at another node", len(got), len(want))
		}
	}
}

// connect opens a database as an authority.
func connect(ctx context.Context, dsn string) (store.Authority, error) {
	return postgres.Open(ctx, postgres.Options{DSN: dsn, ConnectTimeout: 2 * time.Second})
}
