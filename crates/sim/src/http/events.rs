//! `/v2/events`: a body without length or chunks, which only the end of the connection ends.

use super::conn::Conn;
use super::finish::common_headers;
use super::wire::{Request, Response, head};
use super::{Own, Shared};
use super::{html, message};
use crate::line::Line;
use crate::streams::{Frame, Stream};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// A reader that takes nothing for so long is gone.
const WRITE_TIME: Duration = Duration::from_secs(30);
const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// The answer to a request that gets no stream.
pub(super) fn check(request: &Request) -> Option<Response> {
    match request.method.as_str() {
        "GET" => {
            // A header line of its own with exactly this text; anything else is what servlets call a bad method.
            let exact = request.header("accept").any(|value| value == "text/event-stream");
            (!exact).then(|| html(405, "HTTP method GET is not supported by this URL").with("Allow", ALLOWED))
        }
        "HEAD" => Some(Response::new(200, "text/event-stream;charset=UTF-8", "")),
        "OPTIONS" => Some(Response::new(200, "text/plain", "").with("Allow", ALLOWED)),
        _ => Some(html(405, "method is not supported by this URL").with("Allow", ALLOWED)),
    }
}

/// A stream that has been opened; it may have come through another node.
#[derive(Debug)]
pub(super) struct Opening {
    stream: Stream,
    filter: Option<BTreeSet<String>>,
    /// Plans in their light form.
    light: bool,
    /// What its head says beyond the usual.
    pub(super) headers: Vec<(&'static str, String)>,
    /// The node that has it.
    node: usize,
    /// The way through a follower, which is free again at the end.
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

/// Opens a stream at this node, unless there are too many.
pub(super) async fn open(request: &Request, shared: &Shared) -> Own {
    match shared.driver.attach(request.client_ip.clone()).await.ok().flatten() {
        None => Own::Answer(message(503, "too many event streams")),
        Some(stream) => Own::Stream(Opening {
            stream,
            filter: wanted(request, shared),
            light: request.param("plan-format") == Some("light"),
            headers: common_headers(shared).await,
            node: shared.node,
            slot: None,
        }),
    }
}

/// Turns the connection into the stream, until either side or the node ends it.
pub(super) async fn serve(conn: &mut Conn, opening: Opening, shared: &Shared, life: &CancellationToken) {
    let id = opening.stream.id;
    // Either side may end it in any state; there is nobody left to tell.
    let _ = life.run_until_cancelled(write_out(conn, opening, shared)).await;
    shared.driver.detach(id).await;
}

/// The event types to send; none is all.
fn wanted(request: &Request, shared: &Shared) -> Option<BTreeSet<String>> {
    let types: BTreeSet<String> = request.params("event_type").map(str::to_owned).collect();
    (shared.options.profile.event_type_filter && !types.is_empty()).then_some(types)
}

/// What is written next, when, and what it has to wait for.
struct Pace {
    line: Line<Arc<Frame>>,
    /// Due, but held up by the limit of events per second.
    ready: VecDeque<Arc<Frame>>,
    /// When the limit lets the next one pass.
    free_at: Instant,
}

impl Pace {
    fn next(&mut self) -> Option<Arc<Frame>> {
        self.ready.extend(self.line.pop_due());
        if Instant::now() < self.free_at { None } else { self.ready.pop_front() }
    }

    fn wake_at(&self) -> Option<Instant> {
        let free = (!self.ready.is_empty()).then_some(self.free_at);
        free.into_iter().chain(self.line.next_due()).min()
    }
}

async fn write_out(conn: &mut Conn, opening: Opening, shared: &Shared) -> std::io::Result<()> {
    let Opening { mut stream, filter, light, mut headers, node, slot: _slot } = opening;
    headers.push(("Content-Type", "text/event-stream;charset=UTF-8".into()));
    headers.push(("Connection", "close".into()));
    conn.write_all(head(200, &headers).as_bytes()).await?;
    conn.flush().await?;
    let period = shared.options.heartbeat.max(Duration::from_millis(1));
    let mut heartbeat = interval_at(Instant::now() + period, period);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut reader, mut writer) = tokio::io::split(conn);
    let mut ignored = [0_u8; 1024];
    let stalled = shared.stalled.subscribe();
    let luck = shared.faults().luck();
    let seed = shared.options.seed.wrapping_add(stream.id);
    let mut pace = Pace { line: Line::new(seed), ready: VecDeque::new(), free_at: Instant::now() };
    loop {
        let damage = shared.faults().stream(node, "/v2/events", luck);
        let silent = *stalled.borrow() || damage.silent;
        if let Some(frame) = pace.next() {
            if silent {
                continue;
            }
            let whole = &frame.bytes(light)[..];
            let bytes = if damage.cut { &whole[..whole.len() / 2] } else { whole };
            write(&mut writer, bytes, &stream, damage.single_bytes).await?;
            if damage.cut {
                return Ok(());
            }
            if let Some(limit) = damage.events_per_second {
                pace.free_at = Instant::now() + Duration::from_secs(1) / limit;
            }
            continue;
        }
        let wake = pace.wake_at();
        tokio::select! {
            () = stream.closed.cancelled() => return Ok(()),
            read = reader.read(&mut ignored) => {
                // Whatever a client says after its request is of no interest, but its silence is.
                if read? == 0 {
                    return Ok(());
                }
            }
            _ = heartbeat.tick() => {
                // Looked up again: it may have been set while waiting.
                if *stalled.borrow() || shared.faults().stream(node, "/v2/events", luck).silent {
                    continue;
                }
                for byte in [b"\r", b"\n"] {
                    write(&mut writer, byte, &stream, false).await?;
                }
            }
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            // While the limit holds some up, the others wait in the buffer, which may overflow.
            frame = stream.frames.recv(), if pace.ready.is_empty() => {
                let Some(frame) = frame else { return Ok(()) };
                let admitted = filter.as_ref().is_none_or(|types| types.contains(&*frame.event_type));
                let damage = shared.faults().stream(node, "/v2/events", luck);
                if admitted && !damage.silent && !*stalled.borrow() {
                    pace.line.push(&damage.policy, frame);
                }
            }
        }
    }
}

/// Writes and flushes, unless the stream is closed or the reader takes too long.
async fn write(
    writer: &mut (impl AsyncWriteExt + Unpin),
    bytes: &[u8],
    stream: &Stream,
    single: bool,
) -> std::io::Result<()> {
    let written = async {
        for piece in bytes.chunks(if single { 1 } else { bytes.len().max(1) }) {
            writer.write_all(piece).await?;
            writer.flush().await?;
        }
        Ok(())
    };
    tokio::select! {
        () = stream.closed.cancelled() => Err(std::io::ErrorKind::ConnectionAborted.into()),
        written = timeout(WRITE_TIME, written) => written.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())),
    }
}
