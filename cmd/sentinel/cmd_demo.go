package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/demo"
)

func newDemoCommand() *cobra.Command {
	var opts demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what Sentinel does, with a gateway that is built in; needs nothing",
		Args:  noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, _, err := net.SplitHostPort(opts.Listen); err != nil {
				return usagef("--listen: %v; want host:port, e.g. 127.0.0.1:7000", err)
			}
			// A pipe that closes, or a terminal, must not end the demo before it
			// has tidied up: the write fails, and the demo ends by that.
			signal.Ignore(syscall.SIGPIPE)
			ctx := cmd.Context()
			if !signal.Ignored(syscall.SIGHUP) { // by nohup
				var stop context.CancelFunc
				ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP)
				defer stop()
			}
			opts.Out = cmd.OutOrStdout()
			opts.Start = startForDemo(cmd.ErrOrStderr())
			return demo.Run(ctx, opts)
		},
	}
	cmd.Flags().StringVar(&opts.Listen, "listen", "127.0.0.1:7000", "address for Sentinel; if the port is taken, another is used")
	cmd.Flags().BoolVar(&opts.Once, "once", false, "end after the demonstration; exit code 1 if anything was not as it should be")
	return cmd
}

// startForDemo returns a function that serves in this process, with warnings
// and errors logged to stderr.
func startForDemo(stderr io.Writer) demo.Start {
	return func(ctx context.Context, want demo.Sentinel) (string, func() error, error) {
		cfg, _, err := loadConfig(sources{environ: demoSettings(want), envFile: filepath.Join(want.DataDir, "no-file")})
		if err != nil {
			return "", nil, err
		}
		ctx, cancel := context.WithCancel(ctx)
		ready, ended := make(chan net.Addr, 1), make(chan error, 1)
		go func() {
			ended <- serve(ctx, cfg, serveEnv{stderr: stderr, ready: func(addr net.Addr) { ready <- addr }})
		}()
		stop := func() error {
			cancel()
			return <-ended
		}
		select {
		case addr := <-ready:
			return addr.String(), stop, nil
		case err := <-ended:
			cancel()
			if err == nil {
				err = errors.New("it ended at once")
			}
			return "", nil, err
		}
	}
}

func demoSettings(want demo.Sentinel) []string {
	environ := []string{
		"DOWNSTREAM_URL=" + want.Downstream.String(),
		"SENTINEL_LISTEN=" + want.Listen,
		"SENTINEL_DATA_DIR=" + want.DataDir,
		"SENTINEL_LOG_LEVEL=warn",
		"SENTINEL_LOG_FORMAT=text",
		"SENTINEL_SHUTDOWN_GRACE=1s",
	}
	if len(want.TrustedProxies) > 0 {
		prefixes := make([]string, 0, len(want.TrustedProxies))
		for _, prefix := range want.TrustedProxies {
			prefixes = append(prefixes, prefix.String())
		}
		environ = append(environ, "TRUSTED_PROXY_IPS="+strings.Join(prefixes, ","))
	}
	return environ
}
