//! What strangers may do: first messages, contacts, invitations.

use tidings::domain::{
    ConsentRules, ConversationId, ConversationKind, EventKind, Openness, Privacy, PrivacyChange, Refusal,
    Role, Timestamp, User, UserId, Username,
};
use tidings::store::{Change, Invited, JobKind, NewUser, Step, Target};

use crate::harness::{World, fresh_by};

/// The rules that a new installation has, with small numbers.
fn rules() -> ConsentRules {
    let defaults =
        Privacy { messages: Openness::Everyone, groups: Openness::Contacts, presence: Openness::Everyone };
    ConsentRules {
        defaults,
        stranger_messages: 2,
        invitation_ms: 1_000_000,
        pending_invitations: 3,
        presence_needs_answer: true,
    }
}

async fn fresh() -> World {
    fresh_by(module_path!().trim_end_matches("::consent"), rules()).await
}

async fn choose(world: &World, user: UserId, change: PrivacyChange) {
    world.store.set_privacy(user, change).await.unwrap().unwrap();
}

fn messages(from: Openness) -> PrivacyChange {
    PrivacyChange { messages: Some(from), ..PrivacyChange::default() }
}

fn join(user: UserId) -> Change {
    Change::Join { user, role: Role::Member }
}

async fn write(world: &World, sender: UserId, other: UserId) -> Option<Refusal> {
    world.try_send(sender, Target::User(other), "hi").await.err()
}

/// Does the user's copy of the direct conversation say that a stranger has written it, wherever it is read?
async fn is_strange(world: &World, user: UserId, other: UserId) -> bool {
    let id = ConversationId::direct(user, other);
    let head = world.heads(user).await.remove(&id).unwrap();
    let named = world.store.heads_of(user, &[id]).await.unwrap().remove(0);
    let one = world.store.conversation(user, id).await.unwrap().unwrap();
    let page = world.store.conversations(user, None, 10).await.unwrap();
    let listed = page.items.into_iter().find(|view| view.head.conversation == id).unwrap();
    let all = [head.stranger, named.stranger, one.head.stranger, listed.head.stranger];
    assert!(all == [all[0]; 4], "{all:?}");
    all[0]
}

#[tokio::test]
async fn a_stranger_writes_a_few_messages_until_the_other_answers() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    for _ in 0..2 {
        assert_eq!(write(&world, ada, ben).await, None);
    }
    for target in [Target::User(ben), Target::Conversation(ConversationId::direct(ada, ben))] {
        assert_eq!(world.try_send(ada, target, "?").await.err(), Some(Refusal::Unanswered));
    }
    assert!(is_strange(&world, ben, ada).await);
    assert!(!is_strange(&world, ada, ben).await, "ada knows whom she wrote to");
    assert_eq!(world.store.contacts(ada).await.unwrap(), [ben]);
    assert_eq!(world.store.contacts(ben).await.unwrap(), []);
    assert_eq!(write(&world, ben, ada).await, None);
    assert!(!is_strange(&world, ben, ada).await);
    for _ in 0..3 {
        assert_eq!(write(&world, ada, ben).await, None);
    }
    // Somebody who is no contact any more begins anew.
    world.store.set_contact(ben, ada, false).await.unwrap().unwrap();
    assert_eq!(write(&world, ada, ben).await, Some(Refusal::Unanswered));
    world.store.set_contact(ben, ada, true).await.unwrap().unwrap();
    assert_eq!(write(&world, ada, ben).await, None);
}

#[tokio::test]
async fn a_batch_is_counted_message_by_message() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let message = |sender, other| world.message(sender, Target::User(other), "hi");
    let batch: Vec<_> = (0..4).map(|_| message(ada, ben)).collect();
    let refused: Vec<_> = world.append(&batch).await.into_iter().map(Result::err).collect();
    let over = Some(Refusal::Unanswered);
    assert_eq!(refused, [None, None, over.clone(), over.clone()]);
    // What was acknowledged is acknowledged again, and counts once.
    assert!(world.append(&batch[..1]).await.remove(0).unwrap().committed.is_none());
    // An answer in between counts too, whoever began.
    world.try_send(ada, Target::User(cid), "first").await.unwrap();
    let batch =
        [message(ada, cid), message(ada, cid), message(cid, ada), message(ada, cid), message(cid, ada)];
    let refused: Vec<_> = world.append(&batch).await.into_iter().map(Result::err).collect();
    assert_eq!(refused, [None, over, None, None, None]);
    let seqs: Vec<u64> = world
        .events(cid, ConversationId::direct(ada, cid))
        .await
        .iter()
        .map(|event| event.seq.get())
        .collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5], "without holes");
}

