//! Events that a member may see and other users may not.

use tidings::domain::{Changes, HistoryPolicy, JoinPolicy, Refusal, Seq};
use tidings::store::{Change, HistoryQuery, RangeQuery};

use super::fresh;
use crate::harness::seq;

#[tokio::test]
async fn a_member_sees_from_their_join_on() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada]).await;
    let before = world.say(ada, channel, "before").await;
    let joined = world.join(ben, channel).await.seq;
    world.say(ada, channel, "after").await;
    assert_eq!(world.seqs(ben, channel).await, [joined.get(), joined.get() + 1]);
    assert_eq!(world.bodies(ben, channel).await, ["after"]);
    assert_eq!(world.heads(ben).await[&channel].first_seq, joined);
    let react = Change::React { target: before, emoji: "👀".to_owned(), on: true };
    assert_eq!(world.try_change(ben, channel, react).await.err(), Some(Refusal::NotFound));
    assert_eq!(world.bodies(ada, channel).await, ["before", "after"]);
}

#[tokio::test]
async fn with_open_history_a_member_sees_everything() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada]).await;
    world.say(ada, channel, "before").await;
    world.join(ben, channel).await;
    let open = Changes { history: Some(HistoryPolicy::All), ..Changes::default() };
    world.change(ada, channel, Change::Configure(open)).await;
    assert_eq!(world.seqs(ben, channel).await, [1, 2, 3, 4]);
    assert_eq!(world.bodies(ben, channel).await, ["before"]);
    assert_eq!(world.heads(ben).await[&channel].first_seq, seq(1));
}

#[tokio::test]
async fn outsiders_read_nothing_and_cannot_tell_a_closed_group_from_none() {
    let world = fresh().await;
    let [ada, eve] = world.users().await;
    let group = world.group(&[ada]).await;
    let channel = world.channel(&[ada]).await;
    let nowhere = world.id(tidings::domain::ConversationKind::Group);
    for (conversation, refusal) in
        [(group, Refusal::NotFound), (nowhere, Refusal::NotFound), (channel, Refusal::NotMember)]
    {
        let range = RangeQuery { conversation, after: Seq::ZERO, limit: 10, max_bytes: 1_000 };
        let history =
            HistoryQuery { conversation, before: None, after: None, limit: 10, max_bytes: usize::MAX };
        assert_eq!(world.store.range(eve, range).await.unwrap().err().as_ref(), Some(&refusal));
        assert_eq!(world.store.history(eve, history).await.unwrap().err().as_ref(), Some(&refusal));
        let members = world.store.members(eve, conversation, None, 10).await.unwrap();
        assert_eq!(members.err().as_ref(), Some(&refusal));
        assert!(world.store.conversation(eve, conversation).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn an_open_conversation_is_known_to_everybody_until_it_is_closed_or_deleted() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let channel = world.channel(&[ada]).await;
    let found = world.store.open_conversation(channel).await.unwrap().unwrap();
    assert_eq!((found.id, found.member_count, found.name.as_deref()), (channel, 1, Some("room")));
    let join = async |policy| {
        let policy = Changes { join: Some(policy), ..Changes::default() };
        world.change(ada, channel, Change::Configure(policy)).await;
        world.store.open_conversation(channel).await.unwrap().is_some()
    };
    assert!(!join(JoinPolicy::Invite).await);
    assert!(join(JoinPolicy::Open).await);
    world.change(ada, channel, Change::DeleteConversation).await;
    assert!(world.store.open_conversation(channel).await.unwrap().is_none());
    let group = world.group(&[ada]).await;
    assert!(world.store.open_conversation(group).await.unwrap().is_none());
}

#[tokio::test]
async fn a_former_member_reads_nothing_more() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let channel = world.channel(&[ada, ben]).await;
    world.say(ada, channel, "hi").await;
    world.leave(ben, channel).await;
    assert_eq!(world.try_events(ben, channel).await.err(), Some(Refusal::NotMember));
    assert!(world.store.heads(ben, None).await.unwrap().channels.is_empty());
}
