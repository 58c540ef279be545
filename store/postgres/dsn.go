package postgres

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/key-ip-sentinel/sentinel/store"
)

// example is shown with every fault of a DSN.
const example = "such as postgresql://USER:PASSWORD@HOST:5432/DATABASE"

// configs returns how to connect, for the pool and for Listen.
func configs(opts Options) (*pgxpool.Config, *pgx.ConnConfig, error) {
	config, err := parseDSN(opts.DSN)
	if err != nil {
		return nil, nil, err
	}
	listen := config.ConnConfig.Copy()
	if opts.ListenDSN != "" {
		other, err := parseDSN(opts.ListenDSN)
		if err != nil {
			return nil, nil, fmt.Errorf("for listening: %w", err)
		}
		listen = other.ConnConfig
	}
	for _, c := range []*pgx.ConnConfig{config.ConnConfig, listen} {
		if c.ConnectTimeout == 0 || c.ConnectTimeout > opts.ConnectTimeout {
			c.ConnectTimeout = opts.ConnectTimeout
		}
		if c.RuntimeParams["application_name"] == "" {
			c.RuntimeParams["application_name"] = cmp.Or(opts.Name, NodeName)
		}
	}
	return config, listen, nil
}

// Validate returns an error that wraps store.ErrInvalid if the database cannot be reached
// with these options whatever it is. It never has a DSN in it.
func (o Options) Validate() error {
	_, _, err := configs(o)
	return err
}

// parseDSN reads a DSN. Its errors name what is wrong, and show nothing of the DSN but
// the names of parameters: there is a password in it.
func parseDSN(dsn string) (*pgxpool.Config, error) {
	if dsn == "" {
		return nil, fmt.Errorf("%w: the DSN is empty, want one %s", store.ErrInvalid, example)
	}
	hidden := "postgresql://"
	if strings.Contains(dsn, "://") {
		u, err := url.Parse(dsn)
		if err != nil {
			return nil, fmt.Errorf("%w: the DSN is no URL, want one %s; special characters of the password have to be percent-encoded", store.ErrInvalid, example)
		}
		if err := convert(u); err != nil {
			return nil, err
		}
		dsn = u.String()
		if _, has := u.User.Password(); has {
			u.User = url.UserPassword("user", "hidden")
		}
		hidden = u.String()
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err == nil {
		if !strings.Contains(dsn, "pool_max_conns") {
			config.MaxConns = DefaultMaxConns
		}
		return config, nil
	}
	// What is wrong is told of a DSN without the password; if that one is good, it was
	// the password, or it is of the other form, of which no part is known to be harmless.
	if _, err := pgxpool.ParseConfig(hidden); err != nil {
		return nil, fmt.Errorf("%w: DSN: %v", store.ErrInvalid, err) //nolint:errorlint // its type is pgx's
	}
	return nil, fmt.Errorf("%w: the DSN cannot be read, want one %s", store.ErrInvalid, example)
}

// convert makes a URL for asyncpg, as SQLAlchemy has it, one for libpq.
func convert(u *url.URL) error {
	scheme, driver, _ := strings.Cut(strings.ToLower(u.Scheme), "+")
	if scheme != "postgres" && scheme != "postgresql" || driver != "" && driver != "asyncpg" {
		return fmt.Errorf("%w: the DSN is for %q, want one %s", store.ErrInvalid, u.Scheme, example)
	}
	u.Scheme = "postgresql"
	query := u.Query()
	if query.Has("password") {
		return fmt.Errorf("%w: the DSN has the password as a parameter, want it before the host, %s", store.ErrInvalid, example)
	}
	for _, name := range []string{"prepared_statement_cache_size", "statement_cache_size"} {
		// 0 is what is set behind a PgBouncer in transaction mode.
		if query.Get(name) == "0" && !query.Has("default_query_exec_mode") {
			query.Set("default_query_exec_mode", "exec")
		}
		query.Del(name)
	}
	if err := convertSSL(query); err != nil {
		return err
	}
	if timeout := query.Get("timeout"); timeout != "" {
		query.Set("connect_timeout", timeout)
		query.Del("timeout")
	}
	for _, name := range asyncpgOnly {
		if query.Has(name) {
			return fmt.Errorf("%w: the DSN has the parameter %s, which only asyncpg knows: remove it", store.ErrInvalid, name)
		}
	}
	u.RawQuery = query.Encode()
	return nil
}

// asyncpgOnly are parameters without a meaning here.
var asyncpgOnly = []string{
	"command_timeout", "direct_tls", "max_cached_statement_lifetime", "max_cacheable_statement_size",
	"prepared_statement_name_func", "server_settings", "async_fallback", "async_creator_fn", "loop", "record_class",
}

var sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// convertSSL makes the ssl of asyncpg the sslmode of libpq.
func convertSSL(query url.Values) error {
	if !query.Has("ssl") {
		return nil
	}
	mode := strings.ToLower(query.Get("ssl"))
	switch mode {
	case "true", "1", "on":
		mode = "verify-full" // as asyncpg reads it
	case "false", "0", "off":
		mode = "disable"
	}
	if !slices.Contains(sslModes, mode) {
		return fmt.Errorf("%w: the DSN has ssl=%q, want one of %s", store.ErrInvalid, query.Get("ssl"), strings.Join(sslModes, ", "))
	}
	if query.Has("sslmode") && query.Get("sslmode") != mode {
		return fmt.Errorf("%w: the DSN has ssl=%q and sslmode=%q: remove one", store.ErrInvalid, query.Get("ssl"), query.Get("sslmode"))
	}
	query.Del("ssl")
	query.Set("sslmode", mode)
	return nil
}

// ConnConfig returns how to connect once, for who reads another schema than Sentinel's.
// Errors are those of Options.Validate.
func ConnConfig(dsn string) (*pgx.ConnConfig, error) {
	config, _, err := configs(Options{DSN: dsn, ConnectTimeout: DefaultConnectTimeout})
	if err != nil {
		return nil, err
	}
	return config.ConnConfig, nil
}
