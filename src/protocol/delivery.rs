//! An event for many connections: encoded once per encoding and audience, its bytes shared.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::Encoding;
use super::event::EventView;
use crate::domain::{Event, EventKind, JsonText, Position, UserId};

/// One event and its encoded forms, each made when it is first needed.
///
/// There are up to four: two encodings, each with the `client_id` for the sender's own devices and without
/// for the rest.
#[derive(Debug)]
pub struct Delivery {
    event: Arc<Event>,
    position: Position,
    encoded: [OnceLock<Bytes>; 4],
}

impl Delivery {
    /// Wraps an event with its position in the log. Encodes nothing yet.
    pub fn new(event: Arc<Event>, position: Position) -> Self {
        Self { event, position, encoded: Default::default() }
    }

    /// The event's position in the log.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The event.
    pub fn event(&self) -> &Arc<Event> {
        &self.event
    }

    /// About how much memory the event keeps alive, in bytes.
    pub fn weight_bytes(&self) -> usize {
        match &self.event.kind {
            EventKind::Message(message) => {
                let content = &message.content;
                let json = |text: &Option<JsonText>| text.as_ref().map_or(0, |json| json.0.len());
                content.body.as_ref().map_or(0, String::len)
                    + json(&content.attachments)
                    + json(&content.data)
            }
            EventKind::Edit { body, .. } => body.as_ref().map_or(0, String::len),
            _ => 64,
        }
    }

    /// The complete WebSocket frame for a connection of `viewer`. It is shared, not copied.
    pub fn frame(&self, encoding: Encoding, viewer: UserId) -> &Bytes {
        let own = viewer == self.event.sender;
        let slot = match (encoding, own) {
            (Encoding::Json, false) => 0,
            (Encoding::Json, true) => 1,
            (Encoding::MessagePack, false) => 2,
            (Encoding::MessagePack, true) => 3,
        };
        self.encoded[slot].get_or_init(|| encoding.encode(&EventView::live(&self.event, own)))
    }
}
