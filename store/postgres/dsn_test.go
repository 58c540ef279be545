package postgres

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

const secret = "pa55-w0rd"

func TestDSN(t *testing.T) {
	cases := []struct {
		name, dsn string
		check     func(c *pgx.ConnConfig) bool
	}{
		{"URL", "postgresql://u:" + secret + "@db:6432/sentinel", func(c *pgx.ConnConfig) bool {
			return c.Host == "db" && c.Port == 6432 && c.Database == "sentinel" && c.User == "u" && c.Password == secret
		}},
		{"short scheme", "postgres://u@db/sentinel", func(c *pgx.ConnConfig) bool { return c.Host == "db" }},
		{"of asyncpg", "postgresql+asyncpg://u:p%40ss@db/sentinel", func(c *pgx.ConnConfig) bool { return c.Password == "p@ss" }},
		{"asyncpg with ssl", "postgresql+asyncpg://u@db/sentinel?ssl=require", func(c *pgx.ConnConfig) bool { return c.TLSConfig != nil && c.TLSConfig.InsecureSkipVerify }},
		{"asyncpg with ssl=true", "postgresql+asyncpg://u@db/sentinel?ssl=true", func(c *pgx.ConnConfig) bool { return c.TLSConfig != nil && !c.TLSConfig.InsecureSkipVerify }},
		{"asyncpg without ssl", "postgresql+asyncpg://u@db/sentinel?ssl=disable", func(c *pgx.ConnConfig) bool { return c.TLSConfig == nil }},
		{"asyncpg behind PgBouncer", "postgresql+asyncpg://u@db/sentinel?prepared_statement_cache_size=0&statement_cache_size=0", func(c *pgx.ConnConfig) bool {
			return c.DefaultQueryExecMode == pgx.QueryExecModeExec
		}},
		{"asyncpg with a cache", "postgresql+asyncpg://u@db/sentinel?prepared_statement_cache_size=500", func(c *pgx.ConnConfig) bool {
			return c.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement
		}},
		{"shorter timeout", "postgresql+asyncpg://u@db/sentinel?timeout=2", func(c *pgx.ConnConfig) bool { return c.ConnectTimeout == 2*time.Second }},
		{"longer timeout", "postgresql://u@db/sentinel?connect_timeout=60", func(c *pgx.ConnConfig) bool { return c.ConnectTimeout == 3*time.Second }},
		{"mode", "postgresql://u@db/sentinel?default_query_exec_mode=simple_protocol", func(c *pgx.ConnConfig) bool {
			return c.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol
		}},
		{"words", "host=db user=u password=" + secret + " dbname=sentinel", func(c *pgx.ConnConfig) bool { return c.Host == "db" && c.Password == secret }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			config, listen, err := configs(Options{DSN: c.dsn, ConnectTimeout: 3 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if !c.check(config.ConnConfig) || !c.check(listen) || config.MaxConns != DefaultMaxConns {
				t.Errorf("host %q, port %d, database %q, mode %v, timeout %v", config.ConnConfig.Host, config.ConnConfig.Port,
					config.ConnConfig.Database, config.ConnConfig.DefaultQueryExecMode, config.ConnConfig.ConnectTimeout)
			}
		})
	}
	config, listen, err := configs(Options{DSN: "postgresql://u@pooler/sentinel?pool_max_conns=3", ListenDSN: "postgresql://u@db/sentinel"})
	if err != nil || config.MaxConns != 3 || config.ConnConfig.Host != "pooler" || listen.Host != "db" {
		t.Errorf("a DSN for listening: %v", err)
	}
}

// TestBadDSN has each fault told, and no password.
func TestBadDSN(t *testing.T) {
	cases := map[string]string{
		"":                                     "empty",
		"mysql://u:" + secret + "@db/sentinel": `"mysql"`,
		"postgresql+psycopg2://u:" + secret + "@db/sentinel":                    "psycopg2",
		"postgresql://u:" + secret + "%zz@db/sentinel":                          "percent-encoded",
		"postgresql://u:" + secret + "#%zz@db:x/sentinel":                       "percent-encoded",
		"postgresql://u:" + secret + "@db:port/sentinel":                        "no URL",
		"postgresql://u:" + secret + "@db/sentinel?ssl=maybe":                   `ssl="maybe"`,
		"postgresql://u:" + secret + "@db/sentinel?ssl=require&sslmode=disable": "remove one",
		"postgresql://u:" + secret + "@db/sentinel?sslmode=maybe":               "sslmode",
		"postgresql://u:" + secret + "@db/sentinel?server_settings=x":           "server_settings",
		"postgresql://u:" + secret + "@db/sentinel?command_timeout=5":           "command_timeout",
		"postgresql://u:" + secret + "@db/sentinel?default_query_exec_mode=x":   "default_query_exec_mode",
		"postgresql://u:" + secret + "@db/sentinel?pool_max_conns=x":            "pool_max_conns",
		"postgresql://u@db/sentinel?password=" + secret:                         "parameter",
		"host=db user=u password=" + secret + " port=x":                         "cannot be read",
		"password='" + secret: "cannot be read",
	}
	for dsn, want := range cases {
		_, err := Open(t.Context(), Options{DSN: dsn})
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want ErrInvalid with %q", dsn, err, want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the password is in the error: %v", dsn, err)
		}
	}
}

// TestPasswordIsNotTold connects to nothing, with a password.
func TestPasswordIsNotTold(t *testing.T) {
	var log bytes.Buffer
	for _, dsn := range []string{"postgresql://u:" + secret + "@127.0.0.1:1/sentinel", "host=127.0.0.1 port=1 user=u password=" + secret} {
		_, err := Open(t.Context(), Options{DSN: dsn, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("got %v", err)
		}
		if err != nil && strings.Contains(err.Error(), secret) || strings.Contains(log.String(), secret) {
			t.Errorf("the password is told: %v, %s", err, log.String())
		}
	}
}
