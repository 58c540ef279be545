package main

import (
	"context"
	endian "encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// checkDirect looks for a way to the gateway past Sentinel: whoever takes it needs
// no binding. It sends nothing. What other machines let through it cannot see.
func (c *checker) checkDirect(ctx context.Context) {
	const check = "way around"
	address := hostPort(c.cfg.DownstreamURL)
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", portText)
	if err != nil {
		return
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return // which the check of the gateway itself tells
	}
	there := addrs[0].Unmap()
	switch open := reachableSockets("/proc/net", uint16(port)); { //nolint:gosec // G115: LookupPort returns no other
	case !isOfThisMachine(there) && isPublic(there):
		c.warn(check, "the gateway's address %s is public: let it take connections from Sentinel alone, or keys work there without a binding", there)
	case !isOfThisMachine(there):
		c.ok(check, "the gateway is on another machine: see to it that clients cannot connect to %s themselves", address)
	case len(open) > 0:
		c.warn(check, "the gateway's port is open on %s as well: clients that connect there need no binding; have it listen on 127.0.0.1", strings.Join(open, ", "))
	case !there.IsLoopback():
		c.warn(check, "the gateway listens on %s, which is not loopback: clients that connect there need no binding; have it listen on 127.0.0.1", address)
	default:
		c.ok(check, "the gateway listens on this machine alone")
	}
}

func isOfThisMachine(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addrs, _ := net.InterfaceAddrs() // none: it is another machine's
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == ip
	})
}

func isPublic(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate()
}

// reachableSockets returns on which addresses, loopback apart, something listens
// at a port, as the kernel has it in tcp and tcp6 below dir. Nothing where there
// are no such files.
func reachableSockets(dir string, port uint16) []string {
	var open []string
	for _, name := range []string{"tcp", "tcp6"} {
		raw, err := os.ReadFile(dir + "/" + name) //nolint:gosec // G304: the kernel's
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			fields := strings.Fields(line)
			if len(fields) < 4 || fields[3] != "0A" { // TCP_LISTEN
				continue
			}
			at, ok := kernelAddrPort(fields[1])
			if ok && at.Port() == port && !at.Addr().IsLoopback() && !slices.Contains(open, at.String()) {
				open = append(open, at.String())
			}
		}
	}
	return open
}

// kernelAddrPort reads ADDRESS:PORT as /proc/net/tcp has it: hex digits, the
// address as numbers of 32 bits in the byte order of the machine.
func kernelAddrPort(text string) (netip.AddrPort, bool) {
	address, portText, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(address)
	port, portErr := hex.DecodeString(portText)
	if err != nil || portErr != nil || len(port) != 2 || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		endian.NativeEndian.PutUint32(raw[i:], endian.BigEndian.Uint32(raw[i:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), endian.BigEndian.Uint16(port)), ok
}
