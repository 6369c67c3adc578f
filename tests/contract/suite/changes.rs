//! Edits, deletions, reactions and settings.

use tidings::domain::{Changes, ConversationKind, EventKind, HistoryPolicy, JoinPolicy, Refusal, Role, Seq};
use tidings::store::{Change, NewConversation, ReactionCount, Target};

use super::fresh;
use crate::harness::{World, body, seq, sorted};

fn edit(target: Seq, body: &str) -> Change {
    Change::Edit { target, body: body.to_owned(), client_id: None }
}

fn react(target: Seq, emoji: &str, on: bool) -> Change {
    Change::React { target, emoji: emoji.to_owned(), on }
}

#[tokio::test]
async fn an_edit_changes_the_message_and_is_an_event() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "helo").await;
    let changed = world.change(ada, group, edit(said, "hello")).await;
    assert_eq!(changed.seq, said.next());
    assert_eq!(changed.committed.len(), 1);
    assert_eq!(changed.committed[0].audience.users.len(), 2);
    let EventKind::Edit { target, body: new } = &changed.committed[0].event.kind else { panic!() };
    assert_eq!((*target, new.as_deref()), (said, Some("hello")));
    let events = world.events(ben, group).await;
    let EventKind::Message(message) = &events[events.len() - 2].kind else { panic!() };
    assert_eq!(message.content.body.as_deref(), Some("hello"), "read later it carries its present content");
    assert_eq!(message.edited_at, Some(changed.committed[0].event.sent_at));
}

#[tokio::test]
async fn an_edit_that_says_the_same_is_no_event() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "one").await;
    let unchanged = world.change(ada, group, edit(said, "one")).await;
    assert_eq!((unchanged.seq, unchanged.committed.len()), (said, 0));
    let first = world.change(ada, group, edit(said, "two")).await;
    let again = world.change(ada, group, edit(said, "two")).await;
    assert_eq!((again.seq, again.committed.len()), (first.seq, 0));
}

#[tokio::test]
async fn only_the_sender_edits_and_only_messages_can_be() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ben, group, "mine").await;
    assert!(matches!(world.try_change(ada, group, edit(said, "no")).await, Err(Refusal::Forbidden(_))));
    for no_message in [seq(1), seq(99)] {
        assert_eq!(world.try_change(ben, group, edit(no_message, "?")).await.err(), Some(Refusal::NotFound));
    }
    assert!(matches!(world.try_change(ben, group, edit(said, "nul\0")).await, Err(Refusal::Invalid(_))));
}

#[tokio::test]
async fn deleting_takes_the_content_from_the_message_and_its_edits() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ben, group, "first").await;
    let edited = world.change(ben, group, edit(said, "second")).await.seq;
    world.change(ada, group, react(said, "👍", true)).await;
    let deleted = world.change(ben, group, Change::Delete { target: said }).await;
    assert_eq!(deleted.committed.len(), 1);
    let events = world.events(ada, group).await;
    let at = |seq: Seq| &events.iter().find(|event| event.seq == seq).unwrap().kind;
    let EventKind::Message(message) = at(said) else { panic!() };
    assert!(message.deleted && message.content.body.is_none());
    assert_eq!(*at(edited), EventKind::Edit { target: said, body: None });
    assert_eq!(*at(deleted.seq), EventKind::Delete { target: said });
    let view = &world.page(ada, group).await[0];
    assert_eq!((view.event.seq, view.reactions.len()), (said, 0));
    let again = world.change(ben, group, Change::Delete { target: said }).await;
    assert_eq!((again.seq, again.committed.len()), (deleted.seq, 0));
}

#[tokio::test]
async fn what_is_deleted_cannot_be_edited_or_reacted_to() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ben, group, "gone").await;
    world.change(ben, group, Change::Delete { target: said }).await;
    for change in [edit(said, "back"), react(said, "👍", true)] {
        assert_eq!(world.try_change(ben, group, change).await.err(), Some(Refusal::NotFound));
    }
}

#[tokio::test]
async fn owner_and_admins_delete_what_others_said_except_in_direct_conversations() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let group = world.group(&[ada, ben, cid]).await;
    let said = world.say(ben, group, "rude").await;
    let delete = Change::Delete { target: said };
    assert!(matches!(world.try_change(cid, group, delete.clone()).await, Err(Refusal::Forbidden(_))));
    world.change(ada, group, delete).await;
    let direct = world.try_send(ben, Target::User(ada), "rude").await.unwrap();
    let delete = Change::Delete { target: direct.seq };
    assert!(matches!(world.try_change(ada, direct.conversation, delete).await, Err(Refusal::Forbidden(_))));
}

