package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
)

// Where the secrets of channels may come from instead of standard input.
const (
	channelURLVariable      = "SENTINEL_CHANNEL_URL"
	channelSecretVariable   = "SENTINEL_CHANNEL_SECRET"
	channelPasswordVariable = "SENTINEL_CHANNEL_PASSWORD"
)

// channelSecret is one of the secrets of a channel that is to be read.
type channelSecret struct {
	name     string
	variable string
	optional bool
	put      func(s *client.ChannelSecrets, text *string)
}

func urlSecret() channelSecret {
	return channelSecret{name: "URL", variable: channelURLVariable, put: func(s *client.ChannelSecrets, text *string) { s.URL = text }}
}

func signingSecret(optional bool) channelSecret {
	return channelSecret{name: "secret", variable: channelSecretVariable, optional: optional, put: func(s *client.ChannelSecrets, text *string) { s.Secret = text }}
}

func passwordSecret() channelSecret {
	return channelSecret{name: "password", variable: channelPasswordVariable, put: func(s *client.ChannelSecrets, text *string) { s.Password = text }}
}

// secretsOfNew returns which secrets a new channel has.
func secretsOfNew(typ string, mail *client.Mail) []channelSecret {
	switch send.Type(typ) {
	case send.Email:
		if mail == nil || mail.Auth == "" {
			return nil
		}
		return []channelSecret{passwordSecret()}
	case send.WeCom, send.Slack: // whose URL is all there is
		return []channelSecret{urlSecret()}
	}
	return []channelSecret{urlSecret(), signingSecret(true)}
}

// secretFlags say which secrets of a channel are to be replaced or removed.
type secretFlags struct{ newURL, newSecret, newPassword, noSecret bool }

func (f *secretFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.newURL, "new-url", false, "give it another URL, which is asked for, or read from standard input")
	flags.BoolVar(&f.newSecret, "new-secret", false, "give it another secret that signs, likewise")
	flags.BoolVar(&f.newPassword, "new-password", false, "of email: give it another password, likewise")
	flags.BoolVar(&f.noSecret, "no-secret", false, "sign no more")
}

func (f *secretFlags) check() error {
	switch {
	case f.newSecret && f.noSecret:
		return usagef("--new-secret and --no-secret: want one of them")
	case f.newPassword && (f.newURL || f.newSecret):
		return usagef("--new-password is for channels of the type email, which have no URL and no secret")
	}
	return nil
}

func (f *secretFlags) read(cmd *cobra.Command) (client.ChannelSecrets, error) {
	var wanted []channelSecret
	if f.newURL {
		wanted = append(wanted, urlSecret())
	}
	if f.newSecret {
		wanted = append(wanted, signingSecret(false))
	}
	if f.newPassword {
		wanted = append(wanted, passwordSecret())
	}
	s, err := readChannelSecrets(cmd, wanted)
	if f.noSecret {
		s.Secret = new(string)
	}
	return s, err
}

// readChannelSecrets reads secrets: from the environment if it has any of them,
// or else from the terminal or standard input.
func readChannelSecrets(cmd *cobra.Command, wanted []channelSecret) (client.ChannelSecrets, error) {
	var s client.ChannelSecrets
	if len(wanted) == 0 {
		return s, nil
	}
	texts, err := channelTexts(cmd, wanted)
	if err != nil {
		return s, err
	}
	for i, w := range wanted {
		switch text := texts[i]; {
		case text != "":
			w.put(&s, &text)
		case !w.optional:
			return s, usagef("the %s is missing; write it to standard input, or set %s", w.name, w.variable)
		}
	}
	return s, nil
}

func channelTexts(cmd *cobra.Command, wanted []channelSecret) ([]string, error) {
	texts, found := make([]string, len(wanted)), false
	for i, w := range wanted {
		texts[i] = os.Getenv(w.variable)
		found = found || texts[i] != ""
	}
	if found {
		return texts, nil
	}
	if in := fileOf(cmd.InOrStdin()); isTerminal(in) {
		return askChannelTexts(cmd, in, wanted)
	}
	raw, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxPasswordBytes+2))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\r\n"), "\n")
	if len(lines) > len(wanted) || len(raw) > maxPasswordBytes {
		return nil, usagef("standard input has more than %s, one a line, of at most %d bytes in all", namesOf(wanted), maxPasswordBytes)
	}
	for i, line := range lines {
		texts[i] = strings.TrimSpace(line)
	}
	return texts, nil
}

// namesOf lists what is wanted: the URL and the secret.
func namesOf(wanted []channelSecret) string {
	var names []string
	for _, w := range wanted {
		names = append(names, "the "+w.name)
	}
	return strings.Join(names, " and ")
}

// askChannelTexts asks a person, without showing what is typed.
func askChannelTexts(cmd *cobra.Command, in *os.File, wanted []channelSecret) ([]string, error) {
	texts := make([]string, len(wanted))
	for i, w := range wanted {
		question := w.name + ": "
		if w.optional {
			question = w.name + " (empty: none): "
		}
		text, err := onTerminal(cmd, in, func(terminal *term.Terminal) (string, error) { return terminal.ReadPassword(question) })
		switch {
		case errors.Is(err, io.EOF): // Ctrl-C or Ctrl-D
			return nil, errors.New("no " + w.name + " was given")
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", w.name, err)
		}
		texts[i] = strings.TrimSpace(text)
	}
	return texts, nil
}

// asChannelFlags names the flags in the place of the fields that a server finds
// fault with.
func asChannelFlags(err error) error {
	var problem *client.Problem
	if errors.As(err, &problem) {
		for i, f := range problem.Errors {
			name := strings.TrimPrefix(f.Location, "body.")
			switch name {
			case "url", "secret", "password":
				problem.Errors[i].Location = "the " + name
			case "id":
				problem.Errors[i].Location = "ID"
			case "mail", "":
				problem.Errors[i].Location = name
			default:
				problem.Errors[i].Location = "--" + strings.TrimPrefix(name, "mail.")
			}
		}
	}
	return err
}
