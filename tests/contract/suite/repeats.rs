//! Late repetitions of changes, and content that was replaced or removed.

use tidings::domain::{ClientId, EventKind, Refusal, Role, Seq};
use tidings::store::{Change, Target};

use super::fresh;
use crate::harness::{World, body, seq};

fn edit(target: Seq, body: &str, client_id: Option<ClientId>) -> Change {
    Change::Edit { target, body: body.to_owned(), client_id }
}

fn react(target: Seq, emoji: &str, on: bool) -> Change {
    Change::React { target, emoji: emoji.to_owned(), on }
}

fn key(world: &World) -> Option<ClientId> {
    Some(world.client_id())
}

#[tokio::test]
async fn an_edit_that_comes_again_after_a_later_one_undoes_nothing() {
    let mut world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "one").await;
    let of_phone = edit(said, "of the phone", key(&world));
    let first = world.change(ada, group, of_phone.clone()).await;
    world.change(ada, group, edit(said, "of the laptop", key(&world))).await;
    for _ in 0..2 {
        let again = world.change(ada, group, of_phone.clone()).await;
        assert_eq!((again.seq, again.committed.len()), (first.seq, 0), "answered with its first place");
        assert_eq!(world.bodies(ben, group).await, ["of the laptop"]);
        world.restart().await;
    }
    // Without a key it is another edit.
    world.change(ada, group, edit(said, "of the phone", None)).await;
    assert_eq!(world.bodies(ben, group).await, ["of the phone"]);
}

#[tokio::test]
async fn an_edit_that_changed_nothing_is_known_when_it_comes_again_too() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "one").await;
    let same = edit(said, "one", key(&world));
    let unchanged = world.change(ada, group, same.clone()).await;
    assert_eq!((unchanged.seq, unchanged.committed.len()), (said, 0));
    world.change(ada, group, edit(said, "two", key(&world))).await;
    let again = world.change(ada, group, same).await;
    assert_eq!((again.seq, again.committed.len()), (said, 0));
    assert_eq!(world.bodies(ben, group).await, ["two"]);
}

#[tokio::test]
async fn a_key_stands_for_one_edit_or_one_message() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let (one, two) = (world.say(ada, group, "one").await, world.say(ada, group, "two").await);
    let used = key(&world);
    world.change(ada, group, edit(one, "new", used)).await;
    for other in [edit(one, "newer", used), edit(two, "new", used)] {
        assert!(matches!(world.try_change(ada, group, other).await, Err(Refusal::Conflict(_))));
    }
    let mut message = world.message(ada, Target::Conversation(group), "new");
    message.client_id = used.unwrap();
    assert!(matches!(world.append(&[message.clone()]).await.remove(0), Err(Refusal::Conflict(_))));
    message.client_id = world.client_id();
    world.append(std::slice::from_ref(&message)).await.remove(0).unwrap();
    let taken = edit(one, "newest", Some(message.client_id));
    assert!(matches!(world.try_change(ada, group, taken).await, Err(Refusal::Conflict(_))));
    assert_eq!(world.bodies(ben, group).await, ["new", "two", "new"]);
}

#[tokio::test]
async fn keys_of_edits_are_no_messages_in_what_is_exported_and_go_with_the_account() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "one").await;
    for text in ["one", "two", "two", "three"] {
        world.change(ada, group, edit(said, text, key(&world))).await;
    }
    let (mut lines, mut after) = (Vec::new(), None);
    loop {
        let (some, next) = world.store.export(ada, after, 2).await.unwrap();
        lines.extend(some);
        let Some(next) = next else { break };
        after = Some(next);
    }
    let messages: Vec<_> = lines.iter().filter(|line| line.contains(r#""type":"message""#)).collect();
    assert_eq!(messages.len(), 1, "{lines:?}");
    assert!(messages[0].contains("three"));
    world.erase(ada).await;
    let page = world.page(ben, group).await;
    assert_eq!(page.iter().map(|view| body(&view.event)).collect::<Vec<_>>(), [None]);
    assert!(world.events(ben, group).await.iter().all(|event| body(event).is_none()));
}

#[tokio::test]
async fn an_edit_replaces_the_text_in_every_answer() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "one").await;
    let mut edits = Vec::new();
    for text in ["two", "three", "four"] {
        edits.push(world.change(ada, group, edit(said, text, key(&world))).await.seq);
    }
    let texts = |events: &[std::sync::Arc<tidings::domain::Event>]| -> Vec<_> {
        events.iter().filter(|event| event.seq >= said).map(|event| body(event)).collect()
    };
    let four = Some("four".to_owned());
    let expected = [four.clone(), None, None, four];
    assert_eq!(texts(&world.events(ben, group).await), expected, "an event keeps its place");
    let tail = world.store.tail(Default::default(), 100).await.unwrap().committed;
    let tail: Vec<_> = tail.into_iter().map(|committed| committed.event).collect();
    assert_eq!(texts(&tail), expected);
    let stretch = world.store.stretch(group, said.previous(), 10).await.unwrap();
    let stretch: Vec<_> = stretch.into_iter().map(|committed| committed.event).collect();
    assert_eq!(texts(&stretch), expected);
}

