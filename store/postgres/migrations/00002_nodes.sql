-- What nodes with a copy of their own need to know.

-- +goose Up

-- Tells this database from any other one. A database that takes over from a copy of it,
-- and goes another way, should be given another one.
ALTER TABLE sentinel.head ADD COLUMN identity text NOT NULL DEFAULT gen_random_uuid()::text;

-- How far the deliveries of each node have come: delivery.go.
CREATE TABLE sentinel.deliveries (
    node     text PRIMARY KEY,
    sequence bigint NOT NULL, -- of the last one
    at       bigint NOT NULL  -- by the server's clock
);
