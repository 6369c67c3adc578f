-- Appending a batch: one call, one round trip, one transaction. Messages of one call have different (sender, client_id).
--
-- Each statement sees what was committed before it began, so what is read after a lock is the truth for as long as the lock
-- is held: the conversation's counters, who is a member, which client_ids are taken.
--
-- Names in braces are filled in by src/store/sql/text.rs: numbers of outcomes, kinds and acts, and rules that other statements share.
--
-- SQLSTATE 40001: somebody else made the same conversation or used the same client_id elsewhere just now; call again.
--
-- Plans: one index look-up per message is right whatever the tables hold, and planning anew costs more than the work of a
-- small batch. So plans are generic, and neither scan nor hash a table, though it may have been empty when they were made;
-- `(SELECT true … LIMIT 1)` stands where EXISTS could be turned into a hash of the whole table. The planner puts the columns
-- of `f` in where they are named, so what a message does not depend on is not looked up.
CREATE FUNCTION tidings_append(
    p_senders       uuid[],
    p_client_ids    uuid[],
    p_conversations uuid[],
    -- The other user of a direct conversation that may have to be made, else NULL. The whole array is NULL when all are.
    p_others        uuid[],
    p_fingerprints  bigint[],
    -- NULL when there is no reply among the messages.
    p_replies       bigint[],
    p_bodies        text[],
    p_extras        text[],
    -- The version of the membership that the caller knows, else NULL: members are answered only when it is another.
    p_known         bigint[],
    p_now           bigint,
    -- Whose first messages users take who have chosen nothing, and how many are taken before an answer.
    p_takes         bigint,
    p_unanswered    bigint
) RETURNS TABLE (
    outcome smallint,
    -- The message's place: for an accepted one the new place, for a repeated one the first.
    seq bigint,
    -- Of a repeated one: when and where it was first accepted.
    sent_at bigint,
    elsewhere uuid,
    -- The position of the event before it.
    previous bigint,
    new_position bigint,
    version bigint,
    -- The members and their join events, on the conversation's first accepted message and only when they are not known.
    users uuid[],
    joined bigint[],
    -- Of one that a mute refuses: how long that lasts still.
    left_ms bigint
)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_position bigint := tidings_position();
    v_locked   uuid[];
    v_wanted   uuid[];
    v_lows     uuid[];
    v_highs    uuid[];
    v_made     bigint;
    v_replied  boolean[];
    v_outcome  smallint[];
    v_nth      bigint[];
    v_last     bigint[];
    v_messages bigint[];
    v_moved    bigint[];
    v_version  bigint[];
    v_ask      boolean[];
    v_seq      bigint[];
    v_sent     bigint[];
    v_where    uuid[];
    v_late     boolean;
    v_many     boolean;
    v_strange  boolean[];
    v_peers    uuid[];
    v_again    boolean;
    v_accepted bigint;
    v_written  bigint;
    v_counts   bigint[];
    v_which    integer;
