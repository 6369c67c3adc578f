//! The query of a list. A limit above the maximum is lowered to it; any other wrong value is refused with
//! 422.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use crate::api::Problem;
use crate::domain::Seq;
use crate::protocol::whole;

/// The query's fields, decoded. Unknown ones are ignored; if one is given twice the last counts.
pub struct Query(Vec<(String, String)>);

impl FromRequest for Query {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parsed = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
        ready(
            parsed
                .map(|query| Self(query.into_inner()))
                .map_err(|_| Problem::bad_frame("the query is malformed")),
        )
    }
}

impl Query {
    /// A field as it is.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// `limit`: `default` without one, at most `most`.
    ///
    /// # Errors
    /// 422 unless it is a number from 1.
    pub fn limit(&self, default: usize, most: usize) -> Result<usize, Problem> {
        match self.text("limit") {
            None => Ok(default.min(most)),
            Some(text) => match whole::from_text(text) {
                Some(limit) if limit > 0 => Ok(usize::try_from(limit).unwrap_or(usize::MAX).min(most)),
                Some(_) | None => Err(Problem::invalid("limit: a number from 1")),
            },
        }
    }

    /// A seq, 0 included.
    ///
    /// # Errors
    /// 422 unless it is a number from 0, below 2^53.
    pub fn seq(&self, name: &'static str) -> Result<Option<Seq>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let seq = whole::from_text(text).and_then(Seq::new);
        seq.map(Some).ok_or_else(|| Problem::invalid(format!("{name}: a number from 0, below 2^53")))
    }

    /// A flag: `true` or `false`; false without one.
    ///
    /// # Errors
    /// 422 when it is anything else.
    pub fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::invalid(format!("{name}: true or false"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query(web::Query::<Vec<(String, String)>>::from_query(text).expect("a query").into_inner())
    }

    #[test]
    fn limits_are_clamped_above_and_refused_below() {
        for (text, limit) in
            [("", Some(50)), ("limit=7", Some(7)), ("limit=7.0", Some(7)), ("limit=1000000000", Some(200))]
        {
            assert_eq!(query(text).limit(50, 200).ok(), limit, "{text}");
        }
        for text in ["limit=0", "limit=-1", "limit=ten", "limit=", "limit=1.5", "limit=%00"] {
            assert!(query(text).limit(50, 200).is_err(), "{text}");
        }
    }

    #[test]
    fn seqs_stay_below_2_to_the_53() {
        assert_eq!(query("after=9007199254740991").seq("after").ok().flatten(), Some(Seq::MAX));
        for text in ["after=9007199254740992", "after=-1", "after="] {
            assert!(query(text).seq("after").is_err(), "{text}");
        }
    }
}
