-- Which secret and spelling a key hash was made with, as store.Binding has it; 0: not
-- known.

-- +goose Up

ALTER TABLE sentinel.bindings ADD COLUMN hashed_with bigint NOT NULL DEFAULT 0;
ALTER TABLE sentinel.archive ADD COLUMN hashed_with bigint NOT NULL DEFAULT 0;
