//go:build linux

// Command bench measures the built sentinel from outside, as a process among
// others and beside its peers: what it costs, how fast it binds, how much memory it
// takes. It prints tables, and with -write keeps the results and makes the pages of
// the documentation.
//
//	bench [-sentinel bin/sentinel] [-only name,name] [-quick] [-write docs/benchmarks.md]
//	bench page docs/benchmarks.md
//	bench -only cluster [-quick] [-write docs/benchmarks.md]    needs PostgreSQL and Redis
//	bench fill -data-dir dir [-bindings n] [-oldest duration] [-newest duration] [-secret text]
//	bench soak [-sentinel bin/sentinel] [-rounds 100] [-seed n] [-race-keys 10000]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

const defaultBinary = "bin/sentinel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	default:
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "soak":
			return runSoak(ctx, args[1:], stdout, stderr)
		case "fill":
			return runFill(ctx, args[1:], stdout, stderr)
		case "page":
			return runPage(args[1:])
		case plainProxyWord:
			return runPlainProxy(ctx, args[1:])
		case authServiceWord:
			return runAuthService(ctx, args[1:])
		}
	}
	o, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	return runBench(ctx, o, stdout, stderr)
}

// options of a run.
type options struct {
	binary string
	dir    string // parent of the temporary directories; empty: the system's
	page   string // empty: write none
	quick  bool
	chosen []measurement
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.binary, "sentinel", defaultBinary, "the binary to measure")
	flags.StringVar(&o.dir, "dir", "", "where temporary data is put: the disk to measure (default: the system's)")
	flags.StringVar(&o.page, "write", "", "keep the results beside this page, and write it and the same name under zh")
	flags.BoolVar(&o.quick, "quick", false, "small numbers, to see whether everything works")
	flags.StringVar(&only, "only", "", "measure only these, separated by commas: "+strings.Join(measurementNames(), ", ")+
		" (all but "+growth.name+" and "+cluster.name+", if empty)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%w: unknown word %q", errUsage, flags.Arg(0))
	}
	var err error
	if o.chosen, err = choose(only); err != nil {
		return o, err
	}
	if o.page != "" && o.quick {
		return o, fmt.Errorf("%w: -write keeps what was measured, and -quick measures nothing", errUsage)
	}
	return o, nil
}

// runPage makes the pages from the results that are kept, after a change of what
// they say. Where none are, it leaves the pages.
func runPage(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%w: page PAGE", errUsage)
	}
	b := book{page: args[0]}
	r, err := b.read()
	if err != nil || len(r.Sections) == 0 {
		return err
	}
	return b.write(r)
}

// choose returns the measurements of a comma-separated list; if it is empty, all but
// the growth, which takes longer than all others, and the cluster, which needs servers.
func choose(only string) ([]measurement, error) {
	if only == "" {
		return slices.DeleteFunc(measurements(), func(m measurement) bool { return m.name == growth.name || m.name == cluster.name }), nil
	}
	names := strings.Split(only, ",")
	for _, name := range names {
		if !slices.Contains(measurementNames(), name) {
			return nil, fmt.Errorf("%w: unknown measurement %q; there are %s", errUsage, name, strings.Join(measurementNames(), ", "))
		}
	}
	return slices.DeleteFunc(measurements(), func(m measurement) bool { return !slices.Contains(names, m.name) }), nil
}

func runBench(ctx context.Context, o options, stdout, stderr io.Writer) error {
	if _, err := os.Stat(o.binary); err != nil {
		return fmt.Errorf("%w; build it first", err)
	}
	dir, err := os.MkdirTemp(o.dir, "sentinel-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	b := &bench{binary: o.binary, dir: dir, quick: o.quick}
	machine := thisMachine(dir)
	var sections []section
	var errs []error
	for _, m := range o.chosen {
		_, _ = fmt.Fprintf(stderr, "measuring %s\n", m.name)
		start := time.Now()
		s, err := b.measure(ctx, m)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
			continue
		}
		s.Machine = machine
		sections = append(sections, s)
		_, _ = fmt.Fprintf(stderr, "measured %s in %.1f s; the host gave %.1f %% of the processor time wanted to others\n",
			m.name, time.Since(start).Seconds(), s.Stolen*100)
	}
	errs = append(errs, printTable(stdout, sections))
	if o.page != "" && len(sections) > 0 {
		errs = append(errs, book{o.page}.add(sections))
	}
	return errors.Join(errs...)
}

// measure does one measurement.
func (b *bench) measure(ctx context.Context, m measurement) (section, error) {
	s := section{Name: m.name, Date: time.Now().UTC().Truncate(time.Second)}
	before, err := readProcessors()
	if err != nil {
		return s, err
	}
	if s.Outcome, err = m.run(ctx, b); err != nil {
		return s, err
	}
	after, err := readProcessors()
	if err != nil {
		return s, err
	}
	s.Stolen = after.stolenSince(before)
	_, err = json.Marshal(s) // a figure that is no number must not lose those of the others
	return s, err
}

// raiseFileLimit lets this process and those that it starts have many
// connections.
func raiseFileLimit() error {
	const want = 2*manyStreams + 1_000 // both ends of each stream are here
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if limit.Max < want {
		return fmt.Errorf("at most %d open files are allowed, needed are %d: raise the hard limit (ulimit -Hn)", limit.Max, want)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}
