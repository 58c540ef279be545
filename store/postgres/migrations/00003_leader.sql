-- What the nodes of a cluster tell of themselves: nodes.go.

-- +goose Up

CREATE TABLE sentinel.nodes (
    id    bytea PRIMARY KEY,
    at    bigint NOT NULL, -- by the server's clock
    state bytea NOT NULL   -- a store.NodeState, as JSON
) WITH (fillfactor = 50);

-- What nodes have to tell the leader: mailbox.go.
CREATE TABLE sentinel.letters (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body bytea NOT NULL
);
