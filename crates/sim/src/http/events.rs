//! `/v2/events`: a body without length or chunks, which only the end of the connection ends.

use super::Shared;
use super::wire::{Request, Response, head};
use super::{html, message};
use crate::streams::Stream;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

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

/// Turns the connection into a stream, until either side ends it.
pub(super) async fn serve(mut socket: TcpStream, request: &Request, shared: &Shared) {
    let attached = shared.driver.attach(request.client_ip.clone()).await.ok().flatten();
    let Some(mut stream) = attached else {
        let refused = super::finish(message(503, "too many event streams"), request, shared).await;
        let manner = super::Manner { keep_alive: false, head_only: false, truncated: false };
        let _ = super::write_response(&mut socket, refused, manner).await;
        return;
    };
    let filter = wanted(request, shared);
    let light = request.param("plan-format") == Some("light");
    // Either side may end it in any state; there is nobody left to tell.
    let _ = write_out(&mut socket, &mut stream, &filter, light, shared).await;
    shared.driver.detach(stream.id).await;
}

/// The event types to send; none is all.
fn wanted(request: &Request, shared: &Shared) -> Option<BTreeSet<String>> {
    let types: BTreeSet<String> = request.params("event_type").map(str::to_owned).collect();
    (shared.options.profile.event_type_filter && !types.is_empty()).then_some(types)
}

async fn write_out(
    socket: &mut TcpStream,
    stream: &mut Stream,
    filter: &Option<BTreeSet<String>>,
    light: bool,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut headers = shared.common_headers().await;
    headers.push(("Content-Type", "text/event-stream;charset=UTF-8".into()));
    headers.push(("Connection", "close".into()));
    socket.write_all(head(200, &headers).as_bytes()).await?;
    let period = shared.options.heartbeat.max(Duration::from_millis(1));
    let mut heartbeat = interval_at(Instant::now() + period, period);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut reader, mut writer) = socket.split();
    let mut ignored = [0_u8; 1024];
    let stalled = shared.stalled.subscribe();
    loop {
        let bytes: &[&[u8]] = tokio::select! {
            () = stream.closed.cancelled() => return Ok(()),
            read = reader.read(&mut ignored) => {
                // Whatever a client says after its request is of no interest, but its silence is.
                if read? == 0 {
                    return Ok(());
                }
                continue;
            }
            _ = heartbeat.tick() => &[b"\r", b"\n"],
            frame = stream.frames.recv() => match frame {
                None => return Ok(()),
                Some(frame) => {
                    let admitted = filter.as_ref().is_none_or(|types| types.contains(&*frame.event_type));
                    if admitted && !*stalled.borrow() {
                        write(&mut writer, frame.bytes(light), stream, shared.fault().single_bytes).await?;
                    }
                    continue;
                }
            },
        };
        if *stalled.borrow() {
            continue;
        }
        for byte in bytes {
            write(&mut writer, byte, stream, false).await?;
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
