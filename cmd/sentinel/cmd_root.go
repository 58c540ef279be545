package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newRootCommand returns the command line. args are what it will be run with:
// unknown flags are looked for there, to report them together with all faults
// of the settings.
func newRootCommand(args []string) *cobra.Command {
	root := newServeCommand(args)
	root.Use = "sentinel"
	root.Long = "Key-IP Sentinel stands in front of an LLM gateway, and ties every API key to the network it is used from.\n\n" +
		"Without a command it serves. Every setting is a flag, a variable of the environment or a line of a .env file;\n" +
		"a flag beats the environment, which beats the file."
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SuggestionsMinimumDistance = 2
	root.Args = func(cmd *cobra.Command, words []string) error {
		if len(words) == 0 {
			return nil
		}
		if near := cmd.SuggestionsFor(words[0]); len(near) > 0 {
			return usagef("%q is no command; did you mean %s?", words[0], near[0])
		}
		return usagef("%q is no command; see sentinel --help", words[0])
	}
	addVersionFlag(root)
	root.SetUsageFunc(printUsage)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(newServeCommand(args), newVersionCommand(), newHealthcheckCommand(), newExplainIPCommand(), newHashCommand())
	root.AddCommand(newBindingsCommand(), newNetworksCommand(), newBlockedCommand(), newExceptionsCommand(), newReplayCommand(),
		newSuspicionsCommand(), newLogsCommand(), newNodesCommand(), newAlertsCommand(), newSettingsCommand(), newDemoCommand(), newDemoGatewayCommand())
	root.AddCommand(newAdminCommand(), newTokenCommand(), newCheckCommand(), newBackupCommand(), newRestoreCommand(), newCompactCommand(), newMigrateCommand())
	return root
}

// noWords refuses arguments that are no flags.
func noWords(cmd *cobra.Command, words []string) error {
	if len(words) > 0 {
		return usagef("%s takes flags only, and not %q", cmd.CommandPath(), words[0])
	}
	return nil
}

// flagValue is the text of a flag that stands for a setting.
type flagValue struct {
	text string
	form boundForm
}

func (v *flagValue) String() string     { return v.text }
func (v *flagValue) Set(s string) error { v.text = s; return nil }
func (v *flagValue) Type() string       { return strings.ReplaceAll(v.form.name.en, ", ", "|") }

// addSettingFlags gives a command the flags of settings: of the named ones, or
// of all.
func addSettingFlags(cmd *cobra.Command, names ...string) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.String("env-file", defaultEnvFile, "file of settings, NAME=value a line")
	for _, s := range settings {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		flag := flags.VarPF(&flagValue{form: s.value}, s.flag(), "", s.flagHelp())
		if s.value.isSet {
			flag.NoOptDefVal = "true"
		}
	}
}

func (s *setting) flagHelp() string {
	help := strings.ReplaceAll(strings.TrimSuffix(s.help.en, "."), "`", "") // which mean something to pflag
	if s.unused.en != "" {
		help += "; not used: " + s.unused.en
	}
	if s.def != "" {
		return fmt.Sprintf("%s (%s, default %s)", help, s.name, s.def)
	}
	return fmt.Sprintf("%s (%s)", help, s.name)
}

// sourcesOf returns where the settings of a command come from.
func sourcesOf(cmd *cobra.Command) sources {
	src := sources{flags: map[string]string{}, environ: os.Environ(), envFile: defaultEnvFile}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "env-file" {
			src.envFile, src.envFileNamed = f.Value.String(), true
		}
		for _, s := range settings {
			if _, isSetting := f.Value.(*flagValue); isSetting && s.flag() == f.Name {
				src.flags[s.name] = f.Value.String()
			}
		}
	})
	return src
}

// unknownFlags returns a fault for every argument that looks like a flag and is
// none. The parser can only stop at the first, or pass over all.
func unknownFlags(flags *pflag.FlagSet, args []string) []error {
	var (
		faults []error
		known  []string
	)
	flags.VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		if !strings.HasPrefix(args[i], "-") || args[i] == "-" || len(args[i]) == 2 && flags.ShorthandLookup(args[i][1:]) != nil {
			continue
		}
		name, _, hasValue := strings.Cut(args[i], "=")
		flag := flags.Lookup(strings.TrimPrefix(name, "--"))
		switch {
		case !strings.HasPrefix(name, "--") || flag == nil:
			faults = append(faults, fmt.Errorf("%.80s is no flag%s", name, didYouMean(name, known, "see sentinel --help")))
		case !hasValue && flag.NoOptDefVal == "":
			i++ // the next argument is the value
		}
	}
	return faults
}
