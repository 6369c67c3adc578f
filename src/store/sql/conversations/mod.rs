//! Conversations and memberships: creating, reading and listing them.

mod bans;
mod browse;
mod create;
pub(super) mod listing;
mod look;

pub(in crate::store) use create::insert;
pub(in crate::store) use look::{roster, roster_of};

use std::sync::Arc;

use async_trait::async_trait;

use super::Backend;
use crate::domain::{Conversation, ConversationId, ConversationKind, Member, Timestamp, UserId};
use crate::store::{
    BanView, ChannelOrder, ChannelPlace, ConversationView, Conversations, Created, MemberView,
    NewConversation, OpenChannel, Outcome, Page, Preview, StoreError,
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
            Box::pin(listing::conversation(connection, *id, *user))
        });
        found.await
    }

    async fn open_conversation(&self, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        self.read(id, |connection, id| Box::pin(browse::open(connection, *id))).await
    }

    async fn open_channels(
        &self,
        user: UserId,
        order: &ChannelOrder,
        after: Option<&ChannelPlace>,
        limit: usize,
    ) -> Result<Page<OpenChannel, ChannelPlace>, StoreError> {
        let asked = (user, order.clone(), after.cloned(), limit.max(1));
        let page = self.read(asked, |connection, (user, order, after, limit)| {
            Box::pin(browse::channels(connection, *user, order, after.as_ref(), *limit))
        });
        page.await
    }

    async fn preview(
        &self,
        user: UserId,
        id: ConversationId,
        limit: usize,
    ) -> Result<Option<Preview>, StoreError> {
        let seen = self.read((user, id, limit), |connection, (user, id, limit)| {
            Box::pin(browse::preview(connection, *user, *id, *limit))
        });
        seen.await
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
        page.await
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

    async fn bans(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
        now: Timestamp,
    ) -> Outcome<Page<BanView, UserId>> {
        let asked = (user, conversation, after, limit.max(1), now);
        self.read(asked, |connection, (user, conversation, after, limit, now)| {
            Box::pin(bans::bans(connection, *user, *conversation, *after, *limit, *now))
        })
        .await
    }

    async fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<Member>, StoreError> {
        let found = self.read((conversation, user), |connection, (conversation, user)| {
            Box::pin(look::conversation_of(connection, *conversation, *user))
        });
        let (_, membership) = found.await?;
        Ok(membership.map(|found| found.member))
    }

    async fn audience(&self, id: ConversationId) -> Result<Arc<[UserId]>, StoreError> {
        if id.kind() == ConversationKind::Channel {
            return Ok(Arc::from([]));
        }
        let known = self.rosters().cached(id);
        let asked = (id, known.as_ref().map(|roster| roster.version));
        let read =
            self.read(asked, |connection, (id, version)| Box::pin(roster_of(connection, *id, *version)));
        let Some(newer) = read.await? else {
            return Ok(known.map_or_else(|| Arc::from([]), |roster| roster.users));
        };
        self.rosters().keep([(id, newer.clone())]);
        Ok(newer.users)
    }

    async fn acquaintances(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let asked = (user, others.to_vec(), *self.consent());
        let found = self.read(asked, |connection, (user, others, rules)| {
            Box::pin(listing::acquaintances(connection, *user, others, rules))
        });
        found.await
    }
}
