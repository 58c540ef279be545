package main

import (
	"strings"
	"testing"
)

const clusterDSN = "PG_DSN=postgresql://u:p@db/x"

func TestRedisSettings(t *testing.T) {
	for _, environ := range [][]string{
		{"REDIS_ADDR=redis:6379", "REDIS_PASSWORD=", "REDIS_DB=3"},
		{"REDIS_ADDR=rediss://sentinel@redis:6379/3", "REDIS_PASSWORD=pa#ss", "REDIS_TLS_CA=/x.pem"},
		{"REDIS_ADDR=a:1, b:2,c:3", "REDIS_USERNAME=u", "REDIS_PASSWORD=p", "REDIS_TLS=true", "REDIS_TLS_CA=/x.pem"},
		{"REDIS_ADDR=a:26379,b:26379", "REDIS_MASTER_NAME=mymaster", "REDIS_SENTINEL_PASSWORD=p", "REDIS_DB=3"},
	} {
		c, warnings, err := load(t, "", append(environ, testDownstream, clusterDSN)...)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%v: %v, %q", environ, err, warnings)
			continue
		}
		if err := redisServer(c, nil).Validate(); err != nil {
			t.Errorf("%v: %v", environ, err)
		}
	}
}

// TestBadRedisSettings are those that only several together show. No password is told.
func TestBadRedisSettings(t *testing.T) {
	const secret = "sEcReT-for-tests"
	for _, test := range []struct {
		environ []string
		want    string
	}{
		{[]string{"REDIS_ADDR=a:1,b:2", "REDIS_DB=3"}, "REDIS_ADDR: several addresses are those of a Redis Cluster"},
		{[]string{"REDIS_ADDR=redis", "REDIS_USERNAME=u"}, "without a password"},
		{[]string{"REDIS_ADDR=redis://:" + secret + "@redis", "REDIS_PASSWORD=" + secret + "2"}, "another one beside it"},
		{[]string{"REDIS_ADDR=redis://redis/1", "REDIS_DB=2"}, "number of the database"},
		{[]string{"REDIS_ADDR=redis", "REDIS_TLS_CA=/x.pem"}, "REDIS_TLS=true"},
	} {
		_, _, err := load(t, "", append(test.environ, testDownstream, clusterDSN)...)
		faults := faultsOf(err)
		if len(faults) != 1 || !strings.Contains(faults[0], test.want) || strings.Contains(faults[0], secret) {
			t.Errorf("%v: got %q, want %q", test.environ, faults, test.want)
		}
	}
}
