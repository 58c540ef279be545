package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
)

// bindingEditFlags are the flags that say how a binding is to be.
type bindingEditFlags struct {
	rule   ruleFlags
	label  string
	note   string
	create bool
	hint   string
}

func newBindingsSetCommand() *cobra.Command {
	f := &bindingEditFlags{}
	cmd := &cobra.Command{
		Use: "set KEYREF", Args: oneKeyRef,
		Short: "Change the rule, label or note of a binding, or make one ahead of the first use",
		Long: "Change the rule, label or note of a binding; what no flag names stays as it is. The change is in force on the next\n" +
			"request, and cuts open streams that it does not let pass. If somebody else changes the binding at the same time,\n" +
			"nothing is changed and the exit code is 4.\n\n" +
			"With --create, a key that is not bound is bound, which needs a rule.",
		Example: `  sentinel bindings set 9fQ2 --prefix 10.1.0.0/16 --prefix 2001:db8::/32
  sentinel bindings set 9fQ2 --network office --network vpn --prefix 10.0.0.0/8
  sentinel bindings set 9fQ2 --learn 3/24h
  sentinel bindings set 9fQ2 --rule all --note "on call: phones"
  sentinel bindings set - --create --prefix 10.0.0.7 --label billing < key.txt`,
		RunE: func(cmd *cobra.Command, refs []string) error { return f.run(cmd, refs[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.rule.add(cmd)
	flags.StringVar(&f.label, "label", "", "what you call the key; empty takes it away")
	flags.StringVar(&f.note, "note", "", "what there is to say of it; empty takes it away")
	flags.BoolVar(&f.create, "create", false, "bind the key if it is not bound")
	flags.StringVar(&f.hint, "hint", "", "with --create and a key hash: a few characters to know the key by")
	return cmd
}

func (f *bindingEditFlags) run(cmd *cobra.Command, ref string) error {
	form, err := outputForm(cmd, outputTable, outputJSON)
	if err != nil {
		return err
	}
	edit, err := f.edit(cmd)
	if err != nil {
		return err
	}
	if err := f.check(cmd, ref, edit); err != nil {
		return err
	}
	c, err := clientOf(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	item, err := f.apply(cmd, c, ref, edit)
	if err != nil {
		return err
	}
	warn(cmd, item.Value.Warnings)
	return writeBinding(cmd, form, item)
}

// edit returns what the flags say to change.
func (f *bindingEditFlags) edit(cmd *cobra.Command) (client.BindingEdit, error) {
	var edit client.BindingEdit
	if cmd.Flags().Changed("label") {
		edit.Label = &f.label
	}
	if cmd.Flags().Changed("note") {
		edit.Note = &f.note
	}
	var err error
	edit.Rule, err = f.rule.rule()
	return edit, err
}

func (f *bindingEditFlags) check(cmd *cobra.Command, ref string, edit client.BindingEdit) error {
	switch {
	case edit == (client.BindingEdit{}):
		return usagef("%s: nothing to change; want --rule, --prefix, --network, --learn, --label or --note", cmd.CommandPath())
	case f.create && edit.Rule == nil:
		return usagef("--create needs --prefix, --network, --learn or --rule all: where may the key be used from?")
	case f.create && ref != "-" && !hashPattern.MatchString(ref):
		return usagef("--create needs a key hash, or - for a key on standard input: a hint is not enough to know a key by")
	case f.hint != "" && (!f.create || ref == "-"):
		return usagef("--hint goes with --create and a key hash; the hint of a key is made of it")
	case looksLikeKey(f.hint):
		return wholeKeyError("--hint")
	}
	return nil
}

// apply makes the change, if the binding is still the one that was looked at.
func (f *bindingEditFlags) apply(cmd *cobra.Command, c *client.Client, ref string, edit client.BindingEdit) (client.Item[client.Binding], error) {
	if f.create {
		return f.applyOrCreate(cmd, c, ref, edit)
	}
	b, err := resolve(cmd, c, ref)
	if err != nil {
		return client.Item[client.Binding]{}, err
	}
	if b.Revision == 0 { // named by its hash, and not looked at yet
		item, err := c.Binding(cmd.Context(), b.Hash)
		if err != nil {
			return client.Item[client.Binding]{}, notBound(err, b.Hash)
		}
		b = item.Value.Binding
	}
	item, err := c.EditBinding(cmd.Context(), b.Hash, b.Revision, edit)
	if err != nil {
		return item, notBound(err, b.Hash)
	}
	return item, nil
}

func (f *bindingEditFlags) applyOrCreate(cmd *cobra.Command, c *client.Client, ref string, edit client.BindingEdit) (client.Item[client.Binding], error) {
	b := client.NewBinding{Hash: strings.ToLower(ref), Hint: f.hint, Label: f.label, Note: f.note, Rule: *edit.Rule}
	var bound client.Binding
	if ref == "-" {
		key, err := readKey(cmd)
		if err != nil {
			return client.Item[client.Binding]{}, err
		}
		found, err := c.FindKey(cmd.Context(), key)
		if err != nil {
			return client.Item[client.Binding]{}, err
		}
		b.Key, b.Hash, bound.Hash = key, "", found.Key.Hash
		if len(found.Bindings) > 0 {
			bound = found.Bindings[0]
		}
	} else {
		item, err := c.Binding(cmd.Context(), b.Hash)
		if err != nil && exitCodeOf(err) != exitNotFound {
			return client.Item[client.Binding]{}, err
		}
		bound = item.Value.Binding
	}
	if bound.Revision != 0 {
		return c.EditBinding(cmd.Context(), bound.Hash, bound.Revision, edit)
	}
	return c.CreateBinding(cmd.Context(), b)
}
