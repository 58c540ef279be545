// Package demo shows what Sentinel does: a gateway, a Sentinel in front of it,
// and requests from two addresses, with what came of each printed.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/gateway"
)

// chunkDelay makes the streams of the demo look like streams.
const chunkDelay = 40 * time.Millisecond

// Sentinel is what the demo asks of the Sentinel that it has started.
type Sentinel struct {
	Downstream     *url.URL
	Listen         string
	DataDir        string
	TrustedProxies []netip.Prefix // peers whose X-Real-IP counts
}

// Start starts a Sentinel, and returns once it takes requests at addr. The
// function stop ends it, and returns once it has ended.
type Start func(ctx context.Context, want Sentinel) (addr string, stop func() error, err error)

// Options say how the demo runs. Start and Out are required.
type Options struct {
	Start  Start
	Out    io.Writer
	Listen string // host:port for Sentinel; if the port is taken, another is used
	Once   bool   // end after the script
}

// demo is a gateway with a Sentinel in front, and a script that uses both.
type demo struct {
	opts    Options
	gateway *gateway.Gateway
	people  people
	url     string // of Sentinel

	giveUp     context.CancelCauseFunc // ends Run
	writeError error                   // the first of Out; nothing is shown from then on
}

// Run starts both, plays the script, and stays until ctx ends, unless asked
// otherwise or until Out fails. It returns an error if anything did not go as it
// should. Nothing of it is left on disk.
func Run(ctx context.Context, opts Options) (err error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	dataDir, err := os.MkdirTemp("", "sentinel-demo-")
	if err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dataDir)) }()

	d := &demo{opts: opts, giveUp: giveUp}
	downstream, stopGateway, err := d.startGateway()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopGateway()) }()

	listen, taken, err := freeAddress(opts.Listen)
	if err != nil {
		return err
	}
	d.people = introduce(listen)
	defer d.people.leave()
	addr, stop, err := opts.Start(ctx, Sentinel{
		Downstream: downstream, Listen: listen, DataDir: dataDir, TrustedProxies: d.people.trustedProxies(),
	})
	if err != nil {
		return fmt.Errorf("start sentinel: %w", err)
	}
	defer func() { err = errors.Join(err, stop()) }()
	d.url = "http://" + reachable(addr)

	d.printHead(downstream, dataDir, taken)
	if err := d.play(ctx); err != nil || opts.Once {
		return errors.Join(err, d.writeError)
	}
	d.printTry()
	<-ctx.Done()
	d.println("\nStopped. Nothing was kept.")
	return d.writeError
}

// startGateway starts the downstream on a free port.
func (d *demo) startGateway() (downstream *url.URL, stop func() error, err error) {
	d.gateway, err = gateway.New(gateway.Options{
		Keys: []string{aliceKey, bobKey, carolKey}, ChunkDelay: chunkDelay,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("make gateway: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen for gateway: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.gateway.Serve(ctx, listener) }()
	stop = func() error {
		cancel()
		return <-ended
	}
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}, stop, nil
}

// freeAddress returns the address if it can be listened on, or else the same
// host with a port that the system picks, and what was in the way.
func freeAddress(address string) (free string, taken error, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", nil, fmt.Errorf("listen address %q: want host:port, e.g. 127.0.0.1:7000", address)
	}
	taken = tryListen(address)
	if taken == nil {
		return address, nil, nil
	}
	free = net.JoinHostPort(host, "0")
	if tryListen(free) != nil {
		return "", nil, taken
	}
	return free, taken, nil
}

func tryListen(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return listener.Close()
}

// reachable turns the address of a listener into one to send requests to.
func reachable(addr string) string {
	if at, err := netip.ParseAddrPort(addr); err == nil && at.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port()).String()
	}
	return addr
}
