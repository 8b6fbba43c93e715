//! Bodies of the leader's answers, passed on as they come.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::moved;
use crate::app::Shared;
use crate::seat::{Leader, Seat};

/// Passes an answer on. One that breaks off, or of which nothing comes for `stall`, breaks off for the client too: half
/// an answer must not look like a whole one.
pub(super) fn answer(body: Incoming, stall: Duration, place: OwnedSemaphorePermit) -> Body {
    let frames = stream::unfold(Some((body, place)), move |open| async move {
        let (mut body, place) = open?;
        match tokio::time::timeout(stall, data(&mut body)).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some((body, place)))),
            Ok(Some(Err(error))) => Some((Err(error.to_string()), None)),
            Ok(None) => None,
            Err(_) => Some((Err(format!("nothing came for {stall:.1?}")), None)),
        }
    });
    Body::from_stream(frames)
}

/// Passes an event stream on until the leader ends it, is silent for `quiet`, breaks off, or leads no more; or this
/// server ends. All of that is an end like any other: the client comes back and reads on at the next leader.
pub(super) fn events(
    body: Incoming,
    quiet: Duration,
    leader: Arc<Leader>,
    shared: Arc<Shared>,
    place: OwnedSemaphorePermit,
) -> Body {
    shared.metrics.streams.up();
    let open = Events {
        body,
        leader,
        seats: shared.app.seat.clone(),
        closing: shared.closing.clone(),
        _counted: Counted(shared),
        _place: place,
    };
    let frames = stream::unfold(open, move |mut open| async move {
        let bytes = tokio::select! {
            bytes = data(&mut open.body) => bytes?.ok()?,
            () = moved(&open.leader, &mut open.seats) => return None,
            () = open.closing.cancelled() => return None,
            () = tokio::time::sleep(quiet) => return None,
        };
        Some((Ok::<_, std::convert::Infallible>(bytes), open))
    });
    Body::from_stream(frames)
}

struct Events {
    body: Incoming,
    leader: Arc<Leader>,
    seats: watch::Receiver<Seat>,
    closing: CancellationToken,
    _counted: Counted,
    _place: OwnedSemaphorePermit,
}

/// A stream that is open, for the numbers.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.streams.down();
    }
}

/// The next bytes. Trailers are left out: nothing here sends any.
async fn data(body: &mut Incoming) -> Option<hyper::Result<Bytes>> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                if let Ok(bytes) = frame.into_data() {
                    return Some(Ok(bytes));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}
