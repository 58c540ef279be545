-- Attempts to sign in, and counts of them, for as long as they count: logins.go. They may
-- be lost, so they need no log.

-- +goose Up

CREATE UNLOGGED TABLE sentinel.logins (
    name    bytea   NOT NULL, -- a digest
    attempt text    NOT NULL, -- empty: the pair is locked
    failed  boolean NOT NULL, -- false: it is under way
    until   bigint  NOT NULL, -- by the server's clock
    PRIMARY KEY (name, attempt)
);
CREATE INDEX logins_until ON sentinel.logins (until);
