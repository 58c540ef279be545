package clientip

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// advice returns in plain words what to check, most important first.
func (r *rules) advice(p Peer, addr netip.Addr, err error, ignored []string) []string {
	var out []string
	switch {
	case !p.Addr.IsValid():
		return []string{"Sentinel sees no address at all: have it listen on TCP, or check what stands between."}
	case err != nil:
		out = r.adviceOnError(p, err, ignored)
	case p.Trusted:
		out = r.adviceOnTrusted(p, addr, ignored)
	default:
		out = r.adviceOnUntrusted(p, ignored)
	}
	return out
}

func (r *rules) adviceOnError(p Peer, err error, ignored []string) []string {
	typed := (*Error)(nil)
	if !errors.As(err, &typed) {
		return nil
	}
	switch typed.Kind {
	case Missing:
		out := []string{fmt.Sprintf("have the proxy %s set %s (nginx: proxy_set_header %s %s;).", p.Addr, r.name, r.name, r.nginxVariable())}
		if len(ignored) > 0 {
			out = append(out, fmt.Sprintf("the proxy sends %s; if it sets one of these itself, name that one in %s.",
				strings.Join(ignored, ", "), settingHeader))
		}
		return append(out, fmt.Sprintf("if %s is a client and no proxy, take it out of %s.", p.Addr, settingTrusted))
	case Repeated:
		return []string{fmt.Sprintf("have the proxy %s overwrite %s rather than add a line to what the client sent.", p.Addr, r.name)}
	case Malformed:
		if typed.Detail == faultList {
			return []string{fmt.Sprintf("%s holds a list; if the proxy appends addresses, set %s=%s.", r.name, settingHeader, forwardedFor)}
		}
		return []string{fmt.Sprintf("have the proxy %s write a plain address into %s.", p.Addr, r.name)}
	}
	return nil
}

// nginxVariable returns what nginx sets the header from.
func (r *rules) nginxVariable() string {
	if r.list {
		return "$proxy_add_x_forwarded_for"
	}
	return "$remote_addr"
}

func (r *rules) adviceOnUntrusted(p Peer, ignored []string) []string {
	switch {
	case len(ignored) > 0 && isInternal(p.Addr):
		return []string{
			fmt.Sprintf("the peer %s is not a public address and sends %s, but is not in %s: it looks like a proxy. "+
				"If it is yours, add %s to %s; until then everybody behind it counts as %s.",
				p.Addr, strings.Join(ignored, ", "), settingTrusted, p.Addr, settingTrusted, p.Addr),
			fmt.Sprintf("then see that the proxy sets %s, or name the header that it sets in %s.", r.name, settingHeader),
		}
	case len(ignored) > 0:
		return []string{fmt.Sprintf("%s came from %s, which is not in %s, and counted for nothing. That is right if %s is the client; "+
			"if it is your proxy or CDN, add its networks to %s.",
			strings.Join(ignored, ", "), p.Addr, settingTrusted, p.Addr, settingTrusted)}
	case isInternal(p.Addr):
		return []string{fmt.Sprintf("the client IP %s is not a public address. If clients come from the internet, something in between "+
			"replaces their address without telling: a container network's NAT (publish the port with the host's network), "+
			"or a TCP load balancer (switch on its PROXY protocol, and %s).", p.Addr, settingPROXY)}
	}
	return nil
}

func (r *rules) adviceOnTrusted(p Peer, addr netip.Addr, ignored []string) []string {
	var out []string
	switch {
	case r.trusted.Contains(addr):
		out = append(out, fmt.Sprintf("the client IP %s is itself inside %s. Either the request began on that proxy, or a proxy hides "+
			"whom it speaks for, or the setting is too wide and has clients in it, who could then forge their address.", addr, settingTrusted))
	case isInternal(addr):
		out = append(out, fmt.Sprintf("the client IP %s is not a public address. If clients come from the internet, it is that of one more proxy: "+
			"add it to %s and set %s=%s, or have it pass the client's address on.", addr, settingTrusted, settingHeader, forwardedFor))
	}
	if len(ignored) > 0 {
		out = append(out, fmt.Sprintf("the proxy %s also sends %s, which counts for nothing; if the client IP is wrong, see whether one of these "+
			"is right and set by the proxy itself, and name it in %s.", p.Addr, strings.Join(ignored, ", "), settingHeader))
	}
	return out
}
