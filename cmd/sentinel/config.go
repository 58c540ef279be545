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
	Anonymous    string
	FailsafeMode string

	MaxBodyBytes    int64
	RateLimit       int // requests a minute; 0: none
	RateBurst       int
	ConnectTimeout  time.Duration
	ResponseTimeout time.Duration // 0: none
	IdleTimeout     time.Duration // 0: none
	ShutdownGrace   time.Duration
	CacheEntries    int

	HMACSecret     secretText // empty: made at the first start
	AdminPassword  secretText // empty: made at the first start
	AdminJWTSecret secretText // empty: made at the first start
	AdminNetworks  []netip.Prefix

	LogLevel  slog.Level
	LogFormat string

	PostgresDSN             secretText
	RedisAddr               secretText
	RedisPassword           secretText
	AlertWebhookURL         secretText
	AlertThresholdCount     int
	AlertWindow             time.Duration
	ArchiveDays             int
	ArchiveSchedulerLockKey int64
	UvicornWorkers          int

	appPort int // only until Listen is known
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
}

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
		r.put(e.name, given{e.value, fmt.Sprintf("%s line %d: ", src.envFile, e.line)})
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
			r.put(name, given{value: value})
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
		r.put(name, given{flags[name], "--" + s.flag() + ": "})
	}
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
	for _, s := range table {
		g, isGiven := r.values[s.name]
		switch {
		case isGiven:
			r.parseOne(c, s, g)
		case s.required:
			r.faultf("%s is missing; want %s, e.g. %s", s.name, s.value.want, s.example)
		}
	}
	if c.Listen == "" {
		c.Listen = net.JoinHostPort("", strconv.Itoa(c.appPort))
	}
	return c
}

func (r *reading) parseOne(c *Config, s *setting, g given) {
	err := s.value.set(c, g.value)
	if err == nil {
		if s.secrecy == own {
			r.warnings = append(r.warnings, secretWarnings(s.name, g.value)...)
		}
		return
	}
	if list, isList := err.(interface{ Unwrap() []error }); isList {
		for _, fault := range list.Unwrap() {
			r.faultf("%s%s: %w", g.origin, s.name, fault)
		}
		return
	}
	if isQuoted(g.value) && s.secrecy == public {
		err = fmt.Errorf("%w, for the quotes around it, which docker run --env-file keeps", err)
	}
	r.faultf("%s%s: %w; want %s, e.g. %s", g.origin, s.shown(g.value), err, s.value.want, s.example)
}

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
