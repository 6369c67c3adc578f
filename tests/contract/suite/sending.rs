//! Who may send, and whether a block holds: the rules of the domain and what each database decides by itself
//! answer alike.

use std::collections::{BTreeMap, BTreeSet};

use tidings::domain::permissions::{Block, Sending, is_blocked, may_send};
use tidings::domain::{ConversationId, ConversationKind, JoinPolicy, Refusal, Role, UserId};
use tidings::store::{Change, Target};

use super::fresh;
use crate::harness::World;

/// Where somebody wants to say something.
#[derive(Debug, Clone, Copy)]
enum Place {
    NoConversation,
    Group,
    OpenChannel,
    Direct,
    /// To a user with whom there is no conversation yet.
    User,
}

/// A case: what the rule is told of it, and the answer of the store. `left`: what an erased account left is
/// gone too.
async fn answered(world: &World, place: Place, case: Sending, left: bool) -> Result<(), Refusal> {
    let [sender, peer, owner]: [UserId; 3] = world.users().await;
    let target = match place {
        Place::NoConversation => Target::Conversation(world.id(ConversationKind::Group)),
        Place::Group | Place::OpenChannel => {
            let members: &[UserId] = if case.member { &[owner, sender] } else { &[owner] };
            Target::Conversation(match place {
                Place::Group => world.group(members).await,
                _ => world.channel(members).await,
            })
        }
        Place::Direct => {
            world.try_send(sender, Target::User(peer), "before").await.unwrap();
            Target::Conversation(ConversationId::direct(sender, peer))
        }
        Place::User => Target::User(peer),
    };
    for (blocks, blocker, blocked) in
        [(case.block.by_actor, sender, peer), (case.block.by_other, peer, sender)]
    {
        if blocks {
            world.store.set_block(blocker, blocked, true).await.unwrap().unwrap();
        }
    }
    for (user, lives) in [(peer, case.peer_lives), (sender, case.sender_lives)] {
        if !lives {
            world.store.erase(user, world.now()).await.unwrap().unwrap();
        }
    }
    if left {
        world.finish_jobs().await;
    }
    world.try_send(sender, target, "?").await.map(|_| ())
}

#[tokio::test]
async fn who_may_send_is_one_rule() {
    let world = fresh().await;
    for (place, there, direct) in [
        (Place::NoConversation, None, false),
        (Place::Group, Some(JoinPolicy::Invite), false),
        (Place::OpenChannel, Some(JoinPolicy::Open), false),
        (Place::Direct, Some(JoinPolicy::Invite), true),
        (Place::User, None, true),
    ] {
        for bits in 0..64 {
            let [joined, sender_lives, peer_lives, by_actor, by_other, left] =
                [1, 2, 4, 8, 16, 32].map(|bit| bits & bit != 0);
            let member = match place {
                Place::Direct => true,
                Place::User | Place::NoConversation => false,
                Place::Group | Place::OpenChannel => joined,
            };
            // What erasing takes along: blocks go with the account.
            let blocks = sender_lives && peer_lives;
            let block = Block { by_actor: by_actor && blocks, by_other: by_other && blocks };
            let case = Sending { there, direct, member, sender_lives, peer_lives, block };
            let answer = answered(&world, place, case, left).await;
            assert_eq!(answer, may_send(case), "{place:?}: {case:?}, and nothing is left: {left}");
        }
    }
}

/// What happened in a world so far, as the test knows it.
#[derive(Default)]
struct Known {
    erased: BTreeSet<UserId>,
    blocks: BTreeSet<(UserId, UserId)>,
    conversations: BTreeMap<ConversationId, BTreeSet<UserId>>,
    dissolved: BTreeSet<ConversationId>,
}

impl Known {
    fn block(&self, actor: UserId, other: UserId) -> Block {
        Block {
            by_actor: self.blocks.contains(&(actor, other)),
            by_other: self.blocks.contains(&(other, actor)),
        }
    }

