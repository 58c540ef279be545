package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

const (
	// followEvery is how often a tail asks for what is new. It asks for all that
	// came after the last record it has, so that it misses none, however many
	// there are and however long the server was away.
	followEvery = time.Second
	// followAgain is how long it waits longest before it asks a server again that
	// is away.
	followAgain  = 30 * time.Second
	maxTailLines = 100_000
)

var (
	logFormats = []string{"csv", "jsonl"}
	reasons    = []string{"ip_not_allowed", "key_banned", "lost_race", "stream_cut", "network_blocked"}
)

// newLogsCommand returns `sentinel logs`, which was `sentinel intercepts`.
func newLogsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "logs", Aliases: []string{"intercepts"}, Args: onlyCommands, RunE: showHelp,
		Short: "Read the log of intercepts: which requests were refused, and why",
	}
	addClientFlags(cmd)
	cmd.AddCommand(newLogsTailCommand(), newLogsExportCommand())
	return cmd
}

// logFilterFlags are the flags that choose intercepts.
type logFilterFlags struct {
	filter       client.LogFilter
	key          string
	since, until timeFlag
}

func (f *logFilterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	f.since.now, f.until.now = time.Now, time.Now
	flags.Var(&f.since, "since", "refused at this time or later: a date or time, or how long ago, e.g. 2h")
	flags.Var(&f.until, "until", "refused before this time")
	flags.StringVar(&f.key, "key", "", "of this key: a key hash, a part of the hint of a binding, or - for a key on standard input")
	flags.StringVar(&f.filter.Network, "network", "", "from this network (address or CIDR)")
	flags.StringVar(&f.filter.Reason, "reason", "", oneOf(reasons))
	flags.StringVar(&f.filter.Path, "path", "", "a part of the path of the request")
	complete(cmd, "reason", reasons)
}

func (f *logFilterFlags) check() error {
	if f.filter.Reason != "" && !slices.Contains(reasons, f.filter.Reason) {
		return usagef("--reason=%q: want %s", f.filter.Reason, oneOf(reasons))
	}
	if f.key == "" {
		return nil
	}
	if f.key != "-" && !hashPattern.MatchString(f.key) && looksLikeKey(f.key) {
		return wholeKeyError("--key")
	}
	return nil
}

// read returns the filter, for which the server may have to be asked which key
// is meant. The log has keys that are bound no more.
func (f *logFilterFlags) read(cmd *cobra.Command, c *client.Client) (client.LogFilter, error) {
	filter := f.filter
	filter.Since, filter.Until = f.since.t, f.until.t
	switch f.key {
	case "":
	case "-":
		key, err := readKey(cmd)
		if err != nil {
			return filter, err
		}
		found, err := c.FindKey(cmd.Context(), key)
		if err != nil {
			return filter, err
		}
		filter.Hash = found.Key.Hash
	default:
		b, err := resolve(cmd, c, f.key)
		if err != nil {
			return filter, err
		}
		filter.Hash = b.Hash
	}
	return filter, nil
}

func newLogsTailCommand() *cobra.Command {
	t := &tail{}
	cmd := &cobra.Command{
		Use: "tail", Args: noWords,
		Short: "Print the newest intercepts, and with --follow those that come",
		Example: `  sentinel logs tail --lines 100 --reason key_banned
  sentinel logs tail --follow --network 10.1.0.0/16 --output json`,
		RunE: t.run,
	}
	cmd.Flags().IntVarP(&t.lines, "lines", "n", 20, "how many to begin with")
	cmd.Flags().BoolVarP(&t.follow, "follow", "f", false, "go on with those that come, until interrupted")
	t.flags.add(cmd)
	return cmd
}

// tail prints intercepts as they come.
type tail struct {
	flags  logFilterFlags
	lines  int
	follow bool

	client *client.Client
	filter client.LogFilter
	out    *listWriter[client.Intercept]
	last   uint64 // ID of the last one
	warn   func(format string, args ...any)
}

func (t *tail) run(cmd *cobra.Command, _ []string) error {
	if t.lines < 0 || t.lines > maxTailLines || t.lines == 0 && !t.follow {
		return usagef("--lines=%d: want 1 to %d, or with --follow 0 to %d", t.lines, maxTailLines, maxTailLines)
	}
	if t.follow && flagText(cmd, "until") != "" {
		return usagef("--follow and --until: want one of them")
	}
	if err := t.flags.check(); err != nil {
		return err
	}
	var err error
	if t.client, err = clientOf(cmd); err != nil {
		return err
	}
	defer t.client.Close()
	if t.out, err = newListWriter(cmd, interceptColumns()); err != nil {
		return err
	}
	if t.filter, err = t.flags.read(cmd, t.client); err != nil {
		return err
	}
	t.warn = func(format string, args ...any) {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "sentinel: "+format+"\n", args...)
	}
	err = t.begin(cmd.Context())
	if err == nil && t.follow {
		err = t.goOn(cmd.Context())
	}
	if t.follow && cmd.Context().Err() != nil {
		return nil // that is how a tail ends
	}
	return err
}

