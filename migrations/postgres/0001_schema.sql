-- Times are milliseconds since 1970, kinds and roles are the numbers of src/domain. Text that is compared or ordered is in the
-- "C" collation, so that its order is that of its bytes on every machine.
-- There are no foreign keys: the code decides inside its transactions, and rows go in bounded steps.
--
-- Places in the log as a whole are transaction ids (xid8): they are given by the database without a shared counter, survive a
-- failover to a streaming replica, and whatever lies below the oldest transaction still running is complete for good.

-- epoch: which incarnation of the log this is. revocations: the number of the newest one. ping: written to, to see that it can be.
CREATE TABLE meta (
    name  text COLLATE "C" PRIMARY KEY,
    value bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO meta (name, value) VALUES
    ('epoch', ('x' || replace(left(gen_random_uuid()::text, 18), '-', ''))::bit(64)::bigint),
    ('revocations', 0),
    ('ping', 0);

-- Every send changes its conversation's row and its sender's member row. No index holds a column that a send changes and every
-- page keeps room, so that such a change stays on its page (a heap-only tuple) and costs no index entry.
CREATE TABLE conversations (
    id              uuid PRIMARY KEY,
    last_seq        bigint NOT NULL DEFAULT 0,
    message_count   bigint NOT NULL DEFAULT 0,
    member_count    bigint NOT NULL,
    -- The transaction of the newest event; 0 before the first.
    last_txid       xid8 NOT NULL DEFAULT '0',
    -- The transaction that last removed content without an event: a replica without it still shows what was erased.
    blanked_txid    xid8 NOT NULL DEFAULT '0',
    members_version bigint NOT NULL DEFAULT 1,
    settings_seq    bigint NOT NULL DEFAULT 0,
    created_at      bigint NOT NULL,
    deleted_at      bigint,
    kind            smallint NOT NULL,
    -- Deleted, and content may still be there.
    purging         boolean NOT NULL DEFAULT false,
    -- The two users of a direct conversation, the lower id first.
    low             uuid,
    high            uuid,
    history         text COLLATE "C" NOT NULL,
    join_policy     text COLLATE "C" NOT NULL,
    name            text
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1);
CREATE INDEX conversations_purging ON conversations (id) WHERE purging;

-- messages_before counts the messages of the conversation that came earlier, which makes unread counts a subtraction.
CREATE TABLE events (
    conversation    uuid NOT NULL,
    sender          uuid NOT NULL,
    client_id       uuid,
    seq             bigint NOT NULL,
    txid            xid8 NOT NULL DEFAULT pg_current_xact_id(),
    sent_at         bigint NOT NULL,
    messages_before bigint NOT NULL,
    target_seq      bigint,
    edited_at       bigint,
    edit_seq        bigint,
    delete_seq      bigint,
    kind            smallint NOT NULL,
    deleted         boolean NOT NULL DEFAULT false,
    extra           text,
    body            text,
    PRIMARY KEY (conversation, seq)
) PARTITION BY HASH (conversation);
-- History pages list messages only, however many reactions lie between two of them.
CREATE UNIQUE INDEX events_messages ON events (conversation, seq) WHERE kind = 0;
CREATE INDEX events_by_target ON events (conversation, target_seq, sender) WHERE target_seq IS NOT NULL;
-- For reading in commit order. Transaction ids only grow, so its entries go to the end of the index and equal ones share one:
-- it costs about a microsecond an event, where a table of its own for the tail would be written and emptied again.
CREATE INDEX events_by_txid ON events (txid);

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

-- Rows are added for ever and rarely changed: vacuum early for the visibility map, analyse rarely.
DO $$
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE events_%s PARTITION OF events FOR VALUES WITH (MODULUS 16, REMAINDER %s) '
            'WITH (fillfactor = 95, autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05)',
            part, part);
        EXECUTE format(
            'CREATE TABLE sends_%s PARTITION OF sends FOR VALUES WITH (MODULUS 16, REMAINDER %s) '
            'WITH (autovacuum_vacuum_insert_scale_factor = 0.2)',
            part, part);
    END LOOP;
END
$$;

