// Package container tells whether this program runs in a container, and how its
// network is reached.
package container

import (
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// variable is what Podman, LXC and systemd-nspawn set in a container.
const variable = "container="

// Gateways returns the default gateways of this host if it is a
// container: clients whose connections are translated on their way into its
// network seem to come from there. root is the root of the file system, environ is as of
// os.Environ.
func Gateways(root fs.FS, environ []string) []netip.Addr {
	if !isInside(root, environ) {
		return nil // elsewhere they are routers, and no clients are behind them
	}
	var gateways []netip.Addr
	for path, read := range map[string]func([]string) netip.Addr{
		"proc/net/route": gateway4, "proc/net/ipv6_route": gateway6,
	} {
		raw, err := fs.ReadFile(root, path)
		if err != nil {
			continue // another system, or without this kind of address
		}
		for line := range strings.Lines(string(raw)) {
			if gateway := read(strings.Fields(line)); gateway.IsValid() && !slices.Contains(gateways, gateway) {
				gateways = append(gateways, gateway)
			}
		}
	}
	slices.SortFunc(gateways, netip.Addr.Compare)
	return gateways
}

func isInside(root fs.FS, environ []string) bool {
	for _, path := range []string{".dockerenv", "run/.containerenv"} {
		if _, err := fs.Stat(root, path); err == nil {
			return true
		}
	}
	if slices.ContainsFunc(environ, func(pair string) bool { return strings.HasPrefix(pair, variable) && pair != variable }) {
		return true
	}
	raw, _ := fs.ReadFile(root, "proc/self/cgroup") // another system has none
	for _, word := range []string{"docker", "containerd", "kubepods"} {
		if strings.Contains(string(raw), word) {
			return true
		}
	}
	return false
}

// Flags of a route, of the kernel's linux/route.h.
const (
	routeUp      = 0x1
	routeGateway = 0x2
)

// usesGateway reports whether the flags, in hex digits, are those of a route that
// is up and leads over a gateway.
func usesGateway(flags string) bool {
	n, err := strconv.ParseUint(flags, 16, 32)
	return err == nil && n&routeUp != 0 && n&routeGateway != 0
}

// gateway4 reads a line of /proc/net/route: interface, destination, gateway,
// flags, three counts, mask. Addresses are numbers in the byte order of the machine.
func gateway4(line []string) netip.Addr {
	if len(line) < 8 || line[1] != "00000000" || line[7] != "00000000" || !usesGateway(line[3]) {
		return netip.Addr{}
	}
	n, err := strconv.ParseUint(line[2], 16, 32)
	if err != nil || n == 0 {
		return netip.Addr{}
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b)
}

// gateway6 reads a line of /proc/net/ipv6_route: destination and length, source
// and length, gateway, three counts, flags, interface.
func gateway6(line []string) netip.Addr {
	if len(line) < 9 || strings.Trim(line[0], "0") != "" || line[1] != "00" || !usesGateway(line[8]) {
		return netip.Addr{}
	}
	raw, err := hex.DecodeString(line[4])
	addr, ok := netip.AddrFromSlice(raw)
	if err != nil || !ok || !addr.Is6() || addr.IsUnspecified() {
		return netip.Addr{}
	}
	return addr.Unmap()
}
