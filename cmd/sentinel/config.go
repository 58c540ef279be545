package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/key-ip-sentinel/sentinel/engine"
)

const (
	namePrefix     = "SENTINEL_"
	defaultEnvFile = ".env"
	maxShownValue  = 200 // bytes of a value in a fault
)

// Config is every setting, as the command line, the environment and the .env
// file together have it. The table in config_table.go tells what each means.
type Config struct {
	DownstreamURL *url.URL
	PublicURL     string // as clients write it; empty: not known
	Listen        string // host:port
	AdminListen   string // host:port; empty: the console is on Listen
	DataDir       string
	TLSCert       string
	TLSKey        string
	H2C           bool

	TrustedProxies []netip.Prefix
	RealIPHeader   string
	ProxyProtocol  bool
	NAT64          bool

	CredentialProfile   string
	CredentialLocations string
	CredentialCanonical string
	CredentialHeader    string
	BindPaths           []string
	BindDashboard       bool

	Mode         string
	BindOn       string
	BindPrefixV4 int
	BindPrefixV6 int
	BindRules    []engine.NewRule // none: each key is bound to its client's address
	BindGuard    string
	BindBurst    int // keys of one address within an hour; 0: any number
	// BindBurstAction is what becomes of those beyond.
	BindBurstAction string
	SharingMinutes  int // of one day; 0: no key is suspected
	Anonymous       string
	FailsafeMode    string

	MaxBodyBytes    int64
	RateLimit       int // requests a minute; 0: none
	RateBurst       int
	ConnectTimeout  time.Duration
	ResponseTimeout time.Duration // 0: none
	IdleTimeout     time.Duration // 0: none
	ShutdownGrace   time.Duration
	CacheEntries    int

	HMACSecret     secretText // empty: made at the first start
	HMACPrevious   secretText // several are separated by commas
	HMACLost       string     // mark of a secret whose bindings are given up
	AdminPassword  secretText // empty: accounts are as they were left
	AdminJWTSecret secretText // empty: made at the first start
	AdminNetworks  []netip.Prefix
	Metrics        string

	LogLevel  slog.Level
	LogFormat string

	ArchiveDays      int // this and the following: 0 is never
	ArchivePurgeDays int
	InterceptDays    int
	CounterDays      int
	AuditDays        int

	PostgresDSN             secretText // empty: this is none of a cluster
	PostgresListenDSN       secretText // empty: PostgresDSN
	NodeName                string     // empty: that of the host
	MaxStaleness            time.Duration
	RedisAddr               secretText // empty: there is no Redis
	RedisPassword           secretText
	RedisUsername           string
	RedisDB                 int
	RedisMasterName         string // empty: there are no Sentinels
	RedisSentinelPassword   secretText
	RedisTLS                bool
	RedisTLSCA              string
	AlertWebhookURL         secretText
	AlertThresholdCount     int
	AlertWindow             time.Duration
	AlertLanguage           string
	ArchiveSchedulerLockKey int64
	UvicornWorkers          int

	appPort int // only until Listen is known

	given map[string]given // what was read, by name; a setting that is not there has its default
}

// sources are where settings come from, the strongest first.
type sources struct {
	flags   map[string]string // by the name of the setting, not of the flag
	environ []string          // as os.Environ returns it
	envFile string
	// envFileNamed is set if somebody asked for this very file, which must be
	// there then.
	envFileNamed bool
}

// given is the value of one setting and where it comes from.
type given struct {
	value  string
	origin string // begins the line of a fault: empty, "--flag: " or ".env line 3: "
	source string // one of the sources that admin.Setting has
}

// The sources of a value, the weakest first.
const (
	sourceDefault = "default"
	sourceFile    = "file"
	sourceEnviron = "environment"
	sourceFlag    = "flag"
	sourceRuntime = "runtime"
)

