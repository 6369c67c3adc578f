//! Open channels, as those see them who are not in them.

use std::time::Duration;

use tidings::domain::{Changes, ConversationId, ConversationKind, HistoryPolicy, JoinPolicy, Role, UserId};
use tidings::store::{Change, ChannelOrder};

use super::fresh;
use crate::harness::{World, body};

async fn made(world: &World, owner: UserId, name: Option<&str>) -> ConversationId {
    // Places by activity are as exact as a millisecond of the database's clock.
    tokio::time::sleep(Duration::from_millis(3)).await;
    let mut new = world.new_conversation(ConversationKind::Channel, &[owner]);
    new.name = name.map(str::to_owned);
    world.create(&new).await
}

async fn configure(world: &World, owner: UserId, channel: ConversationId, changes: Changes) {
    world.change(owner, channel, Change::Configure(changes)).await;
}

/// All pages of the listing, two channels at a time.
async fn listed(world: &World, user: UserId, order: ChannelOrder) -> Vec<ConversationId> {
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = world.store.open_channels(user, &order, after.as_ref(), 2).await.unwrap();
        seen.extend(page.items.iter().map(|channel| channel.conversation.id));
        after = page.next;
        if after.is_none() {
            return seen;
        }
    }
}

fn by_name(prefix: &str) -> ChannelOrder {
    ChannelOrder::Name(prefix.to_owned())
}

#[tokio::test]
async fn open_channels_are_listed_by_name_and_by_activity() {
    let world = fresh().await;
    let [ada, eve] = world.users().await;
    let zoo = made(&world, ada, Some("Zoo")).await;
    let arena = made(&world, ada, Some("arena")).await;
    let lobby = made(&world, ada, Some("Lobby")).await;
    let second = made(&world, ada, Some("lobby two")).await;
    made(&world, ada, None).await;
    let closed = made(&world, ada, Some("closed")).await;
    let invite = Changes { join: Some(JoinPolicy::Invite), ..Changes::default() };
    configure(&world, ada, closed, invite).await;
    let mut group = world.new_conversation(ConversationKind::Group, &[ada]);
    group.join = JoinPolicy::Open;
    world.create(&group).await;

    assert_eq!(listed(&world, eve, by_name("")).await, [arena, lobby, second, zoo]);
    assert_eq!(listed(&world, eve, by_name("LOB")).await, [lobby, second]);
    for nothing in ["lobby  ", "%", "x", "\u{0}zzz", "\u{10ffff}"] {
        assert_eq!(listed(&world, eve, by_name(nothing)).await, [], "{nothing:?}");
    }
    assert_eq!(listed(&world, eve, ChannelOrder::Activity).await, [second, lobby, arena, zoo]);

    let page = world.store.open_channels(eve, &by_name("zoo"), None, 10).await.unwrap();
    let found = &page.items[0];
    assert_eq!((found.conversation.member_count, found.is_member), (1, false));
    assert_eq!(found.conversation.name.as_deref(), Some("Zoo"));
    world.join(eve, zoo).await;
    let page = world.store.open_channels(eve, &by_name("zoo"), None, 10).await.unwrap();
    assert_eq!((page.items[0].conversation.member_count, page.items[0].is_member), (2, true));
}

#[tokio::test]
async fn a_listing_follows_the_settings_of_a_channel_and_its_end() {
    let world = fresh().await;
    let [ada, eve] = world.users().await;
    let channel = made(&world, ada, Some("first")).await;
    let named = |name: &str| Changes { name: Some(name.to_owned()), ..Changes::default() };
    let open_to = |join| Changes { join: Some(join), ..Changes::default() };
    configure(&world, ada, channel, named("Second")).await;
    assert_eq!(listed(&world, eve, by_name("first")).await, []);
    assert_eq!(listed(&world, eve, by_name("second")).await, [channel]);
    configure(&world, ada, channel, open_to(JoinPolicy::Invite)).await;
    assert_eq!(listed(&world, eve, ChannelOrder::Activity).await, []);
    configure(&world, ada, channel, open_to(JoinPolicy::Open)).await;
    assert_eq!(listed(&world, eve, ChannelOrder::Activity).await, [channel]);
    world.say(ada, channel, "hi").await;
    world.change(ada, channel, Change::DeleteConversation).await;
    assert_eq!(listed(&world, eve, ChannelOrder::Activity).await, []);
    assert_eq!(listed(&world, eve, by_name("")).await, []);
}

#[tokio::test]
async fn a_preview_shows_what_a_newcomer_would_read_and_no_more() {
    let world = fresh().await;
    let [ada, eve] = world.users().await;
    let channel = made(&world, ada, Some("lobby")).await;
    let mut last = None;
    for n in 0..5 {
        last = Some(world.say(ada, channel, &format!("message {n}")).await);
    }
    let preview = async |limit| world.store.preview(eve, channel, limit).await.unwrap();
    let hidden = preview(3).await.unwrap();
    assert!(hidden.messages.is_empty(), "members read from their join on");
    assert_eq!((hidden.conversation.member_count, hidden.is_member), (1, false));

    let all = Changes { history: Some(HistoryPolicy::All), ..Changes::default() };
    configure(&world, ada, channel, all).await;
    let topic = Changes { topic: Some("tea".to_owned()), ..Changes::default() };
    configure(&world, ada, channel, topic).await;
    assert_eq!(preview(3).await.unwrap().conversation.topic.as_deref(), Some("tea"));
    let page = world.store.open_channels(eve, &by_name("lobby"), None, 10).await.unwrap();
    assert_eq!(page.items[0].conversation.topic.as_deref(), Some("tea"));
    let shown = async |limit| -> Vec<String> {
        preview(limit).await.unwrap().messages.iter().filter_map(|view| body(&view.event)).collect()
    };
    assert_eq!(shown(3).await, ["message 2", "message 3", "message 4"]);
    assert_eq!(shown(30).await.len(), 5);
    world.change(ada, channel, Change::Delete { target: last.unwrap() }).await;
    assert_eq!(shown(2).await, ["message 3"], "what was deleted shows no more");
    world.change(ada, channel, Change::Join { user: eve, role: Role::Member }).await;
    assert!(preview(1).await.unwrap().is_member);

    let invite = Changes { join: Some(JoinPolicy::Invite), ..Changes::default() };
    configure(&world, ada, channel, invite).await;
    assert!(preview(3).await.is_none(), "also for members: they read the history");
    let group = world.group(&[ada]).await;
    assert!(world.store.preview(eve, group, 3).await.unwrap().is_none());
    assert!(world.store.preview(eve, world.id(ConversationKind::Channel), 3).await.unwrap().is_none());
}
