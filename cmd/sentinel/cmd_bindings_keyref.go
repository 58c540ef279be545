package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
)

const (
	// minKeyLength is how long an argument is that is rather a key than a part of
	// a hint, which has few characters on either side of its ….
	minKeyLength = 12
	// listedMatches is how many bindings an error names where a hint has several.
	listedMatches = 20
)

var hashPattern = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// looksLikeKey reports whether s is rather a whole key than a part of a hint.
func looksLikeKey(s string) bool {
	return !strings.Contains(withEllipsis(s), "…") && len(strings.TrimPrefix(s, "sk-")) >= minKeyLength
}

// withEllipsis lets people write the … of a hint with dots.
func withEllipsis(s string) string { return strings.ReplaceAll(s, "...", "…") }

// wholeKeyError does not repeat the key: errors end in logs and scrollbacks.
func wholeKeyError(place string) error {
	return usagef("%s looks like a whole key, and arguments can be read by everybody on this machine and stay in the shell's history: "+
		"pipe the key into the command and give - instead, as in: sentinel bindings show - < file; "+
		"if it is a part of a hint, give fewer characters than %d", place, minKeyLength)
}

// readKey reads a whole key from standard input. On a terminal it asks for it,
// and does not show it.
func readKey(cmd *cobra.Command) (string, error) {
	raw, err := readKeyText(cmd)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	key := strings.TrimSpace(raw)
	switch {
	case key == "":
		return "", usagef("standard input has no key; want it as in: sentinel bindings show - < file")
	case len(key) > credential.MaxValueBytes:
		return "", usagef("standard input has more than the %d bytes of a key", credential.MaxValueBytes)
	case strings.ContainsAny(key, "\r\n"):
		return "", usagef("standard input has more than one line; want one key")
	}
	return key, nil
}

func readKeyText(cmd *cobra.Command) (string, error) {
	in := fileOf(cmd.InOrStdin())
	if !isTerminal(in) {
		raw, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), credential.MaxValueBytes+2))
		return string(raw), err
	}
	return askKey(cmd, in)
}

// askKey has a person type or paste a key.
func askKey(cmd *cobra.Command, in *os.File) (string, error) {
	return onTerminal(cmd, in, func(terminal *term.Terminal) (string, error) {
		key, err := terminal.ReadPassword("Key: ")
		if errors.Is(err, io.EOF) { // Ctrl-C or Ctrl-D: nothing was typed
			err = nil
		}
		return key, err
	})
}

// checkKeyRef refuses arguments that name no key. n counts them from 1.
func checkKeyRef(ref string, n int) error {
	switch {
	case strings.TrimSpace(ref) == "":
		return usagef("argument %d is empty; want a key hash, a part of a hint, or - for a key on standard input", n)
	case ref != "-" && !hashPattern.MatchString(ref) && looksLikeKey(ref):
		return wholeKeyError(fmt.Sprintf("argument %d", n))
	}
	return nil
}

// keyRefs is cobra's check of arguments that name keys: at least one.
func keyRefs(cmd *cobra.Command, refs []string) error {
	if len(refs) == 0 {
		return usagef("%s: which key? want a key hash, a part of a hint, or - for a key on standard input", cmd.CommandPath())
	}
	stdin := 0
	for i, ref := range refs {
		if err := checkKeyRef(ref, i+1); err != nil {
			return err
		}
		if ref == "-" {
			stdin++
		}
	}
	if stdin > 1 {
		return usagef("- stands there %d times, and standard input has one key", stdin)
	}
	return nil
}

// oneKeyRef is cobra's check of the one argument that names a key.
func oneKeyRef(cmd *cobra.Command, refs []string) error {
	if len(refs) > 1 {
		return usagef("%s takes one key, and not %d; a hint with spaces is none", cmd.CommandPath(), len(refs))
	}
	return keyRefs(cmd, refs)
}

// resolve returns the binding that an argument names. Of a key hash nothing else
// is known, and whether it is bound shows later.
func resolve(cmd *cobra.Command, c *client.Client, ref string) (client.Binding, error) {
	switch {
	case hashPattern.MatchString(ref):
		return client.Binding{Hash: strings.ToLower(ref)}, nil
	case ref == "-":
		key, err := readKey(cmd)
		if err != nil {
			return client.Binding{}, err
		}
		return resolveKey(cmd.Context(), c, key)
	}
	return resolveHint(cmd.Context(), c, ref)
}

func resolveKey(ctx context.Context, c *client.Client, key string) (client.Binding, error) {
	found, err := c.FindKey(ctx, key)
	if err != nil {
		return client.Binding{}, err
	}
	if len(found.Bindings) == 0 {
		return client.Binding{}, notFoundf("the key on standard input is not bound; its key hash is %s", client.Printable(found.Key.Hash))
	}
	return found.Bindings[0], nil
}

// resolveHint wants one binding whose hint has the part, or is it.
func resolveHint(ctx context.Context, c *client.Client, part string) (client.Binding, error) {
	part = withEllipsis(part)
	var (
		matches, exact []client.Binding
		total          int
	)
	for page, err := range c.Bindings(ctx, client.BindingFilter{Hint: part}, "hint", "asc", client.MaxPage) {
		if err != nil {
			return client.Binding{}, err
		}
		total = page.Total
		for _, item := range page.Items {
			matches = append(matches, item.Value)
			if item.Value.Hint == part {
				exact = append(exact, item.Value)
			}
		}
	}
	return pick(part, matches, exact, total)
}

// pick takes the only match, or the only one whose hint is what was asked for.
func pick(part string, matches, exact []client.Binding, total int) (client.Binding, error) {
	switch {
	case len(matches) == 1:
		return matches[0], nil
	case len(exact) == 1:
		return exact[0], nil
	case len(matches) == 0:
		return client.Binding{}, notFoundf("no binding has a hint with %q in it", part)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s bindings have a hint with %q in it; name one by its key hash:", grouped(max(total, len(matches))), part)
	for _, m := range matches[:min(len(matches), listedMatches)] {
		b.WriteString("\n" + strings.TrimRight(strings.Join([]string{m.Hash, client.Printable(m.Hint), client.Printable(m.Label)}, "  "), " "))
	}
	if len(matches) > listedMatches {
		b.WriteString("\n…")
	}
	return client.Binding{}, &notFoundError{fmt.Errorf("%s", b.String())}
}
