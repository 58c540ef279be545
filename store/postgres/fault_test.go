package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/postgres"
	"github.com/key-ip-sentinel/sentinel/store/postgres/pgtest"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// someCalls is one of each way to the server: a read, a transaction of the committer,
// and one beside it.
var someCalls = map[string]func(ctx context.Context, s *postgres.Store) error{
	"Binding": func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Binding(ctx, storetest.Hash(1))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	},
	"Bind": func(ctx context.Context, s *postgres.Store) error {
		_, _, err := s.Bind(ctx, storetest.Binding(1))
		return err
	},
	"PutSetting": func(ctx context.Context, s *postgres.Store) error { return s.PutSetting(ctx, "mode", nil) },
	"AppendAudit": func(ctx context.Context, s *postgres.Store) error {
		_, err := s.AppendAudit(ctx, storetest.AuditEntry(1))
		return err
	},
	"Changes": func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Changes(ctx, 0, 10)
		return err
	},
	"Probe": func(ctx context.Context, s *postgres.Store) error { return s.Probe(ctx) },
}

// onServer opens a store on a server that the test may do to what it wants.
func onServer(t *testing.T, settings ...string) (*pgtest.Server, *postgres.Store) {
	t.Helper()
	server := startServer(t, pgtest.Options{Settings: settings})
	if err := server.Create("sentinel"); err != nil {
		t.Fatal(err)
	}
	return server, openUntilEnd(t, postgres.Options{DSN: server.TCP("sentinel")})
}

// wantWorking waits until all calls work.
func wantWorking(t *testing.T, s *postgres.Store) {
	t.Helper()
	for name, call := range someCalls {
		eventually(t, name+" works", func() bool { return call(t.Context(), s) == nil })
	}
}

// TestServerKilled kills the server while keys are bound: what was acknowledged is
// there when it is back, and the same store goes on.
func TestServerKilled(t *testing.T) {
	server := startServer(t, pgtest.Options{Fsync: true})
	if err := server.Create("sentinel"); err != nil {
		t.Fatal(err)
	}
	s := openUntilEnd(t, postgres.Options{DSN: server.TCP("sentinel")})
	var mu sync.Mutex
	var acknowledged []store.Binding
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				b, _, err := s.Bind(context.Background(), storetest.Binding(caller*1_000_000+n))
				if err != nil {
					if !errors.Is(err, store.ErrUnavailable) {
						t.Errorf("bind: %v", err)
					}
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, b)
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged)
	}
	eventually(t, "100 keys are bound", func() bool { return count() >= 100 })
	server.Kill()
	wg.Wait()
	for name, call := range someCalls {
		if err := call(t.Context(), s); !errors.Is(err, store.ErrUnavailable) || isContextError(err) {
			t.Errorf("%s without a server: %v", name, err)
		}
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	wantWorking(t, s)
	for _, b := range acknowledged {
		if got, err := s.Binding(t.Context(), b.Hash); err != nil || got.Revision != b.Revision {
			t.Fatalf("binding of revision %d: %d, %v", b.Revision, got.Revision, err)
		}
	}
	c := taken{records: map[string]store.Change{}}
	c.catchUp(t, s, 1_000) // which fails for a gap
}

func isContextError(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// TestServerRestarted has connections that the server has closed in good order.
func TestServerRestarted(t *testing.T) {
	server, s := onServer(t)
	wantWorking(t, s)
	server.Halt()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	wantWorking(t, s)
}

// TestServerFrozen stops all of the server's processes: calls hang until their
// contexts end, and not longer; the store goes on when the server does.
func TestServerFrozen(t *testing.T) {
	server, s := onServer(t)
	wantWorking(t, s)
	server.Freeze()
	const deadline = 200 * time.Millisecond
	var wg sync.WaitGroup
	for round := range 3 {
		for name, call := range someCalls {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), deadline)
				defer cancel()
				if err := call(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s in round %d: %v", name, round, err)
				}
			})
		}
		ended := make(chan struct{})
		go func() {
			wg.Wait()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(30 * time.Second): // of a deadline of 0.2 s
			server.Thaw()
			t.Fatal("calls outlive their deadline")
		}
	}
	server.Thaw()
	wantWorking(t, s)
}

