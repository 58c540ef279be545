package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/account"
)

// newAdminCommand returns `sentinel admin`.
func newAdminCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin",
		Short: "Make and change the accounts of administrators, also where no server runs",
		Long: "Make and change the accounts of administrators.\n\n" +
			"On the machine itself no sign-in is needed, and no running server either: without one, the data file is changed.",
	}
	addClientFlags(cmd)
	cmd.AddCommand(newAdminListCommand(), newAdminCreateCommand(), newAdminPasswordCommand(),
		newAccountCommand("enable NAME", "Let an account sign in again", "account %s can sign in\n",
			func(cmd *cobra.Command, book accountBook, name string) error {
				return book.setDisabled(cmd.Context(), name, false)
			}),
		newAccountCommand("disable NAME", "Keep an account from signing in, and end its sessions", "account %s cannot sign in, and its sessions are over\n",
			func(cmd *cobra.Command, book accountBook, name string) error {
				return book.setDisabled(cmd.Context(), name, true)
			}),
		newAccountCommand("delete NAME", "Delete an account, and end its sessions; API tokens that it made stay", "account %s is deleted\n",
			func(cmd *cobra.Command, book accountBook, name string) error { return book.remove(cmd.Context(), name) }),
		newAccountCommand("disable-second-factor NAME", "Let an account sign in with its password alone, after the device was lost", "account %s has no second factor, and its sessions are over\n",
			func(cmd *cobra.Command, book accountBook, name string) error {
				return book.disableSecondFactor(cmd.Context(), name)
			}),
		newSetupLinkCommand())
	return cmd
}

// withAccounts runs fn on the accounts that the flags name.
func withAccounts(cmd *cobra.Command, fn func(book accountBook) error) error {
	book, err := openAccountBook(cmd)
	if err != nil {
		return err
	}
	return errors.Join(fn(book), book.close())
}

// newAccountCommand returns a command that does one thing to one account; done is
// said afterwards.
func newAccountCommand(use, short, done string, act func(cmd *cobra.Command, book accountBook, name string) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  oneWord("NAME"),
		RunE: func(cmd *cobra.Command, words []string) error {
			return withAccounts(cmd, func(book accountBook) error {
				if err := act(cmd, book, words[0]); err != nil {
					return err
				}
				return say(cmd, done, words[0])
			})
		},
	}
}

// say tells a person what was done, on standard error: standard output is for
// programs.
func say(cmd *cobra.Command, format string, args ...any) error {
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), format, args...)
	return err
}

// oneWord wants one argument, and says what it is.
func oneWord(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, words []string) error {
		switch {
		case len(words) == 0:
			return usagef("%s: %s is missing", cmd.CommandPath(), what)
		case len(words) > 1:
			return usagef("%s takes one %s, and not %q as well", cmd.CommandPath(), what, words[1])
		}
		return nil
	}
}

func newAdminListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the accounts",
		Args:  noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withAccounts(cmd, func(book accountBook) error {
				accounts, err := book.list(cmd.Context())
				if err != nil {
					return err
				}
				return writeList(cmd, accountColumns, accounts)
			})
		},
	}
}

var accountColumns = []column[account.Account]{
	{title: "NAME", name: "name", text: func(a account.Account) string { return a.Name }, fit: fit{min: 12}},
	{title: "ROLE", name: "role", text: func(a account.Account) string { return string(a.Role) }},
	{title: "DISABLED", name: "disabled", text: func(a account.Account) string { return strconv.FormatBool(a.Disabled) }, shown: func(a account.Account) string { return yesNo(a.Disabled) }},
	{title: "SECOND FACTOR", name: "secondFactor", text: func(a account.Account) string { return strconv.FormatBool(a.SecondFactor) }, shown: func(a account.Account) string { return yesNo(a.SecondFactor) }},
	{title: "LAST LOGIN", name: "lastLogin", text: func(a account.Account) string { return csvTime(a.LastLogin) }, shown: func(a account.Account) string { return localTime(a.LastLogin) }},
	{title: "CREATED", name: "createdAt", text: func(a account.Account) string { return csvTime(a.CreatedAt) }, shown: func(a account.Account) string { return localTime(a.CreatedAt) }, fit: fit{drop: 1}},
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func newAdminCreateCommand() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an account; its password is asked for, or read from standard input",
		Args:  oneWord("NAME"),
		Example: `  sentinel admin create alice --role operator
  openssl rand -base64 24 | tee alice.txt | sentinel admin create alice --role operator`,
		RunE: func(cmd *cobra.Command, words []string) error {
			parsed, err := account.ParseRole(role)
			if err != nil {
				return usagef("--role=%q: want viewer (reads), operator (changes bindings) or admin", role)
			}
			password, err := readPassword(cmd, "password of "+words[0])
			if err != nil {
				return err
			}
			return withAccounts(cmd, func(book accountBook) error {
				if err := book.create(cmd.Context(), words[0], parsed, password); err != nil {
					return err
				}
				return say(cmd, "account %s made, with the role %s\n", words[0], parsed)
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "viewer, operator or admin")
	completeRole(cmd)
	return cmd
}

func newAdminPasswordCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reset-password [NAME]",
		Short: "Give an account (admin, if none is named) another password, and end its sessions",
		Long: "Give an account another password, and end its sessions. The password is asked for, or read from standard input.\n\n" +
			"It works while the server runs, through the socket in its data directory, and when it does not. Where ADMIN_PASSWORD\n" +
			"is set, the account admin gets that one again at the next start.",
		Args: func(cmd *cobra.Command, words []string) error {
			if len(words) == 0 {
				return nil
			}
			return oneWord("NAME")(cmd, words)
		},
		RunE: func(cmd *cobra.Command, words []string) error {
			name := firstAccount
			if len(words) > 0 {
				name = words[0]
			}
			password, err := readPassword(cmd, "new password of "+name)
			if err != nil {
				return err
			}
			return withAccounts(cmd, func(book accountBook) error {
				if err := book.setPassword(cmd.Context(), name, password); err != nil {
					return err
				}
				return say(cmd, "account %s has a new password, and its sessions are over\n", name)
			})
		},
	}
}

func newSetupLinkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "setup-link",
		Short: "Print a new address at which the first account is made, once",
		Args:  noWords,
		RunE: withClient(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			if !c.IsLocal() {
				return usagef("setup-link works on the machine of the server alone: leave --%s and %s out", urlFlag, urlVariable)
			}
			var link setupLink
			if err := c.Do(cmd.Context(), http.MethodPost, setupLinkPath, nil, &link); err != nil {
				return err
			}
			if err := say(cmd, "good until %s, once; the one before is over\n", localTime(link.ExpiresAt.Truncate(time.Second))); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), link.Address)
			return err
		}),
	}
}

// completeRole completes the values of --role.
func completeRole(cmd *cobra.Command) {
	roles := []string{string(account.Viewer), string(account.Operator), string(account.Admin)}
	if err := cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roles, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the command has no such flag
	}
}
