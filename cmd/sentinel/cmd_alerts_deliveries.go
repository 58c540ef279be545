package main

import (
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
)

var deliveryStates = []string{string(alert.Pending), string(alert.Delivered), string(alert.Failed), string(alert.Dropped)}

// newDeliveriesCommand returns `sentinel alerts deliveries`.
func newDeliveriesCommand() *cobra.Command {
	var (
		filter client.DeliveryFilter
		limits limitFlags
	)
	cmd := &cobra.Command{
		Use: "deliveries", Args: onlyCommands,
		Short: "List what was sent, and what waits, newest first",
		Example: `  sentinel alerts deliveries --channel ops --state pending
  sentinel alerts deliveries retry 1764100000000-0a1b2c3d.0.ops`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limit, err := limits.read(cmd)
			if err != nil {
				return err
			}
			if filter.State != "" && !slices.Contains(deliveryStates, filter.State) {
				return usagef("--state=%q: want %s", filter.State, oneOf(deliveryStates))
			}
			c, err := clientOf(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			out, err := newListWriter(cmd, deliveryColumns())
			if err != nil {
				return err
			}
			return writePages(cmd, out, c.Deliveries(cmd.Context(), filter, limit))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&filter.Channel, "channel", "", "to this channel")
	flags.StringVar(&filter.Alert, "alert", "", "of the alert with this ID")
	flags.StringVar(&filter.State, "state", "", oneOf(deliveryStates))
	limits.add(cmd)
	complete(cmd, "state", deliveryStates)
	_ = cmd.RegisterFlagCompletionFunc("channel", completeChannels) // the flag is there
	cmd.AddCommand(newRetryCommand())
	return cmd
}

func deliveryColumns() []column[client.Delivery] {
	type d = client.Delivery
	return []column[d]{
		{title: "MADE", name: "createdAt", text: func(d d) string { return csvTime(d.CreatedAt) }, shown: func(d d) string { return localTime(d.CreatedAt) }},
		{title: "CHANNEL", name: "channel", text: func(d d) string { return d.Channel }},
		{title: "STATE", name: "state", text: func(d d) string { return d.State }},
		{title: "EVENT", name: "event", text: func(d d) string { return d.Event }},
		{title: "KIND", name: "kind", text: func(d d) string { return d.Kind }, fit: fit{drop: 2}},
		{title: "TRIES", name: "tries", text: func(d d) string { return strconv.Itoa(d.Tries) }, fit: fit{right: true, drop: 1}},
		{title: "NEXT", name: "nextAt", text: func(d d) string { return csvTime(d.NextAt) }, shown: func(d d) string { return localTime(d.NextAt) }, fit: fit{drop: 3}},
		{title: "LAST ERROR", name: "lastError", text: lastError, fit: fit{min: 12}},
		{title: "ID", name: "id", text: func(d d) string { return d.ID }},
	}
}

// lastError is why the last attempt failed, if it did.
func lastError(d client.Delivery) string {
	if len(d.Attempts) == 0 {
		return ""
	}
	return d.Attempts[len(d.Attempts)-1].Error.Message
}

func newRetryCommand() *cobra.Command {
	return &cobra.Command{
		Use: "retry ID…", Args: someWords("ID"),
		Short: "Try deliveries that wait, failed or were dropped at once, and for another day",
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, ids []string) error {
			for _, id := range ids {
				if _, err := c.RetryDelivery(cmd.Context(), id); err != nil {
					return notThere(err, "delivery", id)
				}
				if err := say(cmd, "delivery %s is tried\n", id); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}
