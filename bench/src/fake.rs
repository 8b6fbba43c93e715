//! A stand-in for Marathon in this process: listings, and an event stream as fast as the socket takes it.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Result;
use crate::script::Script;

/// Bytes of events in one chunk of the stream.
const CHUNK: usize = 64 * 1024;
/// Time between heartbeats, as Marathon's.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The largest head of a request.
const HEAD_MAX: usize = 64 * 1024;

/// A server on a free port. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct FakeMarathon {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    script: Script,
    /// Events that were sent, or count as sent.
    sent: AtomicU64,
    /// Events that are to be sent.
    wanted: watch::Sender<u64>,
    streams: AtomicU64,
    listings: AtomicU64,
}

impl Drop for FakeMarathon {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeMarathon {
    pub(crate) async fn start(script: Script) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (wanted, _) = watch::channel(0);
        let shared = Arc::new(Shared {
            script,
            sent: AtomicU64::new(0),
            wanted,
            streams: AtomicU64::new(0),
            listings: AtomicU64::new(0),
        });
        let served = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shared = served.clone();
                // A client that goes away ends its connection; nobody has to know.
                tokio::spawn(async move { drop(serve(socket, addr, &shared).await) });
            }
        });
        Ok(Self { addr, shared, task })
    }

    /// Open event streams since the beginning.
    pub(crate) fn streams(&self) -> u64 {
        self.shared.streams.load(Ordering::Relaxed)
    }

    /// Listings of all apps that were asked for.
    pub(crate) fn listings(&self) -> u64 {
        self.shared.listings.load(Ordering::Relaxed)
    }

    /// From now on the script is so far, without a word on the stream.
    pub(crate) fn skip_to(&self, event: u64) {
        self.shared.sent.store(event, Ordering::Relaxed);
        self.shared.wanted.send_replace(event);
    }

    /// Sends the script's events up to that number.
    pub(crate) fn send_to(&self, event: u64) {
        self.shared.wanted.send_replace(event);
    }
}

/// Requests of one connection, one after the other. None of them has a body.
async fn serve(mut socket: TcpStream, addr: SocketAddr, shared: &Shared) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(path) = next_path(&mut socket, &mut buffer).await? {
        if path.starts_with("/v2/events") {
            return stream(socket, shared).await;
        }
        let (status, body) = answer(&path, addr, shared);
        let head = format!(
            "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(body.as_bytes()).await?;
    }
    Ok(())
}

/// Path and query of the next request; `None` when there is none.
async fn next_path(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<String>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end + 4);
            return Ok(head.split(' ').nth(1).map(str::to_owned));
        }
        if buffer.len() > HEAD_MAX || socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn answer(path: &str, addr: SocketAddr, shared: &Shared) -> (u16, String) {
    let sent = shared.sent.load(Ordering::Relaxed);
    let missing = || (404, r#"{"message":"URI not found"}"#.to_owned());
    let path = path.split('?').next().unwrap_or_default();
    match path {
        "/v2/apps" => {
            shared.listings.fetch_add(1, Ordering::Relaxed);
            shared.script.apps_json(sent, None).map_or_else(missing, |body| (200, body))
        }
        "/v2/tasks" => (200, shared.script.tasks_json(sent)),
        "/v2/info" => {
            (200, format!(r#"{{"name":"marathon","version":"1.8.244","elected":true,"leader":"{addr}"}}"#))
        }
        "/v2/leader" => (200, format!(r#"{{"leader":"{addr}"}}"#)),
        "/ping" => (200, "pong".to_owned()),
        _ => match path.strip_prefix("/v2/apps") {
            Some(app) => shared.script.apps_json(sent, Some(app)).map_or_else(missing, |body| (200, body)),
            None => missing(),
        },
    }
}

/// The event stream, chunked as Marathon's server does it. Ends when the client goes away.
async fn stream(mut socket: TcpStream, shared: &Shared) -> Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await?;
    let mut wanted = shared.wanted.subscribe();
    shared.streams.fetch_add(1, Ordering::Relaxed);
    let mut events = Vec::with_capacity(2 * CHUNK);
    let mut chunk = Vec::with_capacity(2 * CHUNK);
    loop {
        events.clear();
        let (from, to) = (shared.sent.load(Ordering::Relaxed), *wanted.borrow_and_update());
        let mut event = from;
        while event < to && events.len() < CHUNK {
            shared.script.write_frame(&mut events, event);
            event += 1;
        }
        if events.is_empty() {
            tokio::select! {
                changed = wanted.changed() => { changed?; continue }
                () = tokio::time::sleep(HEARTBEAT) => events.extend_from_slice(b"\r\n"),
            }
        }
        // Before they are written: a listing that is asked for after they are read has to know them.
        shared.sent.store(event, Ordering::Relaxed);
        chunk.clear();
        write!(chunk, "{:x}\r\n", events.len())?;
        chunk.extend_from_slice(&events);
        chunk.extend_from_slice(b"\r\n");
        socket.write_all(&chunk).await?;
    }
}
