//! Fills every table that grows, without using the store.

use tidings::domain::{ConversationId, UserId};

use super::operations::Stage;

/// The same rows in two dialects.
#[derive(Debug, Clone, Copy)]
pub enum Rows {
    Postgres,
    Sqlite,
}

impl Rows {
    /// The id of the user, or the conversation, that a number stands for.
    fn id(self, family: u32, number: &str) -> String {
        match self {
            Self::Postgres => {
                format!("('{family:08x}-0000-4000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid")
            }
            Self::Sqlite => format!("unhex(printf('{family:08x}000040008000%012x', {number}))"),
        }
    }

    fn hash(self, number: &str) -> String {
        match self {
            Self::Postgres => format!("decode(lpad(to_hex({number}), 64, '0'), 'hex')"),
            Self::Sqlite => format!("unhex(printf('%064x', {number}))"),
        }
    }

    fn known(self, id: &uuid::Uuid) -> String {
        match self {
            Self::Postgres => format!("'{id}'::uuid"),
            Self::Sqlite => format!("x'{}'", id.simple()),
        }
    }

    fn user(self, user: UserId) -> String {
        self.known(user.as_uuid())
    }

    fn conversation(self, conversation: ConversationId) -> String {
        self.known(conversation.as_uuid())
    }

    /// Writes what belongs to the numbers from `from` on, below `to`: a user each with all that accounts
    /// have, a group of that user and of the one who is in all groups, a membership in the town, a message in
    /// both, and a reaction.
    pub fn statements(self, stage: &Stage<'_>, from: u64, to: u64) -> Vec<String> {
        let (user, next, group) = (self.id(1, "i"), self.id(1, "i + 1"), self.id(2, "i * 4 + 1"));
        let (family, key) = (self.id(3, "i"), self.id(4, "i"));
        let (town, crowd) = (self.conversation(stage.town), self.user(stage.everywhere));
        let channel = self.id(5, "i * 4 + 2");
        let (apart, another) = (self.user(stage.elsewhere), self.id(2, "i * 4 + 2"));
        let (token, spent, device) = (self.hash("i"), self.hash("i + 1000000000"), self.hash("i"));
        let last = to - 1;
        let numbers = match self {
            Self::Postgres => format!("generate_series({from}::bigint, {last}) AS g (i)"),
            Self::Sqlite => format!(
                "(WITH RECURSIVE n (i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT i FROM n) AS g"
            ),
        };
        let position = match self {
            Self::Postgres => "tidings_position()",
            Self::Sqlite => "(SELECT max(position) FROM events) + i + 1",
        };
        let end = format!("(SELECT last_seq FROM conversations WHERE id = {town})");
        let said = format!("(SELECT message_count FROM conversations WHERE id = {town})");
        let nth = format!("i - {from}");
        let mut statements = vec![
            format!(
                "INSERT INTO users (id, username, display_name, guest, created_at) \
                 SELECT {user}, 'user' || i, 'user', FALSE, 0 FROM {numbers}"
            ),
            format!("INSERT INTO name_words (word, user_id) SELECT 'user' || i, {user} FROM {numbers}"),
            format!("INSERT INTO credentials (user_id, password_hash) SELECT {user}, 'hash' FROM {numbers}"),
            format!("INSERT INTO devices (device_hash, user_id) SELECT {device}, {user} FROM {numbers}"),
            format!(
                "INSERT INTO families (id, user_id, token_hash, expires_at, network, created_at, used_at, known) \
                 SELECT {family}, {user}, {token}, 9000000000000, '10.0.0.0/24', 0, 0, TRUE FROM {numbers}"
            ),
            format!(
                "INSERT INTO spent_tokens (token_hash, family, expires_at) \
                 SELECT {spent}, {family}, 9000000000000 FROM {numbers}"
            ),
            format!(
                "INSERT INTO revocations (id, user_id, at, kind) \
                 SELECT i + 1 + (SELECT coalesce(max(id), 0) FROM revocations), {user}, 9000000000000, 0 FROM {numbers}"
            ),
            format!(
                "INSERT INTO one_time_passwords (user_id, ends_at, used) SELECT {user}, 0, 1 FROM {numbers}"
            ),
            format!(
                "INSERT INTO second_factors (user_id, secret, used_step) SELECT {user}, 'A', 1 FROM {numbers}"
            ),
            format!(
                "INSERT INTO suspensions (user_id, suspended_at, ends_at) SELECT {user}, 0, 0 FROM {numbers}"
            ),
            format!(
                "INSERT INTO audit (id, at, actor, action, previous, hash) \
                 SELECT i + 1 + (SELECT coalesce(max(id), 0) FROM audit), 9000000000000, 'server', 'x', '{hash}', '{hash}' \
                 FROM {numbers}",
                hash = "A".repeat(43)
            ),
            "UPDATE meta SET value = (SELECT max(id) FROM audit) WHERE name = 'audit'".to_owned(),
            format!("INSERT INTO blocks (blocker, blocked) SELECT {user}, {next} FROM {numbers}"),
            format!(
                "INSERT INTO conversations (id, kind, name, history, join_policy, last_seq, message_count, member_count, \
                     last_position, members_version, settings_seq, created_at) \
                 SELECT {group}, 1, 'group', 'from_join', 'invite', 1, 1, 2, 1, 1, 0, 0 FROM {numbers}"
            ),
            format!(
                "INSERT INTO conversations (id, kind, name, history, join_policy, last_seq, message_count, member_count, \
                     last_position, members_version, settings_seq, created_at) \
                 SELECT {channel}, 2, 'channel ' || i, 'all', 'open', 1, 1, 2, 1, 1, 0, 0 FROM {numbers}"
            ),
            format!(
                "INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, \
                     read_count, changed_position) \
                 SELECT {user}, {group}, 2, 0, 0, 1, 1, 1, 1 FROM {numbers}"
            ),
            format!(
                "INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, \
                     read_count, changed_position) \
                 SELECT {crowd}, {group}, 0, 0, 0, 1, 1, 1, 1 FROM {numbers}"
            ),
            format!(
                "INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, \
                     read_count, changed_position) \
                 SELECT {apart}, {another}, 0, 0, 0, 1, 1, 1, 1 FROM {numbers}"
            ),
            format!(
                "INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, \
                     read_count, changed_position) \
                 SELECT {user}, {town}, 0, 1, 1, 1, 1, 0, 1 FROM {numbers}"
            ),
            format!(
                "INSERT INTO departures (user_id, conversation, left_seq) SELECT {next}, {group}, 1 FROM {numbers}"
            ),
            format!(
                "INSERT INTO events (conversation, seq, position, kind, sender, sent_at, client_id, messages_before, body) \
                 SELECT {group}, 1, {position}, 0, {user}, 0, {key}, 0, 'hello' FROM {numbers}"
            ),
            format!(
                "INSERT INTO events (conversation, seq, position, kind, sender, sent_at, client_id, messages_before, body) \
                 SELECT {town}, {end} + {nth} + 1, {position}, 0, {user}, 0, {key}, {said} + {nth}, 'hello' FROM {numbers}"
            ),
            format!(
                "INSERT INTO sends (sender, client_id, conversation, seq, sent_at) \
                 SELECT {user}, {key}, {town}, {end} + {nth} + 1, 0 FROM {numbers}"
            ),
            format!(
                "INSERT INTO reactions (user_id, conversation, seq, emoji, is_on, event_seq) \
                 SELECT {user}, {town}, {end} + {nth} + 1, '+', TRUE, 1 FROM {numbers}"
            ),
            format!(
                "INSERT INTO reaction_counts (conversation, seq, emoji, count, first_seq) \
                 SELECT {town}, {end} + {nth} + 1, '+', 1, 1 FROM {numbers}"
            ),
            format!(
                "UPDATE conversations SET last_seq = last_seq + {count}, message_count = message_count + {count}, \
                     member_count = member_count + {count}, members_version = members_version + 1, \
                     last_position = (SELECT max(position) FROM events WHERE conversation = {town}) WHERE id = {town}",
                count = to - from
            ),
        ];
        // The triggers of SQLite are quick.
        if let Self::Postgres = self {
            statements.push(format!(
                "INSERT INTO open_channels (conversation, name_key, active_at) SELECT {channel}, 'channel ' || i, i FROM {numbers}"
            ));
            statements.insert(0, "SET session_replication_role = replica".to_owned());
            statements.push(
                "UPDATE meta SET value = (SELECT max(id) FROM revocations) WHERE name = 'revocations'"
                    .to_owned(),
            );
            statements.push(format!(
                "INSERT INTO feeds (user_id, conversation, position) SELECT m.user_id, m.conversation, \
                     CASE WHEN m.conversation = {town} THEN 9223372036854775807 ELSE 1 END FROM members m \
                 ON CONFLICT DO NOTHING"
            ));
        }
        statements
    }
}
