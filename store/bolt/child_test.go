package bolt_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// childEnv makes the test binary a child process: it names one of children.
const childEnv = "SENTINEL_BOLT_TEST_CHILD"

// children is what a child process can do with the file of a path.
var children = map[string]func(path string) error{
	"bind":    bindForever,
	"compact": compactForever,
	"replace": replaceForever,
}

func TestMain(m *testing.M) {
	child := os.Getenv(childEnv)
	if child == "" {
		code := m.Run()
		if loaded.dir != "" {
			_ = os.RemoveAll(loaded.dir) // at worst it stays in the temporary directory
		}
		os.Exit(code)
	}
	if err := children[child](os.Args[len(os.Args)-1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// childCommand returns the command that runs a child on the file of a path.
func childCommand(t *testing.T, child, path string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], path) // #nosec G204 G702 -- the test binary itself
	cmd.Env = append(os.Environ(), childEnv+"="+child)
	cmd.Stderr = os.Stderr
	return cmd
}

// bindForever binds keys from many goroutines, and prints the hash of each one
// that the store has acknowledged, until it is killed.
func bindForever(path string) error {
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	first, err := s.CountBindings(context.Background())
	if err != nil {
		return err
	}
	const writers = 16
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := first + w; ; n += writers {
				if err := bindAndPrint(s, n); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// bindAndPrint binds a key that is new, or was bound by a child before whose
// line was lost with it.
func bindAndPrint(s *bolt.Store, n int) error {
	ctx := context.Background()
	b, _, err := s.Bind(ctx, storetest.Binding(n))
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(b.Hash.String() + "\n"); err != nil {
		return err
	}
	touch := store.Touch{Hash: b.Hash, LastUsed: b.CreatedAt, LastIP: b.FirstIP, Hits: 1}
	if err := s.AddUsage(ctx, store.UsageBatch{Touches: []store.Touch{touch}}); err != nil {
		return err
	}
	return s.PutIntercepts(ctx, []store.Intercept{storetest.Intercept(n)})
}

var killRounds = flag.Int("kill-rounds", 10, "how often TestKill kills")

// TestKill ends a process in the middle of its work, again and again: what it
// has acknowledged is there.
func TestKill(t *testing.T) {
	rounds := *killRounds
	rnd := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- repeatable on purpose
	path := filepath.Join(t.TempDir(), bolt.FileName)
	acknowledged := map[string]bool{}
	for range rounds {
		killWhileBinding(t, "bind", path, 1+rnd.IntN(400), acknowledged)
		s := openPath(t, path)
		checkAcknowledged(t, s, acknowledged)
		mustClose(t, s)
	}
	if len(acknowledged) < rounds {
		t.Errorf("only %d keys were bound in %d rounds", len(acknowledged), rounds)
	}
}

// killWhileBinding runs a child until it has printed so many lines, kills it,
// and notes all that it printed.
func killWhileBinding(t *testing.T, child, path string, lines int, acknowledged map[string]bool) {
	t.Helper()
	cmd := childCommand(t, child, path)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(stdout)
	for n := 1; ; n++ {
		line, err := r.ReadString('\n')
		if err == io.EOF {
			break // with what came before it cut short, and never acknowledged as a whole
		}
		if err != nil {
			t.Fatal(err)
		}
		acknowledged[strings.TrimSuffix(line, "\n")] = true
		if n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", cmd.ProcessState)
	}
}

func checkAcknowledged(t *testing.T, s *bolt.Store, acknowledged map[string]bool) {
	t.Helper()
	for text := range acknowledged {
		hash, err := store.ParseKeyHash(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Binding(t.Context(), hash); err != nil {
			t.Errorf("acknowledged binding %s: %v", hash, err)
		}
	}
	list, err := s.ListBindings(t.Context(), store.KeyHash{}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.CountBindings(t.Context()); err != nil || n != len(list) {
		t.Errorf("count %d, %v, of %d bindings", n, err, len(list))
	}
}
