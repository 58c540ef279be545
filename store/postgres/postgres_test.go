package postgres_test

import (
	"context"
	"flag"
	"os"
	"sync"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
	"github.com/key-ip-sentinel/sentinel/store/postgres/pgtest"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// server is the one of most tests, each of which has a database of its own. Tests
// that harm a server start another one.
var server *pgtest.Server

// template is a database with an empty schema, of which tests get copies.
const template = "empty_sentinel"

func TestMain(m *testing.M) {
	flag.Parse()
	if dsn := os.Getenv(leaderEnv); dsn != "" {
		os.Exit(runLeader(dsn))
	}
	os.Exit(pgtest.Main(m, &server, makeTemplate))
}

// emptyDatabase returns the name of a new database with an empty schema.
func emptyDatabase(tb testing.TB) string {
	tb.Helper()
	return server.NewDatabase(tb, template)
}

func makeTemplate() error {
	if err := server.Create(template); err != nil {
		return err
	}
	s, err := postgres.Open(context.Background(), postgres.Options{DSN: server.DSN(template)})
	if err != nil {
		return err
	}
	return s.Close()
}

// open opens a store. The caller closes it.
func open(tb testing.TB, opts postgres.Options) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(context.Background(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	dsns.Store(s, opts.DSN)
	return s
}

// dsns are those of the stores that tests have opened.
var dsns sync.Map

func dsnOf(tb testing.TB, s *postgres.Store) string {
	tb.Helper()
	dsn, ok := dsns.Load(s)
	if !ok {
		tb.Fatal("a store that the test has not opened")
	}
	return dsn.(string)
}

// openEmpty opens a store on a database of its own, until the end of the test.
func openEmpty(tb testing.TB) *postgres.Store {
	tb.Helper()
	return openUntilEnd(tb, postgres.Options{DSN: server.DSN(emptyDatabase(tb))})
}

func openUntilEnd(tb testing.TB, opts postgres.Options) *postgres.Store {
	tb.Helper()
	s := open(tb, opts)
	tb.Cleanup(func() { mustClose(tb, s) })
	return s
}

func mustClose(tb testing.TB, s *postgres.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) store.Store {
		return open(tb, postgres.Options{DSN: server.DSN(emptyDatabase(tb))})
	})
}

// TestConformanceBehindPooler runs the suite without prepared statements, as behind a
// PgBouncer in transaction mode.
func TestConformanceBehindPooler(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) store.Store {
		return open(tb, postgres.Options{DSN: server.DSN(emptyDatabase(tb)) + "&default_query_exec_mode=exec"})
	})
}

// TestSimpleProtocol makes changes of every kind in the oldest of all ways.
func TestSimpleProtocol(t *testing.T) {
	s := openUntilEnd(t, postgres.Options{DSN: server.DSN(emptyDatabase(t)) + "&default_query_exec_mode=simple_protocol"})
	changeAll(t, s)
	got := taken{records: map[string]store.Change{}}
	got.catchUp(t, s, 7)
	wantSame(t, "copy", got, snapshotOf(t, s))
	for name, call := range someCalls {
		if err := call(t.Context(), s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReopen(t *testing.T) {
	databases := map[string]string{}
	storetest.RunReopen(t, func(tb testing.TB, dir string) store.Store {
		if databases[dir] == "" {
			databases[dir] = emptyDatabase(tb)
		}
		return open(tb, postgres.Options{DSN: server.DSN(databases[dir])})
	})
}
