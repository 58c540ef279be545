package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// newNodesCommand returns `sentinel nodes`.
func newNodesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "nodes", Aliases: []string{"node"}, Args: noWords,
		Short: "Show the nodes of the cluster, and how they are",
		Long: "Show the nodes of the cluster, and how they are.\n\n" +
			"One that was not heard of for 15 seconds is lost; after a day it is not shown any more. A Sentinel that runs alone shows itself.",
		Example: `  sentinel nodes
  sentinel nodes --output json | jq -r 'select(.state == "lost") | .name'`,
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			out, err := newListWriter(cmd, nodeColumns())
			if err != nil {
				return err
			}
			list, isCurrent, err := c.Nodes(cmd.Context())
			if err != nil {
				return err
			}
			for _, item := range list {
				if err := out.add(item.Value, item.Raw); err != nil {
					return err
				}
			}
			if err := out.flush(); err != nil || isCurrent {
				return err
			}
			return say(cmd, "PostgreSQL is away from the node that answers: the others are as they were last heard of\n")
		}),
	}
	addClientFlags(cmd)
	return cmd
}

func nodeColumns() []column[client.Node] {
	type n = client.Node
	return []column[n]{
		{title: "NODE", name: "name", text: func(n n) string { return n.Name }, fit: fit{min: 8}},
		{title: "STATE", name: "state", text: func(n n) string { return n.State }, shown: shownNodeState},
		{title: "LAG", name: "lag", text: lagOf, fit: fit{right: true}},
		{title: "BEHIND", name: "behind", text: func(n n) string { return strconv.FormatUint(n.Behind, 10) }, fit: fit{right: true, drop: 2}},
		{title: "CLOCK", name: "clock", text: clockOf, fit: fit{right: true, drop: 2}},
		{title: "POSTGRESQL", name: "postgresql", text: func(n n) string { return n.PostgreSQL.State }},
		{title: "REDIS", name: "redis", text: func(n n) string { return n.Redis.State }},
		{title: "SEEN", name: "seen", text: func(n n) string { return csvTime(n.SeenAt) }, shown: func(n n) string { return localTime(n.SeenAt) }},
		{title: "STARTED", name: "started", text: func(n n) string { return csvTime(n.StartedAt) }, shown: func(n n) string { return localTime(n.StartedAt) }, fit: fit{drop: 3}},
		{title: "VERSION", name: "version", text: func(n n) string { return n.Version }, fit: fit{drop: 4}},
		{title: "ADDRESS", name: "address", text: func(n n) string { return n.Address }, fit: fit{drop: 1}},
		{name: "leader", text: func(n n) string { return strconv.FormatBool(n.Leader) }, hidden: true},
		{name: "self", text: func(n n) string { return strconv.FormatBool(n.Self) }, hidden: true},
		{name: "position", text: func(n n) string { return strconv.FormatUint(n.Position, 10) }, hidden: true},
		{name: "waiting", text: func(n n) string { return strconv.FormatUint(n.Waiting, 10) }, hidden: true},
		{name: "id", text: func(n n) string { return n.ID }, hidden: true},
	}
}

// shownNodeState says in a table which one leads, and which one answers.
func shownNodeState(n client.Node) string {
	parts := []string{n.State}
	if n.Leader {
		parts = append(parts, "leader")
	}
	if n.Self {
		parts = append(parts, "answers")
	}
	return strings.Join(parts, ", ")
}

// lagOf is empty for a copy that never was level.
func lagOf(n client.Node) string {
	if n.LagSeconds == nil {
		return ""
	}
	return time.Duration(*n.LagSeconds * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// clockOf is how far the node's own clock is ahead; empty if that is not known.
func clockOf(n client.Node) string {
	if n.Clock == nil {
		return ""
	}
	ahead := math.Round(*n.Clock*10) / 10
	if ahead == 0 {
		return "0s" // and not -0.0s
	}
	return fmt.Sprintf("%+.1fs", ahead)
}
