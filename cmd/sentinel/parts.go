package main

import (
	"github.com/key-ip-sentinel/sentinel/engine"
	"github.com/key-ip-sentinel/sentinel/engine/alert"
	"github.com/key-ip-sentinel/sentinel/engine/clientip"
	"github.com/key-ip-sentinel/sentinel/engine/credential"
	"github.com/key-ip-sentinel/sentinel/engine/ratelimit"
)

// parts are what the engine is made of, as the settings want them.
type parts struct {
	resolver    *clientip.Resolver
	credentials *credential.Reader
	limiter     *ratelimit.Limiter // nil: no rate limit
}

func newParts(cfg *Config, secret []byte) (parts, error) {
	var p parts
	var err error
	p.resolver, err = clientip.New(clientIPOptionsOf(cfg))
	if err != nil {
		return parts{}, err
	}
	if p.credentials, err = newCredentialReader(cfg, secret); err != nil {
		return parts{}, err
	}
	if cfg.RateLimit > 0 {
		p.limiter, err = ratelimit.New(ratelimit.Options{
			PerMinute: cfg.RateLimit, Burst: cfg.RateBurst, Shared: cfg.PostgresDSN != "" && cfg.RedisAddr != "",
		})
	}
	return p, err
}

func newCredentialReader(cfg *Config, secret []byte) (*credential.Reader, error) {
	o := credential.Options{
		Profile: cfg.CredentialProfile, Secret: secret, Previous: cfg.previousSecrets(), BindDashboard: cfg.BindDashboard, ExtraHeader: cfg.CredentialHeader,
	}
	if cfg.CredentialProfile != credential.ProfileGeneric {
		return credential.New(o)
	}
	var err error
	if o.Locations, err = credential.ParseLocations(cfg.CredentialLocations); err != nil {
		return nil, &usageError{err}
	}
	if o.Canonical, err = credential.ParseCanonical(cfg.CredentialCanonical); err != nil {
		return nil, &usageError{err}
	}
	o.BindPaths = cfg.BindPaths
	return credential.New(o)
}

func policyOf(cfg *Config) engine.Policy {
	return engine.Policy{
		Mode: engine.Mode(cfg.Mode), Failsafe: engine.Failsafe(cfg.FailsafeMode), BindOn: engine.BindOn(cfg.BindOn),
		Anonymous: engine.Anonymous(cfg.Anonymous), PrefixV4: cfg.BindPrefixV4, PrefixV6: cfg.BindPrefixV6,
		NewRules: cfg.BindRules, Guard: engine.Guard(cfg.BindGuard), BurstLimit: cfg.BindBurst, BurstHold: cfg.BindBurstAction == burstHold,
		SharingMinutes: cfg.SharingMinutes,
	}
}

func retentionOf(cfg *Config) engine.Retention {
	return engine.Retention{
		ArchiveDays: cfg.ArchiveDays, PurgeDays: cfg.ArchivePurgeDays, InterceptDays: cfg.InterceptDays,
		CounterDays: cfg.CounterDays, AuditDays: cfg.AuditDays,
	}
}

func alertSettingsOf(cfg *Config) alert.Settings {
	s := alert.DefaultSettings()
	s.ThresholdCount, s.Window = cfg.AlertThresholdCount, cfg.AlertWindow
	s.Language, s.WebhookURL = alert.Language(cfg.AlertLanguage), cfg.AlertWebhookURL.Reveal()
	return s
}
