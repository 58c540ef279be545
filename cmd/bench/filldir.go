//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
)

// fillOptions of bindings with a life: different in age, use, address and label.
type fillOptions struct {
	dataDir        string
	secret         string
	bindings       int
	oldest, newest time.Duration // ago; the ages lie between
}

// runFill puts bindings into the data file of a sentinel that does not run, for
// what is to be looked at or measured with data of some size or age.
func runFill(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o fillOptions
	flags := flag.NewFlagSet("bench fill", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.dataDir, "data-dir", "", "the data directory; no sentinel may be running on it")
	flags.StringVar(&o.secret, "secret", secret, "the SENTINEL_HMAC_SECRET of that data")
	flags.IntVar(&o.bindings, "bindings", 1000, "how many to make")
	flags.DurationVar(&o.oldest, "oldest", 30*24*time.Hour, "how long ago the first of them was made and used last")
	flags.DurationVar(&o.newest, "newest", 0, "how long ago the last of them was")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 || o.dataDir == "" || o.bindings < 1 || o.oldest < o.newest || o.newest < 0 {
		return fmt.Errorf("%w: want -data-dir, a number of bindings and ages, the oldest the greatest, and no other words", errUsage)
	}
	if err := o.fill(ctx); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "%d bindings made in %s\n", o.bindings, o.dataDir)
	return err
}

func (o fillOptions) fill(ctx context.Context) error {
	made, err := makeBindings(ctx, o.secret, o.bindings, home)
	if err != nil {
		return err
	}
	now := time.Now()
	return fillWith(ctx, o.dataDir, o.secret, o.bindings, func(yield func(store.Binding, store.Touch) bool) {
		i := 0
		for b := range made {
			t := o.enliven(&b, i, now)
			if !yield(b, t) {
				return
			}
			i++
		}
	})
}

// enliven gives the i-th binding an age, an address and, to every third, a
// label, and returns its use. The same number always gets the same.
func (o fillOptions) enliven(b *store.Binding, i int, now time.Time) store.Touch {
	mixed := i * 7919 % o.bindings // so that neighbours differ
	age := o.oldest - time.Duration(float64(o.oldest-o.newest)*float64(mixed)/float64(o.bindings))
	ip := netip.AddrFrom4([4]byte{10, byte(mixed >> 16 & 255), byte(mixed >> 8 & 255), byte(mixed & 255)})
	b.CreatedAt = store.StoredTime(now.Add(-age))
	b.UpdatedAt, b.FirstIP = b.CreatedAt, ip
	b.Rule.Prefixes = []netip.Prefix{netip.PrefixFrom(ip, ip.BitLen())}
	if i%3 == 0 {
		b.Label = fmt.Sprintf("Team %d", mixed%5000)
	}
	return store.Touch{Hash: b.Hash, LastUsed: b.CreatedAt, LastIP: ip, Hits: uint64(mixed%997) + 1} // #nosec G115 -- not negative
}
