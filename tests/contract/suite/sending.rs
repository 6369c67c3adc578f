//! Who may send, and whether a block applies: the rules of the domain and the statements of each database
//! give the same results.

use std::collections::{BTreeMap, BTreeSet};

use tidings::domain::permissions::{Block, Sending, is_blocked, may_send};
use tidings::domain::{
    Approach, Changes, ConversationId, ConversationKind, EventKind, JoinPolicy, Refusal, Role, Timestamp,
    UserId,
};
use tidings::store::{Change, Changed, Target};

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

/// Sends, and answers what the store says and what the rule says of the same moment.
async fn sent(
    world: &World,
    sender: UserId,
    target: Target,
    case: Sending,
) -> (Result<(), Refusal>, Result<(), Refusal>) {
    let before = world.now();
    let answer = world.try_send(sender, target, "?").await.map(|_| ());
    // The clock moves a millisecond each time it is read, and the send read it once.
    (answer, may_send(case, before.plus_ms(1)))
}

/// The end of a mute that was just set or lifted, as its event says it.
fn muted_until(changed: &Changed) -> Option<Timestamp> {
    let committed = changed.committed.first()?;
    let EventKind::ConversationChanged(Changes { muted, .. }) = &committed.event.kind else { return None };
    muted.map(|(_, until)| until)
}

/// A case: what the rule is told of it, and the answers of store and rule. `left`: what an erased account
/// left is gone too. `mute_ms`: the sender, a member, was muted for so long.
async fn answered(
    world: &World,
    place: Place,
    mut case: Sending,
    left: bool,
    mute_ms: Option<u64>,
) -> (Result<(), Refusal>, Result<(), Refusal>) {
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
    if let (Some(duration_ms), Target::Conversation(id)) = (mute_ms, target) {
        let changed = world.change(owner, id, Change::Mute { user: sender, duration_ms }).await;
        case.muted_until = muted_until(&changed);
    }
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
    sent(world, sender, target, case).await
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
            let approach = Approach::welcome();
            let case = Sending {
                there,
                direct,
                member,
                sender_lives,
                peer_lives,
                block,
                approach,
                muted_until: None,
            };
            let may_be_muted = matches!(place, Place::Group | Place::OpenChannel) && member && !by_actor;
            // One that holds, and one that has ended by itself.
            let mutes: &[_] = if may_be_muted { &[None, Some(60_000), Some(1)] } else { &[None] };
            for mute_ms in mutes {
                let (answer, rule) = answered(&world, place, case, left, *mute_ms).await;
                assert_eq!(answer, rule, "{place:?}: {case:?}, nothing is left: {left}, muted: {mute_ms:?}");
            }
        }
    }
}

/// What happened in a world so far, as the test knows it.
#[derive(Default)]
struct Known {
    erased: BTreeSet<UserId>,
    blocks: BTreeSet<(UserId, UserId)>,
    mutes: BTreeMap<(UserId, ConversationId), Timestamp>,
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
            approach: Approach::welcome(),
            muted_until: self.mutes.get(&(sender, id)).copied(),
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
    match numbers.below(9) {
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
            let holds = !there && is_blocked(known.block(actor, other));
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
        7 | 8 => {
            let change = Change::Mute { user: other, duration_ms: numbers.one(&[0, 40, 3_600_000]) };
            if let Ok(changed) = world.try_change(actor, place, change).await {
                known.mutes.extend(muted_until(&changed).map(|until| ((other, place), until)));
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
                let (answer, rule) = sent(&world, sender, target, case).await;
                assert_eq!(answer, rule, "{sender} to {target:?}, seed {seed}: {case:?}");
                if let (Ok(()), Target::User(other)) = (answer, target) {
                    let id = target.conversation(sender);
                    known.conversations.entry(id).or_insert_with(|| [sender, other].into());
                }
            }
        }
    }
}

fn muted<T: std::fmt::Debug>(answer: &Result<T, Refusal>) -> bool {
    matches!(answer, Err(Refusal::Muted { left_ms }) if (3_500_000..=3_600_000).contains(left_ms))
}

