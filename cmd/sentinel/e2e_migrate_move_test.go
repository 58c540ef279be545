package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/key-ip-sentinel/sentinel/store"
	"github.com/key-ip-sentinel/sentinel/store/bolt"
	"github.com/key-ip-sentinel/sentinel/store/storetest"
)

// digestsOf reads all of a data file.
func digestsOf(t *testing.T, dir string) map[store.Class]store.Digest {
	t.Helper()
	file, err := bolt.Open(dataFileOf(dir), bolt.Options{})
	must(t, err)
	defer func() { must(t, file.Close()) }()
	all := map[store.Class]store.Digest{}
	for _, class := range store.Classes {
		all[class], err = store.DigestOf(t.Context(), file, class, nil)
		must(t, err)
	}
	return all
}

// fillForMove adds records of all kinds to a data file, and many bindings.
func fillForMove(t *testing.T, dir string, bindings int) {
	t.Helper()
	file, err := bolt.Open(dataFileOf(dir), bolt.Options{})
	must(t, err)
	defer func() { must(t, file.Close()) }()
	storetest.FillAll(t, file, 120)
	_, err = file.ImportBindings(t.Context(), func(yield func(store.Binding) bool) {
		for i := range bindings {
			if !yield(storetest.Binding(1_000 + i)) {
				return
			}
		}
	})
	must(t, err)
	recs := make([]store.Intercept, 5_000)
	for i := range recs {
		recs[i] = storetest.Intercept(i)
	}
	must(t, file.PutIntercepts(t.Context(), recs))
}

// move runs `sentinel migrate` until it succeeds, and kills it after longer and longer
// delays; none: it runs once.
func (s *site) move(t *testing.T, dsn, command string, first time.Duration) (stdout string, kills int) {
	t.Helper()
	for delay := first; ; delay += delay / 3 {
		p := startProcess(t, []string{"PG_DSN=" + dsn, "SENTINEL_DATA_DIR=" + s.data}, "migrate", command)
		var late <-chan time.Time
		if first > 0 {
			late = time.After(delay)
		}
		select {
		case <-p.ended:
			if p.cmd.ProcessState.ExitCode() != exitOK {
				t.Fatalf("%s: %s", command, p.stderr)
			}
			return p.stdout.String(), kills
		case <-late:
			_ = p.cmd.Process.Kill()
			<-p.ended
			if kills++; kills > 30 {
				t.Fatal("it never ended")
			}
		}
	}
}

// TestMigrateToPostgresAndBack moves a data file there and back, killed again and again,
// and looks whether the same is there; and that keys are held to where they were bound.
func TestMigrateToPostgresAndBack(t *testing.T) {
	const bindings = 10_000
	_, dsn := startPostgres(t)
	key := testKey(9980)
	s := &site{data: t.TempDir(), gateway: startGateway(t, key).url}
	s.start(t, clusterSecrets...)
	if got := call(t, from(t, homeIP), "GET", s.url+"/v1/models", key, nil).status; got != http.StatusOK {
		t.Fatalf("first use: got %d", got)
	}
	if code, _, stderr := s.runMove(t, dsn, "bolt-to-postgres"); code != exitFailure || !strings.Contains(stderr, "stop the other sentinel") {
		t.Errorf("beside the server: got %d, %s", code, stderr)
	}
	must(t, s.stop())
	fillForMove(t, s.data, bindings)
	original := digestsOf(t, s.data)
	if n := original[store.ClassBindings].Records; n < bindings {
		t.Fatalf("%d bindings", n)
	}

	out, kills := s.move(t, dsn, "bolt-to-postgres", 150*time.Millisecond)
	t.Logf("to PostgreSQL: killed %d times\n%s", kills, out)
	if kills == 0 || !strings.Contains(out, "bindings: 10,") || !strings.Contains(out, "mv "+dataFileOf(s.data)) {
		t.Errorf("killed %d times, got %s", kills, out)
	}
	if out, _ := s.move(t, dsn, "bolt-to-postgres", 0); !strings.Contains(out, "already") {
		t.Errorf("once more: got %s", out)
	}
	if code, _, stderr := (&site{data: makeData(t, 1)}).runMove(t, dsn, "bolt-to-postgres"); code != exitFailure || !strings.Contains(stderr, "has data of its own") {
		t.Errorf("another one over it: got %d, %s", code, stderr)
	}

	back := &site{data: filepath.Join(t.TempDir(), "back"), gateway: s.gateway}
	out, kills = back.move(t, dsn, "postgres-to-bolt", 150*time.Millisecond)
	t.Logf("to a data directory: killed %d times\n%s", kills, out)
	for class, want := range original {
		if got := digestsOf(t, back.data)[class]; got != want {
			t.Errorf("%s: there and back are %d (%s), want %d (%s)", class, got.Records, got, want.Records, want)
		}
	}

	// A node of a cluster on what was moved there.
	node := launchNode(t, s.gateway, dsn, t.TempDir()).serving()
	node.use(elsewhereIP, key, http.StatusForbidden)
	node.use(homeIP, key, http.StatusOK)
	if code, _, stderr := (&site{data: filepath.Join(t.TempDir(), "other")}).runMove(t, dsn, "postgres-to-bolt"); code != exitFailure || !strings.Contains(stderr, "connections of sentinel nodes") {
		t.Errorf("beside a node: got %d, %s", code, stderr)
	}
	p := startProcess(t, append(settingsFor(s.gateway, s.data, "PG_DSN="+dsn), clusterSecrets...), "serve")
	<-p.ended
	if !strings.Contains(p.stderr.String(), "ran alone") {
		t.Errorf("on the old data file: %s", p.stderr)
	}
	must(t, node.stop())

	// And one that runs alone on what was moved back.
	back.start(t, clusterSecrets...)
	for ip, want := range map[string]int{elsewhereIP: http.StatusForbidden, homeIP: http.StatusOK} {
		if got := call(t, from(t, ip), "GET", back.url+"/v1/models", key, nil).status; got != want {
			t.Errorf("moved back, from %s: got %d, want %d", ip, got, want)
		}
	}
}

