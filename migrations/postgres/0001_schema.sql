-- Ids are uuids, times are milliseconds since 1970, kinds and roles are the numbers of src/domain.
-- There are no foreign keys: the code decides inside its transactions, and rows go in bounded steps.
--
-- Locks are taken in one order by everybody, so that nobody waits in a circle: conversations by id, then members by
-- (conversation, user), then sends by key.

-- epoch: which incarnation of the log this is.
-- position_base: what positions are counted from; raised when a dump is loaded into a server that counts transactions anew.
-- made_as: the number that the server gave this table when it was made. A dump holds the number, and loading it makes another table:
-- so a log that was loaded is told from one that only grew, though it be loaded into its own server again.
-- schema: the newest migration applied. schema_least: what a release must know to work with it, so that migrations which only
-- add do not shut out the release before.
CREATE TABLE meta (
    name  text PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO meta (name, value) VALUES
    ('epoch', ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint),
    ('position_base', 0),
    ('made_as', 'meta'::regclass::oid::bigint),
    ('schema', 1),
    ('schema_least', 3);

-- The position of what this transaction writes. Takes a transaction id, so it belongs before the first read of a
-- transaction that writes: whoever waits for all transactions begun before a moment then waits for this one too.
CREATE FUNCTION tidings_position() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT value + pg_current_xact_id()::text::bigint FROM meta WHERE name = 'position_base'
$$;

-- Where the log ends for this statement: all that bears an earlier position is decided and, when committed, visible.
CREATE FUNCTION tidings_end() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT value + pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM meta WHERE name = 'position_base'
$$;

-- The log's incarnation. A promoted standby counts a new timeline, and the last transactions before it may be missing:
-- its log is another one, and clients compare their heads in full once.
CREATE FUNCTION tidings_epoch() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT value # (('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint << 20)
    FROM meta WHERE name = 'epoch'
$$;

-- To be called once after a dump was loaded: another server counts transactions anew, so positions go on from the highest one in
-- the dump, and the log is another one for every client, since what came after the dump is not in it.
CREATE FUNCTION tidings_restored() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE meta SET value = greatest(
        value,
        (SELECT max(position) FROM events),
        (SELECT max(changed_position) FROM members),
        (SELECT max(blanked_position) FROM conversations)
    ) WHERE name = 'position_base';
    UPDATE meta SET value = ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint WHERE name = 'epoch';
    UPDATE meta SET value = 'meta'::regclass::oid::bigint WHERE name = 'made_as';
END
$$;

-- Were these tables loaded from a dump, or does an event bear a position that this server cannot have given yet?
CREATE FUNCTION tidings_needs_restoring() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT value FROM meta WHERE name = 'made_as') IS DISTINCT FROM 'meta'::regclass::oid::bigint OR coalesce((SELECT max(position) FROM events), 0)
        >= (SELECT value FROM meta WHERE name = 'position_base') + pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
END
$$;

