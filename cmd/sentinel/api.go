package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// Exit codes of the commands that speak to a server, beside those in main.go.
const (
	exitNotFound    = 3 // what was named is not there, or is several
	exitRefused     = 4 // the server will not: not allowed, changed meanwhile, in conflict, not valid
	exitUnreachable = 5 // the server cannot be reached, or went away
	exitWouldRefuse = 6 // sentinel bindings explain: the request would be refused
)

// What the commands read from the environment that is no setting of the server.
const (
	urlVariable   = "SENTINEL_URL"
	tokenVariable = "SENTINEL_TOKEN"
)

// Flags of the commands that speak to a server.
const (
	urlFlag       = "url"
	tokenFileFlag = "token-file"
	caFileFlag    = "ca-file"
	dataDirFlag   = "data-dir"
	outputFlag    = "output"
	timeoutFlag   = "timeout"
)

const maxTokenFileBytes = 16 << 10

// addClientFlags gives a command, and all below it, the flags that name the
// server and the form of the output.
func addClientFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.SortFlags = false
	flags.String(urlFlag, "", "speak to the server at this address, e.g. https://sentinel.example.com ("+urlVariable+");\nwithout it, to the one that runs on the data directory of this machine")
	flags.String(tokenFileFlag, "", "file with the API token for --url; the variable "+tokenVariable+" takes the token itself")
	flags.String(caFileFlag, "", "file with certificates (PEM) that --url's server may be signed by, instead of the system's")
	flags.String(dataDirFlag, "", "data directory of the server on this machine (SENTINEL_DATA_DIR)")
	flags.Duration(timeoutFlag, client.DefaultAnswerTimeout, "how long the server may take to begin an answer, except for long\nwork such as imports; 0: as long as it wants")
	flags.StringP(outputFlag, "o", outputTable, "table, json or csv")
}

// withClient makes what speaks to the server, which needs nothing before it, the
// work of a command.
func withClient(work func(cmd *cobra.Command, c *client.Client, words []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, words []string) error {
		c, err := clientOf(cmd)
		if err != nil {
			return err
		}
		defer c.Close()
		return work(cmd, c, words)
	}
}

// withClientAndForm does the same for what prints a table or JSON.
func withClientAndForm(work func(cmd *cobra.Command, c *client.Client, form string, words []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, words []string) error {
		form, err := outputForm(cmd, outputTable, outputJSON)
		if err != nil {
			return err
		}
		return withClient(func(cmd *cobra.Command, c *client.Client, words []string) error {
			return work(cmd, c, form, words)
		})(cmd, words)
	}
}

// clientOf returns the client that the flags of addClientFlags and the
// environment ask for. The token is taken from a file or the environment and
// never from a flag: everybody on a machine can read the arguments of a process.
func clientOf(cmd *cobra.Command) (*client.Client, error) {
	// A reader of the output that has seen enough is told of by an error of the
	// write, and not by a signal that ends the program with a code of its own.
	signal.Ignore(syscall.SIGPIPE)
	opts, err := clientOptions(cmd)
	if err != nil {
		return nil, err
	}
	address, dir, tokenFile := flagText(cmd, urlFlag), flagText(cmd, dataDirFlag), flagText(cmd, tokenFileFlag)
	switch {
	case address != "" && dir != "":
		return nil, usagef("--%s and --%s: want one of them", urlFlag, dataDirFlag)
	case address == "" && dir == "":
		address = os.Getenv(urlVariable)
	}
	if address == "" {
		if tokenFile != "" || opts.RootCAs != nil {
			return nil, usagef("--%s and --%s are for a server that --%s or %s names; the one on this machine needs neither",
				tokenFileFlag, caFileFlag, urlFlag, urlVariable)
		}
		if dir, err = dataDirOf(cmd, dir); err != nil {
			return nil, err
		}
		return client.Local(dir, opts), nil
	}
	token, err := tokenOf(tokenFile)
	if err != nil {
		return nil, err
	}
	c, err := client.Remote(address, token, opts)
	if err != nil {
		return nil, usagef("--%s or %s: %w; want the address of the server, e.g. https://sentinel.example.com", urlFlag, urlVariable, err)
	}
	if c.SendsTokenInTheClear() {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "sentinel: warning: the token goes to %s unencrypted; use https where others could listen\n", c.Place())
	}
	return c, nil
}

