//! The async part: opens streams, sends requests, moves bytes in and observations out. It decides nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::FutureExt as _;
use mconn_model::{ClusterEvent, Observation, SourceId};
use mconn_wire::sse::SseParser;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::machine::{Effect, Follower, Input, Moment};
use super::requests::{RequestKind, RequestStats};
use super::settings::FollowSettings;
use super::{Fetch, Request};
use crate::client::{ClientError, EventStream, MarathonClient};
use crate::event::decode_event;

/// Reading goes on without a pause until so many events are collected for one batch (if bytes are there already).
const BATCH_EVENTS: usize = 1024;

/// Why following ended. It never ends because of Marathon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Cancelled,
    /// Nobody takes the observations any more.
    ReceiverGone,
}

/// Counters of one follower, for metrics. They only grow.
#[derive(Debug, Default)]
pub struct FollowStats {
    /// Events that were decoded and passed on.
    pub events: AtomicU64,
    /// Events that could not be decoded.
    pub undecodable: AtomicU64,
    /// Bytes of streams.
    pub stream_bytes: AtomicU64,
    /// Streams that were attached.
    pub attached: AtomicU64,
    /// Requests for listings or apps that failed.
    pub failed_requests: AtomicU64,
    /// Parts of listings and apps that had to be left out.
    pub warnings: AtomicU64,
    /// Requests by kind and result. Whoever else asks this Marathon counts here as well.
    pub requests: RequestStats,
}

/// What a follower is connected to.
#[derive(Debug)]
pub struct Wiring {
    /// The name of this Marathon; it goes out with every batch.
    pub source: SourceId,
    /// Where observations go: batches of at least one, each in order. A full channel stops reading, which Marathon
    /// notices.
    pub observations: mpsc::Sender<(SourceId, Vec<Observation>)>,
    /// What the catalog asks for. When all senders are gone, following goes on without.
    pub requests: mpsc::Receiver<Request>,
    /// Counters.
    pub stats: Arc<FollowStats>,
}

type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What a pending piece of I/O has come to.
enum Answer {
    Stream(Result<Box<EventStream>, ClientError>),
    Input(Input),
}

/// A stream under way.
struct Attached {
    stream: EventStream,
    parser: SseParser,
}

struct Shell {
    client: MarathonClient,
    settings: FollowSettings,
    stats: Arc<FollowStats>,
    stream: Option<Attached>,
    opening: Option<Pending>,
    fetching: Option<Pending>,
}

/// Follows one Marathon until it is cancelled or nobody listens. Start it before Marathon is up: it keeps trying.
///
/// `requested_at_event` of its answers counts the [`Observation::Event`]s that it has sent since the beginning.
pub async fn follow(
    client: MarathonClient,
    settings: FollowSettings,
    mut wiring: Wiring,
    cancel: CancellationToken,
) -> Ended {
    let start = Instant::now();
    let mut follower = Follower::new(settings.clone(), start.elapsed());
    let mut shell =
        Shell { client, settings, stats: wiring.stats.clone(), stream: None, opening: None, fetching: None };
    let (mut effects, mut requests_open) = (Vec::new(), true);
    let mut inputs = vec![Input::Tick];
    loop {
        for input in inputs.drain(..) {
            let moment = Moment { now: start.elapsed(), dice: fastrand::f64() };
            follower.step(input, moment, &mut effects);
        }
        let batch = shell.carry_out(&mut effects);
        if !batch.is_empty() {
            let sent = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ended::Cancelled,
                sent = wiring.observations.send((wiring.source.clone(), batch)) => sent,
            };
            if sent.is_err() {
                return Ended::ReceiverGone;
            }
        }
        let deadline = follower.deadline().and_then(|deadline| start.checked_add(deadline));
        tokio::select! {
            () = cancel.cancelled() => return Ended::Cancelled,
            () = wiring.observations.closed() => return Ended::ReceiverGone,
            () = shell.ready(&mut inputs) => {}
            request = wiring.requests.recv(), if requests_open => match request {
                Some(request) => inputs.push(Input::Requested(request)),
                None => requests_open = false,
            },
            () = sleep_until(deadline.unwrap_or(start)), if deadline.is_some() => {
                // Time may have passed while the receiver was slow: bytes that are there already are no silence.
                let _ = shell.ready(&mut inputs).now_or_never();
                inputs.push(Input::Tick);
            }
        }
    }
}

impl Shell {
    fn carry_out(&mut self, effects: &mut Vec<Effect>) -> Vec<Observation> {
        let mut batch = Vec::new();
        for effect in effects.drain(..) {
            match effect {
                Effect::OpenStream => self.opening = Some(self.open()),
                Effect::CloseStream => self.stream = None,
                Effect::Fetch(fetch) => self.fetching = Some(self.fetch(fetch)),
                Effect::CancelFetch => self.fetching = None,
                Effect::Emit(observation) => {
                    self.count(&observation);
                    batch.push(observation);
                }
            }
        }
        batch
    }

