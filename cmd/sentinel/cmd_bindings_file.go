package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

var (
	importFormats   = []string{"csv", "json"}
	exportFormats   = []string{"csv", "json", "jsonl"}
	importConflicts = []string{"refuse", "skip", "replace"}
)

func newBindingsImportCommand() *cobra.Command {
	var o client.ImportOptions
	cmd := &cobra.Command{
		Use: "import FILE", Args: cobra.ArbitraryArgs,
		Short: "Bind the keys of a file: all of them, or none if one row is wrong",
		Long: "Bind the keys of a CSV or JSON file: all of them, or none if one row is wrong; up to 100 faults are listed with their rows.\n" +
			"FILE - is standard input.\n\n" +
			"Columns: hash or key (one of them), hint, label, note, status, rule, prefixes (with spaces between them; @office is the\n" +
			"network office), learnUntil. The rule learn:3/24h learns up to 3 prefixes within 24 hours of the first use. JSON is an array or\n" +
			"one object a line with the same names. What sentinel bindings export writes can be read.",
		Example: `  sentinel bindings import team.csv --dry-run
  sentinel bindings import team.csv --on-conflict replace`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if len(files) != 1 {
				return usagef("%s wants one file, or - for standard input", cmd.CommandPath())
			}
			return importBindings(cmd, files[0], o)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.Format, "format", "", "csv or json, also JSON Lines; without it, what the name of the file says")
	flags.StringVar(&o.OnConflict, "on-conflict", "refuse", "what to do with keys that are bound: "+oneOf(importConflicts))
	flags.BoolVar(&o.DryRun, "dry-run", false, "check the file and count, and change nothing")
	flags.BoolVar(&o.ConfirmAnySource, "confirm-any-source", false, "0.0.0.0/0 and ::/0 in the file are meant")
	complete(cmd, "format", importFormats)
	complete(cmd, "on-conflict", importConflicts)
	return cmd
}

// formatOf returns the form of a file: what was asked for, or what its name
// says.
func formatOf(asked, path string, known []string, otherwise string) (string, error) {
	if asked != "" {
		if !slices.Contains(known, asked) {
			return "", usagef("--format=%q: want %s", asked, oneOf(known))
		}
		return asked, nil
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case ext == ".csv":
		return "csv", nil
	case ext == ".json", ext == ".jsonl" && !slices.Contains(known, "jsonl"):
		return "json", nil
	case ext == ".jsonl":
		return "jsonl", nil
	}
	if otherwise == "" {
		return "", usagef("--format is missing, and the name of the file does not say it; want %s", oneOf(known))
	}
	return otherwise, nil
}