func clientOptions(cmd *cobra.Command) (client.Options, error) {
	opts := client.Options{UserAgent: "sentinel/" + currentBuild().Version}
	timeout, err := cmd.Flags().GetDuration(timeoutFlag)
	switch {
	case err != nil:
		return opts, err
	case timeout < 0:
		return opts, usagef("--%s=%s: want 0 or more, e.g. 30s", timeoutFlag, timeout)
	case timeout == 0:
		opts.AnswerTimeout = -1
	default:
		opts.AnswerTimeout = max(timeout, time.Millisecond)
	}
	path := flagText(cmd, caFileFlag)
	if path == "" {
		return opts, nil
	}
	raw, err := os.ReadFile(path) //nolint:gosec // G304: the person who runs the command names the file
	if err != nil {
		return opts, usagef("--%s: %w", caFileFlag, err)
	}
	opts.RootCAs = x509.NewCertPool()
	if !opts.RootCAs.AppendCertsFromPEM(raw) {
		return opts, usagef("--%s=%q: no certificate in it; want PEM, which begins with -----BEGIN CERTIFICATE-----", caFileFlag, path)
	}
	return opts, nil
}

// tokenOf reads the API token. No message repeats any of it.
func tokenOf(path string) (string, error) {
	if path == "" {
		token := os.Getenv(tokenVariable)
		if token == "" {
			return "", usagef("no API token: set %s to it, or name a file that has it with --%s; make one with sentinel token create",
				tokenVariable, tokenFileFlag)
		}
		token, err := client.CheckToken(token)
		if err != nil {
			return "", usagef("%s: %w", tokenVariable, err)
		}
		return token, nil
	}
	file, err := os.Open(path) //nolint:gosec // G304: the person who runs the command names the file
	if err != nil {
		return "", usagef("--%s: %w", tokenFileFlag, err)
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, maxTokenFileBytes))
	if err != nil {
		return "", usagef("--%s: %w", tokenFileFlag, err)
	}
	token, err := client.CheckToken(string(raw))
	if err != nil {
		return "", usagef("--%s=%q: %w", tokenFileFlag, path, err)
	}
	return token, nil
}

// flagText returns the value of a flag; empty if the command has none of that
// name.
func flagText(cmd *cobra.Command, name string) string {
	if flag := cmd.Flags().Lookup(name); flag != nil {
		return flag.Value.String()
	}
	return ""
}

// notFoundError is something named on the command line that is not there, or is
// several: exit code 3.
type notFoundError struct{ err error }

func (e *notFoundError) Error() string { return e.err.Error() }
func (e *notFoundError) Unwrap() error { return e.err }

func notFoundf(format string, args ...any) error {
	return &notFoundError{fmt.Errorf(format, args...)}
}

// exitCodeOf returns the exit code that an error of a command stands for.
func exitCodeOf(err error) int {
	var (
		usage       *usageError
		missing     *notFoundError
		refused     *wouldRefuseError
		problem     *client.Problem
		unreachable *client.UnreachableError
	)
	switch {
	case err == nil, errors.Is(err, errReaderGone):
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &missing):
		return exitNotFound
	case errors.As(err, &refused):
		return exitWouldRefuse
	case errors.As(err, &unreachable):
		return exitUnreachable
	case errors.As(err, &problem):
		return exitCodeOfProblem(problem)
	}
	return exitFailure
}

// exitCodeOfProblem takes a 404 for something that is not there only if
// Sentinel says so itself, with a code: it, or what stands before it, also
// answers 404 to those who may not reach the API at all.
func exitCodeOfProblem(p *client.Problem) int {
	switch {
	case p.Status == http.StatusNotFound && p.Code != "":
		return exitNotFound
	case p.Status >= 300 && p.Status <= 499:
		return exitRefused
	}
	return exitFailure
}
