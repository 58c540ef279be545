package main

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/store"
)

// check adds the faults and warnings that only several settings together show.
// Each of them is valid for itself.
func (r *reading) check(c *Config) {
	r.checkListeners(c)
	r.checkTLS(c)
	r.checkClientIP(c)
	r.checkProfile(c)
	r.checkFirstUses(c)
	r.checkCluster(c)
	r.warnUnused()
}

func (r *reading) isGiven(name string) bool {
	_, ok := r.values[name]
	return ok
}

func (r *reading) checkListeners(c *Config) {
	if c.AdminListen != "" && c.AdminListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		r.faultOf("SENTINEL_ADMIN_LISTEN", "=%q: is the address of SENTINEL_LISTEN too; want one of its own, e.g. 127.0.0.1:7001", c.AdminListen)
	}
	_, port, _ := net.SplitHostPort(c.Listen)
	if appPort, both := r.values["APP_PORT"]; both && r.isGiven("SENTINEL_LISTEN") && appPort.value != port {
		r.warnf("SENTINEL_LISTEN=%q counts, and APP_PORT=%q does not", c.Listen, appPort.value)
	}
	if r.isGiven("SENTINEL_RATE_BURST") && c.RateLimit == 0 {
		r.warnf("SENTINEL_RATE_BURST has no effect without SENTINEL_RATE_LIMIT")
	}
}

func (r *reading) checkTLS(c *Config) {
	switch {
	case c.TLSCert != "" && c.TLSKey != "":
		if c.H2C {
			r.warnf("SENTINEL_H2C has no effect with SENTINEL_TLS_CERT: HTTP/2 is spoken over TLS then")
		}
	case c.TLSCert != "":
		r.faultOf("SENTINEL_TLS_CERT", "=%q: without SENTINEL_TLS_KEY; want both or neither, e.g. SENTINEL_TLS_KEY=/etc/sentinel/tls.key", c.TLSCert)
	case c.TLSKey != "":
		r.faultOf("SENTINEL_TLS_KEY", "=%q: without SENTINEL_TLS_CERT; want both or neither, e.g. SENTINEL_TLS_CERT=/etc/sentinel/tls.crt", c.TLSKey)
	}
}

func (r *reading) checkClientIP(c *Config) {
	if c.ProxyProtocol && len(c.TrustedProxies) == 0 {
		r.faultOf("SENTINEL_PROXY_PROTOCOL", "=true: nobody is trusted to speak it; want TRUSTED_PROXY_IPS as well, e.g. TRUSTED_PROXY_IPS=10.0.0.0/8")
	}
	if _, err := clientip.New(clientIPOptionsOf(c)); err != nil {
		for fault := range strings.Lines(err.Error()) {
			r.faultOf("TRUSTED_PROXY_IPS", ": %s", strings.TrimSpace(fault))
		}
	}
	if r.isGiven("SENTINEL_REAL_IP_HEADER") && len(c.TrustedProxies) == 0 {
		r.warnf("SENTINEL_REAL_IP_HEADER has no effect without TRUSTED_PROXY_IPS: headers of nobody are read")
	}
	for _, p := range c.TrustedProxies {
		if p.Bits() == 0 {
			r.warnf("TRUSTED_PROXY_IPS: %s trusts every address there is, so that anybody can claim to be anybody", p)
		}
	}
	for _, s := range prefixSettings {
		r.warnOverlaps(s.name, s.prefixes(c))
	}
}

// maxOverlaps is how many overlaps of one list are told.
const maxOverlaps = 20

// warnOverlaps tells of prefixes that do nothing, because others cover them:
// whoever takes one of the two out later may think that it is gone.
func (r *reading) warnOverlaps(name string, prefixes []netip.Prefix) {
	told := 0
	for i, p := range prefixes {
		for _, q := range prefixes[:i] {
			if !p.Overlaps(q) {
				continue
			}
			if told++; told > maxOverlaps {
				r.warnf("%s: and more that overlap", name)
				return
			}
			inner, outer := p, q
			if p.Bits() < q.Bits() {
				inner, outer = q, p
			}
			if inner == outer {
				r.warnf("%s: %s is there twice", name, p)
			} else {
				r.warnf("%s: %s is inside %s, which is there too", name, inner, outer)
			}
			break // of a prefix, the first is enough
		}
	}
}

