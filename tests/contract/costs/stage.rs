//! Who acts in the operations, and where.

use std::sync::atomic::{AtomicU64, Ordering};

use tidings::domain::{Changes, ConversationId, ConversationKind, HistoryPolicy, User, UserId, Username};
use tidings::store::{Change, Cursor, NewUser, Target};

use crate::harness::World;

/// Who acts, and where.
pub struct Stage<'w> {
    pub world: &'w World,
    pub ada: UserId,
    pub ben: UserId,
    /// Who is a member of every group.
    pub everywhere: UserId,
    /// Who is a member of as many others.
    pub elsewhere: UserId,
    /// A channel with every user.
    pub town: ConversationId,
    /// An open channel in which newcomers read everything.
    pub plaza: ConversationId,
    pub group: ConversationId,
    pub peers: Vec<UserId>,
    pub directs: Vec<ConversationId>,
    pub names: AtomicU64,
}

impl<'w> Stage<'w> {
    pub async fn set(world: &'w World) -> Self {
        let [ada, ben, everywhere, elsewhere] = world.users().await;
        let group = world.group(&[ada, ben]).await;
        let town = world.channel(&[ada, ben, everywhere]).await;
        world.group(&[everywhere, ben]).await;
        let plaza = world.channel(&[ada]).await;
        let history = Some(HistoryPolicy::All);
        world.change(ada, plaza, Change::Configure(Changes { history, ..Changes::default() })).await;
        world.say(ada, plaza, "hello").await;
        let mut peers = Vec::new();
        for _ in 0..256 {
            peers.push(world.user("peer").await);
        }
        let first: Vec<_> = peers.iter().map(|peer| world.message(ada, Target::User(*peer), "hi")).collect();
        let directs = world.append(&first).await;
        let directs = directs.into_iter().map(|appended| appended.unwrap().conversation).collect();
        Self {
            world,
            ada,
            ben,
            everywhere,
            elsewhere,
            town,
            plaza,
            group,
            peers,
            directs,
            names: AtomicU64::new(0),
        }
    }

    pub fn number(&self) -> u64 {
        self.names.fetch_add(1, Ordering::Relaxed)
    }

    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [7_u8; 32];
        hash[..8].copy_from_slice(&self.number().to_le_bytes());
        hash
    }

    pub async fn append(&self, size: usize, to: impl Fn(usize) -> Target) {
        let batch: Vec<_> = (0..size).map(|n| self.world.message(self.ada, to(n), "hello")).collect();
        let answers = self.world.append(&batch).await;
        assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|one| one.is_err()));
    }

    pub async fn newcomer(&self) -> UserId {
        let id = UserId::from_uuid(self.world.uuid());
        let username = Username::parse(&format!("new{}", self.number())).unwrap();
        let user = User {
            id,
            username: Some(username),
            display_name: "new".to_owned(),
            guest: false,
            created_at: self.world.now(),
        };
        let new = NewUser { user, password_hash: Some("hash".to_owned()), device_hash: Some(self.hash()) };
        self.world.store.create_user(&new).await.unwrap();
        id
    }

    pub async fn cursor(&self) -> Cursor {
        self.world.store.end().await.unwrap()
    }

    pub async fn created(&self, kind: ConversationKind) -> ConversationId {
        let new = self.world.new_conversation(kind, &[self.ada, self.ben]);
        self.world.create(&new).await
    }
}
