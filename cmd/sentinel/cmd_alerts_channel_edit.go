package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/client"
	"github.com/key-ip-sentinel/sentinel/engine/alert/send"
)

// What the server knows of channels, for completion and for messages.
var (
	channelLanguages = []string{"en", "zh"}
	mailTLS          = []string{string(send.StartTLS), string(send.ImplicitTLS), string(send.NoTLS)}
	mailAuths        = []string{string(send.PlainAuth), string(send.LoginAuth), "none"}
)

func channelTypes() []string {
	var names []string
	for _, t := range send.Types() {
		names = append(names, string(t))
	}
	return names
}

// channelFlags are what can be chosen of a channel.
type channelFlags struct {
	disabled, useProxy bool
	kinds, language    string
	mail               client.Mail
}

func (f *channelFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&f.disabled, "disabled", false, "send nothing to it for now; --disabled=false switches it on")
	flags.StringVar(&f.kinds, "kinds", "all", "which alerts it wants, separated by commas, or all")
	flags.StringVar(&f.language, "language", "", oneOf(channelLanguages)+"; empty: that of the settings")
	flags.BoolVar(&f.useProxy, "use-proxy", false, "go through the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the server name")
	flags.StringVar(&f.mail.Host, "host", "", "of email: name or address of the mail server")
	flags.IntVar(&f.mail.Port, "port", 0, "of email: its port; without: 587, 465 with --tls tls, 25 with --tls none")
	flags.StringVar(&f.mail.TLS, "tls", "", "of email: "+oneOf(mailTLS)+"; without: starttls")
	flags.StringVar(&f.mail.Auth, "auth", "", "of email: how to sign in: "+oneOf(mailAuths))
	flags.StringVar(&f.mail.Username, "username", "", "of email: whom to sign in as")
	flags.StringVar(&f.mail.From, "from", "", "of email: the sender")
	flags.StringArrayVar(&f.mail.To, "to", nil, "of email: a recipient; repeat it for more")
	complete(cmd, "kinds", alertKinds())
	complete(cmd, "language", channelLanguages)
	complete(cmd, "tls", mailTLS)
	complete(cmd, "auth", mailAuths)
}

// mailFlags are those of email alone.
var mailFlags = []string{"host", "port", "tls", "auth", "username", "from", "to"}

// apply puts what the flags say, and nothing else, into fields.
func (f *channelFlags) apply(cmd *cobra.Command, typ string, fields *client.ChannelFields) error {
	given := cmd.Flags().Changed
	if given("kinds") {
		kinds, err := parseKinds(f.kinds)
		if err != nil {
			return err
		}
		fields.Kinds = kinds
	}
	if given("language") {
		if f.language != "" && !slices.Contains(channelLanguages, f.language) {
			return usagef("--language=%q: want %s", f.language, oneOf(channelLanguages))
		}
		fields.Language = f.language
	}
	if given("disabled") {
		fields.Enabled = !f.disabled
	}
	if given("use-proxy") {
		fields.UseProxy = f.useProxy
	}
	if typ == string(send.Email) {
		return f.applyMail(cmd, fields)
	}
	for _, name := range mailFlags {
		if given(name) {
			return usagef("--%s is for channels of the type email, and this one is of the type %s", name, typ)
		}
	}
	return nil
}

func (f *channelFlags) applyMail(cmd *cobra.Command, fields *client.ChannelFields) error {
	if fields.Mail == nil {
		fields.Mail = &client.Mail{}
	}
	given, m := cmd.Flags().Changed, fields.Mail
	for name, text := range map[string]struct{ to, from *string }{
		"host": {&m.Host, &f.mail.Host}, "username": {&m.Username, &f.mail.Username}, "from": {&m.From, &f.mail.From},
	} {
		if given(name) {
			*text.to = *text.from
		}
	}
	if given("tls") {
		if !slices.Contains(mailTLS, f.mail.TLS) {
			return usagef("--tls=%q: want %s", f.mail.TLS, oneOf(mailTLS))
		}
		m.TLS, m.Port = f.mail.TLS, 0 // another port is usual then
	}
	if given("port") {
		if f.mail.Port < 1 || f.mail.Port > 65535 {
			return usagef("--port=%d: want 1 to 65535, e.g. 587", f.mail.Port)
		}
		m.Port = f.mail.Port
	}
	if given("auth") {
		if !slices.Contains(mailAuths, f.mail.Auth) {
			return usagef("--auth=%q: want %s", f.mail.Auth, oneOf(mailAuths))
		}
		if m.Auth = f.mail.Auth; m.Auth == "none" {
			m.Auth, m.Username = "", ""
		}
	}
	if given("to") {
		m.To = f.mail.To
	}
	if m.Host == "" || m.From == "" || len(m.To) == 0 {
		return usagef("email needs a server, a sender and a recipient, e.g. --host smtp.example.com --from sentinel@example.com --to ops@example.com")
	}
	return nil
}

