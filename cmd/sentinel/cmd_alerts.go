package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
)

var alertStates = []string{string(alert.Open), string(alert.Closed)}

// newAlertsCommand returns `sentinel alerts`.
func newAlertsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "alerts", Aliases: []string{"alert"}, Args: onlyCommands, RunE: showHelp,
		Short: "Read and acknowledge alerts, and say where they are sent to",
	}
	addClientFlags(cmd)
	cmd.AddCommand(newAlertsListCommand(), newAlertsShowCommand(), newAlertsAckCommand(), newChannelsCommand(), newDeliveriesCommand())
	return cmd
}

// alertKinds are the kinds of alerts as texts.
func alertKinds() []string {
	var names []string
	for _, k := range alert.Kinds() {
		names = append(names, string(k))
	}
	return names
}

func newAlertsListCommand() *cobra.Command {
	var (
		filter client.AlertFilter
		limits limitFlags
	)
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: noWords,
		Short: "List alerts, those that opened last first",
		Example: `  sentinel alerts list --state open
  sentinel alerts list --kind key_refused --all --output csv`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limit, err := limits.read(cmd)
			if err != nil {
				return err
			}
			if err := checkAlertFilter(filter); err != nil {
				return err
			}
			c, err := clientOf(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			out, err := newListWriter(cmd, alertColumns())
			if err != nil {
				return err
			}
			return writePages(cmd, out, c.Alerts(cmd.Context(), filter, limit))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&filter.State, "state", "", oneOf(alertStates))
	flags.StringVar(&filter.Kind, "kind", "", oneOf(alertKinds()))
	flags.StringVar(&filter.Hash, "hash", "", "of the key with this key hash")
	flags.StringVar(&filter.Text, "text", "", "a part of the hint, the label, the address or the account")
	limits.add(cmd)
	complete(cmd, "state", alertStates)
	complete(cmd, "kind", alertKinds())
	return cmd
}

func checkAlertFilter(f client.AlertFilter) error {
	switch {
	case f.State != "" && !slices.Contains(alertStates, f.State):
		return usagef("--state=%q: want %s", f.State, oneOf(alertStates))
	case f.Kind != "" && !slices.Contains(alertKinds(), f.Kind):
		return usagef("--kind=%q: want %s", f.Kind, oneOf(alertKinds()))
	case f.Hash != "" && !hashPattern.MatchString(f.Hash):
		return usagef("--hash: want a key hash, which has 64 hex digits")
	case strings.HasPrefix(f.Text, "sk-") && looksLikeKey(f.Text):
		return wholeKeyError("--text")
	}
	return nil
}

// aboutWhom is the subject of an alert in a few words.
func aboutWhom(a client.Alert) string {
	s := a.Subject
	switch {
	case s.Collective:
		return fmt.Sprintf("about %d more", a.Subjects)
	case s.Label != "":
		return s.Label + " (" + s.Hint + ")"
	case s.Hint != "":
		return s.Hint
	case s.Network != "":
		return strings.TrimSuffix(s.Network, "/32")
	}
	return s.Account
}

func alertColumns() []column[client.Alert] {
	type a = client.Alert
	return []column[a]{
		{title: "OPENED", name: "openedAt", text: func(a a) string { return csvTime(a.OpenedAt) }, shown: func(a a) string { return localTime(a.OpenedAt) }},
		{title: "STATE", name: "state", text: func(a a) string { return a.State }},
		{title: "KIND", name: "kind", text: func(a a) string { return a.Kind }},
		{title: "ABOUT", name: "subject", text: aboutWhom, fit: fit{min: 12}},
		{title: "COUNT", name: "count", text: func(a a) string { return count(a.Count) }, fit: fit{right: true, drop: 2}},
		{title: "LAST", name: "lastAt", text: func(a a) string { return csvTime(a.LastAt) }, shown: func(a a) string { return localTime(a.LastAt) }, fit: fit{drop: 3}},
		{name: "closedAt", text: func(a a) string { return csvTime(a.ClosedAt) }, hidden: true},
		{title: "ACKNOWLEDGED", name: "acknowledgedBy", text: func(a a) string { return a.AcknowledgedBy }, fit: fit{min: 8, drop: 1}},
		{name: "hash", text: func(a a) string { return a.Subject.Hash }, hidden: true},
		{name: "network", text: func(a a) string { return a.Subject.Network }, hidden: true},
		{name: "account", text: func(a a) string { return a.Subject.Account }, hidden: true},
		{title: "ID", name: "id", text: func(a a) string { return a.ID }},
	}
}

func newAlertsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Args: oneWord("ID"),
		Short: "Show one alert, with what it rests on and its deliveries",
		RunE: withClientAndForm(func(cmd *cobra.Command, c *client.Client, form string, words []string) error {
			item, err := c.Alert(cmd.Context(), words[0])
			if err != nil {
				return notThere(err, "alert", words[0])
			}
			if form == outputJSON {
				return writeJSON(cmd.OutOrStdout(), item.Raw)
			}
			deliveries, _, err := gather(c.Deliveries(cmd.Context(), client.DeliveryFilter{Alert: words[0]}, 0))
			if err != nil {
				return err
			}
			return writeAlert(cmd.OutOrStdout(), item.Value, deliveries)
		}),
	}
}

// notThere says which one it is that the server does not know.
func notThere(err error, what, id string) error {
	if exitCodeOf(err) != exitNotFound {
		return err
	}
	return notFoundf("there is no %s %q", what, id)
}

func writeAlert(out io.Writer, a client.Alert, deliveries []client.Item[client.Delivery]) error {
	w := bufio.NewWriter(out)
	field := func(name, text string) {
		if text != "" {
			writeField(w, name, text)
		}
	}
	field("ID", a.ID)
	field("Kind", a.Kind)
	field("About", aboutWhom(a))
	field("Key hash", a.Subject.Hash)
	field("State", a.State)
	field("Opened", localTime(a.OpenedAt))
	field("Last", localTime(a.LastAt))
	if !a.ClosedAt.IsZero() {
		field("Closed", localTime(a.ClosedAt))
	}
	field("Count", grouped(a.Count))
	if a.AcknowledgedBy != "" {
		field("Acknowledged", localTime(a.AcknowledgedAt)+" by "+a.AcknowledgedBy)
	}
	writeEvidence(field, a.Evidence)
	field("Node", a.Node)
	if len(deliveries) > 0 {
		_ = w.WriteByte('\n')
		table := newTableWriter(w, terminalWidth(out), titlesOf(deliveryColumns()))
		for _, d := range deliveries {
			if err := table.add(cellsOf(deliveryColumns(), d.Value)); err != nil {
				return err
			}
		}
		if err := table.flush(); err != nil {
			return err
		}
	}
	return w.Flush()
}

func writeEvidence(field func(name, text string), e client.Evidence) {
	var from []string
	for _, c := range e.Addresses {
		from = append(from, fmt.Sprintf("%s ×%d", c.Address, c.Count))
	}
	field("From", strings.Join(from, "\n"))
	field("Networks", strings.Join(e.Networks, "\n"))
	if e.Minutes > 0 {
		field("For", strconv.Itoa(e.Minutes)+" minutes")
	}
	if e.Bindings > 0 {
		field("New bindings", strconv.Itoa(e.Bindings)+" within an hour")
	}
	reason := e.Reason + e.Held
	if e.Observed {
		reason += " (passed)"
	}
	field("Reason", reason)
	field("Last key", e.Hint)
	field("Last request", strings.TrimSpace(e.Method+" "+e.Path))
	field("Error", e.Error.Message)
	if !e.ArchivedBefore.IsZero() {
		field("Archived before", localTime(e.ArchivedBefore))
	}
}

func newAlertsAckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ack ID…", Aliases: []string{"acknowledge"}, Args: someWords("ID"),
		Short: "Stop the reminders of alerts; that they are over is told all the same",
		Example: `  sentinel alerts ack 1764100000000-0a1b2c3d
  sentinel alerts list --state open --output json | jq -r .id | xargs sentinel alerts ack`,
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, ids []string) error {
			for _, id := range ids {
				item, err := c.AcknowledgeAlert(cmd.Context(), id)
				if err != nil {
					return notThere(err, "alert", id)
				}
				if err := say(cmd, "alert %s is acknowledged by %s\n", id, client.Printable(item.Value.AcknowledgedBy)); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// someWords wants at least one argument, and says what they are.
func someWords(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, words []string) error {
		if len(words) == 0 {
			return usagef("%s: %s is missing", cmd.CommandPath(), what)
		}
		return nil
	}
}
