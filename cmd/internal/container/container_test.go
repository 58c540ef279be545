package container_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/key-ip-sentinel/sentinel/cmd/internal/container"
)

// hostOrder is how /proc/net/route writes an address on this machine.
func hostOrder(addr string) string {
	b := netip.MustParseAddr(addr).As4()
	return fmt.Sprintf("%08X", binary.NativeEndian.Uint32(b[:]))
}

func TestGateways(t *testing.T) {
	const head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	route := func(destination, gateway, flags, mask string) string {
		return "eth0\t" + destination + "\t" + gateway + "\t" + flags + "\t0\t0\t0\t" + mask + "\t0\t0\t0\n"
	}
	bridge := hostOrder("172.17.0.1")
	route4 := head + route("00000000", bridge, "0003", "00000000") + route(hostOrder("172.17.0.0"), "00000000", "0001", hostOrder("255.255.0.0"))
	const zeros = "00000000000000000000000000000000"
	const route6 = zeros + " 00 " + zeros + " 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n" +
		"fd000000000000000000000000000000 40 " + zeros + " 00 " + zeros + " 00000100 00000001 00000000 00000001     eth0\n" +
		zeros + " 00 " + zeros + " 00 " + zeros + " ffffffff 00000001 00000000 00200200       lo\n"
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	files := func(pairs ...string) fstest.MapFS {
		root := fstest.MapFS{}
		for pair := range slices.Chunk(pairs, 2) {
			root[pair[0]] = file(pair[1])
		}
		return root
	}
	for _, test := range []struct {
		name    string
		root    fstest.MapFS
		environ []string
		want    []string
	}{
		{"no container", files("proc/net/route", route4, "proc/net/ipv6_route", route6, "proc/self/cgroup", "0::/system.slice/sentinel.service\n"), []string{"container="}, nil},
		{"Docker", files(".dockerenv", "", "proc/net/route", route4), nil, []string{"172.17.0.1"}},
		{"Docker with IPv6", files(".dockerenv", "", "proc/net/route", route4, "proc/net/ipv6_route", route6), nil, []string{"172.17.0.1", "fd00::1"}},
		{"Podman", files("run/.containerenv", "", "proc/net/route", route4), nil, []string{"172.17.0.1"}},
		{"environment", files("proc/net/route", route4), []string{"PATH=/bin", "container=lxc"}, []string{"172.17.0.1"}},
		{"cgroup of Docker", files("proc/net/route", route4, "proc/self/cgroup", "12:pids:/docker/0123abc\n"), nil, []string{"172.17.0.1"}},
		{"cgroup of Kubernetes", files("proc/net/route", route4, "proc/self/cgroup", "0::/kubepods.slice/pod1\n"), nil, []string{"172.17.0.1"}},
		{"cgroup of containerd", files("proc/net/route", route4, "proc/self/cgroup", "0::/system.slice/containerd.service/x\n"), nil, []string{"172.17.0.1"}},
		{"two of the same", files(".dockerenv", "", "proc/net/route", route4+route("00000000", bridge, "0003", "00000000")), nil, []string{"172.17.0.1"}},
		{"no network", files(".dockerenv", "", "proc/net/route", head), nil, nil},
		{"no files", files(".dockerenv", ""), nil, nil},
		{"down, without a gateway, half of everything", files(".dockerenv", "", "proc/net/route", head+route("00000000", bridge, "0002", "00000000")+
			route("00000000", "00000000", "0003", "00000000")+route("00000000", bridge, "0003", hostOrder("128.0.0.0"))), nil, nil},
		{"nonsense", files(".dockerenv", "", "proc/net/route", "a b\n\x00\n"+route("00000000", "xyz", "0003", "00000000")+route("00000000", bridge, "zz", "00000000"),
			"proc/net/ipv6_route", zeros+" 00 "+zeros+" 00 fd 0 0 0 00000003 eth0\n"), nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, gateway := range container.Gateways(test.root, test.environ) {
				got = append(got, gateway.String())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
