package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/store/postgres/legacy"
)

// refusedShown is how many rows are named that cannot be taken.
const refusedShown = 20

func newMigrateLegacyCommand() *cobra.Command {
	var schema string
	var dryRun bool
	names := []string{"SENTINEL_DATA_DIR", "PG_DSN", "SENTINEL_HMAC_SECRET", "SENTINEL_CREDENTIAL_PROFILE"}
	cmd := &cobra.Command{
		Use:   "from-legacy",
		Short: "Take over token_bindings and intercept_logs of the earlier deployment",
		Long: "Take over the tables token_bindings and intercept_logs of the earlier deployment into the data directory of a server that\n" +
			"is stopped. PG_DSN says where they are, as it did there; nothing in that database is changed. SENTINEL_HMAC_SECRET must be\n" +
			"that of the earlier deployment: then each key is found under the hash that it has there, decides as it did, and gets its new\n" +
			"hash when it is used.\n\n" +
			"Columns are found by their names, and told. Rows that cannot be taken are named, and make the exit code 1; all others are\n" +
			"taken. To run it again is safe: what is there stays as it is, and what was missing is added.",
		Example: `  sentinel migrate from-legacy --env-file .env --dry-run
  PG_DSN=postgresql+asyncpg://sentinel:…@127.0.0.1:5432/sentinel sentinel migrate from-legacy --data-dir /var/lib/key-ip-sentinel`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			form, cfg, err := migrateSettings(cmd, names, "that of the earlier deployment")
			if err != nil {
				return err
			}
			m := &legacyMigration{cfg: cfg, schema: schema, progress: newProgress(cmd, true)}
			m.report.DryRun = dryRun
			err = m.run(cmd.Context())
			m.progress.end()
			if errors.Is(err, legacy.ErrNoTable) {
				return fmt.Errorf("migrate: %w; --schema names another one", err)
			}
			if err != nil {
				return fmt.Errorf("migrate: %w", err)
			}
			return m.report.print(cmd, form)
		},
	}
	addSettingFlags(cmd, names...)
	cmd.Flags().StringVar(&schema, "schema", "public", "where the tables are")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be taken over, and change nothing")
	cmd.Flags().StringP(outputFlag, "o", outputTable, "table or json")
	return cmd
}

// legacyReport is what became of the rows.
type legacyReport struct {
	DryRun     bool          `json:"dryRun"`
	Columns    []string      `json:"columns"`
	Bindings   legacyCounts  `json:"bindings"`
	Intercepts legacyCounts  `json:"intercepts"`
	Refused    []legacyFault `json:"refused"` // the first ones
	Doubts     []legacyFault `json:"doubts"`  // likewise: taken, as it says
	doubts     int
}

type legacyCounts struct {
	Rows    int `json:"rows"`
	Taken   int `json:"taken"`
	There   int `json:"there"` // were there already
	Refused int `json:"refused"`
}

type legacyFault struct {
	Table  string `json:"table"`
	Row    int    `json:"row"`
	Hash   string `json:"hash,omitempty"`
	Reason string `json:"reason"`
}

func (r *legacyReport) refuse(c *legacyCounts, f legacyFault) {
	c.Refused++
	if len(r.Refused) < refusedShown {
		r.Refused = append(r.Refused, f)
	}
}

func (r *legacyReport) doubt(f legacyFault) {
	if r.doubts++; len(r.Doubts) < refusedShown {
		r.Doubts = append(r.Doubts, f)
	}
}

// print writes the report, and returns an error if rows were refused.
func (r *legacyReport) print(cmd *cobra.Command, form string) error {
	text, err := r.text()
	if form == outputJSON {
		return cmp.Or(writeAsJSON(cmd.OutOrStdout(), r), err)
	}
	_, writeErr := io.WriteString(cmd.OutOrStdout(), text)
	return cmp.Or(writeErr, err)
}

func (r *legacyReport) text() (string, error) {
	var b strings.Builder
	for _, line := range r.Columns {
		fmt.Fprintf(&b, "%s\n", client.Printable(line))
	}
	verb := "taken over"
	if r.DryRun {
		verb = "would be taken over"
	}
	for _, t := range []struct {
		what string
		n    legacyCounts
	}{{"bindings", r.Bindings}, {"intercepts", r.Intercepts}} {
		fmt.Fprintf(&b, "%s: %s rows, %s %s, %s there already, %s refused\n",
			t.what, grouped(t.n.Rows), grouped(t.n.Taken), verb, grouped(t.n.There), grouped(t.n.Refused))
	}
	for _, list := range []struct {
		title  string
		total  int
		faults []legacyFault
	}{{"refused", r.Bindings.Refused + r.Intercepts.Refused, r.Refused}, {"taken with doubts", r.doubts, r.Doubts}} {
		for _, f := range list.faults {
			fmt.Fprintf(&b, "%s: %s, row %d %s: %s\n", list.title, f.Table, f.Row, f.Hash, client.Printable(f.Reason))
		}
		if more := list.total - len(list.faults); more > 0 {
			fmt.Fprintf(&b, "%s: %s more\n", list.title, grouped(more))
		}
	}
	if n := r.Bindings.Refused + r.Intercepts.Refused; n > 0 {
		return b.String(), fmt.Errorf("%s rows cannot be taken over", grouped(n))
	}
	if !r.DryRun {
		b.WriteString("counted and read back; start sentinel with the same SENTINEL_HMAC_SECRET\n")
	}
	return b.String(), nil
}

// dataFileOf is where the data file of a directory is.
func dataFileOf(dir string) string { return filepath.Join(dir, dataFileName) }
