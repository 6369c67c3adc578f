//! Every operation of the store, as a caller makes it.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tidings::domain::audit::{AuditAction, AuditActor, AuditEntry};
use tidings::domain::{
    AddressPrefix, Changes, ConversationId, ConversationKind, FamilyId, Openness, PrivacyChange, Receipt,
    Role, Seq, Suspension, Timestamp, Username,
};
use tidings::store::{
    Change, ChannelOrder, HistoryQuery, JobKind, NewConversation, NewFamily, RangeQuery, RevocationCursor,
    Target,
};

pub use super::stage::Stage;

/// One operation; those that take batches run at several sizes.
pub struct Operation {
    pub name: &'static str,
    pub sizes: &'static [usize],
    pub run: for<'a> fn(&'a Stage<'_>, usize) -> BoxFuture<'a, ()>,
}

const SIZES: &[usize] = &[1, 64, 256];

macro_rules! operations {
    ($($name:literal $sizes:expr => |$stage:ident, $size:ident| $body:expr;)*) => {
        pub const OPERATIONS: &[Operation] =
            &[$(Operation { name: $name, sizes: $sizes, run: |$stage, $size| Box::pin(async move { $body }) }),*];
    };
}

operations! {
    "append, one group" SIZES => |stage, size| {
        stage.append(size, |_| Target::Conversation(stage.group)).await;
    };
    "append, the town" SIZES => |stage, size| {
        stage.append(size, |_| Target::Conversation(stage.town)).await;
    };
    "append, many conversations" SIZES => |stage, size| {
        stage.append(size, |n| Target::User(stage.peers[n])).await;
    };
    "append, new conversations" SIZES => |stage, size| {
        let mut strangers = Vec::new();
        for _ in 0..size {
            strangers.push(stage.world.user("stranger").await);
        }
        stage.append(size, |n| Target::User(strangers[n])).await;
    };
    "append, replies" SIZES => |stage, size| {
        let to = Target::Conversation(stage.directs[0]);
        let mut batch: Vec<_> = (0..size).map(|_| stage.world.message(stage.ada, to, "hello")).collect();
        for message in &mut batch {
            message.content.reply_to = Seq::new(1);
        }
        assert!(stage.world.append(&batch).await.iter().all(Result::is_ok));
    };
    "append, again" SIZES => |stage, size| {
        let to = Target::Conversation(stage.directs[0]);
        let batch: Vec<_> = (0..size).map(|_| stage.world.message(stage.ada, to, "hello")).collect();
        stage.world.append(&batch).await;
        assert!(stage.world.append(&batch).await.iter().flatten().all(|one| one.committed.is_none()));
    };
    "move receipts" SIZES => |stage, size| {
        stage.append(size, |n| Target::User(stage.peers[n])).await;
        let receipts: Vec<Receipt> = (0..size)
            .map(|n| Receipt {
                user: stage.peers[n],
                conversation: stage.directs[n],
                delivered: None,
                read: Some(Seq::MAX),
            })
            .collect();
        assert_eq!(stage.world.store.move_receipts(&receipts, stage.world.now()).await.unwrap().len(), size);
    };
    "move receipts, the town" &[1] => |stage, _size| {
        stage.append(1, |_| Target::Conversation(stage.town)).await;
        stage.world.read_up_to(stage.ben, stage.town, Seq::MAX).await;
    };
    "edit, react, unreact, delete" &[1] => |stage, _size| {
        for conversation in [stage.group, stage.town] {
            let target = stage.world.say(stage.ada, conversation, "a").await;
            stage.world.change(stage.ada, conversation, Change::Edit { target, body: "b".to_owned(), client_id: None }).await;
            for on in [true, false] {
                let emoji = "+".to_owned();
                stage.world.change(stage.ben, conversation, Change::React { target, emoji, on }).await;
            }
            stage.world.change(stage.ada, conversation, Change::Delete { target }).await;
        }
    };
    "leave, join, roles, mutes, bans, settings" &[1] => |stage, _size| {
        for conversation in [stage.group, stage.town] {
            let user = stage.ben;
            stage.world.change(stage.ada, conversation, Change::Leave { user }).await;
            stage.world.change(stage.ada, conversation, Change::Join { user, role: Role::Member }).await;
            stage.world.change(stage.ada, conversation, Change::SetRole { user, role: Role::Admin }).await;
            stage.world.change(stage.ada, conversation, Change::SetRole { user, role: Role::Member }).await;
            for duration_ms in [60_000, 0] {
                stage.world.change(stage.ada, conversation, Change::Mute { user, duration_ms }).await;
            }
            for until in [Timestamp::LATEST, Timestamp::from_unix_ms(0)] {
                stage.world.change(stage.ada, conversation, Change::Ban { user, until, reason: None }).await;
            }
            stage.world.change(stage.ada, conversation, Change::Join { user, role: Role::Member }).await;
            let name = Some(format!("name {}", stage.number()));
            let topic = Some(format!("topic {}", stage.number()));
            let changes = Changes { name, topic, ..Changes::default() };
            stage.world.change(stage.ada, conversation, Change::Configure(changes)).await;
        }
    };
    "an owner leaves" &[1] => |stage, _size| {
        let conversation = stage.created(ConversationKind::Channel).await;
        stage.world.leave(stage.ada, conversation).await;
    };
    "create and delete" &[1] => |stage, _size| {
        let conversation = stage.created(ConversationKind::Group).await;
        stage.world.say(stage.ada, conversation, "a").await;
        stage.world.change(stage.ada, conversation, Change::DeleteConversation).await;
        stage.world.purge().await;
    };
    "create, direct" &[1] => |stage, _size| {
        let other = stage.world.user("stranger").await;
        let new = NewConversation {
            id: ConversationId::direct(stage.ada, other),
            ..stage.world.new_conversation(ConversationKind::Direct, &[stage.ada, other])
        };
        stage.world.create(&new).await;
    };
    "range" &[1, 200] => |stage, size| {
        for after in [Seq::ZERO, Seq::new(500).unwrap()] {
            let query = RangeQuery { conversation: stage.town, after, limit: size, max_bytes: usize::MAX };
            assert_eq!(stage.world.store.range(stage.ada, query).await.unwrap().unwrap().events.len(), size);
        }
    };
    "history" &[1, 200] => |stage, size| {
        for (before, after) in [(None, None), (Seq::new(700), None), (None, Seq::new(500))] {
            let query = HistoryQuery { conversation: stage.town, before, after, limit: size, max_bytes: usize::MAX };
            stage.world.store.history(stage.ada, query).await.unwrap().unwrap();
        }
    };
    "heads of what moved" &[1] => |stage, _size| {
        let cursor = stage.cursor().await;
        stage.append(1, |_| Target::Conversation(stage.group)).await;
        let heads = stage.world.store.heads(stage.ben, Some(cursor)).await.unwrap();
        assert_eq!(heads.heads.len(), 1);
    };
    "heads of who is in many conversations" &[1] => |stage, _size| {
        let (user, cursor) = (stage.everywhere, stage.cursor().await);
        stage.append(1, |_| Target::Conversation(stage.town)).await;
        let heads = stage.world.store.heads(user, Some(cursor)).await.unwrap();
        assert_eq!(heads.heads.len(), 1);
        assert_eq!(stage.world.store.heads_of(user, &[stage.town]).await.unwrap().len(), 1);
    };
    "heads of who is in few conversations" &[1] => |stage, _size| {
        assert_eq!(stage.world.store.heads(stage.peers[0], None).await.unwrap().heads.len(), 1);
    };
    "conversations" &[1, 50] => |stage, size| {
        let page = stage.world.store.conversations(stage.everywhere, None, size).await.unwrap();
        assert_eq!(page.items.len(), size);
        stage.world.store.conversation(stage.everywhere, stage.town).await.unwrap().unwrap();
        assert!(stage.world.store.open_conversation(stage.town).await.unwrap().is_some());
    };
    "open channels" &[1, 50] => |stage, size| {
        let store = &stage.world.store;
        for order in [ChannelOrder::Activity, ChannelOrder::Name(String::new()), ChannelOrder::Name("channel 5".to_owned())] {
            let page = store.open_channels(stage.everywhere, &order, None, size).await.unwrap();
            assert_eq!(page.items.len(), size);
            let next = store.open_channels(stage.everywhere, &order, page.next.as_ref(), size).await.unwrap();
            assert_eq!(next.items.len(), size);
        }
        assert_eq!(store.preview(stage.peers[0], stage.plaza, size).await.unwrap().unwrap().messages.len(), 1);
    };
    "members" &[1, 50] => |stage, size| {
        let page = stage.world.store.members(stage.ada, stage.town, None, size).await.unwrap().unwrap();
        assert_eq!(page.items.len(), size);
        stage.world.store.member(stage.town, stage.ada).await.unwrap().unwrap();
        let now = stage.world.now();
        assert!(stage.world.store.bans(stage.ada, stage.town, None, size, now).await.unwrap().is_ok());
        stage.world.store.audience(stage.group).await.unwrap();
    };
    "acquaintances" SIZES => |stage, size| {
        let store = &stage.world.store;
        // Who shares nothing with them is looked for longest.
        assert!(store.acquaintances(stage.everywhere, &stage.peers[..size]).await.unwrap().is_empty());
        assert_eq!(store.acquaintances(stage.everywhere, &[stage.ben]).await.unwrap(), [stage.ben]);
        assert_eq!(store.acquaintances(stage.peers[0], &[stage.everywhere]).await.unwrap(), []);
        // Both are in every other conversation, and share none.
        assert_eq!(store.acquaintances(stage.elsewhere, &[stage.everywhere]).await.unwrap(), []);
    };
    "tail, stretch, end, ping" &[1, 100] => |stage, size| {
        let cursor = stage.cursor().await;
        stage.append(size, |_| Target::Conversation(stage.group)).await;
        let tail = stage.world.store.tail(cursor.position, size).await.unwrap();
        assert_eq!(tail.committed.len(), size);
        stage.world.store.stretch(stage.town, Seq::new(300).unwrap(), size).await.unwrap();
        assert_eq!(stage.world.store.ahead(cursor.position, size).await.unwrap().committed.len(), size);
        stage.world.store.running().await.unwrap();
        stage.world.store.ping().await.unwrap();
    };
    "accounts" &[1] => |stage, _size| {
        let store = &stage.world.store;
        let user = stage.newcomer().await;
        let found = store.user(user).await.unwrap().unwrap();
        store.users_by_prefix("user5", 20).await.unwrap();
        let name = found.username.unwrap();
        assert_eq!(store.user_named(&name).await.unwrap().map(|found| found.id), Some(user));
        let ids: Vec<_> = stage.peers[..100].to_vec();
        assert_eq!(store.users(&ids).await.unwrap().len(), 100);
        for words in [&["user"][..], &["user", "us", "u"], &["user", "nobody"], &["no"]] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let found = store.users_by_name(&words, 50).await.unwrap();
            assert_eq!(found.len(), if words.iter().any(|word| word.starts_with("no")) { 0 } else { 50 }, "{words:?}");
        }
        assert!(store.first_user().await.unwrap().is_some());
        store.credentials(&name).await.unwrap().unwrap();
        store.rename(user, "renamed").await.unwrap().unwrap();
        store.set_one_time_password(user, "once", Duration::from_secs(60)).await.unwrap().unwrap();
        assert!(store.take_one_time_password(user).await.unwrap());
        store.set_password(user, "other").await.unwrap().unwrap();
        assert!(store.replace_password_hash(user, "other", "third").await.unwrap());
        store.password_hash(user).await.unwrap();
        store.begin_second_factor(user, "SECRET").await.unwrap().unwrap();
        assert!(store.take_code(user, "SECRET", 1).await.unwrap() && store.second_factor(user).await.unwrap().is_some());
        assert!(store.end_second_factor(user).await.unwrap());
        assert!(store.account_state(user).await.unwrap().is_living());
        let guest = stage.world.user("guest").await;
        let name = Username::parse(&format!("claimed{}", stage.number())).unwrap();
        store.claim(guest, &name, "hash").await.unwrap().unwrap();
    };
    "blocks" &[1] => |stage, _size| {
        let store = &stage.world.store;
        for blocked in [true, false] {
            store.set_block(stage.ada, stage.peers[9], blocked).await.unwrap().unwrap();
            store.blocks(stage.ada).await.unwrap();
            store.blocked_with(stage.ada, 100).await.unwrap();
        }
    };
    "privacy, contacts and invitations" &[1] => |stage, _size| {
        let (store, user, now) = (&stage.world.store, stage.newcomer().await, stage.world.now());
        let change = PrivacyChange { groups: Some(Openness::Contacts), ..PrivacyChange::default() };
        assert_eq!(store.set_privacy(user, change).await.unwrap().unwrap(), store.privacy(user).await.unwrap());
        stage.world.change(stage.ada, stage.plaza, Change::Join { user, role: Role::Member }).await;
        assert_eq!(store.invitations(user, now).await.unwrap().len(), 1);
        store.decline(user, stage.plaza, now).await.unwrap().unwrap();
        for on in [true, false] {
            store.set_contact(user, stage.ben, on).await.unwrap().unwrap();
            assert_eq!(store.contacts(user).await.unwrap().len(), usize::from(on));
            store.find_contacts(user, &["us".to_owned()], 20).await.unwrap();
        }
    };
    "families and revocations" &[1] => |stage, _size| {
        let (store, now) = (&stage.world.store, stage.world.now());
        let (_, read) = store.revocations(RevocationCursor::default()).await.unwrap();
        let end = RevocationCursor { id: u64::MAX >> 2, ..read };
        let id = FamilyId::from_uuid(stage.world.uuid());
        let (first, second) = (stage.hash(), stage.hash());
        let (until, here) = (now.plus_ms(1_000_000), AddressPrefix::of([127, 0, 0, 1].into()));
        let family = NewFamily {
            id,
            user: stage.ben,
            token_hash: first,
            expires_at: until,
            device_name: None,
            network: here.clone(),
            device_hash: None,
        };
        store.add_family(&family, now).await.unwrap();
        store.rotate_family(&first, &second, until, now, Duration::from_secs(1), &here).await.unwrap();
        assert!(!store.sign_ins(stage.ben, now).await.unwrap().is_empty());
        assert!(store.is_known_device(stage.ben, id, now).await.unwrap());
        store.end_sign_in(stage.ben, id, now).await.unwrap().unwrap();
        store.revoke(stage.ben, Some(id), now).await.unwrap();
        store.revoke_others(stage.ben, None, now).await.unwrap();
        store.revocations(end).await.unwrap();
        store.forget_revocations(now).await.unwrap();
    };
    "export" &[10] => |stage, size| {
        let mut after = None;
        for _ in 0..8 {
            let (_, next) = stage.world.store.export(stage.everywhere, after, size).await.unwrap();
            let Some(next) = next else { break };
            after = Some(next);
        }
    };
    "erase" &[1, 64] => |stage, size| {
        let user = stage.newcomer().await;
        let conversation = stage.group;
        stage.world.change(stage.ada, conversation, Change::Join { user, role: Role::Member }).await;
        let to = Target::Conversation(conversation);
        let batch: Vec<_> = (0..size).map(|_| stage.world.message(user, to, "hello")).collect();
        let said = stage.world.append(&batch).await;
        let target = said[0].as_ref().unwrap().seq;
        stage.world.change(user, conversation, Change::React { target, emoji: "+".to_owned(), on: true }).await;
        stage.world.erase(user).await;
    };
    "suspensions" &[1, 50] => |stage, size| {
        let (store, user, now) = (&stage.world.store, stage.newcomer().await, stage.world.now());
        let suspension = Suspension { until: now.plus_ms(1_000_000), reason: Some("spam".to_owned()) };
        store.suspend(user, &suspension, false, now).await.unwrap().unwrap();
        store.suspensions(None, size).await.unwrap();
        store.lift_suspension(user, now).await.unwrap().unwrap();
    };
    "audit" &[1, 64] => |stage, size| {
        let (store, now) = (&stage.world.store, stage.world.now());
        let entry = AuditEntry::new(now, AuditActor::Server, AuditAction::LookedUp);
        store.add_audit(&vec![entry; size]).await.unwrap();
        let end = store.audit_end().await.unwrap();
        assert_eq!(store.audit(end - size as u64, size).await.unwrap().len(), size);
        store.forget_audit(Timestamp::from_unix_ms(0)).await.unwrap();
    };
    "consumers and jobs" &[1] => |stage, _size| {
        let store = &stage.world.store;
        let holder = stage.world.holder("costs");
        store.lease("costs", &holder, 1_000, stage.world.now()).await.unwrap();
        store.advance("costs", holder.id, stage.cursor().await).await.unwrap();
        store.release("costs", holder.id).await.unwrap();
        store.backlog(JobKind::Purge).await.unwrap();
        store.work(JobKind::Erasure, stage.world.now()).await.unwrap();
        store.expire_guests(Timestamp::from_unix_ms(1), stage.world.now()).await.unwrap();
        store.work(JobKind::Guests, stage.world.now()).await.unwrap();
        store.backlog(JobKind::Erasure).await.unwrap();
    };
}
