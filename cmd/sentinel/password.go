package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// maxPasswordBytes is more than any password may have.
const maxPasswordBytes = 4096

// readPassword asks for a password twice, without showing it, or reads one line
// where standard input is no terminal. It is never an argument: everybody on the
// machine can read those.
func readPassword(cmd *cobra.Command, what string) (string, error) {
	in := fileOf(cmd.InOrStdin())
	if in == nil || !term.IsTerminal(int(in.Fd())) {
		raw, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxPasswordBytes+2))
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		line, rest, _ := strings.Cut(string(raw), "\n")
		line = strings.TrimSuffix(line, "\r")
		switch {
		case line == "":
			return "", usagef("the password is empty; write it to standard input, as one line")
		case rest != "" || len(line) > maxPasswordBytes:
			return "", usagef("standard input has more than one line of at most %d bytes: want the password alone", maxPasswordBytes)
		}
		return line, nil
	}
	return askPassword(cmd, in, what)
}

// askPassword asks a person twice.
func askPassword(cmd *cobra.Command, in *os.File, what string) (string, error) {
	return onTerminal(cmd, in, func(terminal *term.Terminal) (string, error) { return askTwice(terminal, what) })
}

// onTerminal asks a person for something secret. What is typed is not shown, from
// before the question on. An interrupt gives the terminal back as it was.
func onTerminal(cmd *cobra.Command, in *os.File, ask func(*term.Terminal) (string, error)) (string, error) {
	fd := int(in.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return "", fmt.Errorf("read from the terminal: %w", err)
	}
	defer func() { _ = term.Restore(fd, before) }() // it was possible a moment ago
	type typed struct {
		text string
		err  error
	}
	done := make(chan typed, 1)
	go func() { // a read from a terminal cannot be broken off: at an interrupt it is left behind
		text, err := ask(term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{in, cmd.ErrOrStderr()}, ""))
		done <- typed{text, err}
	}()
	select {
	case t := <-done:
		return t.text, t.err
	case <-cmd.Context().Done():
		return "", context.Cause(cmd.Context())
	}
}

func askTwice(terminal *term.Terminal, what string) (string, error) {
	first, err := terminal.ReadPassword(what + ": ")
	if err == nil && first != "" {
		var again string
		if again, err = terminal.ReadPassword("again: "); err == nil && first != again {
			return "", usagef("the two are not the same")
		}
	}
	switch {
	case errors.Is(err, io.EOF): // Ctrl-C or Ctrl-D
		return "", errors.New("no password was given")
	case err != nil:
		return "", fmt.Errorf("read password: %w", err)
	case first == "":
		return "", usagef("the password is empty")
	}
	return first, nil
}