#[tokio::test]
async fn who_may_write_first_is_chosen_and_what_both_began_goes_on() {
    let world = fresh().await;
    let [ada, ben, cid, dan] = world.users().await;
    write(&world, ada, ben).await;
    write(&world, ben, ada).await;
    world.store.set_contact(ben, cid, true).await.unwrap().unwrap();
    for (from, of_cid, of_dan) in [
        (Openness::Contacts, None, Some(Refusal::Blocked)),
        (Openness::Nobody, None, Some(Refusal::Blocked)),
        (Openness::Everyone, None, None),
    ] {
        choose(&world, ben, messages(from)).await;
        assert_eq!(write(&world, ada, ben).await, None, "{from:?}: it goes on");
        assert_eq!(write(&world, cid, ben).await, of_cid, "{from:?}: a contact");
        assert_eq!(write(&world, dan, ben).await, of_dan, "{from:?}: a stranger");
    }
    choose(&world, ben, messages(Openness::Nobody)).await;
    let [eve] = world.users().await;
    world.store.set_contact(ben, eve, true).await.unwrap().unwrap();
    assert_eq!(write(&world, eve, ben).await, Some(Refusal::Blocked), "not first, be it a contact");
    let mut new = world.new_conversation(ConversationKind::Direct, &[eve, ben]);
    new.id = ConversationId::direct(eve, ben);
    assert_eq!(world.store.create(&new, world.now()).await.unwrap().err(), Some(Refusal::Blocked));
    assert_eq!(write(&world, ben, eve).await, None);
    assert_eq!(write(&world, eve, ben).await, None, "it was ben who began");
    assert_eq!(write(&world, ben, ben).await, None, "notes to oneself");
    let kept = world.store.privacy(ben).await.unwrap();
    assert_eq!(kept, Privacy { messages: Openness::Nobody, ..rules().defaults });
}

#[tokio::test]
async fn a_contact_is_added_and_a_stranger_invited() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    world.store.set_contact(ben, ada, true).await.unwrap().unwrap();
    let new = world.new_conversation(ConversationKind::Group, &[ada, ben, cid]);
    let created = world.store.create(&new, world.now()).await.unwrap().unwrap();
    assert_eq!(created.invited, [cid]);
    assert_eq!(created.committed.len(), 2, "ada and ben");
    let waiting = world.store.invitations(cid, world.now()).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].conversation.id, waiting[0].by.id), (1, new.id, ada));
    assert!(world.heads(cid).await.is_empty());
    assert_eq!(world.try_events(cid, new.id).await.err(), Some(Refusal::NotFound), "nothing is read before");
    let again = world.change(ada, new.id, join(cid)).await;
    assert_eq!((again.invited, again.committed.len()), (Some(Invited::Before), 0));
    let joined = world.join(cid, new.id).await;
    let kind = &joined.committed[0].event.kind;
    assert_eq!(*kind, EventKind::MemberJoined { user: cid, role: Role::Member });
    assert!(world.store.invitations(cid, world.now()).await.unwrap().is_empty());
    assert_eq!(world.store.contacts(cid).await.unwrap(), [ada], "who was accepted is a contact");
    world.leave(cid, new.id).await;
    assert_eq!(world.change(ada, new.id, join(cid)).await.invited, None, "and adds at once");
}

#[tokio::test]
async fn a_declined_invitation_is_not_made_again_and_an_old_one_ends() {
    let world = fresh().await;
    let [ada, ben] = world.users().await;
    let group = world.group(&[ada]).await;
    let invite = || world.change(ada, group, join(ben));
    assert_eq!(invite().await.invited, Some(Invited::Now));
    world.store.decline(ben, group, world.now()).await.unwrap().unwrap();
    world.store.decline(ben, group, world.now()).await.unwrap().unwrap();
    assert!(world.store.invitations(ben, world.now()).await.unwrap().is_empty());
    assert_eq!(invite().await.invited, Some(Invited::Before), "ada does not learn of it");
    assert_eq!(world.try_change(ben, group, join(ben)).await.err(), Some(Refusal::NotFound));
    let later = world.now().plus_ms(1_000_000);
    assert_eq!(world.store.decline(ben, group, later).await.unwrap().err(), Some(Refusal::NotFound));
    let changed = world.store.change(ada, group, &join(ben), later).await.unwrap().unwrap();
    assert_eq!(changed.invited, Some(Invited::Now));
    assert_eq!(world.store.invitations(ben, later).await.unwrap().len(), 1);
    let ended = later.plus_ms(1_000_000);
    assert!(world.store.invitations(ben, ended).await.unwrap().is_empty());
    let late = world.store.change(ben, group, &join(ben), ended).await.unwrap();
    assert_eq!(late.err(), Some(Refusal::NotFound));
}

