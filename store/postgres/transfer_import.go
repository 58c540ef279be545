package postgres

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"github.com/key-ip-sentinel/sentinel/store"
)

// Import is part of store.Transfer. The feed does not tell of it: who follows it from
// before takes a snapshot.
func (s *Store) Import(ctx context.Context, chunk store.Chunk, mark store.Migration) error {
	raw, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	if err := validChunk(chunk); err != nil {
		return err
	}
	times := make([]int64, len(chunk.Intercepts))
	for i, r := range chunk.Intercepts {
		times[i] = r.At.UnixMilli()
	}
	if err := s.ensureMonths(ctx, times); err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, w *writeTx) error {
		bindings, archived, err := w.makeRoom(ctx, chunk)
		if err != nil {
			return err
		}
		i := &imported{b: &pgx.Batch{}, revision: 1}
		if err := i.queue(chunk); err != nil {
			return err
		}
		i.b.Queue(sqlImportSetting, []byte(store.MoveMark), raw)
		i.b.Queue(sqlImportedHead, number(i.revision), bindings, archived)
		return w.exec(ctx, i.b)
	})
}

// makeRoom removes what is there of the keys of a chunk, and returns how many more there
// are once the chunk is in.
func (w *writeTx) makeRoom(ctx context.Context, chunk store.Chunk) (bindings, archived int, err error) {
	bound, kept := make([][]byte, len(chunk.Bindings)), make([][]byte, len(chunk.Archived))
	for i := range bound {
		bound[i] = chunk.Bindings[i].Binding.Hash[:]
	}
	for i := range kept {
		kept[i] = chunk.Archived[i].Binding.Hash[:]
	}
	bindings, archived = len(bound), len(kept)
	b := &pgx.Batch{}
	remove := func(table string, hashes [][]byte, count *int) {
		b.Queue(`DELETE FROM sentinel.`+table+` WHERE hash = ANY($1::bytea[])`, hashes).Exec(func(tag pgTag) error {
			*count -= int(tag.RowsAffected())
			return nil
		})
	}
	remove("bindings", bound, &bindings)
	remove("binding_prefixes", bound, new(int))
	remove("usage", bound, new(int))
	remove("archive", kept, &archived)
	return bindings, archived, w.exec(ctx, b)
}

func validChunk(chunk store.Chunk) error {
	for _, row := range chunk.Bindings {
		if err := row.Binding.Validate(); err != nil {
			return err
		}
	}
	for _, a := range chunk.Archived {
		if err := a.Binding.Validate(); err != nil {
			return err
		}
	}
	for _, d := range chunk.Documents {
		if err := d.Validate(); err != nil {
			return err
		}
	}
	for _, c := range chunk.Settings {
		if err := store.ValidateName(c.Name); err != nil {
			return err
		}
	}
	return store.UsageBatch{Counters: chunk.Counters}.Validate()
}

const (
	sqlImportedHead = `
UPDATE sentinel.head SET revision = greatest(revision, $1), trimmed = greatest(revision, $1),
    bindings = bindings + $2, archived = archived + $3`

	sqlImportSetting = `
INSERT INTO sentinel.settings (name, revision, value) VALUES ($1, (SELECT greatest(revision, 1) FROM sentinel.head), $2)
ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, value = excluded.value`

	sqlImportBindings = `
INSERT INTO sentinel.bindings (hash, hint, label, note, hint_folded, label_folded, status, rule, prefixes, networks,
    learn_limit, learn_within, learn_until, first_ip, created_at, updated_at, archived_before, hashed_with, revision)
SELECT g.hash, g.hint, g.label, g.note, g.hint_folded, g.label_folded, g.status, g.rule, g.prefixes::cidr[], g.networks::text[],
    g.learn_limit, g.learn_within, g.learn_until, g.first_ip::inet, g.created_at, g.updated_at, g.archived_before, g.hashed_with, ($19::bigint[])[g.n]
FROM ` + givenBindings

	sqlImportFurther = `
INSERT INTO sentinel.binding_prefixes (hash, prefix)
SELECT hash, unnest(prefixes[2:]) FROM sentinel.bindings WHERE hash = ANY($1::bytea[]) AND cardinality(prefixes) > 1`

	sqlImportUsage = `
INSERT INTO sentinel.usage (hash, last_used, last_ip, hits, history)
SELECT hash, last_used, last_ip::inet, hits, history
FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bigint[], $5::bytea[]) AS g(hash, last_used, last_ip, hits, history)`

	sqlImportArchive = `
INSERT INTO sentinel.archive (hash, hint, label, note, hint_folded, label_folded, status, rule, prefixes, networks,
    learn_limit, learn_within, learn_until, first_ip, created_at, updated_at, archived_before, hashed_with, revision,
    last_used, last_ip, hits, history, archived_at, changed)
SELECT g.hash, g.hint, g.label, g.note, g.hint_folded, g.label_folded, g.status, g.rule, g.prefixes::cidr[], g.networks::text[],
    g.learn_limit, g.learn_within, g.learn_until, g.first_ip::inet, g.created_at, g.updated_at, g.archived_before, g.hashed_with, ($19::bigint[])[g.n],
    ($20::bigint[])[g.n], (($21::text[])[g.n])::inet, ($22::bigint[])[g.n], ($23::bytea[])[g.n], ($24::bigint[])[g.n], ($19::bigint[])[g.n]
FROM ` + givenBindings

	sqlImportIntercepts = `
INSERT INTO sentinel.intercepts (id, at, last, count, reason, observed, basis_kind, basis_name, hash, hint, client_ip, peer_ip,
    method, host, path, user_agent, request_id, path_folded)
SELECT g.id, g.at, g.last, g.count, g.reason, g.observed, g.basis_kind, g.basis_name, g.hash, g.hint, g.client_ip::inet, g.peer_ip::inet,
    g.method, g.host, g.path, g.user_agent, g.request_id, g.path_folded
FROM ` + givenIntercepts + `
ON CONFLICT DO NOTHING`

	sqlImportCounter = `
INSERT INTO sentinel.counters (hour, name, n) VALUES ($1, $2, $3) ON CONFLICT (hour, name) DO UPDATE SET n = excluded.n`

	sqlImportAudit = `
INSERT INTO sentinel.audit (id, at, actor, client_ip, action, target, before, after, request_id)
VALUES ($1, $2, $3, $4::text::inet, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`

	sqlImportedID = `UPDATE sentinel.sequences SET last = greatest(last, $2) WHERE name = $1`
)

