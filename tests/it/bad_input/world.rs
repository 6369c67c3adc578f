//! The world of the bad-input tests: users, conversations and messages in every relation to the sender, and
//! the check afterwards that nobody else was affected.

use reqwest::Method;
use serde_json::Value;

use crate::support::client::{Ws, chat_works};
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, in_parallel, unique, uuid};

/// How many users share the cases, so that no rate limit of one user is met by accident.
const ACTORS: usize = 16;
/// Messages that the world makes each of them say.
pub const SENDS_EACH: usize = 3;

/// Somebody who sends bad input, a member of the world's group.
#[derive(Clone)]
pub struct Actor {
    /// The user and its tokens.
    pub account: Account,
    /// The seq of a message of its own in the group.
    pub mine: u64,
    /// The seq of a message of its own that was deleted.
    pub erased: u64,
    /// The seq of a message of its own that the cases may delete.
    pub doomed: u64,
}

/// A server with a group of actors, and things around it that are not theirs.
pub struct World {
    /// The server.
    pub server: Server,
    /// A REST client.
    pub rest: Rest,
    /// Who sends bad input.
    pub actors: Vec<Actor>,
    /// The group's owner, who only looks on.
    pub owner: Account,
    /// Somebody who shares no conversation with any actor.
    pub stranger: Account,
    /// Somebody who has blocked every actor.
    pub blocker: Account,
    /// A group of the owner and all actors.
    pub group: String,
    /// The seq of the owner's message in the group.
    pub theirs: u64,
    /// A group of the stranger, with a message at `foreign_seq`.
    pub foreign: String,
    /// See `foreign`.
    pub foreign_seq: u64,
    /// The limits of the welcome.
    pub limits: Value,
    /// The group's last seq when the world was ready.
    pub head: u64,
    /// Strings that must never be in the server's log.
    pub secrets: Vec<String>,
}

impl World {
    /// Starts a server with these settings and fills it.
    pub async fn new(settings: &[(&str, &str)]) -> Self {
        let server = Server::start(settings).await;
        let rest = Rest::new(&server);
        let owner = rest.guest("Olga").await;
        let stranger = rest.guest("Sami").await;
        let blocker = rest.guest("Bea").await;
        let mut accounts = Vec::new();
        for _ in 0..ACTORS {
            accounts.push(rest.guest("Max").await);
        }
        let group = rest.conversation(&owner, "group", &accounts.iter().collect::<Vec<_>>()).await;
        let foreign = rest.conversation(&stranger, "group", &[]).await;
        let secret = unique("canary-body");
        let theirs = seq_of(&rest.send(&owner, &group, &secret).await);
        let foreign_seq = seq_of(&rest.send(&stranger, &foreign, &secret).await);
        let (room, client) = (group.clone(), rest.clone());
        let (by, bodies) = (blocker.clone(), secret.clone());
        let actors = in_parallel(4, accounts, move |account| {
            let (rest, group, blocker, body) = (client.clone(), room.clone(), by.clone(), bodies.clone());
            async move {
                let mine = seq_of(&rest.send(&account, &group, &body).await);
                let erased = seq_of(&rest.send(&account, &group, &body).await);
                let doomed = seq_of(&rest.send(&account, &group, &body).await);
                let path = format!("/v1/conversations/{group}/messages/{erased}");
                rest.call(Method::DELETE, &path, Some(&account.access), None).await.ok();
                let path = format!("/v1/blocks/{}", account.id);
                rest.call(Method::PUT, &path, Some(&blocker.access), None).await.ok();
                Actor { account, mine, erased, doomed }
            }
        })
        .await;
        let (_, welcome) = Ws::signed_in(&server, Encoding::Json, &owner).await;
        let head = rest.events(&owner, &group).await.len() as u64;
        let everybody = actors.iter().map(|actor| &actor.account).chain([&owner, &stranger, &blocker]);
        let tokens =
            everybody.flat_map(|account| [secret_part(&account.access), secret_part(&account.refresh)]);
        let secrets = tokens.chain([secret]).collect();
        let limits = welcome["limits"].clone();
        Self {
            server,
            rest,
            actors,
            owner,
            stranger,
            blocker,
            group,
            theirs,
            foreign,
            foreign_seq,
            limits,
            head,
            secrets,
        }
    }

