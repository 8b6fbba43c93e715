//! HTTP callbacks: every event is POSTed to every registered URL.
//!
//! As with the real one, a subscriber that fails or is slow is left out for 2, 4, 8, ... seconds, and what happens
//! meanwhile is skipped, not queued.

use crate::cluster::Event;
use crate::faults::Faults;
use crate::line::Line;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// Subscribers at one time.
const SUBSCRIBERS_MAX: usize = 64;
/// Events that may wait for one subscriber; the same as for a stream of 1.5 and later.
const QUEUE_MAX: usize = 1024;
/// A subscriber that takes longer is slow.
const SLOW_AFTER: Duration = Duration::from_secs(10);
/// The back-off grows to 2^10 s, about 17 minutes.
const BACKOFF_EXPONENT_MAX: u32 = 10;

/// All subscribers.
#[derive(Debug)]
pub(crate) struct Callbacks {
    subscribers: BTreeMap<String, mpsc::Sender<Arc<str>>>,
    faults: Arc<Faults>,
    /// So that each one's dice are its own.
    seed: u64,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Callbacks {
    pub(crate) fn new(
        faults: Arc<Faults>,
        seed: u64,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> Callbacks {
        Callbacks { subscribers: BTreeMap::new(), faults, seed, tracker, shutdown }
    }

    /// Adds a subscriber; it may be there already.
    ///
    /// # Errors
    /// What is wrong with the URL, or that there are too many.
    pub(crate) fn subscribe(&mut self, text: &str) -> Result<(), &'static str> {
        let url = Url::parse(text).map_err(|_| "callbackUrl is no URL")?;
        if url.scheme() != "http" || url.host_str().is_none() {
            return Err("callbackUrl must be an http URL");
        }
        if self.subscribers.contains_key(text) {
            return Ok(());
        }
        if self.subscribers.len() >= SUBSCRIBERS_MAX {
            return Err("too many subscribers");
        }
        let (sender, events) = mpsc::channel(QUEUE_MAX);
        self.subscribers.insert(text.to_owned(), sender);
        self.seed = self.seed.wrapping_add(1);
        let (shutdown, faults, line) = (self.shutdown.clone(), self.faults.clone(), Line::new(self.seed));
        self.tracker.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = deliver(url, events, line, &faults) => {}
            }
        });
        Ok(())
    }

    /// Removes a subscriber, whose worker ends when it has sent what waits.
    pub(crate) fn unsubscribe(&mut self, url: &str) {
        self.subscribers.remove(url);
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.subscribers.keys().cloned().collect()
    }

    /// Hands the event to all subscribers; a full queue skips it.
    pub(crate) fn publish(&self, event: &Event) {
        for (url, subscriber) in &self.subscribers {
            if subscriber.try_send(event.body.clone()).is_err() {
                tracing::debug!(url, "event skipped for a slow subscriber");
            }
        }
    }
}

async fn deliver(url: Url, mut events: mpsc::Receiver<Arc<str>>, mut line: Line<Arc<str>>, faults: &Faults) {
    let mut failures: u32 = 0;
    let mut resume = Instant::now();
    loop {
        for body in line.pop_due() {
            if Instant::now() < resume {
                continue;
            }
            match timeout(SLOW_AFTER, post(&url, &body)).await {
                Ok(Ok(())) => failures = 0,
                failed => {
                    tracing::debug!(%url, ?failed, "callback failed");
                    failures = (failures + 1).min(BACKOFF_EXPONENT_MAX);
                    resume = Instant::now() + Duration::from_secs(1 << failures);
                }
            }
        }
        let due = line.next_due();
        tokio::select! {
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            event = events.recv() => match event {
                Some(event) => line.push(&faults.callbacks(), event),
                None => break,
            },
        }
    }
}

/// One POST on a connection of its own.
async fn post(url: &Url, body: &str) -> std::io::Result<()> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    // "HTTP/1.1 200": only the status is of interest.
    let mut status = [0_u8; 12];
    stream.read_exact(&mut status).await?;
    if status[9] == b'2' { Ok(()) } else { Err(std::io::Error::other("status is not 2xx")) }
}
