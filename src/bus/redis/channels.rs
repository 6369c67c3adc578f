//! The names of channels.

use crate::domain::Topic;

/// Names channels: the prefix, a letter for the kind, the id.
#[derive(Debug, Clone)]
pub struct Channels {
    prefix: String,
}

impl Channels {
    /// Channels that begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The channel of a topic.
    pub fn of(&self, topic: Topic) -> String {
        let prefix = &self.prefix;
        match topic {
            Topic::User(user) => format!("{prefix}u:{}", user.as_uuid().simple()),
            Topic::Channel(conversation) => format!("{prefix}c:{}", conversation.as_uuid().simple()),
            Topic::Presence(user) => format!("{prefix}p:{}", user.as_uuid().simple()),
            Topic::Digest => format!("{prefix}digest"),
            Topic::Published => format!("{prefix}published"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use uuid::Uuid;

    use super::*;
    use crate::domain::{ConversationId, ConversationKind, UserId};

    #[test]
    fn every_topic_has_a_channel_of_its_own() {
        let user = UserId::from_uuid(Uuid::from_u128(2));
        let channel = ConversationId::from_random(ConversationKind::Channel, Uuid::from_u128(2));
        let topics = [
            Topic::User(user),
            Topic::Presence(user),
            Topic::Channel(channel),
            Topic::Digest,
            Topic::Published,
        ];
        let channels = Channels::new("eu:");
        let names: HashSet<String> = topics.into_iter().map(|topic| channels.of(topic)).collect();
        assert_eq!(names.len(), topics.len());
        assert_eq!(channels.of(Topic::User(user)), "eu:u:00000000000000000000000000000002");
    }
}