    /// One of the limits of the welcome.
    pub fn limit(&self, name: &str) -> usize {
        let limit =
            self.limits[name].as_u64().unwrap_or_else(|| panic!("no limit {name} in {}", self.limits));
        usize::try_from(limit).unwrap()
    }

    /// Writes the world's ids in place of `$NAMES`.
    pub fn fill(&self, template: &str, actor: &Actor) -> String {
        let seq = |seq: u64| seq.to_string();
        let names: [(&str, String); 17] = [
            ("$GROUP", self.group.clone()),
            ("$FOREIGN_SEQ", seq(self.foreign_seq)),
            ("$FOREIGN", self.foreign.clone()),
            ("$NOWHERE", altered(&self.foreign)),
            ("$THEIRS", seq(self.theirs)),
            ("$MINE", seq(actor.mine)),
            ("$ERASED", seq(actor.erased)),
            ("$DOOMED", seq(actor.doomed)),
            ("$FUTURE", seq(self.head + 1_000_000)),
            ("$ME", actor.account.id.clone()),
            ("$OWNER", self.owner.id.clone()),
            ("$STRANGER", self.stranger.id.clone()),
            ("$BLOCKER", self.blocker.id.clone()),
            ("$NOBODY", altered(&self.stranger.id)),
            ("$TOKEN", actor.account.access.clone()),
            ("$REFRESH", actor.account.refresh.clone()),
            ("$SECRET", self.secrets.last().unwrap().clone()),
        ];
        let mut text = template.to_owned();
        for (name, value) in &names {
            text = text.replace(name, value);
        }
        while text.contains("$UUID") {
            text = text.replacen("$UUID", &uuid(), 1);
        }
        text
    }

    /// Fails when bad input left a trace: an event in the group that nobody acked (`acked` are the seqs the
    /// cases were given), any in the stranger's group, a secret in the log, or good clients no longer served.
    pub async fn is_unharmed(&mut self, acked: &[u64]) {
        let log = self.server.log();
        assert!(self.server.is_running(), "the server has ended; its log:\n{log}");
        chat_works(&self.server, &self.owner, &self.stranger).await;
        let events = self.rest.events(&self.owner, &self.group).await;
        let mut stored: Vec<u64> = events.iter().map(seq_of).filter(|seq| *seq > self.head).collect();
        let mut acked: Vec<u64> = acked.iter().copied().filter(|seq| *seq > self.head).collect();
        stored.sort_unstable();
        acked.sort_unstable();
        acked.dedup();
        assert_eq!(stored, acked, "what is stored is what was acked");
        assert_eq!(events.len() as u64, events.last().map_or(0, seq_of), "the order has no hole");
        let foreign = self.rest.events(&self.stranger, &self.foreign).await;
        assert_eq!(foreign.last().map_or(0, seq_of), self.foreign_seq, "the stranger's group is untouched");
        keeps_secrets(&self.server, &self.secrets);
    }
}

/// Fails when one of the secrets is in what the server has logged.
pub fn keeps_secrets(server: &Server, secrets: &[String]) {
    let log = server.log();
    assert!(!log.is_empty(), "the server logs something, or this check proves nothing");
    for secret in secrets {
        if let Some(line) = log.lines().find(|line| line.contains(secret.as_str())) {
            panic!("the log tells {secret}:\n{line}");
        }
    }
}

/// The part of a token that must stay secret: the signature of a JWT, else all of it.
pub fn secret_part(token: &str) -> String {
    token.rsplit('.').next().unwrap_or(token).to_owned()
}

/// The seq of an event, ack or message.
pub fn seq_of(value: &Value) -> u64 {
    value["seq"].as_u64().unwrap_or_else(|| panic!("no seq in {value}"))
}

/// An id of the same form that was never given: nine of its digits are moved on by one. The last one stays,
/// as it may tell the kind.
pub fn altered(id: &str) -> String {
    let moved = |c: char| match c {
        '0'..='8' | 'a'..='e' => char::from(c as u8 + 1),
        '9' | 'f' => '0',
        other => other,
    };
    let last = id.chars().count() - 1;
    let place = |(place, c)| if (last - 9..last).contains(&place) { moved(c) } else { c };
    id.chars().enumerate().map(place).collect()
}
