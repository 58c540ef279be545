package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

const settingsPath = "/settings"

func newSettingsCommand() *cobra.Command {
	var language string
	page := func(cmd *cobra.Command, _ []string) error {
		page, ok := settingsPages[language]
		if !ok {
			return usagef("--language=%q: not there; want en or zh", language)
		}
		_, err := io.WriteString(cmd.OutOrStdout(), page())
		return err
	}
	cmd := &cobra.Command{
		Use:   "settings",
		Short: "Show the settings of a running server and change them; alone, print the documentation of every setting",
		Args:  noWords,
		RunE:  page,
	}
	docs := &cobra.Command{Use: "docs", Short: "Print the documentation of every setting, as a page in Markdown", Args: noWords, RunE: page}
	for _, c := range []*cobra.Command{cmd, docs} {
		c.Flags().StringVar(&language, "language", "en", "en or zh")
	}
	cmd.AddCommand(docs)
	for _, c := range []*cobra.Command{newSettingsGetCommand(), newSettingsSetCommand(), newSettingsUnsetCommand()} {
		addClientFlags(c)
		cmd.AddCommand(c)
	}
	return cmd
}

func newSettingsGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "get [NAME]",
		Short: "Show what is in force in a running server, and where it comes from; of one setting, the value alone",
		Args: func(cmd *cobra.Command, words []string) error {
			if len(words) == 0 {
				return nil
			}
			return oneWord("NAME")(cmd, words)
		},
		ValidArgsFunction: completeNames(settingNames),
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, words []string) error {
			var answer settingsAnswer
			if err := c.Do(cmd.Context(), http.MethodGet, settingsPath, nil, &answer); err != nil {
				return err
			}
			if len(words) == 0 {
				return writeList(cmd, settingColumns, answer.Items)
			}
			return printSetting(cmd, answer.Items, strings.ToUpper(words[0]))
		}),
	}
}

type settingsAnswer struct {
	Items    []admin.Setting `json:"items"`
	Warnings []struct {
		Name, Message string
	} `json:"warnings"`
}

var settingColumns = []column[admin.Setting]{
	{title: "NAME", name: "name", text: func(s admin.Setting) string { return s.Name }},
	{title: "VALUE", name: "value", text: shownValue, fit: fit{min: 12}},
	{title: "SOURCE", name: "source", text: func(s admin.Setting) string { return s.Source }},
	{title: "RUNTIME", name: "runtime", text: func(s admin.Setting) string { return strconv.FormatBool(s.Runtime) }, shown: func(s admin.Setting) string { return yesNo(s.Runtime) }},
	{title: "DEFAULT", name: "default", text: func(s admin.Setting) string { return s.Default }, fit: fit{min: 8, drop: 1}},
}

// shownValue tells of a secret no more than that it is set.
func shownValue(s admin.Setting) string {
	if s.Secret && s.IsSet {
		return secretMask
	}
	return s.Value
}

func printSetting(cmd *cobra.Command, list []admin.Setting, name string) error {
	i := slices.IndexFunc(list, func(s admin.Setting) bool { return s.Name == name })
	if i < 0 {
		return notFoundf("%q is no setting%s", name, didYouMean(name, settingNames(), ""))
	}
	form, err := outputForm(cmd, outputTable, outputJSON)
	if err != nil {
		return err
	}
	if form == outputJSON {
		return writeAsJSON(cmd.OutOrStdout(), list[i])
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), client.Printable(shownValue(list[i])))
	return err
}

// settingsFlags confirm what is refused otherwise.
type settingsFlags struct {
	force, anySource bool
}

func (f *settingsFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.force, "force", false, "make the change even if you could not reach administration after it; the socket in the data directory always can")
}

