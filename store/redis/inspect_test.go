package redis_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/redis"
	"github.com/key-ip-sentinel/sentinel/store/redis/redistest"
)

func TestInspect(t *testing.T) {
	password := redistest.NewPassword()
	single, err := redistest.Start(redistest.Options{Password: password})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = single.Stop() }()
	cluster, err := redistest.StartCluster()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cluster.Stop() }()
	member, _, _ := strings.Cut(cluster.Addresses(), ",")
	// As docs/cluster.md has it.
	if err := single.Do("ACL", "SETUSER", "sentinel", "on", ">"+password, "~sentinel:*", "&sentinel:*", "+@all", "-@admin", "-@dangerous"); err != nil {
		t.Fatal(err)
	}
	if err := single.Do("ACL", "SETUSER", "reader", "on", ">"+password, "~sentinel:*", "&sentinel:*", "+@read", "+@connection"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		server redis.Server
		mode   string // empty: not usable
		says   string
	}{
		{"one server", redis.Server{Addresses: single.Addr(), Password: password}, "standalone", ""},
		{"the user of the page", redis.Server{Addresses: single.Addr(), Username: "sentinel", Password: password}, "standalone", ""},
		{"a cluster", redis.Server{Addresses: cluster.Addresses()}, "cluster", ""},
		{"a wrong password", redis.Server{Addresses: single.Addr(), Password: "wrong" + password}, "", "WRONGPASS"},
		{"no password", redis.Server{Addresses: single.Addr()}, "", "NOAUTH"},
		{"a user that may not write", redis.Server{Addresses: single.Addr(), Username: "reader", Password: password}, "", "NOPERM"},
		{"one of a cluster", redis.Server{Addresses: member}, "", "REDIS_ADDR names several"},
		{"several that are no cluster", redis.Server{Addresses: single.Addr() + "," + single.Addr(), Password: password}, "", "this is none"},
		{"nobody", redis.Server{Addresses: "127.0.0.1:1"}, "", "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, err := redis.Inspect(t.Context(), test.server)
			if test.mode != "" {
				if err != nil || found.Mode != test.mode || found.Version == "" || found.Role == "" {
					t.Errorf("got %+v, %v, want mode %s", found, err, test.mode)
				}
				return
			}
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), password) {
				t.Errorf("got %v, want ErrUnavailable with %q and no password", err, test.says)
			}
		})
	}
	if _, err := redis.Inspect(t.Context(), redis.Server{Addresses: "no such"}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}