#[tokio::test]
async fn the_repetition_of_a_send_is_known_after_an_edit() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let new = world.message(ada, Target::Conversation(group), "one");
    let said = world.append(std::slice::from_ref(&new)).await.remove(0).unwrap().seq;
    world.change(ada, group, edit(said, "two", None)).await;
    let again = world.append(&[new]).await.remove(0).unwrap();
    assert_eq!((again.seq, again.committed.is_some()), (said, false));
    assert_eq!(world.bodies(ben, group).await, ["two"]);
}

#[tokio::test]
async fn what_one_said_before_leaving_one_deletes_after_coming_back() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ben, group, "my address is …").await;
    let liked = world.say(ada, group, "and mine").await;
    world.change(ben, group, react(liked, "👍", true)).await;
    world.leave(ben, group).await;
    world.change(ada, group, Change::Join { user: ben, role: Role::Member }).await;
    assert_eq!(world.try_change(ben, group, edit(said, "?", None)).await.err(), Some(Refusal::NotFound));
    assert_eq!(world.try_change(ben, group, react(liked, "🐟", true)).await.err(), Some(Refusal::NotFound));
    let others = world.try_change(ben, group, Change::Delete { target: liked }).await;
    assert_eq!(others.err(), Some(Refusal::NotFound), "whether it is there is not for them to see");
    take_back(&world, ben, group, said, liked).await;
    assert_eq!(world.bodies(ada, group).await, ["and mine"]);
}

#[tokio::test]
async fn what_one_said_before_leaving_one_deletes_from_outside() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    for conversation in [world.group(&[ada, ben]).await, world.channel(&[ada, ben]).await] {
        let said = world.say(ben, conversation, "my address is …").await;
        let liked = world.say(ada, conversation, "and mine").await;
        world.change(ben, conversation, react(liked, "👍", true)).await;
        world.change(ada, conversation, Change::Leave { user: ben }).await;
        let refused = [edit(said, "?", None), react(liked, "🐟", true), react(liked, "🐟", false)];
        for change in refused.into_iter().chain([Change::Delete { target: liked }]) {
            assert!(world.try_change(ben, conversation, change).await.is_err());
        }
        take_back(&world, ben, conversation, said, liked).await;
        assert_eq!(world.bodies(ada, conversation).await, ["and mine"]);
        assert!(world.try_events(ben, conversation).await.is_err(), "the right to take back is none to see");
    }
}

/// Deletes a message and takes a reaction back, twice each.
async fn take_back(
    world: &World,
    user: tidings::domain::UserId,
    conversation: tidings::domain::ConversationId,
    said: Seq,
    liked: Seq,
) {
    for change in [Change::Delete { target: said }, react(liked, "👍", false)] {
        let first = world.change(user, conversation, change.clone()).await;
        let again = world.change(user, conversation, change).await;
        assert_eq!((first.committed.len(), again.committed.len()), (1, 0));
        assert_eq!(again.seq, first.seq);
    }
    let views = world.store.tail(Default::default(), 1_000).await.unwrap().committed;
    let deleted = |event: &tidings::domain::Event| {
        event.conversation == conversation
            && matches!(&event.kind, EventKind::Message(message) if message.deleted)
    };
    assert!(views.iter().any(|committed| deleted(&committed.event)));
}

#[tokio::test]
async fn a_reply_to_a_message_that_is_deleted_is_taken() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "gone").await;
    world.change(ada, group, Change::Delete { target: said }).await;
    let mut reply = world.message(ben, Target::Conversation(group), "written meanwhile");
    reply.content.reply_to = Some(said);
    world.append(&[reply]).await.remove(0).unwrap();
    assert_eq!(world.bodies(ada, group).await, ["written meanwhile"]);
}

#[tokio::test]
async fn one_user_gives_a_message_twenty_different_reactions_and_leaves_room_for_others() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "hi").await;
    for n in 0..20 {
        world.change(ben, group, react(said, &format!("e{n}"), true)).await;
    }
    let over = world.try_change(ben, group, react(said, "one more", true)).await;
    assert!(matches!(over, Err(Refusal::TooLarge(_))));
    world.change(ada, group, react(said, "one more", true)).await;
    world.change(ben, group, react(said, "e0", false)).await;
    world.change(ben, group, react(said, "one more", true)).await;
    assert!(world.try_change(ben, group, react(seq(99), "👍", true)).await.is_err());
}