func newSettingsSetCommand() *cobra.Command {
	var flags settingsFlags
	cmd := &cobra.Command{
		Use:   "set NAME=VALUE…",
		Short: "Change runtime settings of a running server, at once and for all starts to come; all of them or none",
		Long: "Change runtime settings of a running server. They are in force from the next request on, are kept in the store, and\n" +
			"beat the environment, the file and the flags until sentinel settings unset takes them back.\n\n" +
			"The value of a secret, such as ALERT_WEBHOOK_URL, is read from standard input: write NAME=- for it.",
		Example: `  sentinel settings set SENTINEL_MODE=observe ARCHIVE_DAYS=30
  sentinel settings set TRUSTED_PROXY_IPS=10.0.0.0/8,192.168.7.1`,
		Args: someWords("NAME=VALUE"),
		ValidArgsFunction: completeNames(func() []string {
			names := runtimeNames()
			for i := range names {
				names[i] += "="
			}
			return names
		}),
		RunE: func(cmd *cobra.Command, words []string) error {
			values, err := assignments(cmd.InOrStdin(), words)
			if err != nil {
				return err
			}
			return changeSettings(cmd, values, flags)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&flags.anySource, "confirm-any-source", false, "0.0.0.0/0 and ::/0 are meant, as trusted proxies or admin networks")
	return cmd
}

// assignments reads NAME=VALUE words. A secret is not taken from there:
// everybody on the machine can read arguments.
func assignments(stdin io.Reader, words []string) (map[string]*string, error) {
	values := map[string]*string{}
	for _, word := range words {
		name, value, isAssignment := strings.Cut(word, "=")
		name = strings.ToUpper(name)
		if !isAssignment || name == "" {
			return nil, usagef("%.80q is no NAME=VALUE", word)
		}
		if _, twice := values[name]; twice {
			return nil, usagef("%s is set twice", name)
		}
		if s := settingNamed(name); s != nil && s.secrecy != public {
			if value != "-" {
				return nil, usagef("%s is secret, and other users of this machine can read arguments: write %s=-, and its value to standard input", name, name)
			}
			raw, err := io.ReadAll(io.LimitReader(stdin, maxPasswordBytes))
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			value, stdin = strings.TrimRight(string(raw), "\r\n"), strings.NewReader("")
		}
		values[name] = &value
	}
	return values, nil
}

func newSettingsUnsetCommand() *cobra.Command {
	var flags settingsFlags
	cmd := &cobra.Command{
		Use:               "unset NAME…",
		Short:             "Take runtime values back: what flags, environment and file say counts again",
		Args:              someWords("NAME=VALUE"),
		ValidArgsFunction: completeNames(runtimeNames),
		RunE: func(cmd *cobra.Command, words []string) error {
			values := map[string]*string{}
			for _, name := range words {
				values[strings.ToUpper(name)] = nil
			}
			return changeSettings(cmd, values, flags)
		},
	}
	flags.add(cmd)
	return cmd
}

// changeSettings changes them, and says what is in force now.
func changeSettings(cmd *cobra.Command, values map[string]*string, flags settingsFlags) error {
	c, err := clientOf(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	var answer settingsAnswer
	err = c.Do(cmd.Context(), http.MethodPut, settingsPath, map[string]any{
		"values": values, "force": flags.force, "confirmAnySource": flags.anySource,
	}, &answer)
	if problem := (*client.Problem)(nil); errors.As(err, &problem) {
		for i := range problem.Errors { // the names are what was written here
			problem.Errors[i].Location = strings.TrimPrefix(problem.Errors[i].Location, "body.values.")
		}
	}
	if err != nil {
		return err
	}
	for _, w := range answer.Warnings {
		if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s\n", w.Name, client.Printable(w.Message)); err != nil {
			return err
		}
	}
	for _, s := range answer.Items {
		if _, changed := values[s.Name]; !changed {
			continue
		}
		if err := say(cmd, "%s=%s (%s)\n", s.Name, client.Printable(shownValue(s)), s.Source); err != nil {
			return err
		}
	}
	return nil
}

// completeNames completes the names of settings.
func completeNames(names func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		var fitting []string
		for _, name := range names() {
			if strings.HasPrefix(name, strings.ToUpper(begun)) {
				fitting = append(fitting, name)
			}
		}
		return fitting, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}