// checkProfile refuses settings of one profile beside another: they would be
// ignored, and keys be read in other ways than somebody meant them to be.
func (r *reading) checkProfile(c *Config) {
	only := map[string][]string{
		"SENTINEL_CREDENTIAL_LOCATIONS": {credential.ProfileGeneric},
		"SENTINEL_CREDENTIAL_CANONICAL": {credential.ProfileGeneric},
		"SENTINEL_BIND_PATHS":           {credential.ProfileGeneric},
		"SENTINEL_CREDENTIAL_HEADER":    {credential.ProfileLiteLLM},
		"SENTINEL_BIND_DASHBOARD":       {credential.ProfileNewAPI},
	}
	for _, s := range settings {
		if profiles := only[s.name]; profiles != nil && r.isGiven(s.name) && !slices.Contains(profiles, c.CredentialProfile) {
			r.faultOf(s.name, ": belongs to another profile; want SENTINEL_CREDENTIAL_PROFILE=%s beside it, not %s",
				strings.Join(profiles, " or "), c.CredentialProfile)
		}
	}
	if c.CredentialProfile == credential.ProfileGeneric && c.CredentialLocations == "" {
		s := settingNamed("SENTINEL_CREDENTIAL_LOCATIONS")
		r.faultOf(s.name, " is missing, without which SENTINEL_CREDENTIAL_PROFILE=generic finds no key; want %s, e.g. %s", s.value.want, s.example)
	}
}

func (r *reading) checkFirstUses(c *Config) {
	switch {
	case c.BindBurstAction == burstHold && c.BindGuard == string(engine.GuardOff):
		r.warnf("SENTINEL_BIND_BURST_ACTION=hold has no effect with SENTINEL_BIND_GUARD=off, which says what becomes of what is held")
	case c.BindBurstAction == burstHold && c.BindBurst == 0:
		r.warnf("SENTINEL_BIND_BURST_ACTION=hold has no effect with SENTINEL_BIND_BURST=0")
	}
	for _, rule := range c.BindRules {
		if rule.Pattern == "" && rule.Rule.Kind == store.RuleAll {
			r.warnf("SENTINEL_BIND_RULE: every new key may be used from anywhere: its binding protects nothing")
		}
	}
}

func (r *reading) checkCluster(c *Config) {
	for _, name := range []string{"SENTINEL_PG_LISTEN_DSN", "SENTINEL_MAX_STALENESS"} {
		if r.isGiven(name) && c.PostgresDSN == "" {
			r.warnf("%s has no effect without PG_DSN: this is no node of a cluster", name)
		}
	}
	r.checkRedis(c)
}

func (r *reading) checkRedis(c *Config) {
	if c.RedisAddr == "" {
		for _, s := range redisSettings {
			if r.isGiven(s.name) && s.name != "REDIS_ADDR" && r.values[s.name].value != "" {
				r.warnf("%s has no effect without REDIS_ADDR", s.name)
			}
		}
		return
	}
	if c.PostgresDSN == "" {
		r.warnf("REDIS_ADDR has no effect without PG_DSN: this is no node of a cluster")
	}
	// Where the certificates are is looked at by the start.
	if err := redisServer(c, nil).Validate(); err != nil {
		r.faultOf("REDIS_ADDR", ": %s", strings.TrimPrefix(err.Error(), store.ErrInvalid.Error()+": "))
	}
	if c.RedisTLSCA != "" && !redisServer(c, nil).IsTLS() {
		r.faultOf("REDIS_TLS_CA", "=%q: without TLS; want REDIS_TLS=true, or a rediss:// URL in REDIS_ADDR", c.RedisTLSCA)
	}
}

// warnUnused names what was given and does nothing in this version, a line for
// each reason.
func (r *reading) warnUnused() {
	var reasons []string
	names := map[string][]string{}
	for _, s := range settings {
		if s.unused.en == "" || !r.isGiven(s.name) {
			continue
		}
		if names[s.unused.en] == nil {
			reasons = append(reasons, s.unused.en)
		}
		names[s.unused.en] = append(names[s.unused.en], s.name)
	}
	for _, reason := range reasons {
		r.warnf("%s: set, and not used: %s", strings.Join(names[reason], ", "), reason)
	}
}