func importBindings(cmd *cobra.Command, path string, o client.ImportOptions) error {
	form, err := outputForm(cmd, outputTable, outputJSON)
	if err != nil {
		return err
	}
	if o.Format, err = formatOf(o.Format, path, importFormats, ""); err != nil {
		return err
	}
	if !slices.Contains(importConflicts, o.OnConflict) {
		return usagef("--on-conflict=%q: want %s", o.OnConflict, oneOf(importConflicts))
	}
	c, err := clientOf(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	in, size, err := openImport(cmd, path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	progress := newProgress(cmd, true)
	defer progress.end()
	item, err := c.Import(cmd.Context(), watchUpload(in, size, progress), o)
	progress.end()
	if err != nil {
		return err
	}
	warn(cmd, item.Value.Warnings)
	if form == outputJSON {
		return writeJSON(cmd.OutOrStdout(), item.Raw)
	}
	r := item.Value
	would := ""
	if o.DryRun {
		would = "dry run, nothing was changed: "
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s%s rows: %s created, %s replaced, %s skipped\n",
		would, grouped(r.Rows), grouped(r.Created), grouped(r.Replaced), grouped(r.Skipped))
	return err
}

// openImport opens a file, - being standard input, and says how large it is;
// -1: nobody knows.
func openImport(cmd *cobra.Command, path string) (in io.ReadCloser, size int64, err error) {
	if path == "-" {
		return io.NopCloser(cmd.InOrStdin()), -1, nil
	}
	file, err := os.Open(path) //nolint:gosec // G304: the person who runs the command names the file
	if err != nil {
		return nil, 0, &usageError{err}
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return file, -1, nil
	}
	return file, info.Size(), nil
}

// watchUpload returns a reader that tells how much of a file has been sent;
// size -1: of how much is unknown.
func watchUpload(in io.Reader, size int64, progress *progress) io.Reader {
	return &countingReader{r: in, tell: func(n int64) {
		switch {
		case n == size:
			progress.say("all sent; the server checks and writes…")
		case size < 0:
			progress.show("%s bytes sent", grouped(n))
		default:
			progress.show("%s of %s bytes sent", grouped(n), grouped(size))
		}
	}}
}

func newBindingsExportCommand() *cobra.Command {
	var (
		filter bindingFilterFlags
		to     exportTarget
	)
	cmd := &cobra.Command{
		Use: "export [FILE]", Args: atMostOneFile,
		Short: "Write bindings to a file, which sentinel bindings import can read",
		Long: "Write bindings to a file, or to standard output, as CSV or JSON. sentinel bindings import can read it. The file is there\n" +
			"as a whole or not at all.",
		Example: `  sentinel bindings export bindings.csv
  sentinel bindings export --status banned --format jsonl | jq .hint`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := to.read(files, exportFormats); err != nil {
				return err
			}
			chosen, err := filter.read()
			if err != nil {
				return err
			}
			c, err := clientOf(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			return to.write(cmd, func() (*client.Response, error) { return c.Export(cmd.Context(), chosen, to.format) })
		},
	}
	filter.add(cmd)
	to.add(cmd, exportFormats)
	return cmd
}

func atMostOneFile(cmd *cobra.Command, files []string) error {
	if len(files) > 1 {
		return usagef("%s writes one file, and not %d", cmd.CommandPath(), len(files))
	}
	return nil
}

// exportTarget is where an export goes.
type exportTarget struct {
	path   string // empty: standard output
	format string
	force  bool
}

func (t *exportTarget) add(cmd *cobra.Command, formats []string) {
	cmd.Flags().StringVar(&t.format, "format", "", oneOf(formats)+"; without it, what the name of the file says, or csv")
	cmd.Flags().BoolVar(&t.force, "force", false, "replace a file that is there")
	complete(cmd, "format", formats)
}

func (t *exportTarget) read(files, formats []string) error {
	if len(files) == 1 && files[0] != "-" {
		t.path = files[0]
	}
	var err error
	t.format, err = formatOf(t.format, t.path, formats, "csv")
	return err
}

// write copies an export to where it goes.
func (t *exportTarget) write(cmd *cobra.Command, open func() (*client.Response, error)) error {
	// --output is for what commands say; the form of a file is --format.
	if flag := cmd.Flags().Lookup(outputFlag); flag != nil && flag.Changed {
		return usagef("--%s: an export has its form by --format", outputFlag)
	}
	out := cmd.OutOrStdout()
	screen := t.path == "" && isTerminal(out)
	progress := newProgress(cmd, !screen)
	defer progress.end()
	rows := &rowCounter{csv: t.format == "csv", tell: func(n int) { progress.show("%s rows", grouped(n)) }}
	pour := func(w io.Writer) error {
		res, err := open()
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		_, err = io.Copy(io.MultiWriter(w, rows), res.Body)
		return err
	}
	switch {
	case screen:
		return pour(&safeWriter{w: out})
	case t.path == "":
		return pour(out)
	}
	if err := writeFile(t.path, t.force, pour); err != nil {
		return err
	}
	progress.end()
	if isTerminal(cmd.ErrOrStderr()) {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s written\n", client.Printable(t.path))
	}
	return nil
}
