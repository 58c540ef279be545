//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/crashtest"
	"github.com/key-ip-sentinel/sentinel/cmd/internal/faulttest"
)

// soakOptions of a soak.
type soakOptions struct {
	binary   string
	dir      string
	rounds   int
	seed     uint64
	raceKeys int
	hold     time.Duration
	faults   string
	redis    bool
}

func runSoak(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o soakOptions
	flags := flag.NewFlagSet("bench soak", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.binary, "sentinel", defaultBinary, "the binary to test")
	flags.StringVar(&o.dir, "dir", "", "where temporary data is put (default: the system's)")
	flags.IntVar(&o.rounds, "rounds", 100, "how many times it is killed")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "decides when it is killed") // #nosec G115 -- any bits will do
	flags.IntVar(&o.raceKeys, "race-keys", 10_000, "how many keys two addresses race for")
	flags.DurationVar(&o.hold, "hold", 10*time.Second, "how long each fault of a cluster lasts; 0: no cluster")
	flags.StringVar(&o.faults, "faults", strings.Join(faulttest.Names(), ","), "the faults of a cluster")
	flags.BoolVar(&o.redis, "redis", true, "have a Redis in the cluster")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 || o.rounds < 0 || o.raceKeys < 0 || o.hold < 0 {
		return fmt.Errorf("%w: numbers of rounds and keys, and no other words", errUsage)
	}
	return o.run(ctx, stdout, stderr)
}

func (o soakOptions) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "sentinel-soak-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = fmt.Fprintf(stderr, "data and log are kept in %s\n", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	killed, err := crashtest.Run(ctx, crashtest.Options{
		Binary: o.binary, Dir: filepath.Join(dir, "kill"), Rounds: o.rounds, Seed: o.seed, Log: stderr,
	})
	_, _ = fmt.Fprintf(stdout, "seed %d: killed %d times, %d keys accepted before, %d requests interrupted, slowest start %d ms\n",
		o.seed, killed.Rounds, killed.Accepted, killed.Interrupted, killed.SlowestStart.Milliseconds())
	if err != nil {
		return err
	}
	raced, err := crashtest.Race(ctx, crashtest.RaceOptions{
		Binary: o.binary, Dir: filepath.Join(dir, "race"), Keys: o.raceKeys, Log: stderr,
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(stdout, "%d keys raced for by two addresses: %d won by the first, %d by the second, no loser saw an answer\n",
		raced.Keys, raced.Won[0], raced.Won[1])
	return o.runCluster(ctx, filepath.Join(dir, "cluster"), stdout, stderr)
}

// runCluster has all kinds of faults happen to several nodes on one PostgreSQL.
func (o soakOptions) runCluster(ctx context.Context, dir string, stdout, stderr io.Writer) error {
	if o.hold == 0 {
		return nil
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	report, err := faulttest.Run(ctx, faulttest.Options{
		Binary: o.binary, Dir: dir, Faults: strings.Split(o.faults, ","), Redis: o.redis, Hold: o.hold, Seed: o.seed, Log: stderr,
	})
	for _, f := range report.Faults {
		_, _ = fmt.Fprintln(stdout, f)
	}
	if err != nil {
		return err
	}
	n := len(report.BanDelay)
	_, err = fmt.Fprintf(stdout, "%d keys won by one address each, %d acknowledged bans, none lost; a ban is in force on the other nodes after %v (median), %v (p99)\n",
		report.Winners, report.Bans, report.BanDelay[n/2].Round(time.Millisecond), report.BanDelay[n*99/100].Round(time.Millisecond))
	return err
}