BEGIN
    SELECT array_agg(l.id) INTO v_locked FROM (
        SELECT c.id FROM conversations c WHERE c.id = ANY (p_conversations) ORDER BY c.id FOR NO KEY UPDATE
    ) l;
    v_locked := coalesce(v_locked, '{}');

    -- Direct conversations that are not there yet: made when their first message is going to be accepted.
    IF p_others IS NOT NULL THEN
        SELECT array_agg(w.conversation), array_agg(w.low), array_agg(w.high) INTO v_wanted, v_lows, v_highs FROM (
            SELECT DISTINCT b.conversation, least(b.sender, b.other) AS low, greatest(b.sender, b.other) AS high
            FROM unnest(p_senders, p_client_ids, p_conversations, p_others, p_replies)
                AS b (sender, client_id, conversation, other, reply_to)
            CROSS JOIN LATERAL (
                SELECT NULL::boolean AS there_open, true AS direct, false AS member, 0::bigint AS said, {sending b.sender b.other b.conversation}
            ) f
            WHERE b.other IS NOT NULL AND b.reply_to IS NULL AND b.conversation <> ALL (v_locked)
              AND {may_send} = {accepted}
              AND NOT EXISTS (SELECT 1 FROM sends s WHERE s.sender = b.sender AND s.client_id = b.client_id)
            ORDER BY b.conversation
        ) w;
        IF v_wanted IS NOT NULL THEN
            WITH made AS (
                INSERT INTO conversations (id, kind, history, join_policy, last_seq, message_count, member_count, last_position,
                                           members_version, settings_seq, created_at, low, high)
                SELECT w.id, {direct}, 'from_join', 'invite', 0, 0, CASE WHEN w.low = w.high THEN 1 ELSE 2 END, 0, 1, 0, p_now,
                       w.low, w.high
                FROM unnest(v_wanted, v_lows, v_highs) AS w (id, low, high)
                ON CONFLICT DO NOTHING
                RETURNING id, low, high
            ), joined AS (
                INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, read_count,
                                     changed_position)
                SELECT p.user_id, m.id, {role_member}, 0, 0, 0, 0, 0, 0
                FROM made m CROSS JOIN LATERAL (SELECT m.low UNION SELECT m.high) AS p (user_id)
            )
            SELECT count(*) INTO v_made FROM made;
            IF v_made < cardinality(v_wanted) THEN
                RAISE EXCEPTION 'a direct conversation was made by somebody else' USING ERRCODE = '40001';
            END IF;
            v_locked := v_locked || v_wanted;
        END IF;
    END IF;

    IF p_replies IS NOT NULL THEN
        SELECT array_agg((
            SELECT true FROM events e WHERE e.conversation = b.conversation AND e.seq = b.reply_to AND e.kind = {message} LIMIT 1
        )) INTO v_replied FROM unnest(p_conversations, p_replies) AS b (conversation, reply_to);
    END IF;

    SELECT array_agg(f.outcome), array_agg(f.nth), array_agg(f.last_seq), array_agg(f.message_count),
           array_agg(f.last_position), array_agg(f.members_version), array_agg(f.ask), array_agg(f.seq), array_agg(f.sent_at),
           array_agg(f.first_conversation), bool_or(f.outcome = {accepted} AND f.reply_to > f.last_seq),
           bool_or(f.outcome = {accepted} AND f.strange AND f.message_count + f.nth > p_unanswered),
           array_agg(f.strange), array_agg(f.peer),
           bool_or(f.outcome = {overtaken}), count(*) FILTER (WHERE f.outcome = {accepted})
    INTO v_outcome, v_nth, v_last, v_messages, v_moved, v_version, v_ask, v_seq, v_sent, v_where, v_late, v_many, v_strange,
         v_peers, v_again, v_accepted
    FROM (
        SELECT d.*, count(*) FILTER (WHERE d.outcome = {accepted}) OVER (PARTITION BY d.conversation ORDER BY d.ord) AS nth
        FROM (
            SELECT b.ord, b.conversation, b.reply_to, c.last_seq, c.message_count, c.last_position, c.members_version,
                   c.kind <> {channel} AND c.members_version IS DISTINCT FROM b.known AS ask,
                   s.seq, s.sent_at, s.conversation AS first_conversation,
                   f.direct AND NOT f.known AS strange, CASE WHEN f.direct THEN p.peer END AS peer,
                   (CASE
                       WHEN s.seq IS NOT NULL THEN
                           CASE WHEN s.fingerprint IS NULL OR s.fingerprint = b.fingerprint THEN {repeated} ELSE {reused} END
                       WHEN {may_send} <> {accepted} THEN {may_send}
                       WHEN c.id IS NULL THEN CASE WHEN b.reply_to IS NULL THEN {overtaken} ELSE {no_reply} END
                       WHEN b.reply_to < m.joined_seq AND c.history = 'from_join' THEN {no_reply}
                       WHEN b.reply_to <= c.last_seq AND v_replied[b.ord] IS NOT TRUE THEN {no_reply}
                       ELSE {accepted}
                   END)::smallint AS outcome
            FROM unnest(p_senders, p_client_ids, p_conversations, p_others, p_fingerprints, p_replies, p_known)
                     WITH ORDINALITY AS b (sender, client_id, conversation, other, fingerprint, reply_to, known, ord)
            LEFT JOIN sends s ON s.sender = b.sender AND s.client_id = b.client_id
            LEFT JOIN conversations c ON c.id = b.conversation AND c.deleted_at IS NULL AND c.id = ANY (v_locked)
            LEFT JOIN members m ON m.user_id = b.sender AND m.conversation = c.id
            CROSS JOIN LATERAL (
                SELECT coalesce(b.other, CASE WHEN c.low = b.sender THEN c.high ELSE c.low END)
            ) AS p (peer)
            CROSS JOIN LATERAL (
                SELECT c.join_policy = 'open' AS there_open, CASE WHEN c.id IS NULL THEN b.other ELSE c.low END IS NOT NULL AS direct,
                       m.joined_seq IS NOT NULL AS member, coalesce(c.message_count, 0) AS said, {sending b.sender p.peer b.conversation}
            ) f
        ) d
        ORDER BY d.ord
    ) f;

    IF v_again THEN
        RAISE EXCEPTION 'a direct conversation was made by somebody else' USING ERRCODE = '40001';
    END IF;

    -- A reply to a message of this very batch: whether it is there depends on what was accepted before it. So does whether a
    -- stranger has written enough.
    IF v_late OR v_many THEN
        v_counts := array_fill(0::bigint, ARRAY[cardinality(v_locked)]);
        v_accepted := 0;
        FOR i IN 1 .. cardinality(v_outcome) LOOP
            CONTINUE WHEN v_outcome[i] <> {accepted};
            v_which := array_position(v_locked, p_conversations[i]);
            IF p_replies[i] > v_last[i] + v_counts[v_which] THEN
                v_outcome[i] := {no_reply};
            ELSIF v_strange[i] AND v_messages[i] + v_counts[v_which] >= p_unanswered AND NOT EXISTS (
                SELECT FROM generate_series(1, i - 1) AS o (at)
                WHERE v_outcome[o.at] = {accepted} AND p_conversations[o.at] = p_conversations[i] AND p_senders[o.at] <> p_senders[i]
            ) THEN
                v_outcome[i] := {refused_unanswered};
            ELSE
                v_counts[v_which] := v_counts[v_which] + 1;
                v_nth[i] := v_counts[v_which];
                v_accepted := v_accepted + 1;
            END IF;
        END LOOP;
    END IF;

    IF v_accepted > 0 THEN
        WITH a AS MATERIALIZED (
            SELECT b.sender, b.client_id, b.conversation, b.fingerprint, b.body, b.extra, b.peer,
                   b.last + b.nth AS seq, b.messages + b.nth - 1 AS before, greatest(v_position, b.moved) AS position
            FROM unnest(v_outcome, v_nth, v_last, v_messages, v_moved, p_senders, p_client_ids, p_conversations, p_fingerprints,
                        p_bodies, p_extras, v_peers)
                     AS b (outcome, nth, last, messages, moved, sender, client_id, conversation, fingerprint, body, extra, peer)
            WHERE b.outcome = {accepted}
        ), keys AS (
            INSERT INTO sends (sender, client_id, conversation, seq, sent_at, fingerprint)
            SELECT a.sender, a.client_id, a.conversation, a.seq, p_now, a.fingerprint
            FROM a ORDER BY a.sender, a.client_id
            ON CONFLICT DO NOTHING
            RETURNING 1
        ), written AS (
            INSERT INTO events (conversation, seq, position, kind, sender, sent_at, client_id, messages_before, extra, body)
            SELECT a.conversation, a.seq, a.position, {message}, a.sender, p_now, a.client_id, a.before, a.extra, a.body FROM a
        ), counted AS (
            UPDATE conversations c
            SET last_seq = g.seq, message_count = g.messages, last_position = g.position
            FROM (
                SELECT a.conversation, max(a.seq) AS seq, max(a.before) + 1 AS messages, max(a.position) AS position
                FROM a GROUP BY a.conversation ORDER BY a.conversation
            ) g
            WHERE c.id = g.conversation
        ), met AS (
            INSERT INTO contacts (user_id, contact)
            SELECT DISTINCT a.sender, a.peer FROM a WHERE a.peer IS NOT NULL
            ON CONFLICT DO NOTHING
        ), read AS (
            UPDATE members m
            SET read_seq = g.seq, read_count = g.messages, delivered_seq = greatest(m.delivered_seq, g.seq)
            FROM (
                SELECT a.conversation, a.sender, max(a.seq) AS seq, max(a.before) + 1 AS messages
                FROM a GROUP BY a.conversation, a.sender ORDER BY a.conversation, a.sender
            ) g
            WHERE m.user_id = g.sender AND m.conversation = g.conversation
        )
        SELECT count(*) INTO v_written FROM keys;
        IF v_written < v_accepted THEN
            RAISE EXCEPTION 'a client_id was used elsewhere at the same time' USING ERRCODE = '40001';
        END IF;
    END IF;

    RETURN QUERY
    SELECT r.outcome,
           CASE r.outcome WHEN {accepted} THEN r.last + r.nth WHEN {repeated} THEN r.seq END,
           CASE r.outcome WHEN {repeated} THEN r.sent_at END,
           CASE r.outcome WHEN {repeated} THEN r.elsewhere END,
           CASE WHEN r.outcome <> {accepted} THEN NULL WHEN r.nth = 1 THEN r.moved ELSE greatest(v_position, r.moved) END,
           greatest(v_position, r.moved),
           r.version,
           l.users,
           l.joined,
           CASE r.outcome WHEN {refused_muted} THEN {muted_until r.sender r.conversation} - p_now END
    FROM unnest(v_outcome, v_nth, v_last, v_moved, v_version, v_ask, v_seq, v_sent, v_where, p_conversations, p_senders)
             WITH ORDINALITY AS r (outcome, nth, last, moved, version, ask, seq, sent_at, elsewhere, conversation, sender, ord)
    LEFT JOIN LATERAL (
        SELECT array_agg(m.user_id ORDER BY m.user_id) AS users, array_agg(m.joined_seq ORDER BY m.user_id) AS joined
        FROM members m WHERE m.conversation = r.conversation AND r.outcome = {accepted} AND r.nth = 1 AND r.ask
    ) l ON true
    ORDER BY r.ord;