// commandNames are read by commands that speak to a server, and mean nothing to
// the server itself.
var commandNames = []string{urlVariable, tokenVariable, channelURLVariable, channelSecretVariable, channelPasswordVariable}

// loadConfig returns the settings, and warnings of what was accepted but is
// doubtful. The error joins every fault there is, one line each.
func loadConfig(src sources) (*Config, []string, error) {
	r := &reading{values: map[string]given{}}
	r.readFile(src)
	r.readEnviron(src.environ)
	r.readFlags(src.flags)
	c := r.parse(settings, src.environ)
	if len(r.faults) == 0 {
		r.check(c)
	}
	if err := errors.Join(r.faults...); err != nil {
		return nil, r.warnings, &usageError{err}
	}
	return c, r.warnings, nil
}

// loadSome returns the named settings, the others having their defaults. What
// is wrong with the others, or with names, does not count.
func loadSome(src sources, names ...string) (*Config, error) {
	r := &reading{values: map[string]given{}}
	r.readFile(src)
	r.faults = nil
	r.readEnviron(src.environ)
	r.readFlags(src.flags)
	wanted := slices.DeleteFunc(slices.Clone(settings), func(s *setting) bool { return !slices.Contains(names, s.name) })
	c := r.parse(wanted, src.environ)
	if err := errors.Join(r.faults...); err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

// reading gathers values, weakest source first, with faults and warnings.
type reading struct {
	values   map[string]given
	faults   []error
	warnings []string
}

func (r *reading) faultf(format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf(format, args...))
}

func (r *reading) warnf(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

func (r *reading) readFile(src sources) {
	entries, faults := readDotenv(src.envFile, src.envFileNamed)
	r.faults = append(r.faults, faults...)
	lines := map[string]int{}
	for _, e := range entries {
		if slices.Contains(commandNames, e.name) {
			r.faultf("%s line %d: %s is for commands, which read it from the environment alone", src.envFile, e.line, e.name)
			continue
		}
		if settingNamed(e.name) == nil {
			r.faultf("%s line %d: %.80q is no setting%s", src.envFile, e.line, e.name,
				didYouMean(e.name, settingNames(), "this file holds Sentinel's settings alone, and --env-file names another"))
			continue
		}
		if earlier, twice := lines[e.name]; twice {
			r.warnf("%s line %d: %s stands in line %d already, and the later one counts", src.envFile, e.line, e.name, earlier)
		}
		lines[e.name] = e.line
		if hasExpansion(e.value) {
			r.warnf("%s line %d: ${…} in %s is not expanded, and is taken as it stands", src.envFile, e.line, e.name)
		}
		r.put(e.name, given{e.value, fmt.Sprintf("%s line %d: ", src.envFile, e.line), sourceFile})
	}
}

// hasExpansion reports whether python-dotenv would have expanded value.
func hasExpansion(value string) bool {
	_, after, found := strings.Cut(value, "${")
	return found && strings.Contains(after, "}")
}

// readEnviron passes over names of other programs. What only looks like one of
// Sentinel's own is worth a warning and no more: Kubernetes puts names such as
// SENTINEL_SERVICE_HOST there.
func (r *reading) readEnviron(environ []string) {
	for _, pair := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case settingNamed(name) != nil:
			r.put(name, given{value: value, source: sourceEnviron})
		case slices.Contains(commandNames, name):
		case strings.HasPrefix(name, namePrefix):
			r.warnf("%.80q in the environment is no setting, and is ignored%s", name, didYouMean(name, settingNames(), ""))
		}
	}
}

func (r *reading) readFlags(flags map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		s := settingNamed(name)
		switch {
		case s.secrecy != public:
			r.warnf("--%s: other users of this machine can read arguments; give %s in the environment or a file", s.flag(), name)
		case strings.TrimSpace(flags[name]) == "":
			r.faultf("--%s: %s is empty; want %s, e.g. %s", s.flag(), name, s.value.want, s.example)
			continue
		}
		r.put(name, given{flags[name], "--" + s.flag() + ": ", sourceFlag})
	}
}

