//! Answers of one word, for balancers and orchestrators.

use actix_web::HttpResponse;
use actix_web::http::header;

/// An answer of one word, as the public port gives it too.
pub fn word(well: bool, word: &'static str) -> HttpResponse {
    let mut answer = if well { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    if !well {
        answer.insert_header((header::RETRY_AFTER, "1"));
    }
    answer.content_type("text/plain; charset=utf-8").body(format!("{word}\n"))
}
