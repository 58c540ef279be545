package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var commandPages = []string{"docs/command-line.md", "docs/zh/command-line.md"}

var (
	shellFence  = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```")
	invocation  = regexp.MustCompile(`(?:^|[|(;]|docker exec sentinel)\s*sentinel( [^|;<>)#]*)`)
	flagNamed   = regexp.MustCompile(`(?:^|[\s\x60（(])(--?[a-z][a-z0-9-]*)`)
	inlineCode  = regexp.MustCompile("`([^`\n]+)`")
	commandWord = regexp.MustCompile(`^[a-z][a-z-]*$`)
)

// everyCommand visits the commands of the program that people see.
func everyCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && !c.IsAdditionalHelpTopicCommand() {
			visit(c)
			everyCommand(c, visit)
		}
	}
}

// flagsOf returns the names of a command's flags, with their dashes.
func flagsOf(cmd *cobra.Command) []string {
	var names []string
	add := func(f *pflag.Flag) {
		names = append(names, "--"+f.Name)
		if f.Shorthand != "" {
			names = append(names, "-"+f.Shorthand)
		}
	}
	cmd.InheritedFlags() // which has cobra gather them
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	return append(names, "--help", "-h")
}

// commandOf returns the command that the words of a line name. Words that name
// none are arguments.
func commandOf(root *cobra.Command, words []string) *cobra.Command {
	cmd, _, err := root.Find(words)
	if err != nil {
		return nil
	}
	return cmd
}

// TestCommandPagesNameWhatIsThere runs through every command line and every flag
// that the pages have.
func TestCommandPagesNameWhatIsThere(t *testing.T) {
	root := newRootCommand(nil)
	root.InitDefaultCompletionCmd("completion")
	var all []string
	everyCommand(root, func(c *cobra.Command) { all = append(all, flagsOf(c)...) })
	for _, page := range commandPages {
		raw, err := os.ReadFile(filepath.Join(repository, page))
		must(t, err)
		text, lines := string(raw), 0
		for _, fence := range shellFence.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(fence[1]) {
				for _, found := range invocation.FindAllStringSubmatch(strings.TrimSpace(line), -1) {
					lines++
					checkCommandLine(t, root, page, found[1])
				}
			}
		}
		if lines < 40 {
			t.Errorf("%s: found %d command lines", page, lines)
		}
		for _, code := range inlineCode.FindAllStringSubmatch(codeFence.ReplaceAllString(text, ""), -1) {
			for _, flag := range flagNamed.FindAllStringSubmatch(code[1], -1) {
				if !slices.Contains(all, flag[1]) {
					t.Errorf("%s speaks of %s, which is no flag", page, flag[1])
				}
			}
			if rest, ok := strings.CutPrefix(code[1], "sentinel "); ok {
				checkCommandLine(t, root, page, rest)
			}
		}
	}
}

func checkCommandLine(t *testing.T, root *cobra.Command, page, line string) {
	t.Helper()
	words := strings.Fields(line)
	cmd := commandOf(root, words)
	if cmd == nil || cmd == root {
		t.Errorf("%s: sentinel %s is no command", page, line)
		return
	}
	depth := strings.Count(cmd.CommandPath(), " ")
	if cmd.HasSubCommands() && len(words) > depth && commandWord.MatchString(words[depth]) {
		t.Errorf("%s: sentinel %s: %s is no command of %s", page, line, words[depth], cmd.CommandPath())
	}
	for _, flag := range flagNamed.FindAllStringSubmatch(" "+line, -1) {
		if !slices.Contains(flagsOf(cmd), flag[1]) {
			t.Errorf("%s: sentinel %s: %s has no flag %s", page, line, cmd.CommandPath(), flag[1])
		}
	}
}

// TestCommandPagesAreComplete wants every command on the pages, and every flag
// of those that are told of nowhere else.
func TestCommandPagesAreComplete(t *testing.T) {
	root := newRootCommand(nil)
	root.InitDefaultCompletionCmd("completion")
	for _, page := range commandPages {
		raw, err := os.ReadFile(filepath.Join(repository, page))
		must(t, err)
		everyCommand(root, func(c *cobra.Command) {
			if !regexp.MustCompile(regexp.QuoteMeta(c.CommandPath())+`\b`).Match(raw) && c.Name() != "help" {
				t.Errorf("%s does not speak of %s", page, c.CommandPath())
			}
			if path := c.CommandPath(); !strings.HasPrefix(path, "sentinel bindings") && !strings.HasPrefix(path, "sentinel logs") {
				return
			}
			for _, flag := range flagsOf(c) {
				if !regexp.MustCompile(regexp.QuoteMeta(flag)+`\b`).Match(raw) && flag != "--help" && flag != "-h" {
					t.Errorf("%s does not speak of %s of %s", page, flag, c.CommandPath())
				}
			}
		})
	}
}

// TestCommandPagesHaveTheExitCodes holds the tables against the code.
func TestCommandPagesHaveTheExitCodes(t *testing.T) {
	row := regexp.MustCompile(`(?m)^\| (\d+) \|`)
	want := []int{exitOK, exitFailure, exitUsage, exitNotFound, exitRefused, exitUnreachable, exitWouldRefuse, exitInterrupted}
	for _, page := range commandPages {
		raw, err := os.ReadFile(filepath.Join(repository, page))
		must(t, err)
		var got []int
		for _, found := range row.FindAllStringSubmatch(string(raw), -1) {
			code, err := strconv.Atoi(found[1])
			must(t, err)
			got = append(got, code)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has the exit codes %v, want %v", page, got, want)
		}
	}
}