#[tokio::test]
async fn an_invitation_counts_as_long_as_who_made_it_may_invite() {
    let suite = module_path!().trim_end_matches("::consent");
    let world = fresh_by(suite, ConsentRules { pending_invitations: 10, ..rules() }).await;
    let [ada, ben, cid] = world.users().await;
    // Who invited has left, is blocked, or the user is banned meanwhile.
    let left = world.channel(&[ada]).await;
    world.join(ben, left).await;
    world.change(ben, left, join(cid)).await;
    world.change(ben, left, Change::Leave { user: ben }).await;
    assert!(world.store.invitations(cid, world.now()).await.unwrap().is_empty());
    let blocked = world.group(&[ada]).await;
    world.change(ada, blocked, join(cid)).await;
    for (blocker, other) in [(cid, ada), (ada, cid)] {
        world.store.set_block(blocker, other, true).await.unwrap().unwrap();
        assert!(world.store.invitations(cid, world.now()).await.unwrap().is_empty());
        assert_eq!(world.try_change(cid, blocked, join(cid)).await.err(), Some(Refusal::NotFound));
        world.store.set_block(blocker, other, false).await.unwrap().unwrap();
        assert_eq!(world.store.invitations(cid, world.now()).await.unwrap().len(), 1);
    }
    let until = Timestamp::LATEST;
    world.change(ada, blocked, Change::Ban { user: cid, until, reason: None }).await;
    assert!(world.store.invitations(cid, world.now()).await.unwrap().is_empty());
    assert!(matches!(world.try_change(cid, blocked, join(cid)).await, Err(Refusal::Banned { .. })));
    let gone = world.group(&[ada]).await;
    world.change(ada, gone, join(cid)).await;
    world.change(ada, gone, Change::DeleteConversation).await;
    assert!(world.store.invitations(cid, world.now()).await.unwrap().is_empty());
    let erased = world.group(&[ben]).await;
    world.change(ben, erased, join(cid)).await;
    world.erase(ben).await;
    assert_eq!(world.try_change(cid, erased, join(cid)).await.err(), Some(Refusal::NotFound));
}

#[tokio::test]
async fn who_wants_to_be_added_by_nobody_is_not_and_only_so_many_wait() {
    let world = fresh().await;
    let [ada, ben, cid] = world.users().await;
    let groups = |groups| PrivacyChange { groups: Some(groups), ..PrivacyChange::default() };
    choose(&world, ben, groups(Openness::Nobody)).await;
    world.store.set_contact(ben, ada, true).await.unwrap().unwrap();
    let group = world.group(&[ada]).await;
    assert_eq!(world.try_change(ada, group, join(ben)).await.err(), Some(Refusal::Blocked));
    let new = world.new_conversation(ConversationKind::Group, &[ada, ben]);
    assert_eq!(world.store.create(&new, world.now()).await.unwrap().err(), Some(Refusal::Blocked));
    choose(&world, ben, groups(Openness::Everyone)).await;
    assert_eq!(world.change(ada, group, join(ben)).await.committed.len(), 1);
    for _ in 0..3 {
        let group = world.group(&[ada]).await;
        assert_eq!(world.change(ada, group, join(cid)).await.invited, Some(Invited::Now));
    }
    assert!(matches!(world.try_change(ada, group, join(cid)).await, Err(Refusal::TooLarge(_))));
    let new = world.new_conversation(ConversationKind::Group, &[ada, cid]);
    assert!(matches!(world.store.create(&new, world.now()).await.unwrap(), Err(Refusal::TooLarge(_))));
    let admin = Change::Join { user: cid, role: Role::Admin };
    assert!(matches!(world.try_change(ada, group, admin).await, Err(Refusal::Forbidden(_))));
    // An open channel is everybody's to join.
    let open = world.channel(&[ada]).await;
    assert_eq!(world.join(cid, open).await.committed.len(), 1);
}

