//! Random histories compared with a small model: existing events, visible events, unread counts.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tidings::domain::{ClientId, ConversationId, Refusal, Role, Seq, UserId};
use tidings::store::{Change, NewMessage, Target};
use uuid::Uuid;

use super::fresh;
use crate::harness::{World, text};

const PEOPLE: usize = 4;

/// One thing somebody tries in an open channel. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    /// A batch of (sender, client id, body).
    Send(Vec<(usize, u8, u8)>),
    Join(usize),
    Leave(usize),
    Edit(usize, usize, u8),
    Delete(usize, usize),
    React(usize, usize, bool),
    Read(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..PEOPLE;
    let step = prop_oneof![
        4 => prop::collection::vec((0..PEOPLE, 0..12_u8, 0..3_u8), 1..6).prop_map(Step::Send),
        2 => who.clone().prop_map(Step::Join),
        1 => who.clone().prop_map(Step::Leave),
        2 => (who.clone(), 0..30_usize, 0..3_u8).prop_map(|(who, at, body)| Step::Edit(who, at, body)),
        1 => (who.clone(), 0..30_usize).prop_map(|(who, at)| Step::Delete(who, at)),
        2 => (who.clone(), 0..30_usize, any::<bool>()).prop_map(|(who, at, on)| Step::React(who, at, on)),
        2 => (who, 0..40_usize).prop_map(|(who, at)| Step::Read(who, at)),
    ];
    prop::collection::vec(step, 1..40)
}

#[derive(Debug, Clone)]
enum Entry {
    Message { sender: usize, body: Option<String> },
    Other,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    joined: u64,
    read: u64,
}

/// The channel as it should be.
#[derive(Debug, Default)]
struct Model {
    log: Vec<Entry>,
    members: BTreeMap<usize, Standing>,
    sends: HashMap<(usize, u8), (u64, u8)>,
    deleted: Vec<u64>,
    edited: Vec<u64>,
    reactions: HashMap<(usize, u64), bool>,
}

impl Model {
    fn push(&mut self, entry: Entry) -> u64 {
        self.log.push(entry);
        self.log.len() as u64
    }

    fn replaced(&self, seq: u64) -> bool {
        self.deleted.contains(&seq) || self.edited.contains(&seq)
    }

    fn unread(&self, who: usize) -> u64 {
        let from = self.members[&who].read as usize;
        let others =
            |entry: &&Entry| matches!(entry, Entry::Message { sender, body: Some(_) } if *sender != who);
        self.log[from..].iter().filter(others).count() as u64
    }

    fn visible(&self, who: usize) -> Vec<u64> {
        (self.members[&who].joined..=self.log.len() as u64).collect()
    }

    fn bodies(&self, who: usize) -> Vec<Option<String>> {
        let from = self.members[&who].joined as usize - 1;
        let body = |entry: &Entry| match entry {
            Entry::Message { body, .. } => Some(body.clone()),
            Entry::Other => None,
        };
        self.log[from..].iter().filter_map(body).collect()
    }

    /// The `at`-th message, counting round, as the actor sees it: its seq, its sender.
    fn message(&self, who: usize, at: usize) -> Option<(u64, usize)> {
        let joined = self.members.get(&who)?.joined;
        let messages: Vec<(u64, usize)> = (1..)
            .zip(&self.log)
            .filter_map(|(seq, entry)| match entry {
                Entry::Message { sender, .. } if seq >= joined => Some((seq, *sender)),
                Entry::Message { .. } | Entry::Other => None,
            })
            .collect();
        (!messages.is_empty()).then(|| messages[at % messages.len()])
    }

    fn role(&self, who: usize) -> Role {
        // The first person made the channel and never leaves it.
        if who == 0 { Role::Owner } else { Role::Member }
    }
}

struct Play<'w> {
    world: &'w World,
    people: [UserId; PEOPLE],
    channel: ConversationId,
    model: Model,
}

fn words(body: u8) -> String {
    format!("words {body}")
}

