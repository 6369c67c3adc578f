-- Receipts: moves positions forward, at most to the conversation's end, and answers those that moved. Each (user,
-- conversation) at most once. A read position is part of what the user's other devices resume by; a delivered one is not.
CREATE FUNCTION tidings_move_receipts(p_users uuid[], p_conversations uuid[], p_delivered bigint[], p_read bigint[])
RETURNS TABLE (user_id uuid, conversation uuid, delivered bigint, read bigint)
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
BEGIN
    PERFORM 1 FROM (
        SELECT 1 FROM unnest(p_users, p_conversations) AS k (user_id, conversation)
        JOIN members m ON m.user_id = k.user_id AND m.conversation = k.conversation
        ORDER BY m.conversation, m.user_id FOR NO KEY UPDATE OF m
    ) locked;
    RETURN QUERY
    UPDATE members m
    SET delivered_seq = n.delivered,
        read_seq = n.read,
        read_count = CASE WHEN n.read > m.read_seq THEN (
            SELECT e.messages_before + CASE WHEN e.kind = {message} THEN 1 ELSE 0 END FROM events e
            WHERE e.conversation = n.conversation AND e.seq = n.read
        ) ELSE m.read_count END,
        changed_position = CASE WHEN n.read > m.read_seq THEN v_position ELSE m.changed_position END
    FROM (
        SELECT k.user_id, k.conversation,
               greatest(o.delivered_seq, least(k.delivered, c.last_seq)) AS delivered,
               greatest(o.read_seq, least(k.read, c.last_seq)) AS read
        FROM unnest(p_users, p_conversations, p_delivered, p_read) AS k (user_id, conversation, delivered, read)
        JOIN conversations c ON c.id = k.conversation AND c.deleted_at IS NULL
        JOIN members o ON o.user_id = k.user_id AND o.conversation = k.conversation
    ) n
    WHERE m.user_id = n.user_id AND m.conversation = n.conversation
      AND (n.delivered > m.delivered_seq OR n.read > m.read_seq)
    RETURNING m.user_id, m.conversation, m.delivered_seq, m.read_seq;
END
$$;