#[tokio::test]
async fn a_mute_stops_new_words_and_nothing_else() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    for id in [world.group(&[ada, ben]).await, world.channel(&[ada, ben]).await] {
        let to = Target::Conversation(id);
        let message = world.message(ben, to, "said before");
        let said = world.append(std::slice::from_ref(&message)).await.remove(0).unwrap().seq;
        let edit = |body: &str, key| Change::Edit { target: said, body: body.to_owned(), client_id: key };
        let key = Some(world.client_id());
        let edited = world.change(ben, id, edit("edited before", key)).await.seq;
        let react = |emoji: &str, on| Change::React { target: said, emoji: emoji.to_owned(), on };
        world.change(ben, id, react("+", true)).await;
        world.change(ada, id, Change::Mute { user: ben, duration_ms: 3_600_000 }).await;

        assert!(muted(&world.try_send(ben, to, "more").await));
        assert!(muted(&world.try_change(ben, id, edit("other words", None)).await));
        assert!(muted(&world.try_change(ben, id, react("-", true)).await));
        // What was acknowledged is acknowledged again.
        let again = world.append(&[message]).await.remove(0).unwrap();
        assert_eq!((again.seq, again.committed.is_some()), (said, false));
        assert_eq!(world.change(ben, id, edit("edited before", key)).await.seq, edited);
        // What was said may be taken back, and everything is read.
        world.change(ben, id, react("+", false)).await;
        world.change(ben, id, Change::Delete { target: said }).await;
        assert!(world.events(ben, id).await.len() > 4);
        // Others speak, and so does the muted one elsewhere.
        world.say(ada, id, "in peace").await;
        world.try_send(ben, Target::User(ada), "why?").await.unwrap();
    }
}

#[tokio::test]
async fn a_mute_ends_by_its_time_or_by_an_admin_and_not_by_coming_back() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada, ben]).await;
    let mute = |duration_ms| Change::Mute { user: ben, duration_ms };
    let until = muted_until(&world.change(ada, channel, mute(3_600_000)).await);
    world.leave(ben, channel).await;
    world.join(ben, channel).await;
    let member = world.store.member(channel, ben).await.unwrap().unwrap();
    assert_eq!(member.muted_until, until);
    assert!(muted(&world.try_send(ben, Target::Conversation(channel), "back").await));

    let lifted = world.change(ada, channel, mute(0)).await;
    assert_eq!(lifted.committed.len(), 1);
    world.say(ben, channel, "thanks").await;
    let again = world.change(ada, channel, mute(0)).await;
    assert_eq!((again.seq, again.committed.len()), (lifted.seq, 0), "nothing to lift");

    let until = muted_until(&world.change(ada, channel, mute(20)).await).unwrap();
    assert!(world.try_send(ben, Target::Conversation(channel), "too early").await.is_err());
    while world.now() < until {}
    world.say(ben, channel, "it has ended").await;
}

#[tokio::test]
async fn those_who_may_remove_a_member_may_mute_them() {
    let world = fresh().await;
    let [owner, admin, second, member, outsider] = world.users().await;
    let group = world.group(&[owner, admin, second, member]).await;
    for user in [admin, second] {
        world.change(owner, group, Change::SetRole { user, role: Role::Admin }).await;
    }
    for (actor, user, allowed) in [
        (owner, admin, true),
        (owner, owner, false),
        (admin, member, true),
        (admin, second, false),
        (admin, owner, false),
        (admin, admin, false),
        (member, second, false),
        (member, member, false),
    ] {
        for duration_ms in [1_000, 0] {
            let answer = world.try_change(actor, group, Change::Mute { user, duration_ms }).await;
            assert_eq!(answer.is_ok(), allowed, "{actor} {user}: {answer:?}");
            assert!(allowed || matches!(answer, Err(Refusal::Forbidden(_))));
        }
    }
    let mute = |user| Change::Mute { user, duration_ms: 1_000 };
    assert_eq!(world.try_change(owner, group, mute(outsider)).await.err(), Some(Refusal::NotFound));
    assert_eq!(world.try_change(outsider, group, mute(member)).await.err(), Some(Refusal::NotFound));
}
