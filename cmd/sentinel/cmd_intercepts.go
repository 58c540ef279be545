package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/store"
)

const (
	followEvery  = time.Second
	followLimit  = 1000
	tableTime    = "2006-01-02 15:04:05"
	outputTable  = "table"
	outputJSON   = "json"
	maxTailLines = 1000
)

// newInterceptsCommand returns `sentinel intercepts`.
func newInterceptsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "intercepts", Short: "Read the records of refused requests", Args: cobra.NoArgs}
	cmd.AddCommand(newInterceptsTailCommand())
	return cmd
}

func newInterceptsTailCommand() *cobra.Command {
	t := &interceptTail{}
	var dataDir string
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the newest records of the server that runs on this machine",
		Args:  cobra.NoArgs,
		Example: `  sentinel intercepts tail
  sentinel intercepts tail --follow --output json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if t.output != outputTable && t.output != outputJSON {
				return usagef("--output %q: want %s or %s", t.output, outputTable, outputJSON)
			}
			if t.lines < 1 || t.lines > maxTailLines {
				return usagef("--lines %d: want 1 to %d", t.lines, maxTailLines)
			}
			dir, err := dataDirOf(cmd, dataDir)
			if err != nil {
				return err
			}
			t.client, t.out = localClient(dir), cmd.OutOrStdout()
			return t.run(cmd.Context())
		},
	}
	cmd.Flags().IntVarP(&t.lines, "lines", "n", 20, "how many records to begin with")
	cmd.Flags().BoolVarP(&t.follow, "follow", "f", false, "go on with those that come")
	cmd.Flags().StringVarP(&t.output, "output", "o", outputTable, "table or json (one record a line)")
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "data directory of the server (default: SENTINEL_DATA_DIR)")
	return cmd
}

// interceptTail prints records as they come.
type interceptTail struct {
	client *http.Client
	out    io.Writer
	lines  int
	follow bool
	output string
}

func (t *interceptTail) run(ctx context.Context) error {
	recs, err := t.fetch(ctx, fmt.Sprintf("limit=%d", t.lines))
	if err != nil {
		return err
	}
	if t.output == outputTable {
		if _, err := fmt.Fprintf(t.out, "%-19s  %5s  %-15s  %-14s  %-39s  %s\n", "TIME (UTC)", "COUNT", "REASON", "KEY", "CLIENT IP", "REQUEST"); err != nil {
			return err
		}
	}
	last, err := t.print(recs, 0)
	for err == nil && t.follow {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
		if recs, err = t.fetch(ctx, fmt.Sprintf("limit=%d&after=%d", followLimit, last)); err == nil {
			last, err = t.print(recs, last)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// print writes records in the order in which they came, and returns the ID of
// the last one.
func (t *interceptTail) print(newestFirst []store.Intercept, last uint64) (uint64, error) {
	for _, rec := range slices.Backward(newestFirst) {
		if err := t.printOne(rec); err != nil {
			return last, fmt.Errorf("print intercept: %w", err)
		}
		last = rec.ID
	}
	return last, nil
}

func (t *interceptTail) printOne(rec store.Intercept) error {
	if t.output == outputJSON {
		return json.NewEncoder(t.out).Encode(rec)
	}
	_, err := fmt.Fprintf(t.out, "%-19s  %5d  %-15s  %-14s  %-39s  %s %s\n", rec.At.UTC().Format(tableTime), rec.Count, rec.Reason,
		rec.Hint, rec.ClientIP, rec.Method, printable(rec.Path))
	return err
}

// printable keeps what a client wrote from steering the terminal.
func printable(s string) string {
	return strings.Trim(fmt.Sprintf("%q", s), `"`)
}

func (t *interceptTail) fetch(ctx context.Context, query string) ([]store.Intercept, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://local/admin/api/logs?"+query, nil)
	if err != nil {
		return nil, err
	}
	res, err := t.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read intercepts: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Items  []store.Intercept `json:"items"`
		Detail string            `json:"detail"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("read intercepts: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read intercepts: %s: %s", res.Status, answer.Detail)
	}
	return answer.Items, nil
}