// parseKinds reads kinds of alerts; none stands for all.
func parseKinds(text string) ([]string, error) {
	if strings.TrimSpace(text) == "all" {
		return nil, nil
	}
	var kinds []string
	for kind := range strings.SplitSeq(text, ",") {
		kind = strings.TrimSpace(kind)
		if !slices.Contains(alertKinds(), kind) {
			return nil, usagef("--kinds: %q is none; want all, or some of %s, separated by commas", kind, strings.Join(alertKinds(), ", "))
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

func newChannelsAddCommand() *cobra.Command {
	var (
		f   channelFlags
		typ string
	)
	cmd := &cobra.Command{
		Use: "add ID", Args: oneWord("ID"),
		Short: "Make a channel; its URL and secret, or its password, are asked for, or read from standard input",
		Long: "Make a channel. On a terminal, what is secret is asked for. Elsewhere it is read from standard input: the URL, and in a\n" +
			"second line the secret that signs, if there is one; of email with --auth, the password.",
		Example: `  sentinel alerts channels add ops --type feishu --language zh
  sentinel alerts channels add siem --type webhook --kinds key_refused,key_shared < url-and-secret.txt
  sentinel alerts channels add mail --type email --host smtp.example.com --auth plain --username sentinel \
    --from sentinel@example.com --to ops@example.com < password.txt`,
		RunE: func(cmd *cobra.Command, words []string) error {
			if !slices.Contains(channelTypes(), typ) {
				return usagef("--type=%q: want %s", typ, oneOf(channelTypes()))
			}
			n := client.NewChannel{ID: words[0], Type: typ, ChannelFields: client.ChannelFields{Enabled: true}}
			if err := f.apply(cmd, typ, &n.ChannelFields); err != nil {
				return err
			}
			form, err := outputForm(cmd, outputTable, outputJSON)
			if err != nil {
				return err
			}
			if n.ChannelSecrets, err = readChannelSecrets(cmd, secretsOfNew(typ, n.Mail)); err != nil {
				return err
			}
			c, err := clientOf(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			item, err := c.CreateChannel(cmd.Context(), n)
			if err != nil {
				return asChannelFlags(err)
			}
			return writeChannel(cmd, form, item)
		},
	}
	cmd.Flags().StringVar(&typ, "type", "", oneOf(channelTypes()))
	f.add(cmd)
	complete(cmd, "type", channelTypes())
	return cmd
}

func newChannelsEditCommand() *cobra.Command {
	var (
		f       channelFlags
		secrets secretFlags
	)
	cmd := &cobra.Command{
		Use: "edit ID", Args: oneWord("ID"), ValidArgsFunction: completeChannels,
		Short: "Change what the flags name of a channel, and nothing else",
		Example: `  sentinel alerts channels edit ops --kinds all --language en
  sentinel alerts channels edit ops --disabled
  sentinel alerts channels edit ops --new-url --new-secret < url-and-secret.txt`,
		RunE: func(cmd *cobra.Command, words []string) error {
			if err := secrets.check(); err != nil {
				return err
			}
			form, err := outputForm(cmd, outputTable, outputJSON)
			if err != nil {
				return err
			}
			c, err := clientOf(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			was, err := c.Channel(cmd.Context(), words[0])
			if err != nil {
				return notThere(err, "channel", words[0])
			}
			edit := client.ChannelEdit{ChannelFields: was.Value.ChannelFields}
			if err := f.apply(cmd, was.Value.Type, &edit.ChannelFields); err != nil {
				return err
			}
			if edit.ChannelSecrets, err = secrets.read(cmd); err != nil {
				return err
			}
			if m := edit.Mail; m != nil && m.Auth == "" && was.Value.HasPassword {
				edit.Password = new(string) // which nobody asks for any more
			}
			item, err := c.EditChannel(cmd.Context(), words[0], was.Value.Revision, edit)
			if err != nil {
				return asChannelFlags(notThere(err, "channel", words[0]))
			}
			return writeChannel(cmd, form, item)
		},
	}
	f.add(cmd)
	secrets.add(cmd)
	return cmd
}
