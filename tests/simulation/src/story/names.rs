//! Short names for what the history names by ids: people by their first names, conversations by kind and
//! number.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::history::{Entry, What, Who};
use crate::plan::Plan;

/// Names of the people, by their index.
const PEOPLE: &[&str] = &["Ada", "Ben", "Cleo", "Dora", "Emil", "Finn", "Gina", "Hugo"];

/// The name of a person.
pub fn person(person: usize) -> &'static str {
    PEOPLE[person % PEOPLE.len()]
}

/// The names of a run.
#[derive(Debug, Default)]
pub struct Names {
    users: BTreeMap<String, String>,
    conversations: BTreeMap<String, String>,
}

impl Names {
    /// Collects them: users from welcomes and sign-ins, conversations in the order in which they are named.
    pub fn of(plan: &Plan, entries: &[Entry]) -> Self {
        let mut names = Self::default();
        for entry in entries {
            let Who::Device(device) = entry.who else { continue };
            match &entry.what {
                What::Received { frame, .. } => {
                    names.user(plan, device, &frame["user"], frame["type"] == "welcome");
                    names.all_conversations(frame);
                }
                What::Answered { body, .. } => {
                    names.user(plan, device, &body["user"]["id"], true);
                    names.all_conversations(body);
                }
                _ => {}
            }
        }
        names
    }

    fn user(&mut self, plan: &Plan, device: usize, id: &Value, is_own: bool) {
        let Some(owner) = plan.devices.get(device) else { return };
        if let Some(id) = id.as_str().filter(|_| is_own) {
            self.users.entry(id.to_owned()).or_insert_with(|| person(owner.person).to_owned());
        }
    }

    fn all_conversations(&mut self, value: &Value) {
        self.conversation(&value["conversation"]);
        for list in ["heads", "conversations"] {
            for head in value[list].as_array().into_iter().flatten() {
                self.conversation(&head["conversation"]);
            }
        }
    }

    fn conversation(&mut self, id: &Value) {
        let Some(id) = id.as_str() else { return };
        let kind = match id.split('_').next() {
            Some("d") => "direct",
            Some("g") => "group",
            Some("c") => "channel",
            _ => return,
        };
        let next = self.conversations.values().filter(|name| name.starts_with(kind)).count() + 1;
        self.conversations.entry(id.to_owned()).or_insert_with(|| format!("{kind} {next}"));
    }

    /// The name of a user, or the id.
    pub fn user_name(&self, id: &Value) -> String {
        let id = id.as_str().unwrap_or("nobody");
        self.users.get(id).cloned().unwrap_or_else(|| short_id(id))
    }

    /// The name of a conversation, or the id.
    pub fn place(&self, id: &Value) -> String {
        let id = id.as_str().unwrap_or("nowhere");
        self.conversations.get(id).cloned().unwrap_or_else(|| short_id(id))
    }

    /// A text with all ids replaced.
    pub fn replace(&self, text: &str) -> String {
        let all = self.users.iter().chain(&self.conversations);
        all.fold(text.to_owned(), |text, (id, name)| text.replace(id.as_str(), name))
    }
}

/// The beginning of an id is enough to tell it from others.
fn short_id(id: &str) -> String {
    id.chars().take(10).collect()
}

/// The beginning of a text, with the dots that say so.
pub fn short(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