#[tokio::test]
async fn reactions_count_per_emoji_in_order_of_appearance() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let group = world.group(&[ada, ben, cid]).await;
    let said = world.say(ada, group, "poll").await;
    world.change(ben, group, react(said, "🐟", true)).await;
    world.change(cid, group, react(said, "👍", true)).await;
    world.change(cid, group, react(said, "🐟", true)).await;
    let count = |emoji: &str, count, me| ReactionCount { emoji: emoji.to_owned(), count, me };
    assert_eq!(world.page(ben, group).await[0].reactions, [count("🐟", 2, true), count("👍", 1, false)]);
    world.change(ben, group, react(said, "🐟", false)).await;
    assert_eq!(world.page(ben, group).await[0].reactions, [count("🐟", 1, false), count("👍", 1, false)]);
    world.change(cid, group, react(said, "🐟", false)).await;
    assert_eq!(world.page(ben, group).await[0].reactions, [count("👍", 1, false)]);
}

#[tokio::test]
async fn a_reaction_given_or_taken_back_twice_is_one_event() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    let said = world.say(ada, group, "hi").await;
    let never = world.change(ben, group, react(said, "👍", false)).await;
    assert_eq!((never.seq, never.committed.len()), (said, 0), "off since the message came");
    for on in [true, false, true] {
        let first = world.change(ben, group, react(said, "👍", on)).await;
        let again = world.change(ben, group, react(said, "👍", on)).await;
        assert_eq!((first.committed.len(), again.committed.len()), (1, 0));
        assert_eq!(again.seq, first.seq);
    }
}

#[tokio::test]
async fn one_message_takes_a_hundred_different_reactions() {
    let world = fresh().await;
    let people: [_; 6] = world.users().await;
    let (ada, others) = (people[0], &people[1..]);
    let group = world.group(&people).await;
    let said = world.say(ada, group, "hi").await;
    for n in 0..100 {
        world.change(others[n / 20], group, react(said, &format!("e{n}"), true)).await;
    }
    let over = world.try_change(ada, group, react(said, "one more", true)).await;
    assert!(matches!(over, Err(Refusal::TooLarge(_))));
    world.change(ada, group, react(said, "e0", true)).await;
}

#[tokio::test]
async fn outsiders_change_nothing() {
    let world = fresh().await;
    let [ada, eve] = world.users().await;
    let (group, channel) = (world.group(&[ada]).await, world.channel(&[ada]).await);
    for (conversation, refusal) in [(group, Refusal::NotFound), (channel, Refusal::NotMember)] {
        let said = world.say(ada, conversation, "hi").await;
        for change in [
            edit(said, "x"),
            Change::Delete { target: said },
            react(said, "👍", true),
            Change::SetRole { user: eve, role: Role::Owner },
            Change::Configure(Changes { name: Some("mine".to_owned()), ..Changes::default() }),
            Change::DeleteConversation,
            Change::Leave { user: ada },
        ] {
            let answer = world.try_change(eve, conversation, change.clone()).await;
            assert_eq!(answer.err().as_ref(), Some(&refusal), "{change:?}");
        }
    }
}

async fn settings(world: &World) -> (tidings::domain::UserId, tidings::domain::ConversationId) {
    let [ada] = world.users().await;
    (ada, world.group(&[ada]).await)
}

#[tokio::test]
async fn settings_change_by_what_differs() {
    let world = fresh().await;
    let (ada, group) = settings(&world).await;
    let asked = Changes {
        name: Some("fish".to_owned()),
        history: Some(HistoryPolicy::FromJoin),
        join: Some(JoinPolicy::Open),
        ..Changes::default()
    };
    let changed = world.change(ada, group, Change::Configure(asked.clone())).await;
    let expected = Changes { history: None, ..asked.clone() };
    assert_eq!(changed.committed[0].event.kind, EventKind::ConversationChanged(expected.clone()));
    assert_eq!(world.events(ada, group).await[1].kind, EventKind::ConversationChanged(expected));
    let view = world.store.conversation(ada, group).await.unwrap().unwrap();
    assert_eq!(view.conversation.name.as_deref(), Some("fish"));
    assert_eq!(view.conversation.join, JoinPolicy::Open);
    let again = world.change(ada, group, Change::Configure(asked)).await;
    assert_eq!((again.seq, again.committed.len()), (changed.seq, 0));
}

