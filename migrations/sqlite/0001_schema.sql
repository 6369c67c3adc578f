-- Ids are their 16 bytes, times are milliseconds since 1970, kinds and roles are the numbers of src/domain.
-- There are no foreign keys: the code decides inside its transactions, and rows go in bounded steps.

-- epoch: which incarnation of the log this is.
-- audit: the number of the newest entry of the audit log.
-- position_floor: positions up to this one are taken although no event may have them (receipts take positions too).
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('position_floor', 0), ('audit', 0);

CREATE TABLE conversations (
    id              BLOB PRIMARY KEY,
    kind            INTEGER NOT NULL,
    name            TEXT,
    topic           TEXT,
    history         TEXT NOT NULL,
    join_policy     TEXT NOT NULL,
    last_seq        INTEGER NOT NULL,
    message_count   INTEGER NOT NULL,
    member_count    INTEGER NOT NULL,
    last_position   INTEGER NOT NULL,
    {blanked_column}
    members_version INTEGER NOT NULL,
    settings_seq    INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    -- The two users of a direct conversation, the lower id first.
    low             BLOB,
    high            BLOB,
    deleted_at      INTEGER
) STRICT, WITHOUT ROWID;

-- The channels with a name that anybody may join, for browsing. active_at is by the database's clock and moves once a minute at most,
-- so that a message seldom writes here.
CREATE TABLE open_channels (
    conversation BLOB PRIMARY KEY,
    -- The name in small letters (of ASCII).
    name_key     TEXT NOT NULL,
    active_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX open_channels_by_name ON open_channels (name_key, conversation);
CREATE INDEX open_channels_by_activity ON open_channels (active_at, conversation);

CREATE TRIGGER channel_made AFTER INSERT ON conversations
WHEN NEW.kind = {channel} AND NEW.join_policy = 'open' AND NEW.name IS NOT NULL
BEGIN
    INSERT INTO open_channels (conversation, name_key, active_at) VALUES (NEW.id, lower(NEW.name), {clock_ms});
END;
CREATE TRIGGER channel_changed AFTER UPDATE OF name, join_policy, deleted_at ON conversations
WHEN NEW.kind = {channel}
BEGIN
    DELETE FROM open_channels WHERE conversation = NEW.id;
    INSERT INTO open_channels (conversation, name_key, active_at)
    SELECT NEW.id, lower(NEW.name), {clock_ms}
    WHERE NEW.join_policy = 'open' AND NEW.name IS NOT NULL AND NEW.deleted_at IS NULL;
END;
CREATE TRIGGER channel_active AFTER UPDATE OF last_seq ON conversations
WHEN NEW.kind = {channel} AND NEW.join_policy = 'open'
BEGIN
    UPDATE open_channels SET active_at = {clock_ms} WHERE conversation = NEW.id AND active_at < {clock_ms} - 60000;
END;

-- position is the order of commits over all conversations; messages_before counts the messages of the conversation
-- that came earlier, which makes unread counts a subtraction.
CREATE TABLE events (
    position        {event_position},
    conversation    BLOB NOT NULL,
    seq             INTEGER NOT NULL,
    kind            INTEGER NOT NULL,
    sender          BLOB NOT NULL,
    sent_at         INTEGER NOT NULL,
    client_id       BLOB,
    target_seq      INTEGER,
    messages_before INTEGER NOT NULL,
    edited_at       INTEGER,
    edit_seq        INTEGER,
    delete_seq      INTEGER,
    deleted         INTEGER NOT NULL DEFAULT 0,
    extra           TEXT,
    body            TEXT
) STRICT;
CREATE UNIQUE INDEX events_by_seq ON events (conversation, seq);
{index_of_positions}
-- History pages list messages only, however many reactions lie between two of them.
CREATE UNIQUE INDEX events_messages ON events (conversation, seq) WHERE kind = {message};
CREATE INDEX events_by_target ON events (conversation, target_seq, sender) WHERE target_seq IS NOT NULL;
-- Messages whose content is gone: they do not count as unread.
CREATE INDEX events_gone ON events (conversation, seq) WHERE kind = {message} AND deleted;
-- Who joined and left since an event: it was for those who were members then.
CREATE INDEX events_of_members ON events (conversation, seq) WHERE kind IN ({joined}, {left});

-- Idempotency, for as long as the log exists. The fingerprint goes (NULL) together with the content it was made from.
CREATE TABLE sends (
    sender       BLOB NOT NULL,
    client_id    BLOB NOT NULL,
    conversation BLOB NOT NULL,
    seq          INTEGER NOT NULL,
    sent_at      INTEGER NOT NULL,
    fingerprint  INTEGER,
    PRIMARY KEY (sender, client_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    user_id          BLOB NOT NULL,
    conversation     BLOB NOT NULL,
    role             INTEGER NOT NULL,
    joined_seq       INTEGER NOT NULL,
    role_seq         INTEGER NOT NULL,
    delivered_seq    INTEGER NOT NULL,
    read_seq         INTEGER NOT NULL,
    -- How many messages lie up to read_seq.
    read_count       INTEGER NOT NULL,
    changed_position INTEGER NOT NULL,
    PRIMARY KEY (user_id, conversation)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX members_by_conversation ON members (conversation, user_id);
CREATE INDEX members_by_rank ON members (conversation, role, joined_seq);

-- For each user the conversations that concern them, by when they last moved: what a hello reads. A position here may lag behind
-- the conversation's, but by less than 65,536 positions, so one message in many touches these rows. Whoever asks what moved since
-- a position begins at the stretch of 65,536 that holds it and compares with the conversation itself.
--
-- In a channel, and in a group of more than 16, no message touches rows: such a conversation is always compared, so its rows bear
-- the highest position there is. They keep it when the group shrinks: a row never moves back while the membership lasts. Who has left
-- keeps a row with the position of leaving.
CREATE TABLE feeds (
    user_id      BLOB NOT NULL,
    conversation BLOB NOT NULL,
    position     INTEGER NOT NULL,
    PRIMARY KEY (user_id, conversation)
) STRICT, WITHOUT ROWID;
CREATE INDEX feeds_by_position ON feeds (user_id, position);

CREATE TRIGGER feed_moved AFTER UPDATE OF last_position, member_count ON conversations
WHEN NEW.kind <> {channel} AND ((NEW.member_count <= 16 AND NEW.last_position >> 16 <> OLD.last_position >> 16)
    OR (NEW.member_count > 16 AND OLD.member_count <= 16))
BEGIN
    INSERT INTO feeds (user_id, conversation, position)
    SELECT m.user_id, NEW.id,
           iif(NEW.member_count > 16, 9223372036854775807, max(NEW.last_position, m.changed_position))
    FROM members m WHERE m.conversation = NEW.id
    ON CONFLICT (user_id, conversation) DO UPDATE SET position = excluded.position
    WHERE feeds.position < excluded.position;
END;

-- Without an event the membership takes a position of its own.
CREATE TRIGGER feed_joined AFTER INSERT ON members
BEGIN
    UPDATE meta SET value = NEW.changed_position WHERE name = 'position_floor' AND value < NEW.changed_position;
    INSERT INTO feeds (user_id, conversation, position)
    SELECT NEW.user_id, NEW.conversation,
           iif(c.kind = {channel} OR c.member_count > 16, 9223372036854775807, max(NEW.changed_position, c.last_position))
    FROM conversations c WHERE c.id = NEW.conversation
    ON CONFLICT (user_id, conversation) DO UPDATE SET position = excluded.position;
END;

-- A receipt of another device.
CREATE TRIGGER feed_read AFTER UPDATE OF changed_position ON members
WHEN NEW.changed_position >> 16 <> OLD.changed_position >> 16
BEGIN
    UPDATE feeds SET position = NEW.changed_position
    WHERE user_id = NEW.user_id AND conversation = NEW.conversation AND position < NEW.changed_position;
END;

CREATE TRIGGER feed_left AFTER INSERT ON departures
BEGIN
    INSERT INTO feeds (user_id, conversation, position)
    SELECT NEW.user_id, NEW.conversation, e.position FROM events e
    WHERE e.conversation = NEW.conversation AND e.seq = NEW.left_seq
    ON CONFLICT (user_id, conversation) DO UPDATE SET position = excluded.position;
END;
CREATE TRIGGER feed_left_again AFTER UPDATE ON departures
BEGIN
    UPDATE feeds SET position = (
        SELECT e.position FROM events e WHERE e.conversation = NEW.conversation AND e.seq = NEW.left_seq
    ) WHERE user_id = NEW.user_id AND conversation = NEW.conversation;
END;

-- A receipt takes a position of its own.
CREATE TRIGGER position_taken AFTER UPDATE OF changed_position ON members
BEGIN
    UPDATE meta SET value = NEW.changed_position WHERE name = 'position_floor' AND value < NEW.changed_position;
END;

-- The newest word of a user on one emoji at one message; a reaction taken back stays with is_on = 0.
CREATE TABLE reactions (
    user_id      BLOB NOT NULL,
    conversation BLOB NOT NULL,
    seq          INTEGER NOT NULL,
    emoji        TEXT NOT NULL,
    is_on        INTEGER NOT NULL,
    event_seq    INTEGER NOT NULL,
    PRIMARY KEY (user_id, conversation, seq, emoji)
) STRICT, WITHOUT ROWID;
CREATE TABLE reaction_counts (
    conversation BLOB NOT NULL,
    seq          INTEGER NOT NULL,
    emoji        TEXT NOT NULL,
    count        INTEGER NOT NULL,
    first_seq    INTEGER NOT NULL,
    PRIMARY KEY (conversation, seq, emoji)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id           BLOB PRIMARY KEY,
    username     TEXT UNIQUE,
    display_name TEXT NOT NULL,
    guest        INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    erased_at    INTEGER
) STRICT, WITHOUT ROWID;

-- The living accounts by age: the first one owns the default conversation.
CREATE INDEX users_by_age ON users (created_at, id) WHERE erased_at IS NULL;

-- The words of the names of living users, as src/domain/name_words.rs makes them: people are found by the beginning of one.
CREATE TABLE name_words (
    word    TEXT NOT NULL,
    user_id BLOB NOT NULL,
    PRIMARY KEY (word, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX name_words_by_user ON name_words (user_id, word);

CREATE TABLE credentials (
    user_id       BLOB PRIMARY KEY,
    password_hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
    device_hash BLOB PRIMARY KEY,
    user_id     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_by_user ON devices (user_id);

CREATE TABLE families (
    id         BLOB PRIMARY KEY,
    user_id    BLOB NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    -- The token that was shown for the newest one, and when, by the database's clock: it may be shown again for a moment.
    previous_hash BLOB,
    rotated_at    INTEGER,
    -- What its user is shown of it: the name that the device gave itself, and where and when it was used last.
    device_name TEXT,
    network     TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    used_at     INTEGER NOT NULL,
    -- Whether its device is known as the user's: until the sign-in is ended from elsewhere.
    known       INTEGER NOT NULL,
    -- The device id by which a guest signed in: it ends with the sign-in.
    device_hash BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX families_by_user ON families (user_id);

-- Tokens that were rotated away: one that comes back later, before its end, was stolen.
CREATE TABLE spent_tokens (
    token_hash BLOB PRIMARY KEY,
    family     BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_tokens_by_family ON spent_tokens (family, expires_at);

-- AUTOINCREMENT: a number is never given twice, so a reader's place stays right when old rows go.
CREATE TABLE revocations (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id  BLOB NOT NULL,
    family   BLOB,
    at       INTEGER NOT NULL,
    -- What ended: families.rs has the numbers.
    kind     INTEGER NOT NULL
) STRICT;
CREATE INDEX revocations_by_time ON revocations (at);
