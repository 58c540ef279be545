package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/gateway"
)

// demoGatewayOptions say how the gateway of the demo runs on its own.
type demoGatewayOptions struct {
	listen   string
	keysFile string
	gateway  gateway.Options // without keys
}

// runDemoGateway serves until ctx ends. It prints the address that it listens on
// as one line.
func runDemoGateway(ctx context.Context, opts demoGatewayOptions, stdout io.Writer) error {
	file, err := os.Open(opts.keysFile)
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	if err := errors.Join(opts.gateway.ReadKeys(file), file.Close()); err != nil {
		return err
	}
	g, err := gateway.New(opts.gateway)
	if err != nil {
		return fmt.Errorf("keys of %s: %w", opts.keysFile, err)
	}
	listener, err := net.Listen("tcp", opts.listen)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, listener.Addr()); err != nil {
		return errors.Join(err, listener.Close())
	}
	return g.Serve(ctx, listener)
}

// newDemoGatewayCommand is for tests: the gateway of the demo as a process.
func newDemoGatewayCommand() *cobra.Command {
	var opts demoGatewayOptions
	cmd := &cobra.Command{
		Use:    "demo-gateway",
		Short:  "Run the gateway of the demo on its own",
		Hidden: true,
		Args:   noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemoGateway(cmd.Context(), opts, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.listen, "listen", "127.0.0.1:0", "address to listen on")
	flags.StringVar(&opts.keysFile, "keys-file", "", "file of the keys to know, one a line")
	flags.DurationVar(&opts.gateway.ChunkDelay, "chunk-delay", 5*time.Millisecond, "pause between the events of a stream")
	flags.BoolVar(&opts.gateway.Legacy, "legacy", false, "read subprotocols as releases of 2025 did")
	flags.BoolVar(&opts.gateway.FoldCase, "fold-case", false, "look keys up without regard to case")
	return cmd
}