CREATE TABLE members (
    user_id       uuid NOT NULL,
    conversation  uuid NOT NULL,
    joined_seq    bigint NOT NULL,
    role_seq      bigint NOT NULL,
    delivered_seq bigint NOT NULL,
    read_seq      bigint NOT NULL,
    -- How many messages lie up to read_seq.
    read_count    bigint NOT NULL,
    -- The transaction of the newest change that the user's other devices resume by and that is no event.
    changed_txid  xid8 NOT NULL DEFAULT '0',
    role          smallint NOT NULL,
    PRIMARY KEY (user_id, conversation)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX members_by_conversation ON members (conversation, user_id);
CREATE INDEX members_by_rank ON members (conversation, role, joined_seq);

-- Who was a member once, so that leaving twice answers with the same event.
CREATE TABLE departures (
    user_id      uuid NOT NULL,
    conversation uuid NOT NULL,
    left_seq     bigint NOT NULL,
    PRIMARY KEY (user_id, conversation)
);

-- The newest word of a user on one emoji at one message; a reaction taken back stays with is_on = false.
CREATE TABLE reactions (
    user_id      uuid NOT NULL,
    conversation uuid NOT NULL,
    seq          bigint NOT NULL,
    event_seq    bigint NOT NULL,
    is_on        boolean NOT NULL,
    emoji        text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, conversation, seq, emoji)
);
CREATE TABLE reaction_counts (
    conversation uuid NOT NULL,
    seq          bigint NOT NULL,
    count        bigint NOT NULL,
    first_seq    bigint NOT NULL,
    emoji        text COLLATE "C" NOT NULL,
    PRIMARY KEY (conversation, seq, emoji)
) WITH (fillfactor = 80);

CREATE TABLE users (
    id           uuid PRIMARY KEY,
    created_at   bigint NOT NULL,
    erased_at    bigint,
    guest        boolean NOT NULL,
    username     text COLLATE "C" UNIQUE,
    display_name text NOT NULL
);

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
    expires_at bigint NOT NULL,
    revoked_at bigint,
    token_hash bytea NOT NULL UNIQUE
);
CREATE INDEX families_by_user ON families (user_id);

-- Tokens that were rotated away: one that comes back before its end was stolen.
CREATE TABLE spent_tokens (
    token_hash bytea PRIMARY KEY,
    family     uuid NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX spent_tokens_by_family ON spent_tokens (family, expires_at);

-- Numbered from a row in meta and not from a sequence: its lock is held until the commit, so numbers appear in their order and a
-- reader's place never passes one that is still to come.
CREATE TABLE revocations (
    id       bigint PRIMARY KEY,
    user_id  uuid NOT NULL,
    family   uuid,
    at       bigint NOT NULL,
    is_final boolean NOT NULL
);
CREATE INDEX revocations_by_time ON revocations (at);

CREATE TABLE blocks (
    blocker uuid NOT NULL,
    blocked uuid NOT NULL,
    PRIMARY KEY (blocker, blocked)
);
CREATE INDEX blocks_by_blocked ON blocks (blocked, blocker);

-- Makes the direct conversations that these messages are the first of: for living accounts without a block between them.
-- The accounts are locked against erasure first, then conversations come in the order of their ids, as everywhere.
CREATE FUNCTION tidings_make_directs(
    p_now bigint, p_sender uuid[], p_client uuid[], p_conversation uuid[], p_other uuid[], p_reply bigint[]
) RETURNS void
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    ids   uuid[];
    lows  uuid[];
    highs uuid[];
BEGIN
    SELECT array_agg(w.id ORDER BY w.id), array_agg(w.low ORDER BY w.id), array_agg(w.high ORDER BY w.id)
    INTO ids, lows, highs
    FROM (
        SELECT DISTINCT m.id, least(m.sender, m.other) AS low, greatest(m.sender, m.other) AS high
        FROM unnest(p_sender, p_client, p_conversation, p_other, p_reply) AS m (sender, client, id, other, reply)
        WHERE m.other IS NOT NULL AND m.reply IS NULL
          AND NOT EXISTS (SELECT 1 FROM conversations c WHERE c.id = m.id)
          AND NOT EXISTS (SELECT 1 FROM sends s WHERE s.sender = m.sender AND s.client_id = m.client)
    ) w;
    IF ids IS NULL THEN
        RETURN;
    END IF;
    PERFORM 1 FROM users u WHERE u.id = ANY (lows || highs) ORDER BY u.id FOR SHARE;
    WITH made AS (
        INSERT INTO conversations (id, kind, history, join_policy, member_count, created_at, low, high)
        SELECT w.id, 0, 'from_join', 'invite', CASE WHEN w.low = w.high THEN 1 ELSE 2 END, p_now, w.low, w.high
        FROM unnest(ids, lows, highs) AS w (id, low, high)
        WHERE EXISTS (SELECT 1 FROM users u WHERE u.id = w.low AND u.erased_at IS NULL)
          AND EXISTS (SELECT 1 FROM users u WHERE u.id = w.high AND u.erased_at IS NULL)
          AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.blocker = w.low AND b.blocked = w.high)
          AND NOT EXISTS (SELECT 1 FROM blocks b WHERE b.blocker = w.high AND b.blocked = w.low)
        ON CONFLICT (id) DO NOTHING
        RETURNING id, low, high
    )
    INSERT INTO members (user_id, conversation, joined_seq, role_seq, delivered_seq, read_seq, read_count, role)
    SELECT low, id, 0, 0, 0, 0, 0, 0 FROM made
    UNION ALL
    SELECT high, id, 0, 0, 0, 0, 0, 0 FROM made WHERE low <> high;
