-- How far each log consumer has come, and which process may do its work until when.
CREATE TABLE consumers (
    name       TEXT PRIMARY KEY,
    -- NULL until something was handled.
    epoch      INTEGER,
    position   INTEGER,
    holder     BLOB,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
