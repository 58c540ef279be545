package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// completeTimeout is how long completion waits for the server.
const completeTimeout = 2 * time.Second

// newChannelsCommand returns `sentinel alerts channels`.
func newChannelsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "channels", Aliases: []string{"channel"}, Args: onlyCommands, RunE: showHelp,
		Short: "Say where alerts are sent to: webhooks, chats, mail servers",
		Long: "Say where alerts are sent to: webhooks, chats (Feishu, DingTalk, WeCom, Slack), mail servers.\n\n" +
			"URL, secret and password of a channel are never arguments, since everybody on a machine can read those, and are\n" +
			"never shown. They are asked for on a terminal, and elsewhere read from standard input, one a line; or they come\n" +
			"from " + channelURLVariable + ", " + channelSecretVariable + " and " + channelPasswordVariable + ".",
	}
	cmd.AddCommand(newChannelsListCommand(), newChannelsShowCommand(), newChannelsAddCommand(), newChannelsEditCommand(),
		newChannelsRemoveCommand(), newChannelsTestCommand())
	return cmd
}

// completeChannels completes IDs of channels, if a server answers.
func completeChannels(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	defer cancel()
	c, err := clientOf(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	channels, _ := c.Channels(ctx) // none: nothing to complete
	var ids []string
	for _, item := range channels {
		if strings.HasPrefix(item.Value.ID, begun) {
			ids = append(ids, item.Value.ID)
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

func newChannelsListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: noWords,
		Short: "List the channels, and how they do",
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			channels, err := c.Channels(cmd.Context())
			if err != nil {
				return err
			}
			out, err := newListWriter(cmd, channelColumns())
			if err != nil {
				return err
			}
			for _, item := range channels {
				if err := out.add(item.Value, item.Raw); err != nil {
					return err
				}
			}
			return out.flush()
		}),
	}
}

// stateOf says how a channel is.
func stateOf(c client.Channel) string {
	switch {
	case c.Fault.Message != "":
		return "broken"
	case !c.Enabled:
		return "off"
	case c.LastError.Message != "":
		return "failing"
	}
	return "on"
}

func channelColumns() []column[client.Channel] {
	type c = client.Channel
	return []column[c]{
		{title: "ID", name: "id", text: func(c c) string { return c.ID }},
		{title: "TYPE", name: "type", text: func(c c) string { return c.Type }},
		{title: "STATE", name: "state", text: stateOf},
		{title: "TARGET", name: "target", text: func(c c) string { return c.Target }, fit: fit{min: 16}},
		{title: "WAITING", name: "pending", text: func(c c) string { return count(uint64(max(c.Pending, 0))) }, fit: fit{right: true}},
		{title: "LAST SENT", name: "lastSent", text: func(c c) string { return csvTime(c.LastSent) }, shown: func(c c) string { return localTime(c.LastSent) }, fit: fit{drop: 1}},
		{title: "LAST ERROR", name: "lastError", text: func(c c) string { return c.Fault.Message + c.LastError.Message }, fit: fit{min: 12}},
		{name: "kinds", text: func(c c) string { return strings.Join(c.Kinds, " ") }, hidden: true},
		{name: "language", text: func(c c) string { return c.Language }, hidden: true},
		{name: "signed", text: func(c c) string { return fmt.Sprint(c.Signed) }, hidden: true},
		{name: "delivered", text: func(c c) string { return count(c.Delivered) }, hidden: true},
		{name: "failed", text: func(c c) string { return count(c.Failed) }, hidden: true},
		{name: "dropped", text: func(c c) string { return count(c.Dropped) }, hidden: true},
	}
}

func newChannelsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Args: oneWord("ID"), ValidArgsFunction: completeChannels,
		Short: "Show one channel, without what is secret of it",
		RunE: withClientAndForm(func(cmd *cobra.Command, c *client.Client, form string, words []string) error {
			item, err := c.Channel(cmd.Context(), words[0])
			if err != nil {
				return notThere(err, "channel", words[0])
			}
			return writeChannel(cmd, form, item)
		}),
	}
}

func writeChannel(cmd *cobra.Command, form string, item client.Item[client.Channel]) error {
	if form == outputJSON {
		return writeJSON(cmd.OutOrStdout(), item.Raw)
	}
	c, w := item.Value, bufio.NewWriter(cmd.OutOrStdout())
	kinds, language := "all", "that of the settings"
	if len(c.Kinds) > 0 {
		kinds = strings.Join(c.Kinds, "\n")
	}
	if c.Language != "" {
		language = c.Language
	}
	fields := [][2]string{
		{"ID", c.ID}, {"Type", c.Type}, {"State", stateOf(c)}, {"Target", c.Target}, {"Signed", yesNo(c.Signed)}, {"Alerts", kinds}, {"Language", language},
	}
	if m := c.Mail; m != nil {
		auth := "no sign-in"
		if m.Auth != "" {
			auth = m.Auth + ", as " + m.Username
		}
		fields = append(fields, [2]string{"Encryption", m.TLS}, [2]string{"Sign-in", auth}, [2]string{"From", m.From}, [2]string{"To", strings.Join(m.To, "\n")})
	}
	fields = append(fields, [2]string{"Proxy", yesNo(c.UseProxy)}, [2]string{"Waiting", fmt.Sprint(c.Pending)},
		[2]string{"Since the start", fmt.Sprintf("%d delivered, %d failed, %d dropped", c.Delivered, c.Failed, c.Dropped)},
		[2]string{"Last sent", localTime(c.LastSent)})
	if problem := c.Fault.Message + c.LastError.Message; problem != "" {
		fields = append(fields, [2]string{"Last error", problem})
	}
	if c.ReadOnly {
		fields = append(fields, [2]string{"Comes from", "the setting ALERT_WEBHOOK_URL"})
	}
	for _, f := range fields {
		writeField(w, f[0], f[1])
	}
	return w.Flush()
}

func newChannelsRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove ID…", Aliases: []string{"rm", "delete"}, Args: someWords("ID"), ValidArgsFunction: completeChannels,
		Short: "Remove channels, with what waits for them",
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, ids []string) error {
			for _, id := range ids {
				if err := c.DeleteChannel(cmd.Context(), id); err != nil {
					return notThere(err, "channel", id)
				}
				if err := say(cmd, "channel %s is removed\n", id); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func newChannelsTestCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test ID", Args: oneWord("ID"), ValidArgsFunction: completeChannels,
		Short: "Send a message to a channel, and tell what the receiver says: exit code 1 if it did not take it",
		RunE: withClientAndForm(func(cmd *cobra.Command, c *client.Client, form string, words []string) error {
			item, err := c.TestChannel(cmd.Context(), words[0])
			if err != nil {
				return notThere(err, "channel", words[0])
			}
			return tellTest(cmd, form, words[0], item.Value, item.Raw)
		}),
	}
}

func tellTest(cmd *cobra.Command, form, id string, r client.ChannelTest, raw json.RawMessage) error {
	if form == outputJSON {
		if err := writeJSON(cmd.OutOrStdout(), raw); err != nil {
			return err
		}
	}
	answer := ""
	if r.Answer != "" {
		answer = "; it answered: " + client.Printable(r.Answer)
	}
	if !r.OK {
		return fmt.Errorf("channel %s did not take the message: %s%s", id, client.Printable(r.Error.Message), answer)
	}
	return say(cmd, "channel %s took the message in %d ms%s\n", id, r.TookMs, answer)
}