-- Every send updates its conversation's row and its sender's membership. Room in their pages and no index on what changes
-- keep those updates inside the page (HOT), and vacuum looks often since the tables are small and busy.
CREATE TABLE conversations (
    id              uuid PRIMARY KEY,
    kind            smallint NOT NULL,
    name            text,
    topic           text,
    history         text NOT NULL,
    join_policy     text NOT NULL,
    last_seq        bigint NOT NULL,
    message_count   bigint NOT NULL,
    member_count    bigint NOT NULL,
    -- The position of the newest event.
    last_position   bigint NOT NULL,
    -- The position at which content was last taken out of older events: a replica must have that too.
    blanked_position bigint NOT NULL DEFAULT 0,
    members_version bigint NOT NULL,
    settings_seq    bigint NOT NULL,
    created_at      bigint NOT NULL,
    -- The two users of a direct conversation, the lower id first.
    low             uuid,
    high            uuid,
    deleted_at      bigint
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- The channels with a name that anybody may join, for browsing. active_at is by the database's clock and moves once a minute at most,
-- so that a message seldom writes here.
CREATE TABLE open_channels (
    conversation uuid PRIMARY KEY,
    -- The name in small letters (of ASCII).
    name_key     text COLLATE "C" NOT NULL,
    active_at    bigint NOT NULL
);
CREATE INDEX open_channels_by_name ON open_channels (name_key, conversation);
CREATE INDEX open_channels_by_activity ON open_channels (active_at, conversation);

CREATE FUNCTION tidings_channel_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM open_channels o WHERE o.conversation = NEW.id;
    IF NEW.join_policy = 'open' AND NEW.name IS NOT NULL AND NEW.deleted_at IS NULL THEN
        INSERT INTO open_channels (conversation, name_key, active_at)
        VALUES (NEW.id, lower(NEW.name COLLATE "C"), {clock_ms});
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER channel_made AFTER INSERT ON conversations FOR EACH ROW
WHEN (NEW.kind = {channel} AND NEW.join_policy = 'open' AND NEW.name IS NOT NULL)
EXECUTE FUNCTION tidings_channel_changed();
CREATE TRIGGER channel_changed AFTER UPDATE OF name, join_policy, deleted_at ON conversations FOR EACH ROW
WHEN (NEW.kind = {channel} AND (NEW.name, NEW.join_policy, NEW.deleted_at) IS DISTINCT FROM (OLD.name, OLD.join_policy, OLD.deleted_at))
EXECUTE FUNCTION tidings_channel_changed();

CREATE FUNCTION tidings_channel_active() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE open_channels o SET active_at = {clock_ms} WHERE o.conversation = NEW.id AND o.active_at < {clock_ms} - 60000;
    RETURN NULL;
END
$$;
CREATE TRIGGER channel_active AFTER UPDATE OF last_seq ON conversations FOR EACH ROW
WHEN (NEW.kind = {channel} AND NEW.join_policy = 'open')
EXECUTE FUNCTION tidings_channel_active();

-- position: the transaction that wrote the event, or its predecessor's position when that is higher (a
-- transaction that took its number early may get a conversation's lock late). So positions never fall along a conversation,
-- no reader that stops at tidings_end() skips one, and events of one transaction in one conversation share theirs.
-- messages_before counts the messages of the conversation that came earlier, which makes unread counts a subtraction.
CREATE TABLE events (
    conversation    uuid NOT NULL,
    seq             bigint NOT NULL,
    position        bigint NOT NULL DEFAULT tidings_position(),
    kind            smallint NOT NULL,
    sender          uuid NOT NULL,
    sent_at         bigint NOT NULL,
    client_id       uuid,
    target_seq      bigint,
    messages_before bigint NOT NULL,
    edited_at       bigint,
    edit_seq        bigint,
    delete_seq      bigint,
    deleted         boolean NOT NULL DEFAULT false,
    extra           text,
    body            text,
    PRIMARY KEY (conversation, seq)
) PARTITION BY HASH (conversation);
-- History pages list messages only, however many reactions lie between two of them.
CREATE UNIQUE INDEX events_messages ON events (conversation, seq) WHERE kind = {message};
CREATE INDEX events_by_target ON events (conversation, target_seq, sender) WHERE target_seq IS NOT NULL;
-- Messages whose content is gone: they do not count as unread.
CREATE INDEX events_gone ON events (conversation, seq) WHERE kind = {message} AND deleted;
-- Who joined and left since an event: it was for those who were members then.
CREATE INDEX events_of_members ON events (conversation, seq) WHERE kind IN ({joined}, {left});
-- The tail. Entries of one transaction share their key and the tree grows at its right edge only, so it costs less than
-- a table of its own that would be written, read and emptied again (docs/adr holds the figures).
CREATE INDEX events_by_position ON events (position);

-- Idempotency, for as long as the log exists. The fingerprint goes (NULL) together with the content it was made from.
CREATE TABLE sends (
    sender       uuid NOT NULL,
    client_id    uuid NOT NULL,
    conversation uuid NOT NULL,
    seq          bigint NOT NULL,
    sent_at      bigint NOT NULL,
    fingerprint  bigint,
    PRIMARY KEY (sender, client_id)
) PARTITION BY HASH (sender);

DO $$
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format('CREATE TABLE events_%s PARTITION OF events FOR VALUES WITH (MODULUS 16, REMAINDER %s)', part, part);
        EXECUTE format('CREATE TABLE sends_%s PARTITION OF sends FOR VALUES WITH (MODULUS 16, REMAINDER %s)', part, part);
    END LOOP;
END
$$;

CREATE TABLE members (
    user_id       uuid NOT NULL,
    conversation  uuid NOT NULL,
    role          smallint NOT NULL,
    joined_seq    bigint NOT NULL,
    role_seq      bigint NOT NULL,
    delivered_seq bigint NOT NULL,
    read_seq      bigint NOT NULL,
    -- How many messages lie up to read_seq.
    read_count    bigint NOT NULL,
    changed_position bigint NOT NULL,
    PRIMARY KEY (user_id, conversation)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX members_by_conversation ON members (conversation, user_id);
CREATE INDEX members_by_rank ON members (conversation, role, joined_seq);

-- For each user the conversations that concern them, by when they last moved: what a hello reads. A position here may lag behind
-- the conversation's, but by less than 65,536 positions, so one message in many touches these rows. Whoever asks what moved since
-- a position begins at the stretch of 65,536 that holds it and compares with the conversation itself.
--
-- In a channel, and in a group of more than 16, no message touches rows: such a conversation is always compared, so its rows bear
-- the highest position there is. They keep it when the group shrinks: a row never moves back while the membership lasts, since a
-- receipt, which does not hold the conversation's lock, may be under way. Who has left keeps a row with the position of leaving.
CREATE TABLE feeds (
    user_id      uuid NOT NULL,
    conversation uuid NOT NULL,
    position     bigint NOT NULL,
    PRIMARY KEY (user_id, conversation)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX feeds_by_position ON feeds (user_id, position);

CREATE FUNCTION tidings_feed_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feeds (user_id, conversation, position)
    SELECT m.user_id, NEW.id,
           CASE WHEN NEW.member_count > 16 THEN 9223372036854775807 ELSE greatest(NEW.last_position, m.changed_position) END
    FROM members m WHERE m.conversation = NEW.id ORDER BY m.user_id
    ON CONFLICT (user_id, conversation) DO UPDATE SET position = excluded.position
    WHERE feeds.position < excluded.position;
    RETURN NULL;
END
$$;
CREATE TRIGGER feed_moved AFTER UPDATE OF last_position, member_count ON conversations FOR EACH ROW
WHEN (NEW.kind <> {channel} AND ((NEW.member_count <= 16 AND NEW.last_position >> 16 <> OLD.last_position >> 16)
    OR (NEW.member_count > 16 AND OLD.member_count <= 16)))
EXECUTE FUNCTION tidings_feed_moved();

CREATE FUNCTION tidings_feed_joined() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feeds (user_id, conversation, position)
    SELECT NEW.user_id, NEW.conversation,
           CASE WHEN c.kind = {channel} OR c.member_count > 16 THEN 9223372036854775807
                ELSE greatest(NEW.changed_position, c.last_position) END
    FROM conversations c WHERE c.id = NEW.conversation
    ON CONFLICT (user_id, conversation) DO UPDATE SET position = excluded.position;
    RETURN NULL;
END
$$;
CREATE TRIGGER feed_joined AFTER INSERT ON members FOR EACH ROW EXECUTE FUNCTION tidings_feed_joined();

-- A receipt of another device.
CREATE FUNCTION tidings_feed_read() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE feeds f SET position = NEW.changed_position
    WHERE f.user_id = NEW.user_id AND f.conversation = NEW.conversation AND f.position < NEW.changed_position;
    RETURN NULL;
END
$$;
CREATE TRIGGER feed_read AFTER UPDATE OF changed_position ON members FOR EACH ROW
WHEN (NEW.changed_position >> 16 <> OLD.changed_position >> 16) EXECUTE FUNCTION tidings_feed_read();

CREATE FUNCTION tidings_feed_left() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feeds (user_id, conversation, position)
    SELECT NEW.user_id, NEW.conversation, e.position FROM events e
    WHERE e.conversation = NEW.conversation AND e.seq = NEW.left_seq
    ON CONFLICT (user_id, conversation) DO UPDATE SET position = excluded.position;
    RETURN NULL;
END
$$;
CREATE TRIGGER feed_left AFTER INSERT OR UPDATE ON departures FOR EACH ROW EXECUTE FUNCTION tidings_feed_left();

-- The newest word of a user on one emoji at one message; a reaction taken back stays with is_on = false.
CREATE TABLE reactions (
    user_id      uuid NOT NULL,
    conversation uuid NOT NULL,
    seq          bigint NOT NULL,
    emoji        text COLLATE "C" NOT NULL,
    is_on        boolean NOT NULL,
    event_seq    bigint NOT NULL,
    PRIMARY KEY (user_id, conversation, seq, emoji)
);
CREATE TABLE reaction_counts (
    conversation uuid NOT NULL,
    seq          bigint NOT NULL,
    emoji        text COLLATE "C" NOT NULL,
    count        bigint NOT NULL,
    first_seq    bigint NOT NULL,
    PRIMARY KEY (conversation, seq, emoji)
);

CREATE TABLE users (
    id           uuid PRIMARY KEY,
    username     text COLLATE "C" UNIQUE,
    display_name text NOT NULL,
    guest        boolean NOT NULL,
    created_at   bigint NOT NULL,
    erased_at    bigint
);

-- The living accounts by age: the first one owns the default conversation.
CREATE INDEX users_by_age ON users (created_at, id) WHERE erased_at IS NULL;

-- The words of the names of living users, as src/domain/name_words.rs makes them: people are found by the beginning of one.
CREATE TABLE name_words (
    word    text COLLATE "C" NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (word, user_id)
);
CREATE INDEX name_words_by_user ON name_words (user_id, word);

CREATE TABLE credentials (
    user_id       uuid PRIMARY KEY,
    password_hash text NOT NULL
);

CREATE TABLE devices (
    device_hash bytea PRIMARY KEY,
    user_id     uuid NOT NULL
);
CREATE INDEX devices_by_user ON devices (user_id);

CREATE TABLE families (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    expires_at bigint NOT NULL,
    revoked_at bigint,
    -- The token that was shown for the newest one, and when, by the database's clock: it may be shown again for a moment.
    previous_hash bytea,
    rotated_at    bigint,
    -- What its user is shown of it: the name that the device gave itself, and where and when it was used last.
    device_name text,
    network     text NOT NULL,
    created_at  bigint NOT NULL,
    used_at     bigint NOT NULL,
    -- Whether its device is known as the user's: until the sign-in is ended from elsewhere.
    known       boolean NOT NULL,
    -- The device id by which a guest signed in: it ends with the sign-in.
    device_hash bytea
);
CREATE INDEX families_by_user ON families (user_id);

-- Tokens that were rotated away: one that comes back later, before its end, was stolen.
CREATE TABLE spent_tokens (
    token_hash bytea PRIMARY KEY,
    family     uuid NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX spent_tokens_by_family ON spent_tokens (family, expires_at);

-- Read by id. Whoever writes takes the number while holding the lock of meta's row 'revocations', so numbers become
-- visible in their order and a reader that has one has all before it, in one incarnation of the log.
CREATE TABLE revocations (
    id       bigint PRIMARY KEY,
    user_id  uuid NOT NULL,
    family   uuid,
    at       bigint NOT NULL,
    -- What ended: families.rs has the numbers.
    kind     bigint NOT NULL
);
CREATE INDEX revocations_by_time ON revocations (at);
INSERT INTO meta (name, value) VALUES ('revocations', 0), ('audit', 0);