END
$$;

-- Writing what a change came to: one call, one round trip, one transaction. The caller read the conversation before, without a
-- lock, and decided on what it read. Nothing is written and no row answered when that holds no more; the caller reads again.
--
-- Each statement sees what was committed before it began, so what is compared after the conversation's lock stays so.
CREATE FUNCTION tidings_record(
    p_conversation  uuid,
    p_actor         uuid,
    p_now           bigint,
    -- What the decision rests on: the version of the membership (NULL: any), the event that set the settings, memberships by
    -- the events that began them and gave the role (NULL: there is none), and blocks that there must not be.
    p_version       bigint,
    p_settings_seq  bigint,
    p_users         uuid[],
    p_users_joined  bigint[],
    p_users_ranked  bigint[],
    p_blockers      uuid[],
    p_blocked       uuid[],
    -- The events. Places of events below are counted from 1.
    p_kinds         bigint[],
    p_senders       uuid[],
    p_targets       bigint[],
    p_extras        text[],
    p_bodies        text[],
    -- What becomes of members: of whom, what (src/store/sql/journal.rs), a value that goes with it, and the event that says so.
    p_members       uuid[],
    p_member_acts   bigint[],
    p_member_values bigint[],
    p_member_nth    bigint[],
    p_configured    boolean,
    p_name          text,
    p_topic         text,
    p_history       text,
    p_join_policy   text,
    p_ended         boolean,
    -- What becomes of a message.
    p_act           bigint,
    p_target        bigint,
    -- The edit in force.
    p_edit_seq      bigint,
    -- The new body, or the emoji.
    p_text          text,
    -- The event of the actor's last word on the emoji; how many other ones the message has, of all and of the actor.
    p_said_seq      bigint,
    p_given         bigint[],
    -- The idempotency key, and the event that made it so before.
    p_key           uuid,
    p_fingerprint   bigint,
    p_key_seq       bigint,
    -- How many people the actor adds, to be counted for the day.
    p_added         bigint,
    -- Whom the actor accepts as a contact.
    p_met           uuid
) RETURNS TABLE (first bigint, previous bigint, new_position bigint, version bigint)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_position bigint := tidings_position();
    v_found     conversations%ROWTYPE;
    v_count    bigint := cardinality(p_kinds);
    v_first    bigint;
    v_sender   uuid;
    v_key      uuid;
    v_user     uuid;
    v_seq      bigint;
    v_joined   uuid[];
    v_left     bigint;
