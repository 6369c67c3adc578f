//! Conversations and memberships: making, looking at and listing them.

mod create;
pub(super) mod listing;
mod look;

pub(in crate::store) use create::insert;
pub(in crate::store) use look::roster;

use std::sync::Arc;

use async_trait::async_trait;

use super::{Backend, unrefused};
use crate::domain::{ConversationId, ConversationKind, Member, Timestamp, UserId};
use crate::store::{
    ConversationView, Conversations, Created, MemberView, NewConversation, Outcome, Page, StoreError,
};

#[async_trait]
impl<B: Backend> Conversations for B {
    async fn create(&self, new: &NewConversation, now: Timestamp) -> Outcome<Created> {
        create::create(self, new, now).await
    }

    async fn conversation(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<Option<ConversationView>, StoreError> {
        let found = self.read((id, user), |connection, (id, user)| {
            Box::pin(look::conversation_of(connection, *id, *user))
        });
        let (stored, membership) = unrefused(found.await)?;
        Ok(stored.zip(membership).map(|(stored, membership)| listing::view(stored, &membership)))
    }

    async fn conversations(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<Page<ConversationView, ConversationId>, StoreError> {
        let page = self.read((user, after, limit.max(1)), |connection, (user, after, limit)| {
            Box::pin(listing::conversations(connection, *user, *after, *limit))
        });
        unrefused(page.await)
    }

    async fn members(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> Outcome<Page<MemberView, UserId>> {
        let asked = (user, conversation, after, limit.max(1));
        self.read(asked, |connection, (user, conversation, after, limit)| {
            Box::pin(listing::members(connection, *user, *conversation, *after, *limit))
        })
        .await
    }

    async fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<Member>, StoreError> {
        let found = self.read((conversation, user), |connection, (conversation, user)| {
            Box::pin(look::conversation_of(connection, *conversation, *user))
        });
        let (_, membership) = unrefused(found.await)?;
        Ok(membership.map(|found| found.member))
    }

    async fn audience(&self, id: ConversationId) -> Result<Arc<[UserId]>, StoreError> {
        if id.kind() == ConversationKind::Channel {
            return Ok(Arc::from([]));
        }
        let known = self.rosters().cached(id).await;
        let asked = (id, known.as_ref().map(|roster| roster.version));
        let read = self
            .read(asked, |connection, (id, version)| Box::pin(look::roster_of(connection, *id, *version)));
        let Some(newer) = unrefused(read.await)? else {
            return Ok(known.map_or_else(|| Arc::from([]), |roster| roster.users));
        };
        self.rosters().keep(id, newer.clone()).await;
        Ok(newer.users)
    }

    async fn acquaintances(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.read((user, others.to_vec()), |connection, (user, others)| {
            Box::pin(listing::acquaintances(connection, *user, others))
        });
        unrefused(found.await)
    }
}
