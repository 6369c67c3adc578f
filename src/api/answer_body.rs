//! Bodies of answers as the connection takes them: in small pieces, and counted among what waits for clients.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use bytes::Bytes;

use crate::actors::connections::OpenConnection;
use crate::domain::queued::QueuedKind;

/// Bytes that the HTTP writer takes at once. It copies them, so a whole body would be in memory twice.
const PIECE_BYTES: usize = 32 * 1024;

/// Divides the body of an answer into pieces, and counts what of it waits.
pub fn in_pieces(response: ServiceResponse, open: Option<Rc<OpenConnection>>) -> ServiceResponse {
    let kind = match response.response().body().size() {
        BodySize::None => return response,
        BodySize::Sized(bytes) if bytes <= PIECE_BYTES as u64 => return response,
        BodySize::Sized(_) => QueuedKind::Pages,
        BodySize::Stream => QueuedKind::Exports,
    };
    response
        .map_body(|_, body| BoxBody::new(Pieces { body, left: VecDeque::new(), left_bytes: 0, kind, open }))
}

struct Pieces {
    body: BoxBody,
    /// The rest of what the body gave last, each piece with memory of its own, so that it is given back
    /// piece by piece.
    left: VecDeque<Bytes>,
    left_bytes: usize,
    kind: QueuedKind,
    open: Option<Rc<OpenConnection>>,
}

impl Pieces {
    fn count(&self, bytes: usize) {
        if let Some(open) = &self.open {
            open.output().body_waits(self.kind, bytes);
        }
    }
}

impl MessageBody for Pieces {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.left.is_empty() {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(next))) if next.len() <= PIECE_BYTES => {
                    return Poll::Ready(Some(Ok(next)));
                }
                Poll::Ready(Some(Ok(next))) => {
                    self.left_bytes = next.len();
                    self.left = next.chunks(PIECE_BYTES).map(Bytes::copy_from_slice).collect();
                }
                other => {
                    self.count(0);
                    return other;
                }
            }
        }
        let piece = self.left.pop_front().unwrap_or_default();
        self.left_bytes -= piece.len();
        self.count(self.left_bytes);
        Poll::Ready(Some(Ok(piece)))
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.count(0);
    }
}