// TestStatementTimeout has a frozen server and callers without a deadline.
func TestStatementTimeout(t *testing.T) {
	server, _ := onServer(t)
	s := openUntilEnd(t, postgres.Options{DSN: server.TCP("sentinel"), StatementTimeout: 300 * time.Millisecond, ConnectTimeout: 300 * time.Millisecond})
	wantWorking(t, s)
	server.Freeze()
	for name, call := range someCalls {
		err := call(context.Background(), s)
		if !errors.Is(err, store.ErrUnavailable) || isContextError(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := postgres.Open(context.Background(), postgres.Options{DSN: server.TCP("sentinel"), ConnectTimeout: 300 * time.Millisecond})
	if !errors.Is(err, store.ErrUnavailable) || isContextError(err) {
		t.Errorf("open: %v", err)
	}
	server.Thaw()
	wantWorking(t, s)
}

// TestListenOnFrozenServer has a listener find out that the server is not there, which
// its connection does not tell.
func TestListenOnFrozenServer(t *testing.T) {
	server, s := onServer(t)
	wantWorking(t, s)
	woken, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- s.Listen(context.Background(), func() { woken <- struct{}{} }) }()
	<-woken
	server.Freeze()
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrUnavailable) || isContextError(err) {
			t.Errorf("got %v", err)
		}
	case <-time.After(60 * time.Second):
		t.Error("it goes on listening")
	}
	server.Thaw()
	wantWorking(t, s)
}

