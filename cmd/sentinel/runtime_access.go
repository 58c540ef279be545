package main

import (
	"fmt"
	"net/netip"

	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/httpapi/admin"
)

func clientIPOptionsOf(c *Config) clientip.Options {
	return clientip.Options{Trusted: c.TrustedProxies, Header: c.RealIPHeader, NAT64: c.NAT64}
}

// accessOf returns the settings that say who reaches administration.
func accessOf(c *Config) admin.Access {
	return admin.Access{
		ClientIP: clientIPOptionsOf(c), Networks: c.AdminNetworks,
		ProxyProtocol: c.ProxyProtocol && c.AdminListen == "", // an address of its own does not speak it
	}
}

// allow asks whoever made a change whether it may be, if it changes who reaches
// administration.
func (r *runtimeSettings) allow(change admin.SettingsChange, next *Config) error {
	now, then := accessOf(r.Config()), accessOf(next)
	if change.Allow == nil || now.Equal(then) {
		return nil
	}
	return change.Allow(now, then)
}

// prefixSettings are those of which a prefix that covers everything is more
// often a slip than meant.
var prefixSettings = []struct {
	name     string
	prefixes func(*Config) []netip.Prefix
	means    string // what such a prefix does
}{
	{"TRUSTED_PROXY_IPS", func(c *Config) []netip.Prefix { return c.TrustedProxies }, "anybody could claim to be anybody"},
	{"SENTINEL_ADMIN_NETWORKS", func(c *Config) []netip.Prefix { return c.AdminNetworks }, "anybody could reach administration"},
}

// anySourceFaults returns the settings among those that are set which hold
// 0.0.0.0/0 or ::/0.
func anySourceFaults(c *Config, set map[string]string) []admin.SettingFault {
	var faults []admin.SettingFault
	for _, s := range prefixSettings {
		if _, isSet := set[s.name]; !isSet {
			continue
		}
		for _, p := range s.prefixes(c) {
			if p.Bits() == 0 {
				faults = append(faults, admin.SettingFault{Name: s.name, Fault: fmt.Sprintf(
					"%s is every address of its family: %s; name the networks that are meant, or confirm with confirmAnySource (--confirm-any-source)", p, s.means)})
			}
		}
	}
	return faults
}
