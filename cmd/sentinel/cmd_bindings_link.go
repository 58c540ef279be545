package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/rebind"
)

// rebindLinkFlags say what to do with the links of a key.
type rebindLinkFlags struct {
	lasts  string
	list   bool
	revoke string
}

func newRebindLinkCommand() *cobra.Command {
	f := &rebindLinkFlags{}
	cmd := &cobra.Command{
		Use: "rebind-link KEYREF", Args: oneKeyRef,
		Short: "Make a link with which the holder of a key binds it to where they are, once",
		Long: "Make a link for the holder of a bound key whose address has changed. Whoever opens it sees the key's hint and the address\n" +
			"that the key would be bound to, and says so. It works once, until its time is over, and ends when the key is unbound or\n" +
			"banned. The link alone goes to standard output; it is not kept, and cannot be shown again.",
		Example: `  sentinel bindings rebind-link 9fQ2
  sentinel bindings rebind-link 9fQ2 --for 7d
  sentinel bindings rebind-link 9fQ2 --list
  sentinel bindings rebind-link 9fQ2 --revoke 0f3a5b7c9d1e2f40`,
		RunE: func(cmd *cobra.Command, refs []string) error { return f.run(cmd, refs[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.lasts, "for", "24h", "how long the link is good: up to 30d")
	flags.BoolVar(&f.list, "list", false, "show the links of the key, and what became of them, instead")
	flags.StringVar(&f.revoke, "revoke", "", "end the link of this ID instead, which --list shows")
	return cmd
}

func (f *rebindLinkFlags) run(cmd *cobra.Command, ref string) error {
	if f.list && f.revoke != "" || (f.list || f.revoke != "") && cmd.Flags().Changed("for") {
		return usagef("--for, --list and --revoke: want one of them")
	}
	lasts, err := parseSpan(f.lasts)
	if err != nil || lasts < time.Second || lasts > rebind.MaxFor {
		return usagef("--for=%q: want a time from 1s to 30d, e.g. 24h or 7d", f.lasts)
	}
	c, err := clientOf(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	b, err := resolve(cmd, c, ref)
	if err != nil {
		return err
	}
	path := "/bindings/" + b.Hash + "/rebind-links"
	switch {
	case f.list:
		return listRebindLinks(cmd, c, path)
	case f.revoke != "":
		if err := c.Do(cmd.Context(), http.MethodDelete, path+"/"+url.PathEscape(f.revoke), nil, nil); err != nil {
			return err
		}
		return say(cmd, "revoked\n")
	}
	return notBound(makeRebindLink(cmd, c, path, lasts), b.Hash)
}

func makeRebindLink(cmd *cobra.Command, c *client.Client, path string, lasts time.Duration) error {
	form, err := outputForm(cmd, outputTable, outputJSON)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.Do(cmd.Context(), http.MethodPost, path, map[string]any{"seconds": int64(lasts / time.Second)}, &raw); err != nil {
		return err
	}
	if form == outputJSON {
		return writeJSON(cmd.OutOrStdout(), raw)
	}
	var made struct {
		Link            shownRebindLink
		Hint, Path, URL string
	}
	if err := json.Unmarshal(raw, &made); err != nil {
		return err
	}
	link := made.URL
	if link == "" {
		link = made.Path
		if err := say(cmd, "Put the public address before it, such as https://gateway.example.com, or set SENTINEL_PUBLIC_URL to that.\n"); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), client.Printable(link)); err != nil {
		return err
	}
	return say(cmd, "For %s, once, until %s (link %s).\n", client.Printable(made.Hint), localTime(made.Link.ExpiresAt), client.Printable(made.Link.ID))
}

// shownRebindLink is a link in a list.
type shownRebindLink struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`
	CreatedAt time.Time `json:"createdAt"`
	CreatedBy string    `json:"createdBy"`
	ExpiresAt time.Time `json:"expiresAt"`
	UsedAt    time.Time `json:"usedAt,omitzero"`
	UsedFrom  string    `json:"usedFrom,omitempty"`
	UsedFor   string    `json:"usedFor,omitempty"`
	RevokedAt time.Time `json:"revokedAt,omitzero"`
	RevokedBy string    `json:"revokedBy,omitempty"`
}

func listRebindLinks(cmd *cobra.Command, c *client.Client, path string) error {
	var answer struct{ Items []shownRebindLink }
	if err := c.Do(cmd.Context(), http.MethodGet, path, nil, &answer); err != nil {
		return err
	}
	return writeList(cmd, rebindLinkColumns, answer.Items)
}

var rebindLinkColumns = []column[shownRebindLink]{
	{title: "ID", name: "id", text: func(l shownRebindLink) string { return l.ID }},
	{title: "STATE", name: "state", text: func(l shownRebindLink) string { return l.State }},
	{title: "CREATED", name: "createdAt", text: func(l shownRebindLink) string { return csvTime(l.CreatedAt) }, shown: func(l shownRebindLink) string { return localTime(l.CreatedAt) }},
	{title: "BY", name: "createdBy", text: func(l shownRebindLink) string { return l.CreatedBy }, fit: fit{min: 8, drop: 1}},
	{title: "UNTIL", name: "expiresAt", text: func(l shownRebindLink) string { return csvTime(l.ExpiresAt) }, shown: func(l shownRebindLink) string { return localTime(l.ExpiresAt) }},
	{title: "USED", name: "usedAt", text: func(l shownRebindLink) string { return csvTime(l.UsedAt) }, shown: func(l shownRebindLink) string { return localTime(l.UsedAt) }},
	{title: "FROM", name: "usedFrom", text: func(l shownRebindLink) string { return l.UsedFrom }},
	{name: "usedFor", text: func(l shownRebindLink) string { return l.UsedFor }, hidden: true},
	{name: "revokedAt", text: func(l shownRebindLink) string { return csvTime(l.RevokedAt) }, hidden: true},
	{title: "REVOKED BY", name: "revokedBy", text: func(l shownRebindLink) string { return l.RevokedBy }, fit: fit{min: 8, drop: 2}},
}