// TestNodeFrozen has a node that stalls while it holds the lock that others wait for:
// the server takes it from it.
func TestNodeFrozen(t *testing.T) {
	s := openEmpty(t)
	stalled, err := pgx.Connect(t.Context(), dsnOf(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stalled.Close(context.Background()) }() // the server has
	for _, sql := range []string{
		`begin`, `SELECT set_config('idle_in_transaction_session_timeout', '300', true)`, // as every transaction of a node has it
		`SELECT FROM sentinel.head FOR UPDATE`,
	} {
		if _, err := stalled.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutSetting(t.Context(), "mode", nil); err != nil {
		t.Errorf("behind a node that is frozen: %v", err)
	}
}

// TestReadOnlyServer says so. Reads go on, and so does a start.
func TestReadOnlyServer(t *testing.T) {
	server, s := onServer(t)
	wantWorking(t, s)
	server.Halt()
	if err := server.Restart("default_transaction_read_only=on"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "reads work", func() bool { return someCalls["Binding"](t.Context(), s) == nil })
	again := openUntilEnd(t, postgres.Options{DSN: server.TCP("sentinel")})
	for _, s := range []*postgres.Store{s, again} {
		for _, name := range []string{"Bind", "PutSetting", "AppendAudit", "Probe"} {
			err := someCalls[name](t.Context(), s)
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "the server is read-only") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	server.Halt()
	if err := server.Restart("default_transaction_read_only=off"); err != nil {
		t.Fatal(err)
	}
	wantWorking(t, s)
}

// TestOutOfConnections takes all that the server has.
func TestOutOfConnections(t *testing.T) {
	server := startServer(t, pgtest.Options{Settings: []string{"max_connections=12"}})
	if err := server.Create("sentinel"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, open(t, postgres.Options{DSN: server.TCP("sentinel")}))
	server.Exec(t, "sentinel", `CREATE ROLE node LOGIN PASSWORD 'node'`) // who is no superuser, and has no reserve
	server.Exec(t, "sentinel", `GRANT ALL ON SCHEMA sentinel TO node`)
	server.Exec(t, "sentinel", `GRANT ALL ON ALL TABLES IN SCHEMA sentinel TO node`)
	dsn := strings.Replace(server.TCP("sentinel"), "sentinel:"+server.Password(), "node:node", 1)
	s := openUntilEnd(t, postgres.Options{DSN: dsn + "?pool_min_idle_conns=0&pool_max_conn_idle_time=100ms&pool_health_check_period=100ms"})
	wantWorking(t, s)
	var others []*pgx.Conn
	take := func() bool {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err == nil {
			others = append(others, conn)
		}
		return err != nil
	}
	eventually(t, "there are no connections left, and calls say so", func() bool {
		// A call made while there is a connection would keep it from going idle.
		if !take() || s.Connections() > 0 {
			return false
		}
		err := someCalls["Binding"](t.Context(), s)
		if err != nil && (!errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "53300")) {
			t.Fatalf("out of connections: %v", err)
		}
		return err != nil
	})
	for _, conn := range others {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	wantWorking(t, s)
}

// TestTenOpensAtOnce begins ten nodes on an empty database.
func TestTenOpensAtOnce(t *testing.T) {
	const nodes = 10
	database := server.NewDatabase(t, "template0")
	stores := make([]*postgres.Store, nodes)
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			s, err := postgres.Open(context.Background(), postgres.Options{DSN: server.DSN(database) + "&pool_max_conns=2"})
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			stores[i] = s
			if _, _, err := s.Bind(context.Background(), storetest.Binding(7)); err != nil {
				t.Errorf("bind: %v", err)
			}
			recs := []store.Intercept{storetest.Intercept(i)}
			if err := s.PutIntercepts(context.Background(), recs); err != nil {
				t.Errorf("put intercepts: %v", err)
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		if s == nil {
			continue
		}
		if n, err := s.CountBindings(t.Context()); n != 1 || err != nil {
			t.Errorf("%d bindings, %v", n, err)
		}
		mustClose(t, s)
	}
}

// TestOneWinnerOfManyNodes binds the same keys on several nodes.
func TestOneWinnerOfManyNodes(t *testing.T) {
	const keys, nodes = 100, 3
	first := openEmpty(t)
	stores := []*postgres.Store{first}
	for len(stores) < nodes {
		stores = append(stores, openUntilEnd(t, postgres.Options{DSN: dsnOf(t, first)}))
	}
	var mu sync.Mutex
	winners := map[int]int{}
	var wg sync.WaitGroup
	for _, s := range stores {
		for range 8 {
			wg.Go(func() {
				for k := range keys {
					b := storetest.Binding(k)
					_, created, err := s.Bind(context.Background(), b)
					if err != nil {
						t.Errorf("bind: %v", err)
						return
					}
					if created {
						mu.Lock()
						winners[k]++
						mu.Unlock()
					}
				}
			})
		}
	}
	wg.Wait()
	for k := range keys {
		if winners[k] != 1 {
			t.Errorf("key %d has %d winners", k, winners[k])
		}
	}
	if position, err := first.Position(t.Context()); position != keys || err != nil {
		t.Errorf("position %d of %d changes, %v", position, keys, err)
	}
}

// TestNewerSchema is of a program that is older than the database.
func TestNewerSchema(t *testing.T) {
	s := openEmpty(t)
	if _, err := exec(t, s, `INSERT INTO sentinel.migrations (version_id, is_applied) VALUES (9999, true)`); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(t.Context(), postgres.Options{DSN: dsnOf(t, s)}); !errors.Is(err, store.ErrNewer) {
		t.Errorf("open: %v", err)
	}
}

// TestOtherEncoding refuses a database that cannot hold the names of networks.
func TestOtherEncoding(t *testing.T) {
	database := fmt.Sprintf("latin%d", time.Now().UnixNano())
	server.Exec(t, "postgres", `CREATE DATABASE `+database+` ENCODING 'LATIN1' TEMPLATE template0`)
	_, err := postgres.Open(t.Context(), postgres.Options{DSN: server.DSN(database)})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "want UTF8") {
		t.Errorf("open: %v", err)
	}
}

// TestAuditIsAppendOnly has nobody rewrite what was done, not even by SQL.
func TestAuditIsAppendOnly(t *testing.T) {
	s := openEmpty(t)
	if _, err := s.AppendAudit(t.Context(), storetest.AuditEntry(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := exec(t, s, `UPDATE sentinel.audit SET actor = 'nobody'`); err == nil {
		t.Error("an entry was changed")
	}
}

// TestForeignDefaults has a database whose operator has set other defaults: what is
// acknowledged is durable, and transactions do not fail for each other.
func TestForeignDefaults(t *testing.T) {
	first := openEmpty(t)
	for _, sql := range []string{
		`DO $$ BEGIN
			EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());
			EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database());
		END $$`,
		`CREATE FUNCTION insist() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF current_setting('synchronous_commit') = 'off' THEN RAISE EXCEPTION 'not durable'; END IF;
			RETURN NEW;
		END $$`,
		`CREATE TRIGGER insist BEFORE INSERT ON sentinel.changes FOR EACH ROW EXECUTE FUNCTION insist()`,
		`CREATE TRIGGER insist BEFORE INSERT ON sentinel.audit FOR EACH ROW EXECUTE FUNCTION insist()`,
		`CREATE TRIGGER insist BEFORE UPDATE ON sentinel.probe FOR EACH ROW EXECUTE FUNCTION insist()`,
		`CREATE TRIGGER insist BEFORE UPDATE ON sentinel.usage FOR EACH ROW EXECUTE FUNCTION insist()`,
	} {
		if _, err := exec(t, first, sql); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range 3 {
		s := openUntilEnd(t, postgres.Options{DSN: dsnOf(t, first)})
		for worker := range 4 {
			wg.Go(func() {
				for n := range 20 {
					b, _, err := s.Bind(context.Background(), storetest.Binding(n))
					if err != nil {
						t.Errorf("bind: %v", err)
					}
					touch := store.Touch{Hash: b.Hash, LastUsed: b.CreatedAt, LastIP: b.FirstIP, Hits: 1}
					for _, err := range []error{
						s.AddUsage(context.Background(), store.UsageBatch{Touches: []store.Touch{touch}}),
						s.PutSetting(context.Background(), fmt.Sprint(worker), nil), s.Probe(context.Background()),
						someCalls["AppendAudit"](context.Background(), s),
					} {
						if err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	wg.Wait()
}