BEGIN
    SELECT coalesce(array_agg(b.user_id) FILTER (WHERE b.act = {member_join}), '{}'),
           count(*) FILTER (WHERE b.act = {member_leave})
    INTO v_joined, v_left
    FROM unnest(p_members, p_member_acts) AS b (user_id, act);
    SELECT * INTO v_found FROM conversations c WHERE c.id = p_conversation FOR NO KEY UPDATE;
    IF NOT FOUND OR v_found.deleted_at IS NOT NULL OR v_found.settings_seq <> p_settings_seq
        OR v_found.members_version <> coalesce(p_version, v_found.members_version) THEN
        RETURN;
    END IF;
    v_position := greatest(v_position, v_found.last_position);
    v_first := v_found.last_seq + 1;

    -- LIMIT: one look-up each, or the plan may read all members first.
    PERFORM 1 FROM unnest(p_users, p_users_joined, p_users_ranked) AS g (user_id, joined, ranked)
    LEFT JOIN LATERAL (
        SELECT o.joined_seq, o.role_seq FROM members o
        WHERE o.user_id = g.user_id AND o.conversation = p_conversation LIMIT 1
    ) m ON true
    WHERE m.joined_seq IS DISTINCT FROM g.joined OR m.role_seq IS DISTINCT FROM g.ranked;
    IF FOUND THEN RETURN; END IF;

    IF cardinality(p_blockers) > 0 THEN
        PERFORM 1 FROM unnest(p_blockers, p_blocked) AS g (blocker, blocked)
        JOIN blocks k ON k.blocker = g.blocker AND k.blocked = g.blocked;
        IF FOUND THEN RETURN; END IF;
    END IF;

    -- Nobody joins who was banned since. Whoever erases an account waits for transactions with lower numbers than one taken after it, this one among them.
    IF cardinality(v_joined) > 0 THEN
        PERFORM 1 FROM unnest(v_joined) AS g (user_id)
        LEFT JOIN users u ON u.id = g.user_id AND u.erased_at IS NULL
        WHERE u.id IS NULL OR {banned_until g.user_id p_conversation} > p_now;
        IF FOUND THEN RETURN; END IF;
    END IF;

    IF p_act <> {act_none} THEN
        SELECT e.sender, e.client_id INTO v_sender, v_key FROM events e
        WHERE e.conversation = p_conversation AND e.seq = p_target AND e.kind = {message} AND NOT e.deleted
          AND coalesce(e.edit_seq, 0) = p_edit_seq;
        IF NOT FOUND THEN RETURN; END IF;
    END IF;
    IF p_act IN ({act_react}, {act_unreact}) AND p_said_seq <> coalesce((
        SELECT r.event_seq FROM reactions r
        WHERE r.user_id = p_actor AND r.conversation = p_conversation AND r.seq = p_target AND r.emoji = p_text
    ), 0) THEN
        RETURN;
    END IF;
    IF p_act = {act_react} AND (
        p_given[1] < (SELECT count(*) FROM reaction_counts r
                      WHERE r.conversation = p_conversation AND r.seq = p_target AND r.emoji <> p_text)
        OR p_given[2] < (SELECT count(*) FROM reactions r
                         WHERE r.user_id = p_actor AND r.conversation = p_conversation AND r.seq = p_target AND r.is_on
                           AND r.emoji <> p_text)
    ) THEN
        RETURN;
    END IF;

    IF p_key IS NOT NULL THEN
        INSERT INTO sends (sender, client_id, conversation, seq, sent_at, fingerprint)
        VALUES (p_actor, p_key, p_conversation, coalesce(p_key_seq, v_first), p_now, p_fingerprint)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN RETURN; END IF;
    END IF;
    IF v_count = 0 THEN
        RETURN QUERY SELECT p_key_seq, v_found.last_position, v_found.last_position, v_found.members_version;
        RETURN;
    END IF;

    IF p_met IS NOT NULL THEN
        INSERT INTO contacts (user_id, contact) VALUES (p_actor, p_met) ON CONFLICT DO NOTHING;
    END IF;
    IF p_added > 0 THEN
        {add_people p_actor p_now/86400000 p_added};
    END IF;

    INSERT INTO events (conversation, seq, position, kind, sender, sent_at, client_id, target_seq, messages_before, extra, body)
    SELECT p_conversation, v_found.last_seq + b.nth, v_position, b.kind, b.sender, p_now,
           CASE WHEN b.nth = 1 THEN p_key END, b.target, v_found.message_count, b.extra, b.body
    FROM unnest(p_kinds, p_senders, p_targets, p_extras, p_bodies)
             WITH ORDINALITY AS b (kind, sender, target, extra, body, nth);

    IF cardinality(v_joined) > 0 THEN
        INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, read_count, changed_position)
        SELECT b.user_id, p_conversation, b.role, b.seq, b.seq, b.seq, b.seq, v_found.message_count, v_position
        FROM (
            SELECT j.user_id, j.role, v_found.last_seq + j.nth AS seq
            FROM unnest(p_members, p_member_acts, p_member_values, p_member_nth) AS j (user_id, act, role, nth)
            WHERE j.act = {member_join}
        ) b;
        DELETE FROM departures d WHERE d.conversation = p_conversation AND d.user_id = ANY (v_joined);
        DELETE FROM invitations i WHERE i.conversation = p_conversation AND i.user_id = ANY (v_joined);
    END IF;
    -- One by one, by the whole key: asked for all at once, a plan made for conversations of the usual size goes over all members
    -- of a large one. In their order: receipts take these rows too, without the conversation's lock.
    FOR v_user IN
        SELECT b.user_id FROM unnest(p_members, p_member_acts) AS b (user_id, act)
        WHERE b.act <> {member_join} ORDER BY b.user_id
    LOOP
        PERFORM 1 FROM members m WHERE m.user_id = v_user AND m.conversation = p_conversation FOR UPDATE;
    END LOOP;
    FOR v_which IN 1 .. cardinality(p_members) LOOP
        v_user := p_members[v_which];
        v_seq := v_found.last_seq + p_member_nth[v_which];
        CASE p_member_acts[v_which]
            WHEN {member_join} THEN NULL;
            WHEN {member_leave} THEN
                DELETE FROM members m WHERE m.user_id = v_user AND m.conversation = p_conversation;
                INSERT INTO departures (user_id, conversation, left_seq) VALUES (v_user, p_conversation, v_seq)
                ON CONFLICT (user_id, conversation) DO UPDATE SET left_seq = excluded.left_seq;
            WHEN {member_rank} THEN
                UPDATE members m SET role = p_member_values[v_which], role_seq = v_seq
                WHERE m.user_id = v_user AND m.conversation = p_conversation;
            WHEN {member_mute} THEN
                INSERT INTO mutes (user_id, conversation, ends_at)
                VALUES (v_user, p_conversation, p_member_values[v_which])
                ON CONFLICT (user_id, conversation) DO UPDATE SET ends_at = excluded.ends_at;
                UPDATE members m SET role_seq = v_seq WHERE m.user_id = v_user AND m.conversation = p_conversation;
            WHEN {member_ban} THEN
                IF p_member_values[v_which] > p_now THEN
                    INSERT INTO bans (user_id, conversation, ends_at, ban_seq)
                    VALUES (v_user, p_conversation, p_member_values[v_which], v_seq)
                    ON CONFLICT (user_id, conversation) DO UPDATE SET ends_at = excluded.ends_at, ban_seq = excluded.ban_seq;
                ELSE
                    DELETE FROM bans b WHERE b.user_id = v_user AND b.conversation = p_conversation;
                END IF;
        END CASE;
    END LOOP;

    -- A text that was replaced or deleted is in no row, and neither is what was made of it: a short text can be guessed from
    -- its hash.
    IF p_act = {act_edit} THEN
        UPDATE events e SET body = p_text, edited_at = p_now, edit_seq = v_first
        WHERE e.conversation = p_conversation AND e.seq = p_target;
    ELSIF p_act = {act_delete} THEN
        UPDATE events e SET body = NULL, extra = NULL, deleted = true, delete_seq = v_first
        WHERE e.conversation = p_conversation AND e.seq = p_target;
        DELETE FROM reaction_counts r WHERE r.conversation = p_conversation AND r.seq = p_target;
    END IF;
    IF p_act IN ({act_edit}, {act_delete}) THEN
        UPDATE sends s SET fingerprint = NULL WHERE s.sender = v_sender AND s.client_id = v_key;
        IF p_edit_seq > 0 THEN
            UPDATE events e SET body = NULL WHERE e.conversation = p_conversation AND e.seq = p_edit_seq AND e.kind = {edit};
            UPDATE sends s SET fingerprint = NULL FROM events e
            WHERE e.conversation = p_conversation AND e.seq = p_edit_seq AND s.sender = e.sender AND s.client_id = e.client_id;
        END IF;
    END IF;
    IF p_act IN ({act_react}, {act_unreact}) THEN
        INSERT INTO reactions (user_id, conversation, seq, emoji, is_on, event_seq)
        VALUES (p_actor, p_conversation, p_target, p_text, p_act = {act_react}, v_first)
        ON CONFLICT (user_id, conversation, seq, emoji)
        DO UPDATE SET is_on = excluded.is_on, event_seq = excluded.event_seq;
    END IF;
    IF p_act = {act_react} THEN
        INSERT INTO reaction_counts (conversation, seq, emoji, count, first_seq)
        VALUES (p_conversation, p_target, p_text, 1, v_first)
        ON CONFLICT (conversation, seq, emoji) DO UPDATE SET count = reaction_counts.count + 1;
    ELSIF p_act = {act_unreact} THEN
        DELETE FROM reaction_counts r
        WHERE r.conversation = p_conversation AND r.seq = p_target AND r.emoji = p_text AND r.count <= 1;
        UPDATE reaction_counts r SET count = r.count - 1
        WHERE r.conversation = p_conversation AND r.seq = p_target AND r.emoji = p_text AND r.count > 1;
    END IF;

    UPDATE conversations c SET
        last_seq = v_found.last_seq + v_count,
        last_position = v_position,
        member_count = v_found.member_count + cardinality(v_joined) - v_left,
        members_version = v_found.members_version + cardinality(p_members),
        name = CASE WHEN p_ended THEN NULL WHEN p_configured THEN p_name ELSE v_found.name END,
        topic = CASE WHEN p_ended THEN NULL WHEN p_configured THEN p_topic ELSE v_found.topic END,
        history = CASE WHEN p_configured THEN p_history ELSE v_found.history END,
        join_policy = CASE WHEN p_configured THEN p_join_policy ELSE v_found.join_policy END,
        settings_seq = CASE WHEN p_configured THEN v_first ELSE v_found.settings_seq END,
        deleted_at = CASE WHEN p_ended THEN p_now END
    WHERE c.id = p_conversation;
    IF p_ended THEN
        INSERT INTO jobs (kind, subject, begun_at, due_at, state) VALUES ('purge', p_conversation, p_now, p_now, '{}')
        ON CONFLICT DO NOTHING;
    END IF;

    RETURN QUERY SELECT v_first, v_found.last_position, v_position,
        v_found.members_version + cardinality(p_members);
END
$$;
