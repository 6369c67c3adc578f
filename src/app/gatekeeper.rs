//! Lets the gateway ask identity about tokens.

use crate::gateway::{Admission, Gatekeeper, LocalFuture};
use crate::identity::Identity;
use crate::protocol::Failure;

/// Identity, as the gateway sees it.
pub struct IdentityGatekeeper {
    identity: Identity,
}

impl IdentityGatekeeper {
    /// Asks `identity`.
    pub const fn new(identity: Identity) -> Self {
        Self { identity }
    }
}

impl Gatekeeper for IdentityGatekeeper {
    fn admit(&self, token: String) -> LocalFuture<Result<Admission, Failure>> {
        let identity = self.identity.clone();
        Box::pin(async move {
            let claims = identity.authenticate(&token).await?;
            Ok(Admission {
                user: claims.user,
                family: claims.family,
                issued_at: claims.issued_at,
                expires_at: claims.expires_at,
            })
        })
    }
}
