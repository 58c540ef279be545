package redis_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/redis"
)

func TestGoodServers(t *testing.T) {
	for _, s := range []redis.Server{
		{Addresses: "redis"}, {Addresses: "redis:6379"}, {Addresses: "[::1]:6379"}, {Addresses: "a:1, b:2,c"},
		{Addresses: "redis://redis"}, {Addresses: "redis://redis:6379/0"}, {Addresses: "rediss://u:p%40@redis:6379/15"}, {Addresses: "REDIS://:p@redis"},
		{Addresses: "redis://u@redis", Password: "p"}, {Addresses: "redis://:p@redis", Password: "p"},
		{Addresses: "a:1,b:2", MasterName: "m", DB: 3}, {Addresses: "redis", Username: "u", Password: "p", TLS: true},
	} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestBadServers(t *testing.T) {
	const secret = "sEcReT"
	for _, test := range []struct {
		s    redis.Server
		want string
	}{
		{redis.Server{}, "no host:port"},
		{redis.Server{Addresses: "a,,b"}, "no host:port"},
		{redis.Server{Addresses: "redis:0"}, "no host:port"},
		{redis.Server{Addresses: "redis:99999"}, "no host:port"},
		{redis.Server{Addresses: "u:" + secret + "@redis:6379"}, "no host:port"},
		{redis.Server{Addresses: "::1"}, "no host:port"},
		{redis.Server{Addresses: "http://redis"}, `for "http"`},
		{redis.Server{Addresses: "redis://u:" + secret + "%zz@redis"}, "percent-encoded"},
		{redis.Server{Addresses: "redis://:" + secret + "@redis", Password: "other" + secret}, "another one beside it"},
		{redis.Server{Addresses: "redis://u:" + secret + "@redis", Username: "v"}, "another one beside it"},
		{redis.Server{Addresses: "redis://redis/x"}, "number of the database"},
		{redis.Server{Addresses: "redis://redis/1", DB: 2}, "number of the database"},
		{redis.Server{Addresses: "redis://redis/70000"}, "want 0 to"},
		{redis.Server{Addresses: "redis://:" + secret + "@redis?x=" + secret}, "parameters"},
		{redis.Server{Addresses: "redis://"}, "no host:port"},
		{redis.Server{Addresses: "a:1,b:2", DB: 3}, "database 0 only"},
		{redis.Server{Addresses: "redis", DB: -1}, "want 0 to"},
		{redis.Server{Addresses: "redis", Username: "u"}, "without a password"},
		{redis.Server{Addresses: "redis", CA: []byte("x")}, "TLS is off"},
		{redis.Server{Addresses: "redis", TLS: true, CA: []byte("x")}, "no certificate"},
	} {
		err := test.s.Validate()
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%+v: got %v, want %q", test.s, err, test.want)
		}
	}
	if _, err := redis.Open(redis.Options{Server: redis.Server{Addresses: ":"}, Namespace: "x", Secret: []byte("x")}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("open: %v", err)
	}
}