// runMove runs it once.
func (s *site) runMove(t *testing.T, dsn, command string) (code int, stdout, stderr string) {
	t.Helper()
	p := startProcess(t, []string{"PG_DSN=" + dsn, "SENTINEL_DATA_DIR=" + s.data}, "migrate", command)
	<-p.ended
	return p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()
}

// TestMoveFindsDifferences changes what was moved before it is compared.
func TestMoveFindsDifferences(t *testing.T) {
	db, dsn := startPostgres(t)
	s := &site{data: makeData(t, 30)}
	fillForMove(t, s.data, 10)
	s.move(t, dsn, "bolt-to-postgres", 0)
	raw, err := json.Marshal(store.Migration{Class: string(store.ClassAudit)})
	must(t, err)
	unfinished := func() {
		db.Exec(t, "cluster", `UPDATE sentinel.settings SET value = convert_to((convert_from(value, 'UTF8')::jsonb || '`+
			strings.ReplaceAll(string(bytes.TrimSpace(raw)), `"from":"",`, "")+`')::text, 'UTF8') WHERE name = '`+store.MoveMark+`'`)
	}
	unfinished()
	s.move(t, dsn, "bolt-to-postgres", 0)
	for class, sql := range map[store.Class][2]string{
		store.ClassBindings:   {`UPDATE sentinel.bindings SET label = 'x' WHERE hash = (SELECT hash FROM sentinel.bindings WHERE label = '' LIMIT 1)`, `UPDATE sentinel.bindings SET label = '' WHERE label = 'x'`},
		store.ClassSettings:   {`INSERT INTO sentinel.settings VALUES ('odd', 1, '')`, `DELETE FROM sentinel.settings WHERE name = 'odd'`},
		store.ClassCounters:   {`UPDATE sentinel.counters SET n = n + 1`, `UPDATE sentinel.counters SET n = n - 1`},
		store.ClassIntercepts: {`UPDATE sentinel.intercepts SET count = count + 1 WHERE id = 1`, `UPDATE sentinel.intercepts SET count = count - 1 WHERE id = 1`},
		store.ClassDocuments:  {`UPDATE sentinel.documents SET revision = revision + 1`, `UPDATE sentinel.documents SET revision = revision - 1`},
		store.ClassArchive:    {`UPDATE sentinel.archive SET hits = hits + 1`, `UPDATE sentinel.archive SET hits = hits - 1`},
		store.ClassAudit:      {`INSERT INTO sentinel.audit (id, at, actor, action, target, request_id) VALUES (99999, 1, '', '', '', '')`, `DELETE FROM sentinel.audit WHERE id = 99999`},
	} {
		unfinished()
		db.Exec(t, "cluster", sql[0])
		code, _, stderr := s.runMove(t, dsn, "bolt-to-postgres")
		if code != exitFailure || !strings.Contains(stderr, string(class)+" differ") {
			t.Errorf("%s: got %d, %s", class, code, stderr)
		}
		node := startProcess(t, append(settingsFor("http://127.0.0.1:1", t.TempDir(), "PG_DSN="+dsn), clusterSecrets...), "serve")
		<-node.ended
		if !strings.Contains(node.stderr.String(), "not finished") {
			t.Errorf("a node on what is not compared: %s", node.stderr)
		}
		db.Exec(t, "cluster", sql[1])
	}
	if out, _ := s.move(t, dsn, "bolt-to-postgres", 0); !strings.Contains(out, "compared") {
		t.Errorf("as it was: %s", out)
	}
	if !slices.Contains(store.Classes, store.ClassAudit) {
		t.Error("the audit trail is not moved")
	}
}
