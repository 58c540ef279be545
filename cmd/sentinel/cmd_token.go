package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/account"
	"github.com/key-ip-sentinel/sentinel/engine/ipset"
)

const (
	tokensPath = "/tokens"
	dateForm   = "2006-01-02"
	never      = "never"
	day        = 24 * time.Hour
)

// newTokenCommand returns `sentinel token`.
func newTokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make and delete API tokens, for automation and for this command line from elsewhere"}
	addClientFlags(cmd)
	cmd.AddCommand(newTokenCreateCommand(), newTokenListCommand(), newTokenDeleteCommand())
	return cmd
}

// tokenOrder is what an API token is to be, as the admin API takes it.
type tokenOrder struct {
	Name         string       `json:"name"`
	Role         account.Role `json:"role"`
	Networks     []string     `json:"networks,omitempty"`
	ExpiresAt    time.Time    `json:"expiresAt,omitzero"`
	NeverExpires bool         `json:"neverExpires,omitempty"`
}

func newTokenCreateCommand() *cobra.Command {
	var role, networks, expires string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an API token, and print it: it cannot be shown again",
		Args:  oneWord("NAME"),
		Example: `  sentinel token create backup-job --role admin --networks 10.1.0.7 --expires 90d
  (umask 077; sentinel token create ci --role operator --expires 2027-01-31 >ci.token)`,
		RunE: func(cmd *cobra.Command, words []string) error {
			order, err := orderToken(words[0], role, networks, expires, time.Now())
			if err != nil {
				return err
			}
			form, err := outputForm(cmd, outputTable, outputJSON)
			if err != nil {
				return err
			}
			c, err := clientOf(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			var raw json.RawMessage
			if err := c.Do(cmd.Context(), http.MethodPost, tokensPath, order, &raw); err != nil {
				return err
			}
			return printToken(cmd, form, raw)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&role, "role", "", "viewer (reads), operator (changes bindings) or admin")
	cmd.Flags().StringVar(&expires, "expires", "", "when it stops working: 90d, 12h, a date such as 2027-01-31 (its end, in this machine's time zone), or never")
	cmd.Flags().StringVar(&networks, "networks", "", "addresses and prefixes that it may be used from, separated by commas; without: from anywhere")
	completeRole(cmd)
	return cmd
}

// orderToken checks the arguments, all of them at once.
func orderToken(name, role, networks, expires string, now time.Time) (tokenOrder, error) {
	order := tokenOrder{Name: name}
	var faults []string
	var err error
	if order.Role, err = account.ParseRole(role); err != nil {
		faults = append(faults, fmt.Sprintf("--role=%q: want viewer (reads), operator (changes bindings) or admin", role))
	}
	if strings.TrimSpace(networks) != "" {
		prefixes, err := ipset.ParseList(networks)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				faults = append(faults, "--networks: "+strings.TrimSpace(line))
			}
		}
		for _, p := range prefixes {
			order.Networks = append(order.Networks, shownPrefix(p))
		}
	}
	if order.ExpiresAt, order.NeverExpires, err = parseExpiry(expires, now); err != nil {
		faults = append(faults, fmt.Sprintf("--expires=%q: %v; want 90d, 12h, a date such as %s, or never", expires, err, now.AddDate(0, 3, 0).Format(dateForm)))
	}
	if len(faults) > 0 {
		return tokenOrder{}, usagef("%s", strings.Join(faults, "\n"))
	}
	return order, nil
}

// shownPrefix writes a single address without its length.
func shownPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// parseExpiry reads a duration from now on, a day, which counts to its end, or a
// moment.
func parseExpiry(text string, now time.Time) (at time.Time, never bool, err error) {
	switch text = strings.TrimSpace(text); {
	case text == "":
		return time.Time{}, false, fmt.Errorf("is missing: a token that is forgotten should stop working")
	case strings.EqualFold(text, "never"):
		return time.Time{}, true, nil
	}
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > longestDays {
			return time.Time{}, false, fmt.Errorf("not a number of days from 1 to %d", longestDays)
		}
		return now.Add(time.Duration(n) * day), false, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		if d <= 0 {
			return time.Time{}, false, fmt.Errorf("is over already")
		}
		return now.Add(d), false, nil
	}
	at, err = time.Parse(time.RFC3339, text)
	if err != nil {
		if at, err = time.ParseInLocation(dateForm, text, now.Location()); err == nil {
			at = at.AddDate(0, 0, 1)
		}
	}
	switch {
	case err != nil:
		return time.Time{}, false, fmt.Errorf("neither a duration nor a date")
	case !at.After(now):
		return time.Time{}, false, fmt.Errorf("is over already")
	}
	return at, false, nil
}

// printToken prints the token alone, so that it can be put into a file, and says
// the rest to the person.
func printToken(cmd *cobra.Command, form string, raw json.RawMessage) error {
	if form == outputJSON {
		return writeJSON(cmd.OutOrStdout(), raw)
	}
	var made struct {
		Token  account.Token `json:"token"`
		Secret string        `json:"secret"`
	}
	if err := json.Unmarshal(raw, &made); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	until := "until it is deleted"
	if !made.Token.ExpiresAt.IsZero() {
		until = "until " + localTime(made.Token.ExpiresAt)
	}
	if err := say(cmd, "token %s works %s, as %s; this is the only time that it is shown:\n", made.Token.Name, until, made.Token.Role); err != nil {
		return err
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), made.Secret)
	return err
}

func newTokenListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the API tokens, without their secrets",
		Args:  noWords,
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			var answer struct {
				Items []account.Token `json:"items"`
			}
			if err := c.Do(cmd.Context(), http.MethodGet, tokensPath, nil, &answer); err != nil {
				return err
			}
			return writeList(cmd, tokenColumns, answer.Items)
		}),
	}
}

var tokenColumns = []column[account.Token]{
	{title: "NAME", name: "name", text: func(t account.Token) string { return t.Name }, fit: fit{min: 12}},
	{title: "ROLE", name: "role", text: func(t account.Token) string { return string(t.Role) }},
	{title: "NETWORKS", name: "networks", text: networksOf, fit: fit{min: 10, drop: 1}},
	{title: "EXPIRES", name: "expiresAt", text: func(t account.Token) string { return csvTime(t.ExpiresAt) }, shown: func(t account.Token) string {
		if t.ExpiresAt.IsZero() {
			return never
		}
		return localTime(t.ExpiresAt)
	}},
	{title: "LAST USED", name: "lastUsed", text: func(t account.Token) string { return csvTime(t.LastUsed) }, shown: func(t account.Token) string { return localTime(t.LastUsed) }},
	{title: "FROM", name: "lastIp", text: func(t account.Token) string {
		if !t.LastIP.IsValid() {
			return ""
		}
		return t.LastIP.String()
	}, fit: fit{drop: 2}},
	{title: "MADE BY", name: "createdBy", text: func(t account.Token) string { return t.CreatedBy }, fit: fit{min: 8, drop: 3}},
}

func networksOf(t account.Token) string {
	shown := make([]string, len(t.Networks))
	for i, p := range t.Networks {
		shown[i] = shownPrefix(p)
	}
	return strings.Join(shown, " ")
}

func newTokenDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete an API token, which stops working at once",
		Args:  oneWord("NAME"),
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, words []string) error {
			if err := c.Do(cmd.Context(), http.MethodDelete, tokensPath+"/"+url.PathEscape(words[0]), nil, nil); err != nil {
				return err
			}
			return say(cmd, "token %s is deleted\n", words[0])
		}),
	}
}