    fn count(&self, observation: &Observation) {
        match observation {
            Observation::Event(_) => _ = self.stats.events.fetch_add(1, Relaxed),
            Observation::Attached => _ = self.stats.attached.fetch_add(1, Relaxed),
            Observation::RequestFailed { .. } => _ = self.stats.failed_requests.fetch_add(1, Relaxed),
            Observation::Listing { listing, .. } => {
                self.stats.warnings.fetch_add(listing.warnings.len() as u64, Relaxed);
            }
            _ => {}
        }
    }

    fn open(&self) -> Pending {
        let (client, filter) = (self.client.clone(), self.settings.filter.clone());
        let stats = self.stats.clone();
        Box::pin(async move {
            let opened = client.events(&filter).await;
            stats.requests.note(RequestKind::Stream, opened.is_ok());
            Answer::Stream(opened.map(Box::new))
        })
    }

    fn fetch(&self, fetch: Fetch) -> Pending {
        let (client, stats) = (self.client.clone(), self.stats.clone());
        Box::pin(async move {
            let text = |error: ClientError| error.to_string();
            Answer::Input(match fetch {
                Fetch::Listing => {
                    let answer = client.listing().await;
                    stats.requests.note(RequestKind::Listing, answer.is_ok());
                    Input::Listing(answer.map(Box::new).map_err(text))
                }
                Fetch::App(id) => {
                    let answer = client.app(&id).await;
                    stats.requests.note(RequestKind::App, answer.is_ok());
                    Input::App(answer.map(Box::new).map_err(text))
                }
            })
        })
    }

    /// Waits until some I/O has something to tell. Dropping the future loses nothing.
    async fn ready(&mut self, inputs: &mut Vec<Input>) {
        let answer = tokio::select! {
            chunk = next_chunk(&mut self.stream) => return self.received(chunk, inputs),
            answer = pending(&mut self.opening) => {
                self.opening = None;
                answer
            }
            answer = pending(&mut self.fetching) => {
                self.fetching = None;
                answer
            }
        };
        // Who leads comes before what it tells: a new leader has forgotten the results of health checks.
        inputs.extend(self.client.known_leader().map(Input::LeaderSeen));
        inputs.push(match answer {
            Answer::Input(input) => input,
            Answer::Stream(Ok(stream)) => {
                let parser = SseParser::new(self.settings.event_limit);
                self.stream = Some(Attached { stream: *stream, parser });
                Input::StreamOpened
            }
            Answer::Stream(Err(error)) => {
                let impossible = matches!(error, ClientError::Unsupported { .. });
                Input::StreamFailed { reason: error.to_string(), impossible }
            }
        });
    }

    /// Takes a chunk and those that are there already, up to a batch.
    fn received(&mut self, first: Chunk, inputs: &mut Vec<Input>) {
        let Some(attached) = &mut self.stream else { return };
        let (mut events, mut chunk) = (Vec::new(), first);
        let end = loop {
            let bytes = match chunk {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break Some("Marathon has ended the stream".to_owned()),
                Err(error) => break Some(error.to_string()),
            };
            self.stats.stream_bytes.fetch_add(bytes.len() as u64, Relaxed);
            let fed = attached.parser.feed(&bytes, |event| match decode_event(event.name, event.data) {
                Ok(event) => events.push(marked(event, self.settings.mark.as_ref())),
                Err(error) => note_undecodable(&self.stats, &error.to_string()),
            });
            if let Err(error) = fed {
                break Some(error.to_string());
            }
            if events.len() >= BATCH_EVENTS {
                break None;
            }
            match attached.stream.chunk().now_or_never() {
                Some(next) => chunk = next,
                None => break None,
            }
        };
        inputs.push(Input::Received(events));
        if let Some(reason) = end {
            self.stream = None;
            inputs.push(Input::StreamEnded { reason });
        }
    }
}

/// Task events go where those of other sources go, too.
fn marked(mut event: ClusterEvent, mark: Option<&SourceId>) -> ClusterEvent {
    if let ClusterEvent::Status(update) = &mut event {
        update.event.source = mark.cloned();
    }
    event
}

/// Logs the first and then ever fewer: a stream of garbage must not fill the disk.
fn note_undecodable(stats: &FollowStats, error: &str) {
    let count = stats.undecodable.fetch_add(1, Relaxed) + 1;
    if count.is_power_of_two() {
        tracing::warn!(count, error, "an event of Marathon could not be read");
    }
}

type Chunk = Result<Option<bytes::Bytes>, mconn_wire::http::HttpError>;

async fn next_chunk(stream: &mut Option<Attached>) -> Chunk {
    match stream {
        Some(attached) => attached.stream.chunk().await,
        None => std::future::pending().await,
    }
}

async fn pending(slot: &mut Option<Pending>) -> Answer {
    match slot {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
