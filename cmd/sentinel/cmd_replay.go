package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

const (
	defaultReplayRows = 100
	maxReplayRows     = 1000
)

// errWouldRefuse has no text: what would be refused is what the command has printed.
var errWouldRefuse = errors.New("")

// replayCommand tells what rules would have refused.
type replayCommand struct {
	since timeFlag
	keys  []string
	label string
	rule  ruleFlags
	rows  int
}

func newReplayCommand() *cobra.Command {
	r := &replayCommand{since: timeFlag{text: "7d", now: time.Now}}
	cmd := &cobra.Command{
		Use: "replay", Args: noWords,
		Short: "Tell which requests of the past would have been refused: run it before you enforce",
		Long: "Tell which requests of the past the rules would have refused, as they are, or with the rule that the flags say. Nothing is\n" +
			"changed. It goes by what is recorded: the intercepts, among them those that were only observed, and per key and day the\n" +
			"networks that the key was used from, which are kept for 30 days.\n\n" +
			"The exit code is 0 if nothing would have been refused, and 1 if something would.",
		Example: `  sentinel replay --since monday
  sentinel replay --key 9fQ2 --prefix 10.1.0.0/16 --prefix 2001:db8::/48
  sentinel replay --since 14d && sentinel settings set SENTINEL_MODE=enforce`,
		RunE: r.run,
	}
	addClientFlags(cmd)
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Var(&r.since, "since", "when to begin: a date or time, a day such as monday, or how long ago, e.g. 7d")
	flags.StringArrayVar(&r.keys, "key", nil, "this key only: a key hash, a part of the hint of a binding, or - for a key on standard input; repeat it for more")
	flags.StringVar(&r.label, "label", "", "keys with this part in their label only")
	r.rule.add(cmd)
	flags.IntVar(&r.rows, "rows", defaultReplayRows, fmt.Sprintf("how many rows at most, up to %d", maxReplayRows))
	return cmd
}

func (r *replayCommand) run(cmd *cobra.Command, _ []string) error {
	form, err := outputForm(cmd, outputTable, outputJSON)
	if err != nil {
		return err
	}
	request, err := r.request(cmd)
	if err != nil {
		return err
	}
	c, err := clientOf(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	if len(r.keys) > 0 {
		if request.Hashes, err = resolveAll(cmd, c, r.keys); err != nil {
			return err
		}
	}
	progress := newProgress(cmd, true)
	progress.say("the server is at work…")
	item, err := c.Replay(cmd.Context(), request)
	progress.end()
	if err != nil {
		return err
	}
	if form == outputJSON {
		err = writeJSON(cmd.OutOrStdout(), item.Raw)
	} else {
		err = writeReplay(cmd.OutOrStdout(), item.Value)
	}
	if err == nil && item.Value.Refused > 0 {
		err = errWouldRefuse
	}
	return err
}

// request returns what the flags ask for, but for the keys.
func (r *replayCommand) request(cmd *cobra.Command) (client.ReplayRequest, error) {
	request := client.ReplayRequest{Since: r.since.t, Rows: r.rows}
	if request.Since.IsZero() {
		if err := r.since.Set(r.since.text); err != nil {
			return request, err
		}
		request.Since = r.since.t
	}
	switch {
	case len(r.keys) > 0 && r.label != "":
		return request, usagef("--key and --label: want one of them")
	case r.rows < 1 || r.rows > maxReplayRows:
		return request, usagef("--rows=%d: want 1 to %d", r.rows, maxReplayRows)
	case r.label != "":
		request.Filter = &client.BindingFilter{Label: r.label}
	case len(r.keys) > 0:
		if err := keyRefs(cmd, r.keys); err != nil {
			return request, err
		}
	}
	var err error
	request.Rule, err = r.rule.rule()
	return request, err
}

func requests(n uint64) string { return plural(n, "request") }

func plural[N int | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// writeReplay writes the sentence, what else there is to say, and of whom.
func writeReplay(out io.Writer, r client.Replay) error {
	w := bufio.NewWriter(out)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) } // errors come from Flush
	say("This would have refused %s of %s since %s.", requests(r.Refused), plural(r.Keys, "key"), r.Since.Local().Format("Monday, "+tableTime))
	if r.RefusedThen > 0 {
		say("%s of them %s refused then as well.", grouped(r.RefusedThen), wasOrWere(r.RefusedThen))
	}
	if r.Passed > 0 {
		say("%s of %s %s refused, and would have passed.", requests(r.Passed), plural(r.PassedKeys, "key"), wasOrWere(r.Passed))
	}
	for _, line := range uncertainties(r) {
		say("%s", line)
	}
	table := newTableWriter(w, terminalWidth(out), titlesOf(replayColumns()))
	for _, row := range r.Rows {
		if err := table.add(cellsOf(replayColumns(), row)); err != nil {
			return err
		}
	}
	if len(r.Rows) > 0 {
		_ = w.WriteByte('\n')
		if err := table.flush(); err != nil {
			return err
		}
	}
	if r.Omitted > 0 {
		say("… and %s more", requests(r.Omitted))
	}
	return w.Flush()
}

func wasOrWere(n uint64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// uncertainties says what nobody can tell, a line each.
func uncertainties(r client.Replay) (lines []string) {
	u := r.Uncertain
	for _, c := range []struct {
		n    uint64
		text string
	}{
		{u.Unrecorded, "let pass on days of which the networks were not kept yet"},
		{u.Elsewhere, "let pass from further networks of keys that were used from more than 32 on a day"},
		{u.Partly, "let pass from an IPv6 /64 of which the rule has a part only"},
		{u.Learning, "from networks that a rule may have learnt"},
		{u.Unbound, "refused, of keys that have no binding any more"},
		{u.Dropped, "refused since the server was started, and not recorded for want of room"},
	} {
		if c.n > 0 {
			lines = append(lines, fmt.Sprintf("Uncertain: %s %s.", requests(c.n), c.text))
		}
	}
	if !u.UsesFrom.IsZero() {
		lines = append(lines, "Uncertain: what was let pass before "+u.UsesFrom.UTC().Format(time.DateOnly)+" is not kept.")
	}
	if !u.InterceptsFrom.IsZero() {
		lines = append(lines, "Uncertain: what was refused before "+localTime(u.InterceptsFrom)+" is not kept.")
	}
	if len(u.UnknownNetworks) > 0 {
		names := slices.Clone(u.UnknownNetworks)
		for i := range names {
			names[i] = client.Printable(names[i])
		}
		lines = append(lines, "There is no network of the name "+strings.Join(names, ", ")+": rules that name it let nothing pass for it.")
	}
	return lines
}

func replayColumns() []column[client.ReplayRow] {
	type row = client.ReplayRow
	done := map[string]string{"refuse": "refused", "pass": "passed"}
	return []column[row]{
		{title: "DAY (UTC)", text: func(r row) string { return r.Day.UTC().Format(time.DateOnly) }},
		{title: "COUNT", text: func(r row) string { return count(r.Count) }, fit: fit{right: true}},
		{title: "KEY", text: func(r row) string { return r.Hint }, fit: fit{min: 10, wide: 10}},
		{title: "LABEL", text: func(r row) string { return r.Label }, fit: fit{min: 10, drop: 1}},
		{title: "FROM", text: func(r row) string { return strings.TrimSuffix(r.Network, "/32") }, fit: fit{min: 15, wide: 15}},
		{title: "WOULD BE", text: func(r row) string { return done[r.Would] }},
		{title: "WAS", text: func(r row) string { return done[r.Did] }},
	}
}