END
$$;

-- Appends a batch and answers one row per message, in the batch's order. A (sender, client_id) comes once in a batch.
--
-- code: 0 appended, 1 in the log already, 2 the client_id was used for something else, 3 no such conversation or user,
-- 4 no member, 5 blocked, 6 the reply names no message, 7 the reply names a seq past the end (as of the batch's begin).
-- users, joined: the members, once per conversation and only when p_known is not the version of its membership (0: unknown).
-- peer: the other user of a direct conversation that p_other does not name.
--
-- Conversations are locked in the order of their ids before anything is looked at, and a statement of a function sees what
-- was committed before the statement began: what a send is judged by cannot change any more, and of two that bring the same
-- client_id at once the second finds the first one's row. Only a client_id sent to two conversations at once meets the other
-- at the primary key of sends; that batch is undone (23505) and given again. The plan is fixed to look-ups by key: its tables
-- may be empty when it is made, and it is kept for the life of the connection.
CREATE FUNCTION tidings_append(
    p_now bigint, p_sender uuid[], p_client uuid[], p_conversation uuid[], p_other uuid[], p_reply bigint[],
    p_fingerprint bigint[], p_known bigint[], p_extra text[], p_body text[]
) RETURNS TABLE (
    place bigint, code integer, conversation uuid, seq bigint, sent_at bigint, txid bigint, previous bigint,
    version bigint, peer uuid, users uuid[], joined bigint[]
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off SET work_mem = '32MB'
AS $$
#variable_conflict use_column
DECLARE
    replied boolean[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE 'tidings needs default_transaction_isolation = ''read committed'', it is %',
            current_setting('transaction_isolation') USING ERRCODE = '25000';
    END IF;
    IF EXISTS (
        SELECT 1 FROM unnest(p_conversation, p_other) AS m (id, other)
        WHERE m.other IS NOT NULL AND NOT EXISTS (SELECT 1 FROM conversations c WHERE c.id = m.id)
    ) THEN
        PERFORM tidings_make_directs(p_now, p_sender, p_client, p_conversation, p_other, p_reply);
    END IF;

    PERFORM 1 FROM conversations c WHERE c.id = ANY (p_conversation) ORDER BY c.id FOR NO KEY UPDATE;

    IF p_reply IS NOT NULL THEN
        SELECT array_agg(
            EXISTS (SELECT 1 FROM events e WHERE e.conversation = m.id AND e.seq = m.reply AND e.kind = 0) ORDER BY m.place)
        INTO replied
        FROM unnest(p_conversation, p_reply) WITH ORDINALITY AS m (id, reply, place);
    END IF;

    RETURN QUERY
    WITH judged AS (
        SELECT m.*, s.conversation AS s_conversation, s.seq AS s_seq, s.sent_at AS s_sent_at,
            c.kind, c.last_seq, c.message_count, c.last_txid, c.members_version, p.peer,
            CASE
                WHEN s.seq IS NOT NULL THEN CASE WHEN s.fingerprint <> m.fingerprint THEN 2 ELSE 1 END
                WHEN c.kind IS NULL THEN CASE
                    WHEN m.other IS NULL
                        OR NOT EXISTS (SELECT 1 FROM users u WHERE u.id = m.sender AND u.erased_at IS NULL)
                        OR NOT EXISTS (SELECT 1 FROM users u WHERE u.id = m.other AND u.erased_at IS NULL) THEN 3
                    WHEN EXISTS (SELECT 1 FROM blocks b WHERE b.blocker = m.sender AND b.blocked = m.other)
                        OR EXISTS (SELECT 1 FROM blocks b WHERE b.blocker = m.other AND b.blocked = m.sender) THEN 5
                    WHEN m.reply IS NOT NULL THEN 6
                    ELSE 3 END
                WHEN k.joined_seq IS NULL THEN CASE WHEN c.join_policy = 'open' THEN 4 ELSE 3 END
                WHEN c.kind = 0 AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = p.peer AND u.erased_at IS NULL) THEN 3
                WHEN c.kind = 0 AND (
                    EXISTS (SELECT 1 FROM blocks b WHERE b.blocker = m.sender AND b.blocked = p.peer)
                    OR EXISTS (SELECT 1 FROM blocks b WHERE b.blocker = p.peer AND b.blocked = m.sender)) THEN 5
                WHEN m.reply IS NULL THEN 0
                WHEN c.history <> 'all' AND m.reply < k.joined_seq THEN 6
                WHEN m.reply > c.last_seq THEN 7
                WHEN m.replied THEN 0
                ELSE 6
            END AS code
        FROM unnest(p_sender, p_client, p_conversation, p_other, p_reply, p_fingerprint, p_known, p_extra, p_body, replied)
                WITH ORDINALITY
                AS m (sender, client, conversation, other, reply, fingerprint, known, extra, body, replied, place)
            LEFT JOIN LATERAL (
                SELECT s.conversation, s.seq, s.sent_at, s.fingerprint FROM sends s
                WHERE s.sender = m.sender AND s.client_id = m.client LIMIT 1) s ON true
            LEFT JOIN LATERAL (
                SELECT c.kind, c.last_seq, c.message_count, c.last_txid, c.members_version, c.join_policy, c.history, c.low, c.high
                FROM conversations c WHERE c.id = m.conversation AND c.deleted_at IS NULL LIMIT 1) c ON true
            LEFT JOIN LATERAL (
                SELECT k.joined_seq FROM members k
                WHERE k.conversation = m.conversation AND k.user_id = m.sender LIMIT 1) k ON true
            CROSS JOIN LATERAL (
                SELECT coalesce(m.other, CASE WHEN c.low = m.sender THEN c.high ELSE c.low END) AS peer LIMIT 1) p
    ), numbered AS (
        SELECT j.*, row_number() OVER (PARTITION BY j.conversation, j.code ORDER BY j.place) AS n FROM judged j
    ), appended AS (
        INSERT INTO events (conversation, sender, client_id, seq, sent_at, messages_before, kind, extra, body)
        SELECT a.conversation, a.sender, a.client, a.last_seq + a.n, p_now, a.message_count + a.n - 1, 0, a.extra, a.body
        FROM numbered a WHERE a.code = 0
    ), remembered AS (
        INSERT INTO sends (sender, client_id, conversation, seq, sent_at, fingerprint)
        SELECT a.sender, a.client, a.conversation, a.last_seq + a.n, p_now, a.fingerprint
        FROM numbered a WHERE a.code = 0 ORDER BY a.sender, a.client
    ), moved AS (
        UPDATE conversations c
        SET last_seq = a.last_seq + a.n, message_count = a.message_count + a.n, last_txid = pg_current_xact_id()
        FROM (SELECT a.conversation, a.last_seq, a.message_count, max(a.n) AS n FROM numbered a WHERE a.code = 0
              GROUP BY a.conversation, a.last_seq, a.message_count) a
        WHERE c.id = a.conversation
    ), read AS (
        UPDATE members k
        SET read_seq = a.last_seq + a.n, read_count = a.message_count + a.n,
            delivered_seq = greatest(k.delivered_seq, a.last_seq + a.n)
        FROM (SELECT a.conversation, a.sender, a.last_seq, a.message_count, max(a.n) AS n FROM numbered a WHERE a.code = 0
              GROUP BY a.conversation, a.sender, a.last_seq, a.message_count
              ORDER BY a.conversation, a.sender) a
        WHERE k.conversation = a.conversation AND k.user_id = a.sender
    )
    SELECT a.place, a.code,
        CASE WHEN a.code = 1 THEN a.s_conversation END,
        CASE a.code WHEN 0 THEN a.last_seq + a.n WHEN 1 THEN a.s_seq END,
        CASE WHEN a.code = 1 THEN a.s_sent_at END,
        CASE WHEN a.code = 0 THEN pg_current_xact_id()::text::bigint END,
        CASE WHEN a.code = 0 THEN CASE WHEN a.n = 1 THEN a.last_txid ELSE pg_current_xact_id() END::text::bigint END,
        CASE WHEN a.code = 0 AND a.kind = 1 THEN a.members_version END,
        CASE WHEN a.code = 0 AND a.kind = 0 AND a.other IS NULL THEN a.peer END,
        r.users, r.joined
    FROM numbered a
        LEFT JOIN LATERAL (
            SELECT array_agg(k.user_id ORDER BY k.user_id) AS users, array_agg(k.joined_seq ORDER BY k.user_id) AS joined
            FROM members k
            WHERE a.code = 0 AND a.kind = 1 AND a.n = 1 AND a.known <> a.members_version AND k.conversation = a.conversation
        ) r ON true
    ORDER BY a.place;
END
$$;
