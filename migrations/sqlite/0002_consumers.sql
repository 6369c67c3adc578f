-- How far each log consumer has come, and which process may do its work until when.
CREATE TABLE consumers (
    name       TEXT PRIMARY KEY,
    -- NULL until something was handled.
    epoch      INTEGER,
    position   INTEGER,
    holder     BLOB,
    -- What operators know it by.
    holder_name TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Work that goes on after its operation was answered, in bounded steps: a row until it is done. state is how far it has come,
-- in the words of its kind; a step that is committed has written it.
CREATE TABLE jobs (
    kind     TEXT NOT NULL,
    subject  BLOB NOT NULL,
    begun_at INTEGER NOT NULL,
    due_at   INTEGER NOT NULL,
    state    TEXT NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_by_time ON jobs (kind, due_at, subject);
