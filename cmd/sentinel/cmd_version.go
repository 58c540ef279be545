package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set by the linker in releases: -X main.version=v1.2.3.
var version, commit string

// build tells which program this is.
type build struct {
	Version  string
	Commit   string // empty if the program was built outside a repository
	Modified bool   // the tree had changes that are in no commit
	Go       string
}

func currentBuild() build {
	b := build{Version: version, Commit: commit, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b.orUnknown()
	}
	if b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b.orUnknown()
}

func (b build) orUnknown() build {
	if b.Version == "" {
		b.Version = "development"
	}
	return b
}

// String returns one line.
func (b build) String() string {
	from := "commit unknown"
	if b.Commit != "" {
		from = "commit " + b.Commit[:min(12, len(b.Commit))]
	}
	if b.Modified {
		from += " with changes"
	}
	return fmt.Sprintf("sentinel %s, %s, %s %s/%s", b.Version, from, b.Go, runtime.GOOS, runtime.GOARCH)
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  noWords,
		RunE:  printVersion,
	}
}

func printVersion(cmd *cobra.Command, _ []string) error {
	_, err := fmt.Fprintln(cmd.OutOrStdout(), currentBuild())
	return err
}

// addVersionFlag makes --version the same as the command. Cobra's own begins with
// the name once more, which only a template could change: see printUsage.
func addVersionFlag(cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag() // which stands before it
	asked := cmd.Flags().BoolP("version", "v", false, "version for "+cmd.Name())
	work := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		if *asked {
			return printVersion(cmd, words)
		}
		return work(cmd, words)
	}
}