impl Play<'_> {
    async fn send(&mut self, sends: &[(usize, u8, u8)]) -> Result<(), TestCaseError> {
        let batch: Vec<NewMessage> = sends
            .iter()
            .map(|(who, client_id, body)| NewMessage {
                sender: self.people[*who],
                target: Target::Conversation(self.channel),
                client_id: ClientId::from_uuid(Uuid::from_u128(u128::from(*client_id) + 1)),
                content: text(&words(*body)),
            })
            .collect();
        let answers = self.world.append(&batch).await;
        for ((who, client_id, body), answer) in sends.iter().zip(answers) {
            let key = (*who, *client_id);
            match self.model.sends.get(&key).copied() {
                // What was said first is not kept once it is replaced or deleted, so nothing can be compared
                // with it.
                Some((seq, said)) if said == *body || self.model.replaced(seq) => {
                    let appended = answer.expect("a duplicate is answered");
                    prop_assert!(appended.committed.is_none());
                    prop_assert_eq!(appended.seq.get(), seq);
                }
                Some(_) => prop_assert!(matches!(answer, Err(Refusal::Conflict(_)))),
                None if !self.model.members.contains_key(who) => {
                    prop_assert_eq!(answer.err(), Some(Refusal::NotMember));
                }
                None => {
                    let seq = self.model.push(Entry::Message { sender: *who, body: Some(words(*body)) });
                    prop_assert_eq!(answer.expect("a member speaks").seq.get(), seq);
                    self.model.sends.insert(key, (seq, *body));
                    self.model.members.get_mut(who).expect("a member").read = seq;
                }
            }
        }
        Ok(())
    }

    async fn try_change(&self, who: usize, change: Change) -> Result<(u64, usize), Refusal> {
        let changed = self.world.try_change(self.people[who], self.channel, change).await?;
        Ok((changed.seq.get(), changed.committed.len()))
    }

    async fn join(&mut self, who: usize) -> Result<(), TestCaseError> {
        let answer = self.try_change(who, Change::Join { user: self.people[who], role: Role::Member }).await;
        let expected = match self.model.members.get(&who) {
            Some(standing) => (standing.joined, 0),
            None => {
                let seq = self.model.push(Entry::Other);
                self.model.members.insert(who, Standing { joined: seq, read: seq });
                (seq, 1)
            }
        };
        prop_assert_eq!(answer, Ok(expected));
        Ok(())
    }

    async fn leave(&mut self, who: usize) -> Result<(), TestCaseError> {
        if who == 0 || self.model.members.remove(&who).is_none() {
            return Ok(());
        }
        let answer = self.try_change(who, Change::Leave { user: self.people[who] }).await;
        let seq = self.model.push(Entry::Other);
        prop_assert_eq!(answer, Ok((seq, 1)));
        Ok(())
    }

    async fn edit(&mut self, who: usize, at: usize, new: u8) -> Result<(), TestCaseError> {
        let Some((seq, sender)) = self.model.message(who, at) else { return Ok(()) };
        let body = format!("edited {new}");
        let change =
            Change::Edit { target: Seq::new(seq).expect("a seq"), body: body.clone(), client_id: None };
        let answer = self.try_change(who, change).await;
        let Entry::Message { body: now, .. } = &mut self.model.log[seq as usize - 1] else { unreachable!() };
        if sender != who {
            prop_assert!(matches!(answer, Err(Refusal::Forbidden(_))));
        } else if now.is_none() {
            prop_assert_eq!(answer, Err(Refusal::NotFound));
        } else if now.as_ref() == Some(&body) {
            prop_assert_eq!(answer.map(|(_, events)| events), Ok(0));
        } else {
            *now = Some(body);
            self.model.edited.push(seq);
            let edited = self.model.push(Entry::Other);
            prop_assert_eq!(answer, Ok((edited, 1)));
        }
        Ok(())
    }

    async fn delete(&mut self, who: usize, at: usize) -> Result<(), TestCaseError> {
        let Some((seq, sender)) = self.model.message(who, at) else { return Ok(()) };
        let answer = self.try_change(who, Change::Delete { target: Seq::new(seq).expect("a seq") }).await;
        if sender != who && self.model.role(who) == Role::Member {
            prop_assert!(matches!(answer, Err(Refusal::Forbidden(_))));
        } else if self.model.deleted.contains(&seq) {
            prop_assert_eq!(answer.map(|(_, events)| events), Ok(0));
        } else {
            self.model.deleted.push(seq);
            self.model.log[seq as usize - 1] = Entry::Message { sender, body: None };
            let deleted = self.model.push(Entry::Other);
            prop_assert_eq!(answer, Ok((deleted, 1)));
        }
        Ok(())
    }

    async fn react(&mut self, who: usize, at: usize, on: bool) -> Result<(), TestCaseError> {
        let Some((seq, _)) = self.model.message(who, at) else { return Ok(()) };
        let target = Seq::new(seq).expect("a seq");
        let answer = self.try_change(who, Change::React { target, emoji: "🐟".to_owned(), on }).await;
        if self.model.deleted.contains(&seq) {
            prop_assert_eq!(answer, Err(Refusal::NotFound));
        } else if self.model.reactions.get(&(who, seq)).copied().unwrap_or(false) == on {
            prop_assert_eq!(answer.map(|(_, events)| events), Ok(0));
        } else {
            self.model.reactions.insert((who, seq), on);
            let reacted = self.model.push(Entry::Other);
            prop_assert_eq!(answer, Ok((reacted, 1)));
        }
        Ok(())
    }

    async fn read(&mut self, who: usize, at: usize) {
        let end = self.model.log.len() as u64;
        self.world.read_up_to(self.people[who], self.channel, Seq::new(at as u64).expect("a seq")).await;
        if let Some(standing) = self.model.members.get_mut(&who) {
            standing.read = standing.read.max((at as u64).min(end));
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Send(sends) => self.send(sends).await,
            Step::Join(who) => self.join(*who).await,
            Step::Leave(who) => self.leave(*who).await,
            Step::Edit(who, at, body) => self.edit(*who, *at, *body).await,
            Step::Delete(who, at) => self.delete(*who, *at).await,
            Step::React(who, at, on) => self.react(*who, *at, *on).await,
            Step::Read(who, at) => {
                self.read(*who, *at).await;
                Ok(())
            }
        }
    }

    async fn check(&self) -> Result<(), TestCaseError> {
        for who in 0..PEOPLE {
            let user = self.people[who];
            if !self.model.members.contains_key(&who) {
                prop_assert_eq!(
                    self.world.try_events(user, self.channel).await.err(),
                    Some(Refusal::NotMember)
                );
                continue;
            }
            prop_assert_eq!(self.world.seqs(user, self.channel).await, self.model.visible(who));
            let page = self.world.page(user, self.channel).await;
            let bodies: Vec<_> = page.iter().map(|view| crate::harness::body(&view.event)).collect();
            prop_assert_eq!(bodies, self.model.bodies(who));
            let head = self.world.heads(user).await[&self.channel].clone();
            prop_assert_eq!(head.last_seq.get(), self.model.log.len() as u64);
            prop_assert_eq!(head.read_seq.get(), self.model.members[&who].read);
            prop_assert_eq!(head.unread, self.model.unread(who));
            for view in page {
                let counted = view.reactions.first().map_or(0, |reaction| reaction.count);
                let seq = view.event.seq.get();
                let gone = self.model.deleted.contains(&seq);
                let on =
                    (0..PEOPLE).filter(|who| self.model.reactions.get(&(*who, seq)) == Some(&true)).count();
                prop_assert_eq!(counted, if gone { 0 } else { on as u64 });
            }
        }
        Ok(())
    }
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut world = fresh().await;
    let people = world.users().await;
    let channel = world.channel(&people[..1]).await;
    let mut model = Model::default();
    let seq = model.push(Entry::Other);
    model.members.insert(0, Standing { joined: seq, read: seq });
    let mut play = Play { world: &world, people, channel, model };
    for step in &steps {
        play.step(step).await?;
    }
    play.check().await?;
    let model = play.model;
    world.restart().await;
    Play { world: &world, people, channel, model }.check().await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_go_as_the_model_says(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(play(steps))?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_share_the_numbers_without_holes() {
    let world = fresh().await;
    let people: [UserId; PEOPLE] = world.users().await;
    let channel = world.channel(&people).await;
    let mut writing = Vec::new();
    for user in people {
        let batches: Vec<Vec<NewMessage>> = (1..15)
            .map(|size| (0..size).map(|_| world.message(user, Target::Conversation(channel), "hi")).collect())
            .collect();
        let (store, now) = (world.store.clone(), world.now());
        writing.push(tokio::spawn(async move {
            let mut seqs = Vec::new();
            for batch in batches {
                let answers = store.append(&batch, now).await.unwrap();
                seqs.extend(answers.into_iter().map(|answer| answer.unwrap().seq.get()));
            }
            seqs
        }));
    }
    let mut all = Vec::new();
    for task in writing {
        let seqs = task.await.unwrap();
        assert!(seqs.is_sorted(), "each keeps its own order");
        all.extend(seqs);
    }
    all.sort_unstable();
    let first = PEOPLE as u64 + 1;
    assert_eq!(all, (first..first + PEOPLE as u64 * 105).collect::<Vec<_>>());
}
