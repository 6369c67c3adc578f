-- How far each log consumer has come, and which process may do its work until when.
CREATE TABLE consumers (
    name       text PRIMARY KEY,
    -- NULL until something was handled.
    epoch      bigint,
    position   bigint,
    holder     uuid,
    -- What operators know it by.
    holder_name text NOT NULL,
    -- By the database's clock: processes need not agree on the time.
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Work that goes on after its operation was answered, in bounded steps: a row until it is done. state is how far it has come,
-- in the words of its kind; a step that is committed has written it.
CREATE TABLE jobs (
    kind     text NOT NULL,
    subject  uuid NOT NULL,
    begun_at bigint NOT NULL,
    due_at   bigint NOT NULL,
    state    text NOT NULL,
    PRIMARY KEY (kind, subject)
) WITH (fillfactor = 50);
CREATE INDEX jobs_by_time ON jobs (kind, due_at, subject);
