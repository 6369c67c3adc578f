//! Blocks between two users.

use tidings::domain::permissions::Block;
use tidings::domain::{ConversationId, ConversationKind, Refusal, Role, UserId};
use tidings::store::{Change, Target};

use super::fresh;

#[tokio::test]
async fn a_block_stops_both_ways_and_lifting_it_opens_both() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let direct = ConversationId::direct(ada, ben);
    world.try_send(ada, Target::User(ben), "hi").await.unwrap();
    world.store.set_block(ben, ada, true).await.unwrap().unwrap();
    for (sender, other) in [(ada, ben), (ben, ada)] {
        for target in [Target::User(other), Target::Conversation(direct)] {
            assert_eq!(world.try_send(sender, target, "?").await.err(), Some(Refusal::Blocked));
        }
    }
    assert_eq!(world.bodies(ada, direct).await, ["hi"], "what was said stays readable");
    world.store.set_block(ben, ada, false).await.unwrap().unwrap();
    world.try_send(ada, Target::User(ben), "again").await.unwrap();
}

#[tokio::test]
async fn a_block_stops_the_first_message_and_the_making() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    world.store.set_block(ben, ada, true).await.unwrap().unwrap();
    assert_eq!(world.try_send(ada, Target::User(ben), "hi").await.err(), Some(Refusal::Blocked));
    let mut new = world.new_conversation(ConversationKind::Direct, &[ada, ben]);
    new.id = ConversationId::direct(ada, ben);
    assert_eq!(world.store.create(&new, world.now()).await.unwrap().err(), Some(Refusal::Blocked));
    assert!(world.heads(ben).await.is_empty());
}

#[tokio::test]
async fn edits_and_reactions_do_not_pass_a_block() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let sent = world.try_send(ada, Target::User(ben), "hi").await.unwrap();
    world.store.set_block(ben, ada, true).await.unwrap().unwrap();
    let edit = Change::Edit { target: sent.seq, body: "let me in".to_owned(), client_id: None };
    let react = Change::React { target: sent.seq, emoji: "🙏".to_owned(), on: true };
    for change in [edit, react] {
        assert_eq!(world.try_change(ada, sent.conversation, change).await.err(), Some(Refusal::Blocked));
    }
    world.change(ada, sent.conversation, Change::Delete { target: sent.seq }).await;
}

#[tokio::test]
async fn nobody_adds_somebody_over_a_block_but_they_share_conversations() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let shared = world.group(&[cid, ada, ben]).await;
    let group = world.group(&[ada]).await;
    world.store.set_block(ben, ada, true).await.unwrap().unwrap();
    let invite = Change::Join { user: ben, role: Role::Member };
    assert_eq!(world.try_change(ada, group, invite).await.err(), Some(Refusal::Blocked));
    let new = world.new_conversation(ConversationKind::Group, &[ada, ben]);
    assert_eq!(world.store.create(&new, world.now()).await.unwrap().err(), Some(Refusal::Blocked));
    let of_ben = world.group(&[ben]).await;
    let invite = Change::Join { user: ada, role: Role::Member };
    assert_eq!(world.try_change(ben, of_ben, invite).await.err(), Some(Refusal::Blocked));
    world.say(ada, shared, "to all").await;
    world.change(cid, world.group(&[cid]).await, Change::Join { user: ben, role: Role::Member }).await;
}

#[tokio::test]
async fn blocks_are_listed_and_set_idempotently() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    for (other, blocked) in [(ben, true), (ben, true), (cid, true), (cid, false), (cid, false)] {
        world.store.set_block(ada, other, blocked).await.unwrap().unwrap();
    }
    assert_eq!(world.store.blocks(ada).await.unwrap(), [ben]);
    assert!(world.store.blocks(ben).await.unwrap().is_empty());
    let (own, others) = (Block::one(false), Block::one(true));
    assert_eq!(world.store.blocked_with(ada, 10).await.unwrap(), [(ben, own)]);
    assert_eq!(world.store.blocked_with(ben, 10).await.unwrap(), [(ada, others)], "set by either of the two");
    assert!(world.store.blocked_with(ben, 0).await.unwrap().is_empty());
    world.store.set_block(ben, ada, true).await.unwrap().unwrap();
    assert_eq!(world.store.blocked_with(ben, 10).await.unwrap(), [(ada, own), (ada, others)]);
    let own = world.store.set_block(ada, ada, true).await.unwrap();
    assert!(matches!(own, Err(Refusal::Invalid(_))));
    let ghost = UserId::from_uuid(world.uuid());
    assert_eq!(world.store.set_block(ada, ghost, true).await.unwrap().err(), Some(Refusal::NotFound));
}
