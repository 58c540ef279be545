//go:build unix

package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	osexec "os/exec" // exec is a function of these tests
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store/postgres"
	"github.com/key-ip-sentinel/sentinel/store/postgres/pgtest"
)

const lockKey = 2026030502

// takeover is how soon another node is the leader, whatever became of the one before.
const takeover = 15 * time.Second

// candidate is a node that would be the leader.
type candidate struct {
	*postgres.Leader
	mu      sync.Mutex
	terms   int // so far
	leading bool
}

// stand makes a candidate, until the test ends or stop is called.
func stand(t *testing.T, dsn string) (c *candidate, stop func()) {
	t.Helper()
	leader, err := postgres.NewLeader(postgres.LeaderOptions{DSN: dsn, Key: lockKey})
	if err != nil {
		t.Fatal(err)
	}
	c = &candidate{Leader: leader}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.Lead(ctx, c.term) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return c, stop
}

func (c *candidate) term(ctx context.Context) {
	c.set(true)
	<-ctx.Done()
	c.set(false)
}

func (c *candidate) set(leading bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leading = leading
	if leading {
		c.terms++
	}
}

// leads reports whether it takes itself for the leader, by memory.
func (c *candidate) leads() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leading
}

// wantLeader waits until a candidate is the leader.
func wantLeader(t *testing.T, what string, c *candidate) {
	t.Helper()
	begin := time.Now()
	eventually(t, what, func() bool { return c.leads() })
	if !c.IsLeader(t.Context()) {
		t.Fatalf("%s: and it is not", what)
	}
	if took := time.Since(begin); took > takeover {
		t.Fatalf("%s: took %s", what, took)
	}
}

func TestOneLeader(t *testing.T) {
	dsn := server.DSN(emptyDatabase(t))
	first, stopFirst := stand(t, dsn)
	wantLeader(t, "the only one leads", first)
	second, _ := stand(t, dsn)
	elsewhere, _ := stand(t, server.DSN(emptyDatabase(t)))
	wantLeader(t, "another database has a leader of its own", elsewhere)
	if second.IsLeader(t.Context()) || second.leads() || !first.IsLeader(t.Context()) {
		t.Fatal("two lead")
	}
	stopFirst()
	if first.IsLeader(t.Context()) || first.leads() {
		t.Fatal("one that has ended leads")
	}
	wantLeader(t, "the second one leads", second)
}

// TestLeaderWithoutServer: a leader learns that its server is gone, and there is one
// leader again when it is back.
func TestLeaderWithoutServer(t *testing.T) {
	server := startServer(t, pgtest.Options{})
	both := [2]*candidate{}
	for i := range both {
		both[i], _ = stand(t, server.TCP("postgres"))
	}
	leaders := func() (n int) {
		for _, c := range both {
			if c.leads() {
				n++
			}
		}
		return n
	}
	eventually(t, "one leads", func() bool { return leaders() == 1 })
	server.Freeze()
	for _, c := range both {
		if c.IsLeader(t.Context()) {
			t.Error("one leads by a server that does not answer")
		}
	}
	eventually(t, "nobody leads", func() bool { return leaders() == 0 })
	server.Thaw()
	eventually(t, "one leads after a freeze", func() bool { return leaders() == 1 })
	server.Kill()
	eventually(t, "nobody leads without a server", func() bool { return leaders() == 0 })
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one leads again", func() bool { return leaders() == 1 })
}

// TestLockTakenAway: what a session has lost without being told is seen.
func TestLockTakenAway(t *testing.T) {
	database := emptyDatabase(t)
	c, _ := stand(t, server.DSN(database))
	wantLeader(t, "it leads", c)
	server.Exec(t, database, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	eventually(t, "it has noticed, and leads again", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.terms > 1
	})
	wantLeader(t, "it leads", c)
}

// leaderEnv has the test binary be a candidate in a process of its own, at the DSN given.
const leaderEnv = "SENTINEL_TEST_LEADER_DSN"

// runLeader tells for each line of the input whether it is the leader.
func runLeader(dsn string) int {
	leader, err := postgres.NewLeader(postgres.LeaderOptions{DSN: dsn, Key: lockKey})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	go leader.Lead(context.Background(), func(ctx context.Context) {
		fmt.Println("began")
		<-ctx.Done()
		fmt.Println("ended")
	})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println("leader", leader.IsLeader(context.Background()))
	}
	return 0
}

// leaderProcess is a candidate in a process of its own.
type leaderProcess struct {
	cmd   *osexec.Cmd
	in    io.Writer
	lines *bufio.Scanner
}

func startLeader(t *testing.T, dsn string) *leaderProcess {
	t.Helper()
	cmd := osexec.Command(os.Args[0]) // #nosec G702 -- this very test
	cmd.Env = append(os.Environ(), leaderEnv+"="+dsn)
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if inErr != nil || outErr != nil {
		t.Fatal(inErr, outErr)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &leaderProcess{cmd: cmd, in: in, lines: bufio.NewScanner(out)}
	t.Cleanup(func() {
		p.signal(t, syscall.SIGKILL)
		_ = cmd.Wait() // killed
	})
	p.want(t, "began")
	return p
}

func (p *leaderProcess) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !strings.Contains(err.Error(), "finished") {
		t.Error(err)
	}
}

func (p *leaderProcess) want(t *testing.T, line string) {
	t.Helper()
	if !p.lines.Scan() || p.lines.Text() != line {
		t.Fatalf("got %q, want %q", p.lines.Text(), line)
	}
}

func TestKilledLeaderIsFollowed(t *testing.T) {
	dsn := server.TCP(emptyDatabase(t))
	process := startLeader(t, dsn)
	next, _ := stand(t, dsn)
	process.signal(t, syscall.SIGKILL)
	wantLeader(t, "the next one leads", next)
}

// TestFrozenLeaderIsFollowed: to the server it is the same as one whose machine is gone.
// When it goes on it must know, before it does anything, that it leads no more.
func TestFrozenLeaderIsFollowed(t *testing.T) {
	dsn := server.TCP(emptyDatabase(t))
	process := startLeader(t, dsn)
	next, _ := stand(t, dsn)
	process.signal(t, syscall.SIGSTOP)
	wantLeader(t, "the next one leads", next)
	if _, err := io.WriteString(process.in, "\n"); err != nil {
		t.Fatal(err)
	}
	process.signal(t, syscall.SIGCONT)
	// What it says of itself and that its term has ended come in any order.
	said := map[string]bool{}
	for range 2 {
		process.lines.Scan()
		said[process.lines.Text()] = true
	}
	if !said["leader false"] || !said["ended"] {
		t.Errorf("the frozen one said %v", said)
	}
	if !next.IsLeader(t.Context()) {
		t.Error("the next one does not lead any more")
	}
}
