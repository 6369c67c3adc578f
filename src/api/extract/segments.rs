//! The ids in a path. A segment that is not an id is answered with 404.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use crate::api::Problem;
use crate::domain::{ConversationId, FamilyId, Seq, UserId};
use crate::protocol::{checks, whole};

/// The path's named segments, decoded.
pub struct Segments(HashMap<String, String>);

impl FromRequest for Segments {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        // Names as they are written, values percent-decoded, both in the order of the path.
        let decoded = web::Path::<Vec<String>>::from_request(request, payload).into_inner();
        let names = request.match_info().iter().map(|(name, _)| name.to_owned());
        ready(
            decoded
                .map(|values| Self(names.zip(values.into_inner()).collect()))
                .map_err(|_| Problem::not_found()),
        )
    }
}

impl Segments {
    /// A segment as it is.
    ///
    /// # Errors
    /// 404 when the path has none of that name.
    pub fn text(&self, name: &str) -> Result<&str, Problem> {
        self.0.get(name).map(String::as_str).ok_or_else(Problem::not_found)
    }

    fn parsed<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        self.text(name)?.parse().map_err(|_| Problem::not_found())
    }

    /// `{conversation}`.
    ///
    /// # Errors
    /// 404 when it is no conversation id.
    pub fn conversation(&self) -> Result<ConversationId, Problem> {
        self.parsed("conversation")
    }

    /// `{user}`.
    ///
    /// # Errors
    /// 404 when it is no user id.
    pub fn user(&self) -> Result<UserId, Problem> {
        self.parsed("user")
    }

    /// `{session}`, the id of a sign-in.
    ///
    /// # Errors
    /// 404 when it is none.
    pub fn session(&self) -> Result<FamilyId, Problem> {
        self.parsed("session")
    }

    /// `{seq}`, at least 1.
    ///
    /// # Errors
    /// 404 when it is none.
    pub fn seq(&self) -> Result<Seq, Problem> {
        whole::from_text(self.text("seq")?)
            .and_then(Seq::new)
            .filter(|seq| *seq > Seq::ZERO)
            .ok_or_else(Problem::not_found)
    }

    /// `{emoji}`.
    ///
    /// # Errors
    /// 422 when it is too long or holds white space or control characters.
    pub fn emoji(&self) -> Result<String, Problem> {
        let emoji = checks::composed(self.text("emoji")?);
        checks::emoji(&emoji)?;
        Ok(emoji)
    }
}