// imported is a chunk on its way.
type imported struct {
	b        *pgx.Batch
	revision uint64 // the highest one
}

func (i *imported) queue(chunk store.Chunk) error {
	for _, c := range chunk.Settings {
		i.b.Queue(sqlImportSetting, []byte(c.Name), append([]byte{}, c.Value...))
	}
	for _, d := range chunk.Documents {
		i.revision = max(i.revision, d.Revision)
		i.b.Queue(sqlPutDocument, []byte(d.Kind), []byte(d.ID), number(d.Revision), []byte(d.Body))
	}
	for _, c := range chunk.Counters {
		i.b.Queue(sqlImportCounter, store.StoredHour(c.Hour).Unix(), []byte(c.Name), number(c.N))
	}
	i.queueLogs(chunk)
	if err := i.queueBindings(chunk.Bindings); err != nil {
		return err
	}
	return i.queueArchive(chunk.Archived)
}

func (i *imported) queueLogs(chunk store.Chunk) {
	var rows interceptRows
	var ids []int64
	for _, r := range chunk.Intercepts {
		rows.add(r)
		ids = append(ids, number(r.ID))
	}
	if len(ids) > 0 {
		i.b.Queue(sqlImportIntercepts, rows.args(ids)...)
		i.b.Queue(sqlImportedID, "intercepts", ids[len(ids)-1])
	}
	for _, e := range chunk.Audit {
		i.b.Queue(sqlImportAudit, number(e.ID), e.At.UnixMilli(), []byte(e.Actor), addrText(e.ClientIP), []byte(e.Action), []byte(e.Target),
			[]byte(e.Before), []byte(e.After), []byte(e.RequestID))
		i.b.Queue(sqlImportedID, "audit", number(e.ID))
	}
}

// usageRows are usages on their way to the server, by column.
type usageRows struct {
	lastUsed, hits []int64
	lastIP         []*string
	history        [][]byte
}

func (r *usageRows) add(u store.Usage) error {
	history, err := encodeHistory(u)
	r.lastUsed, r.hits = append(r.lastUsed, u.LastUsed.UnixMilli()), append(r.hits, number(u.Hits))
	r.lastIP, r.history = append(r.lastIP, addrText(u.LastIP)), append(r.history, history)
	return err
}

func (i *imported) queueBindings(list []store.BindingRow) error {
	if len(list) == 0 {
		return nil
	}
	var bindings bindingRows
	var usages usageRows
	var revisions []int64
	for _, row := range list {
		bindings.add(row.Binding)
		if err := usages.add(row.Usage); err != nil {
			return err
		}
		revisions = append(revisions, number(row.Binding.Revision))
		i.revision = max(i.revision, row.Binding.Revision)
	}
	i.b.Queue(sqlImportBindings, append(bindings.args(), revisions)...)
	i.b.Queue(sqlImportFurther, bindings.hash)
	i.b.Queue(sqlImportUsage, bindings.hash, usages.lastUsed, usages.lastIP, usages.hits, usages.history)
	return nil
}

func (i *imported) queueArchive(list []store.ArchivedBinding) error {
	if len(list) == 0 {
		return nil
	}
	var bindings bindingRows
	var usages usageRows
	var revisions, times []int64
	for _, a := range list {
		bindings.add(a.Binding)
		if err := usages.add(a.Usage); err != nil {
			return err
		}
		revisions, times = append(revisions, number(a.Binding.Revision)), append(times, a.ArchivedAt.UnixMilli())
		i.revision = max(i.revision, a.Binding.Revision)
	}
	args := append(bindings.args(), revisions, usages.lastUsed, usages.lastIP, usages.hits, usages.history, times)
	i.b.Queue(sqlImportArchive, args...)
	return nil
}
