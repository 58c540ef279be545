package main

import (
	"strings"
	"testing"
)

// TestCheckLooksAtTheServersOfACluster checks before the first start, beside a server that
// runs, and with what is wrong.
func TestCheckLooksAtTheServersOfACluster(t *testing.T) {
	g := startGateway(t)
	server, dsn := startPostgres(t)
	_, redisAddr := startRedis(t)
	check := func(data string, more ...string) string {
		t.Helper()
		environ := append(settingsFor(g.url, data, "PG_DSN="+dsn, redisAddr), clusterSecrets...)
		p := startProcess(t, append(environ, more...), "check")
		<-p.ended
		out := p.stdout.String()
		for _, secret := range []string{serverPassword(dsn), serverPassword(strings.TrimPrefix(redisAddr, "REDIS_ADDR="))} {
			if strings.Contains(out+p.stderr.String(), secret) {
				t.Errorf("it tells a password:\n%s", out)
			}
		}
		return out
	}
	want := func(out string, lines ...string) {
		t.Helper()
		for _, line := range lines {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), line) {
				t.Errorf("got\n%swant %q", out, line)
			}
		}
	}
	want(check(t.TempDir()), "answers; the schema is made by the first start", "ok Redis version", "standalone: takes writes, scripts and messages")

	node := launchNode(t, g.url, dsn, t.TempDir(), redisAddr).serving()
	want(check(node.data), "answers, and has the schema that this program wants", "ok Redis")
	must(t, node.stop())
	want(check(node.data, "REDIS_PASSWORD=", "REDIS_ADDR="+strings.Replace(strings.TrimPrefix(redisAddr, "REDIS_ADDR="), "redis://:", "redis://:wrong", 1)),
		"ok PostgreSQL", "fail Redis REDIS_ADDR:", "WRONGPASS")

	want(check(makeData(t, 1)), "fail store PG_DSN:", "ran alone")

	server.Kill()
	want(check(node.data), "fail PostgreSQL PG_DSN:", "refused", "ok Redis")
	must(t, server.Restart())
	must(t, server.Do("cluster", "INSERT INTO sentinel.migrations (version_id, is_applied) VALUES (999, true)"))
	want(check(node.data), "fail PostgreSQL PG_DSN:", "the schema has version 999")
}
