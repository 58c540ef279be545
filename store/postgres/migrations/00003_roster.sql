-- What nodes tell of themselves: nodes.go.

-- +goose Up

CREATE TABLE sentinel.nodes (
    id    bytea PRIMARY KEY,
    at    bigint NOT NULL, -- by the server's clock
    state bytea NOT NULL   -- a store.NodeState, as JSON
) WITH (fillfactor = 50);