// begin prints the newest records, oldest first.
func (t *tail) begin(ctx context.Context) error {
	newestFirst, _, err := gather(t.client.Logs(ctx, t.filter, max(t.lines, 1)))
	if err != nil {
		return err
	}
	if t.lines == 0 && len(newestFirst) > 0 {
		t.last = newestFirst[0].Value.ID
		newestFirst = nil
	}
	return t.print(newestFirst)
}

// goOn prints what comes, until ctx ends or the server refuses. A server that is
// away is asked again, as one that is started anew comes back.
func (t *tail) goOn(ctx context.Context) error {
	pause, away := followEvery, false
	for sleep(ctx, pause) {
		newestFirst, more, err := gather(t.client.LogsNewerThan(ctx, t.filter, t.last, maxTailLines))
		switch {
		case isAway(err):
			if !away {
				t.warn("%v; waiting for it to come back", err)
			}
			away, pause = true, min(2*pause, followAgain)
			continue
		case err != nil:
			return err
		case away:
			t.warn("the server is back")
		}
		if more {
			t.warn("more than %s came since the last look: the oldest of them are left out; logs export has them", grouped(maxTailLines))
		}
		away, pause = false, followEvery
		if err := t.print(newestFirst); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// isAway reports whether an error may be over soon.
func isAway(err error) bool {
	var (
		unreachable *client.UnreachableError
		problem     *client.Problem
	)
	return errors.As(err, &unreachable) || errors.As(err, &problem) && problem.Status >= 500
}

// print writes records in the order in which they came.
func (t *tail) print(newestFirst []client.Item[client.Intercept]) error {
	for _, rec := range slices.Backward(newestFirst) {
		if err := t.out.add(rec.Value, rec.Raw); err != nil {
			return err
		}
		t.last = max(t.last, rec.Value.ID)
	}
	return t.out.flush()
}

// sleep waits for d, or until ctx ends: then it returns false.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// interceptColumns are those of the log.
func interceptColumns() []column[client.Intercept] {
	type i = client.Intercept
	return []column[i]{
		{name: "id", text: func(i i) string { return count(i.ID) }, hidden: true},
		{title: "TIME", name: "at", text: func(i i) string { return csvTime(i.At) }, shown: func(i i) string { return localTime(i.At) },
			fit: fit{wide: len(tableTime)}},
		{name: "last", text: func(i i) string { return csvTime(i.Last) }, hidden: true},
		{title: "COUNT", name: "count", text: func(i i) string { return count(i.Count) }, fit: fit{right: true, drop: 1}},
		{title: "REASON", name: "reason", text: func(i i) string { return i.Reason }, shown: reasonOf, fit: fit{min: 14, wide: 14}},
		{title: "BECAUSE", shown: func(i i) string { return basisText(i.Basis) }, fit: fit{min: 12, wide: 12, drop: 2}},
		{title: "KEY", name: "hint", text: func(i i) string { return i.Hint }, fit: fit{min: 10, wide: 10}},
		{title: "CLIENT IP", name: "clientIp", text: func(i i) string { return i.ClientIP }, fit: fit{min: 15, wide: 15}},
		{name: "peerIp", text: func(i i) string { return i.PeerIP }, hidden: true},
		{title: "REQUEST", shown: func(i i) string { return i.Method + " " + i.Path }, fit: fit{min: 10, wide: 20}},
		{name: "observed", text: func(i i) string { return fmt.Sprint(i.Observed) }, hidden: true},
		{name: "hash", text: func(i i) string { return i.Hash }, hidden: true},
		{name: "method", text: func(i i) string { return i.Method }, hidden: true},
		{name: "host", text: func(i i) string { return i.Host }, hidden: true},
		{name: "path", text: func(i i) string { return i.Path }, hidden: true},
		{name: "userAgent", text: func(i i) string { return i.UserAgent }, hidden: true},
		{name: "requestId", text: func(i i) string { return i.RequestID }, hidden: true},
		{name: "basis", text: func(i i) string { return i.Basis.Kind }, hidden: true},
		{name: "basisName", text: func(i i) string { return i.Basis.Name }, hidden: true},
	}
}

// basisText says what a decision rested on.
func basisText(b client.Basis) string {
	kind := strings.ReplaceAll(b.Kind, "blocked_network", "blocked")
	return strings.TrimSpace(kind + " " + b.Name)
}

// reasonOf marks what was passed because Sentinel only observes.
func reasonOf(i client.Intercept) string {
	if i.Observed {
		return strings.TrimSpace(i.Reason + " (passed)")
	}
	return i.Reason
}

func newLogsExportCommand() *cobra.Command {
	var (
		flags logFilterFlags
		to    exportTarget
	)
	cmd := &cobra.Command{
		Use: "export [FILE]", Args: atMostOneFile,
		Short: "Write intercepts to a file, newest first",
		Example: `  sentinel logs export refused.csv --since 30d
  sentinel logs export --format jsonl --reason key_banned | jq -r .clientIp | sort | uniq -c`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := to.read(files, logFormats); err != nil {
				return err
			}
			if err := flags.check(); err != nil {
				return err
			}
			c, err := clientOf(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			filter, err := flags.read(cmd, c)
			if err != nil {
				return err
			}
			return to.write(cmd, func() (*client.Response, error) { return c.ExportLogs(cmd.Context(), filter, to.format) })
		},
	}
	flags.add(cmd)
	to.add(cmd, logFormats)
	return cmd
}
