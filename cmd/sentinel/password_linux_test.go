package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func TestPasswordIsAskedForTwiceAndNotShown(t *testing.T) {
	dir := makeData(t, 0)
	for _, test := range []struct {
		first, again string
		code         int
		text         string
	}{
		{testPassword, testPassword + "x", exitUsage, "not the same"},
		{"", "", exitUsage, "is empty"},
		{"\x03", "", exitFailure, "no password was given"}, // Ctrl-C
		{testPassword, testPassword, exitOK, "account alice made"},
	} {
		term := newTerminal(t, 80)
		code := term.run("admin", "create", "alice", "--role", "admin", "--data-dir", dir)
		term.see("password of alice: ")
		term.enter(test.first)
		if test.again != "" {
			term.see("again: ")
			term.enter(test.again)
		}
		if got := <-code; got != test.code {
			t.Errorf("%q, %q: got %d, want %d", test.first, test.again, got, test.code)
		}
		term.see(test.text)
		if screen := term.screen.String(); strings.Contains(screen, testPassword) {
			t.Errorf("the password is on the screen: %q", screen)
		}
	}
}

func TestAnInterruptGivesTheTerminalBack(t *testing.T) {
	term := newTerminal(t, 80)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := new(cobra.Command)
	cmd.SetContext(ctx)
	cmd.SetErr(term.tty)
	before, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
	must(t, err)
	asked := make(chan error, 1)
	go func() {
		_, err := askPassword(cmd, term.tty, "password")
		asked <- err
	}()
	term.see("password: ")
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	after, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
	must(t, err)
	if *after != *before || after.Lflag&unix.ECHO == 0 {
		t.Errorf("got %+v, want %+v", after, before)
	}
	term.enter("for the read that was left behind")
}
