-- Times are bigint: milliseconds since 1970, UTC, as all stores keep them. Texts
-- that administrators or clients wrote are bytea: they need not be UTF-8, may hold
-- zero bytes, and are ordered by their bytes.

-- +goose Up

-- The one row that every change of what nodes copy locks until it commits: so
-- revisions are gapless, and become visible in their order.
CREATE TABLE sentinel.head (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision bigint NOT NULL DEFAULT 0, -- the last one
    trimmed  bigint NOT NULL DEFAULT 0, -- the last one that changes no longer has
    bindings bigint NOT NULL DEFAULT 0, -- how many there are
    archived bigint NOT NULL DEFAULT 0
);
INSERT INTO sentinel.head DEFAULT VALUES;

CREATE TABLE sentinel.changes (
    revision bigint PRIMARY KEY,
    kind     smallint NOT NULL, -- as changeKinds in feed.go numbers them
    key      bytea NOT NULL,    -- hash, kind of a document, name of a setting
    id       bytea,             -- of a document
    at       bigint NOT NULL    -- by the server's clock
);

CREATE TABLE sentinel.bindings (
    hash            bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    revision        bigint NOT NULL,
    hint            bytea NOT NULL,
    label           bytea NOT NULL,
    note            bytea NOT NULL,
    hint_folded     bytea NOT NULL, -- as strings.ToLower has it
    label_folded    bytea NOT NULL,
    status          text NOT NULL,
    rule            text NOT NULL,
    prefixes        cidr[] NOT NULL,
    networks        text[] NOT NULL,
    learn_limit     integer NOT NULL,
    learn_within    integer NOT NULL, -- seconds
    learn_until     bigint,
    first_ip        inet,
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL,
    archived_before bigint
);
CREATE INDEX bindings_created ON sentinel.bindings (created_at, hash);
CREATE INDEX bindings_hint ON sentinel.bindings (hint, hash);
CREATE INDEX bindings_label ON sentinel.bindings (label, hash);
CREATE INDEX bindings_first ON sentinel.bindings USING gist ((prefixes[1]::inet) inet_ops);
CREATE INDEX bindings_networks ON sentinel.bindings USING gin (networks) WHERE networks <> '{}';
CREATE INDEX bindings_everywhere ON sentinel.bindings (hash) WHERE rule = 'all';
CREATE INDEX bindings_banned ON sentinel.bindings (hash) WHERE status = 'banned';
CREATE INDEX bindings_returned ON sentinel.bindings (hash) WHERE archived_before IS NOT NULL;

-- The prefixes of a rule from its second one on: nearly all rules have only one,
-- which bindings_first finds.
CREATE TABLE sentinel.binding_prefixes (
    hash   bytea NOT NULL,
    prefix cidr NOT NULL
);
CREATE INDEX binding_prefixes_hash ON sentinel.binding_prefixes (hash);
CREATE INDEX binding_prefixes_prefix ON sentinel.binding_prefixes USING gist ((prefix::inet) inet_ops);

-- One row for each binding. It changes all the time, and the binding does not.
CREATE TABLE sentinel.usage (
    hash      bytea PRIMARY KEY,
    last_used bigint NOT NULL DEFAULT -62135596800000, -- never: the year 1
    last_ip   inet,
    hits      bigint NOT NULL DEFAULT 0,
    history   bytea -- days and addresses, as history.go says
) WITH (fillfactor = 80);
CREATE INDEX usage_last_used ON sentinel.usage (last_used, hash);
CREATE INDEX usage_hits ON sentinel.usage (hits, hash);

CREATE TABLE sentinel.archive (
    LIKE sentinel.bindings,
    last_used   bigint NOT NULL,
    last_ip     inet,
    hits        bigint NOT NULL,
    history     bytea,
    archived_at bigint NOT NULL,
    changed     bigint NOT NULL, -- the revision of this entry, while revision is that of the binding
    PRIMARY KEY (hash)
);
CREATE INDEX archive_archived ON sentinel.archive (archived_at);

CREATE TABLE sentinel.documents (
    kind     bytea NOT NULL,
    id       bytea NOT NULL,
    revision bigint NOT NULL,
    body     bytea NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE sentinel.settings (
    name     bytea PRIMARY KEY,
    revision bigint NOT NULL,
    value    bytea NOT NULL
);

CREATE TABLE sentinel.counters (
    hour bigint NOT NULL, -- its start, in seconds
    name bytea NOT NULL,
    n    bigint NOT NULL,
    PRIMARY KEY (hour, name)
);

-- The last ID of each log. A row is locked until its writer commits, so that IDs
-- become visible in their order, as revisions do.
CREATE TABLE sentinel.sequences (
    name text PRIMARY KEY,
    last bigint NOT NULL
);
INSERT INTO sentinel.sequences VALUES ('intercepts', 0), ('audit', 0);

-- Partitions are made by the program, one a month: partitions.go.
CREATE TABLE sentinel.intercepts (
    id         bigint NOT NULL,
    at         bigint NOT NULL,
    last       bigint NOT NULL,
    count      bigint NOT NULL,
    reason     bytea NOT NULL,
    observed   boolean NOT NULL,
    basis_kind bytea NOT NULL,
    basis_name bytea NOT NULL,
    hash       bytea NOT NULL,
    hint       bytea NOT NULL,
    client_ip  inet,
    peer_ip    inet,
    method     bytea NOT NULL,
    host       bytea NOT NULL,
    path       bytea NOT NULL,
    path_folded bytea NOT NULL, -- as strings.ToLower has it
    user_agent bytea NOT NULL,
    request_id bytea NOT NULL,
    node       text,   -- who gathered it, and its number there; each partition
    sequence   bigint, -- has a unique index of both
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX intercepts_at ON sentinel.intercepts (at);
CREATE INDEX intercepts_hash ON sentinel.intercepts (hash, id);

CREATE TABLE sentinel.audit (
    id         bigint PRIMARY KEY,
    at         bigint NOT NULL,
    actor      bytea NOT NULL,
    client_ip  inet,
    action     bytea NOT NULL,
    target     bytea NOT NULL,
    before     bytea,
    after      bytea,
    request_id bytea NOT NULL
);
CREATE INDEX audit_at ON sentinel.audit (at);
CREATE INDEX audit_target ON sentinel.audit (target, id);

-- +goose StatementBegin
CREATE FUNCTION sentinel.refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of % are never changed', TG_TABLE_NAME;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON sentinel.audit
    FOR EACH STATEMENT EXECUTE FUNCTION sentinel.refuse_update();

CREATE TABLE sentinel.probe (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    n   bigint NOT NULL
);
INSERT INTO sentinel.probe (n) VALUES (0);