    fn sending(&self, sender: UserId, target: Target, users: &[UserId]) -> Sending {
        let id = target.conversation(sender);
        let there = self.conversations.get(&id).filter(|_| !self.dissolved.contains(&id));
        let peer = users.iter().copied().find(|other| ConversationId::direct(sender, *other) == id);
        let named = matches!(target, Target::User(_));
        Sending {
            there: there.map(|_| match id.kind() {
                ConversationKind::Channel => JoinPolicy::Open,
                ConversationKind::Direct | ConversationKind::Group => JoinPolicy::Invite,
            }),
            direct: id.kind() == ConversationKind::Direct && (named || there.is_some()),
            member: there.is_some_and(|members| members.contains(&sender)),
            sender_lives: !self.erased.contains(&sender),
            peer_lives: peer.is_some_and(|peer| !self.erased.contains(&peer)),
            block: peer.map(|peer| self.block(sender, peer)).unwrap_or_default(),
        }
    }
}

/// Numbers that look drawn, and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Something happens in the world. Where a block might stand against it, the store decides it as the domain
/// does.
async fn happens(world: &World, known: &mut Known, numbers: &mut Numbers, users: &[UserId]) {
    let (actor, other) = (numbers.one(users), numbers.one(users));
    let shared: Vec<_> =
        known.conversations.keys().copied().filter(|id| id.kind() != ConversationKind::Direct).collect();
    let place = numbers.one(&shared);
    match numbers.below(7) {
        0 | 1 => {
            let blocked = numbers.below(3) > 0;
            if world.store.set_block(actor, other, blocked).await.unwrap().is_ok() {
                known.blocks.retain(|pair| *pair != (actor, other));
                known.blocks.extend(blocked.then_some((actor, other)));
            }
        }
        2 => {
            let change = Change::Join { user: other, role: Role::Member };
            let there = known.conversations[&place].contains(&other);
            let answer = world.try_change(actor, place, change).await;
            let holds = !there && is_blocked(place.kind(), known.block(actor, other));
            assert!(answer.is_err() || !holds, "{actor} brought {other} in: {answer:?}");
            assert!(
                answer.as_ref().err() != Some(&Refusal::Blocked) || holds,
                "{actor} and {other}: no block"
            );
            if answer.is_ok() {
                known.conversations.get_mut(&place).unwrap().insert(other);
            }
        }
        3 if world.try_change(actor, place, Change::Leave { user: actor }).await.is_ok() => {
            known.conversations.get_mut(&place).unwrap().remove(&actor);
        }
        4 if numbers.below(4) == 0
            && world.try_change(actor, place, Change::DeleteConversation).await.is_ok() =>
        {
            known.dissolved.insert(place);
        }
        5 if numbers.below(4) == 0 => {
            world.store.erase(actor, world.now()).await.unwrap().unwrap();
            known.erased.insert(actor);
            known.blocks.retain(|(one, two)| *one != actor && *two != actor);
        }
        6 if numbers.below(3) == 0 => {
            world.finish_jobs().await;
            for members in known.conversations.values_mut() {
                members.retain(|user| !known.erased.contains(user));
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn whatever_happened_the_store_decides_as_the_domain_does() {
    let world = fresh().await;
    for seed in 1..=4 {
        let mut numbers = Numbers(seed);
        let users: [UserId; 4] = world.users().await;
        let mut known = Known::default();
        for members in [&users[..2], &users[1..]] {
            known.conversations.insert(world.group(members).await, members.iter().copied().collect());
            known.conversations.insert(world.channel(members).await, members.iter().copied().collect());
        }
        for _ in 0..25 {
            happens(&world, &mut known, &mut numbers, &users).await;
            let sender = numbers.one(&users);
            let mut targets: Vec<Target> = users.iter().copied().map(Target::User).collect();
            targets.extend(known.conversations.keys().copied().map(Target::Conversation));
            targets.push(Target::Conversation(world.id(ConversationKind::Channel)));
            for target in targets {
                let case = known.sending(sender, target, &users);
                let answer = world.try_send(sender, target, "?").await.map(|_| ());
                assert_eq!(answer, may_send(case), "{sender} to {target:?}, seed {seed}: {case:?}");
                if let (Ok(()), Target::User(other)) = (answer, target) {
                    let id = target.conversation(sender);
                    known.conversations.entry(id).or_insert_with(|| [sender, other].into());
                }
            }
        }
    }
}