// faultOf adds a fault of one setting, whose name is put before the text.
func (r *reading) faultOf(name, format string, args ...any) {
	r.faults = append(r.faults, &settingFault{name, fmt.Errorf("%s%w", name, fmt.Errorf(format, args...))})
}

// put takes a value over those of weaker sources. An empty one is not given,
// since compose files pass ${NAME:-} along; but a secret that is set to nothing
// is a mistake that would otherwise go unseen.
func (r *reading) put(name string, g given) {
	s := settingNamed(name)
	if s.secrecy < verbatim {
		g.value = strings.TrimSpace(g.value)
	}
	if g.value != "" || s.secrecy == own {
		r.values[name] = g
	}
}

// parse fills a Config from defaults and values, in the order of the table.
func (r *reading) parse(table []*setting, environ []string) *Config {
	c := defaultConfig(environ)
	c.given = r.values
	for _, s := range table {
		g, isGiven := r.values[s.name]
		switch {
		case isGiven:
			r.parseOne(c, s, g)
		case s.required:
			r.faultOf(s.name, " is missing; want %s, e.g. %s", s.value.want, s.example)
		}
	}
	if c.Listen == "" {
		c.Listen = net.JoinHostPort("", strconv.Itoa(c.appPort))
	}
	return c
}

func (r *reading) parseOne(c *Config, s *setting, g given) {
	faults := s.parseInto(c, g.value)
	if len(faults) == 0 {
		if s.secrecy == own {
			r.warnings = append(r.warnings, secretWarnings(s.name, g.value)...)
		}
		return
	}
	for _, fault := range faults {
		r.faults = append(r.faults, &settingFault{s.name, fmt.Errorf("%s%w", g.origin, fault)})
	}
}

// parseInto fills the setting's field of c, and returns every fault of the value,
// each beginning with the setting's name. c is unchanged if there is one.
func (s *setting) parseInto(c *Config, value string) []error {
	err := s.value.set(c, value)
	if err == nil {
		return nil
	}
	if list, isList := err.(interface{ Unwrap() []error }); isList {
		var faults []error
		for _, fault := range list.Unwrap() {
			faults = append(faults, fmt.Errorf("%s: %w", s.name, fault))
		}
		return faults
	}
	if isQuoted(value) && s.secrecy == public {
		err = fmt.Errorf("%w, for the quotes around it, which docker run --env-file keeps", err)
	}
	return []error{fmt.Errorf("%s: %w; want %s, e.g. %s", s.shown(value), err, s.value.want, s.example)}
}

// settingFault is a fault that is known to be of one setting.
type settingFault struct {
	name string
	err  error
}

func (f *settingFault) Error() string { return f.err.Error() }
func (f *settingFault) Unwrap() error { return f.err }

// defaultConfig returns the defaults of the table, and the data directory that
// systemd gives, if it does.
func defaultConfig(environ []string) *Config {
	c := new(Config)
	for _, s := range settings {
		if s.def == "" {
			continue
		}
		if err := s.value.set(c, s.def); err != nil {
			panic(fmt.Sprintf("default of %s: %v", s.name, err)) // a test holds the table against this
		}
	}
	for _, pair := range environ {
		if dirs, ok := strings.CutPrefix(pair, "STATE_DIRECTORY="); ok && dirs != "" {
			c.DataDir, _, _ = strings.Cut(dirs, string(filepath.ListSeparator))
		}
	}
	return c
}

// didYouMean ends a fault with the nearest of the candidates, or with what else
// is to be said if none is near.
func didYouMean(name string, candidates []string, otherwise string) string {
	if near := nearest(name, candidates); near != "" {
		return "; did you mean " + near + "?"
	}
	if otherwise != "" {
		return "; " + otherwise
	}
	return ""
}
