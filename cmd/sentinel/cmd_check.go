package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// Results of one check, from best to worst.
const (
	checkOK   = "ok"
	checkWarn = "warn"
	checkFail = "fail"
)

// checkTimeout bounds each thing that a check waits for.
const checkTimeout = 10 * time.Second

func newCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look at settings, data, servers, ports and gateway, and say what is wrong: exit code 1 if anything is",
		Long: "Look at settings, data, PostgreSQL, Redis, ports and gateway, beside a running server or before a start, and say what is wrong.\n\n" +
			"Give it the settings that the server has: the same file, environment and flags. It asks the gateway for /v1/models\n" +
			"without a key. Where no server runs it opens the data file as a start does, which brings an older format to the current one.",
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			form, err := outputForm(cmd, outputTable, outputJSON)
			if err != nil {
				return err
			}
			c := &checker{}
			c.run(cmd.Context(), sourcesOf(cmd))
			if err := cmd.Context().Err(); err != nil {
				return context.Cause(cmd.Context())
			}
			if err := c.print(cmd, form); err != nil {
				return err
			}
			if n := c.count(checkFail); n > 0 {
				return fmt.Errorf("%d of %d checks failed", n, len(c.findings))
			}
			return nil
		},
	}
	addSettingFlags(cmd)
	cmd.Flags().StringP(outputFlag, "o", outputTable, "table or json")
	return cmd
}

// checker gathers what it finds.
type checker struct {
	findings []finding

	cfg  *Config
	runs bool // a server runs on the data directory
}

// finding is the result of one check.
type finding struct {
	Result string `json:"result"`
	Check  string `json:"check"`
	Detail string `json:"detail"`
}

func (c *checker) add(result, check, format string, args ...any) {
	c.findings = append(c.findings, finding{result, check, fmt.Sprintf(format, args...)})
}

func (c *checker) ok(check, format string, args ...any)   { c.add(checkOK, check, format, args...) }
func (c *checker) warn(check, format string, args ...any) { c.add(checkWarn, check, format, args...) }
func (c *checker) fail(check, format string, args ...any) { c.add(checkFail, check, format, args...) }

func (c *checker) count(result string) int {
	n := 0
	for _, f := range c.findings {
		if f.Result == result {
			n++
		}
	}
	return n
}

// run looks at everything, in the order in which a start needs it. Faults of the
// settings leave nothing to look at.
func (c *checker) run(ctx context.Context, src sources) {
	var warnings []string
	var err error
	c.cfg, warnings, err = loadConfig(src)
	for _, w := range warnings {
		c.warn("settings", "%s", w)
	}
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			c.fail("settings", "%s", strings.TrimSpace(line))
		}
		return
	}
	if len(warnings) == 0 {
		c.ok("settings", "%d given, no fault", len(c.cfg.given))
	}
	c.runs = serverRuns(ctx, c.cfg.DataDir)
	for _, check := range []func(context.Context){
		c.checkDataDir, c.checkStore, c.checkPostgres, c.checkRedis, c.checkListeners, c.checkCertificate, c.checkDownstream, c.checkDirect, c.checkMode, c.checkProxies, c.checkAdmin, c.checkAlerts,
	} {
		if ctx.Err() != nil {
			return
		}
		limited, cancel := context.WithTimeout(ctx, checkTimeout)
		check(limited)
		cancel()
	}
}

func (c *checker) print(cmd *cobra.Command, form string) error {
	if form == outputJSON {
		worst := checkOK
		for _, result := range []string{checkWarn, checkFail} {
			if c.count(result) > 0 {
				worst = result
			}
		}
		return writeAsJSON(cmd.OutOrStdout(), map[string]any{"result": worst, "checks": c.findings})
	}
	for _, f := range c.findings {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%-4s  %-14s  %s\n", f.Result, f.Check, client.Printable(f.Detail)); err != nil {
			return err
		}
	}
	return nil
}

// causeOf returns what is at the bottom of an error of the network, without the
// addresses that a finding names already.
func causeOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
