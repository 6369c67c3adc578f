-- How far each log consumer has come, and which process may do its work until when.
CREATE TABLE consumers (
    name       text PRIMARY KEY,
    -- NULL until something was handled.
    epoch      bigint,
    position   bigint,
    holder     uuid,
    -- By the database's clock: processes need not agree on the time.
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

UPDATE meta SET value = 4 WHERE name = 'schema';