#[tokio::test]
async fn a_topic_is_set_changed_and_removed() {
    let world = fresh().await;
    let [ada] = world.users().await;
    for kind in [ConversationKind::Group, ConversationKind::Channel] {
        let new = NewConversation { topic: Some("frogs".to_owned()), ..world.new_conversation(kind, &[ada]) };
        let id = world.create(&new).await;
        let topic =
            |text: &str| Change::Configure(Changes { topic: Some(text.to_owned()), ..Changes::default() });
        let now = async || world.store.conversation(ada, id).await.unwrap().unwrap().conversation;
        assert_eq!(now().await.topic.as_deref(), Some("frogs"));
        let same = world.change(ada, id, topic("frogs")).await;
        assert_eq!(same.committed.len(), 0);
        for text in ["newts", ""] {
            let changed = world.change(ada, id, topic(text)).await;
            let changes = Changes { topic: Some(text.to_owned()), ..Changes::default() };
            let kind = EventKind::ConversationChanged(changes);
            assert_eq!(changed.committed[0].event.kind, kind);
            assert_eq!(world.events(ada, id).await.last().unwrap().kind, kind);
            assert_eq!(now().await.topic.unwrap_or_default(), text);
            // Other settings leave it as it is.
            let name = Some(format!("about {text}"));
            world.change(ada, id, Change::Configure(Changes { name, ..Changes::default() })).await;
            assert_eq!(now().await.topic.unwrap_or_default(), text);
        }
        assert_eq!(now().await.topic, None);
        assert_eq!(world.change(ada, id, topic("")).await.committed.len(), 0, "there was none");
        let nul = world.try_change(ada, id, topic("a\0b")).await;
        assert!(matches!(nul, Err(Refusal::Invalid(_))));
    }
}

#[tokio::test]
async fn members_do_not_change_settings() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    for changes in [
        Changes { name: Some("x".to_owned()), ..Changes::default() },
        Changes { topic: Some("x".to_owned()), ..Changes::default() },
    ] {
        let answer = world.try_change(ben, group, Change::Configure(changes)).await;
        assert!(matches!(answer, Err(Refusal::Forbidden(_))));
    }
    assert!(matches!(
        world.try_change(ben, group, Change::DeleteConversation).await,
        Err(Refusal::Forbidden(_))
    ));
}

#[tokio::test]
async fn a_deleted_conversation_is_gone_for_everybody() {
    let mut world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada, ben]).await;
    world.say(ben, group, "secret").await;
    let cursor = world.store.end().await.unwrap();
    let deleted = world.change(ada, group, Change::DeleteConversation).await;
    let changes = Changes { deleted: true, ..Changes::default() };
    assert_eq!(deleted.committed[0].event.kind, EventKind::ConversationChanged(changes));
    assert_eq!(deleted.committed[0].audience.users.len(), 2, "its members hear of it");
    for _ in 0..2 {
        for user in [ada, ben] {
            assert_eq!(world.try_events(user, group).await.err(), Some(Refusal::NotFound));
            assert!(world.heads(user).await.is_empty());
            assert!(world.store.conversation(user, group).await.unwrap().is_none());
            assert!(world.store.member(group, user).await.unwrap().is_none());
            let sent = world.try_send(user, Target::Conversation(group), "?").await;
            assert_eq!(sent.err(), Some(Refusal::NotFound));
        }
        let again = world.change(ada, group, Change::DeleteConversation).await;
        assert_eq!((again.seq, again.committed.len()), (deleted.seq, 0));
        let other = world.try_change(ben, group, Change::DeleteConversation).await;
        assert_eq!(other.err(), Some(Refusal::NotFound));
        world.restart().await;
    }
    let tail = world.store.tail(cursor.position, 10).await.unwrap();
    assert_eq!(
        sorted(tail.committed),
        sorted(deleted.committed),
        "consumers of the log can still tell its members"
    );
    assert_eq!(world.purge().await, 4);
    assert_eq!(world.purge().await, 0, "once");
    let whole = world.store.tail(Default::default(), 100).await.unwrap();
    assert!(whole.committed.iter().all(|committed| body(&committed.event).is_none()), "its content is gone");
}
