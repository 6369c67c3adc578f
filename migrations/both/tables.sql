-- The tables that are the same in both databases, made with the first step of each. The names of types are in src/store/sql/text.rs.

-- Who was a member once, so that leaving twice answers with the same event.
CREATE TABLE departures (
    user_id      {id} NOT NULL,
    conversation {id} NOT NULL,
    left_seq     {whole} NOT NULL,
    PRIMARY KEY (user_id, conversation)
){by_key};

-- Until when somebody may say nothing in a conversation. A row outlives the membership, so that leaving and coming back lifts nothing.
CREATE TABLE mutes (
    user_id      {id} NOT NULL,
    conversation {id} NOT NULL,
    ends_at      {whole} NOT NULL,
    PRIMARY KEY (user_id, conversation)
){by_key};

-- Until when somebody may not be a member of a conversation, and the event that says so.
CREATE TABLE bans (
    user_id      {id} NOT NULL,
    conversation {id} NOT NULL,
    ends_at      {whole} NOT NULL,
    ban_seq      {whole} NOT NULL,
    PRIMARY KEY (user_id, conversation)
){by_key};
CREATE INDEX bans_by_conversation ON bans (conversation, user_id);

CREATE TABLE blocks (
    blocker {id} NOT NULL,
    blocked {id} NOT NULL,
    PRIMARY KEY (blocker, blocked)
){by_key};
CREATE INDEX blocks_by_blocked ON blocks (blocked, blocker);

