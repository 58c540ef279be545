package main

import (
	"bufio"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// wouldRefuseError is the answer that a request would be refused: exit code 6.
type wouldRefuseError struct{ reason string }

func (e *wouldRefuseError) Error() string { return "refused: " + e.reason }

func newBindingsExplainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain KEYREF ADDRESS", Args: cobra.ArbitraryArgs,
		Short: "Say whether a key would pass from an address, and why",
		Long: "Say whether a key would pass from an address now, and why; nothing is changed, and the gateway is not asked. What it rests on, in\n" +
			"order: a ban, an exception, a blocked network, the rule. KEYREF - is a key on standard input, which need not be bound.\n\n" +
			"The exit code is 0 if it would pass, and 6 if it would be refused.",
		Example: `  sentinel bindings explain 9fQ2 198.51.100.7
  sentinel bindings explain - 198.51.100.7 < key.txt`,
		RunE: explainBinding,
	}
}

func explainBinding(cmd *cobra.Command, words []string) error {
	form, err := outputForm(cmd, outputTable, outputJSON)
	if err != nil {
		return err
	}
	if len(words) != 2 {
		return usagef("%s wants a key and an address, e.g. %s 9fQ2 198.51.100.7", cmd.CommandPath(), cmd.CommandPath())
	}
	if err := checkKeyRef(words[0], 1); err != nil {
		return err
	}
	c, err := clientOf(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	var key, hash string
	if words[0] == "-" {
		key, err = readKey(cmd)
	} else {
		var b client.Binding
		b, err = resolve(cmd, c, words[0])
		hash = b.Hash
	}
	if err != nil {
		return err
	}
	item, err := c.Explain(cmd.Context(), key, hash, words[1])
	if err != nil {
		return err
	}
	if err := writeExplanation(cmd, form, item); err != nil && !errors.Is(err, errReaderGone) {
		return err
	}
	if !item.Value.Passes {
		return &wouldRefuseError{client.Printable(item.Value.Reason)}
	}
	return nil
}

func writeExplanation(cmd *cobra.Command, form string, item client.Item[client.Explanation]) error {
	if form == outputJSON {
		return writeJSON(cmd.OutOrStdout(), item.Raw)
	}
	x := item.Value
	w := bufio.NewWriter(cmd.OutOrStdout())
	_, _ = w.WriteString(client.Printable(x.Sentence) + "\n") // errors come from Flush
	writeField(w, "Passes", yesNo(x.Passes))
	for _, f := range []struct{ name, text string }{
		{"Reason", x.Reason}, {"Because", basisText(x.Basis)}, {"Network", x.Prefix}, {"Held", x.Held}, {"Missing", strings.Join(x.Missing, " ")},
	} {
		if f.text != "" {
			writeField(w, f.name, f.text)
		}
	}
	return w.Flush()
}
