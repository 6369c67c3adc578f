//! Who may send: the rule of the domain and each database's own form of it answer alike, whatever is the case.

use tidings::domain::permissions::{Sending, may_send};
use tidings::domain::{ConversationId, ConversationKind, JoinPolicy, Refusal, UserId};
use tidings::store::Target;

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

/// A case: what the rule is told of it, and the answer of the store.
async fn answered(
    world: &World,
    place: Place,
    case: Sending,
    blocked_by_sender: bool,
) -> Result<(), Refusal> {
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
    if case.blocked {
        let (blocker, blocked) = if blocked_by_sender { (sender, peer) } else { (peer, sender) };
        world.store.set_block(blocker, blocked, true).await.unwrap().unwrap();
    }
    for (user, lives) in [(peer, case.peer_lives), (sender, case.sender_lives)] {
        if !lives {
            world.erase(user).await;
        }
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
        for bits in 0..32 {
            let [joined, sender_lives, peer_lives, blocked, by_sender] =
                [1, 2, 4, 8, 16].map(|bit| bits & bit != 0);
            let member = match place {
                // Who is erased is a member no more.
                Place::Direct => sender_lives,
                Place::User | Place::NoConversation => false,
                Place::Group | Place::OpenChannel => joined && sender_lives,
            };
            // What erasing takes along: blocks go with the account.
            let blocked = blocked && sender_lives && peer_lives;
            let case = Sending { there, direct, member, sender_lives, peer_lives, blocked };
            let answer = answered(&world, place, case, by_sender).await;
            assert_eq!(answer, may_send(case), "{place:?}: {case:?}, blocked by the sender: {by_sender}");
        }
    }
}