#[tokio::test]
async fn presence_is_for_those_who_share_a_conversation_and_whom_both_settings_allow() {
    let world = fresh().await;
    let [ada, ben, cid, dan] = world.users().await;
    let presence = |presence| PrivacyChange { presence: Some(presence), ..PrivacyChange::default() };
    let see = async |one, other| {
        let (there, back) = (
            world.store.acquaintances(one, &[other]).await.unwrap(),
            world.store.acquaintances(other, &[one]).await.unwrap(),
        );
        assert_eq!(there.is_empty(), back.is_empty(), "it is the same for both");
        !there.is_empty()
    };
    // Writing first shows nothing to either before there is an answer.
    write(&world, ada, ben).await;
    assert!(!see(ada, ben).await);
    write(&world, ben, ada).await;
    assert!(see(ada, ben).await);
    // A group is shared without anything written.
    let group = world.group(&[ada]).await;
    world.change(ada, group, join(cid)).await;
    assert!(!see(ada, cid).await, "invited only");
    world.join(cid, group).await;
    assert!(see(ada, cid).await);
    choose(&world, ada, presence(Openness::Contacts)).await;
    assert!(!see(ada, cid).await, "cid accepted ada, and not the other way round");
    assert!(see(ada, ben).await);
    world.store.set_contact(ada, cid, true).await.unwrap().unwrap();
    assert!(see(ada, cid).await);
    choose(&world, ben, presence(Openness::Nobody)).await;
    assert!(!see(ada, ben).await);
    assert!(!see(ada, dan).await);
    assert_eq!(world.store.acquaintances(ben, &[ben]).await.unwrap(), [ben], "oneself");
}

#[tokio::test]
async fn contacts_are_found_by_their_names_and_nobody_else_is() {
    let world = fresh().await;
    let [ada] = world.users().await;
    let (eve, evan) = (world.user("Eve Adams").await, world.user("Evan").await);
    world.store.set_contact(ada, eve, true).await.unwrap().unwrap();
    let found = async |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let users = world.store.find_contacts(ada, &words, 10).await.unwrap();
        users.into_iter().map(|user| user.id).collect::<Vec<_>>()
    };
    assert_eq!(found(&["ev"]).await, [eve]);
    assert_eq!(found(&["ad", "e"]).await, [eve]);
    assert_eq!(found(&["ev", "x"]).await, []);
    assert_eq!(found(&["evan"]).await, []);
    world.store.set_contact(ada, evan, true).await.unwrap().unwrap();
    assert_eq!(found(&["evan"]).await, [evan]);
    world.erase(eve).await;
    assert_eq!(found(&["ev"]).await, [evan]);
    assert_eq!(world.store.contacts(ada).await.unwrap(), [evan]);
    let nobody = UserId::from_uuid(world.uuid());
    assert_eq!(world.store.set_contact(ada, nobody, true).await.unwrap().err(), Some(Refusal::NotFound));
    assert!(matches!(world.store.set_contact(ada, ada, true).await.unwrap(), Err(Refusal::Invalid(_))));
}

#[tokio::test]
async fn guests_who_were_not_there_are_erased_and_nobody_else() {
    let world = fresh().await;
    let mut made = Vec::new();
    for n in 0..30_i64 {
        let guest = n % 3 != 0;
        let user = User {
            id: UserId::from_uuid(world.uuid()),
            username: (!guest).then(|| Username::parse(&format!("user{n}")).unwrap()),
            display_name: format!("user {n}"),
            guest,
            // Two of each time.
            created_at: Timestamp::from_unix_ms(1_000 + n / 2),
        };
        made.push((user.id, guest));
        world.store.create_user(&NewUser { user, password_hash: None, device_hash: None }).await.unwrap();
    }
    let young = world.user("young").await;
    let before = Timestamp::from_unix_ms(2_000);
    world.store.expire_guests(before, world.now()).await.unwrap();
    world.store.expire_guests(before, world.now()).await.unwrap();
    assert_eq!(world.store.backlog(JobKind::Guests).await.unwrap().jobs, 1, "one at a time");
    let mut steps = 0;
    while world.store.work(JobKind::Guests, world.now()).await.unwrap().step != Step::Done {
        steps += 1;
    }
    assert!(steps > 1, "in bounded steps");
    for (id, guest) in made {
        assert_eq!(world.store.account_state(id).await.unwrap().is_living(), !guest);
    }
    assert!(world.store.account_state(young).await.unwrap().is_living());
    assert_eq!(world.store.backlog(JobKind::Guests).await.unwrap().jobs, 0);
}
