//! The event streams that are attached, each with a bounded buffer.

use crate::cluster::Event;
use crate::profile::Overflow;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Streams at one time; more are refused.
const STREAMS_MAX: usize = 1024;

/// An event as it goes over the wire.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) event_type: Arc<str>,
    bytes: Bytes,
    /// What goes to those who want light plans, where it is something else.
    light: Option<Bytes>,
}

impl Frame {
    pub(crate) fn bytes(&self, light: bool) -> &Bytes {
        self.light.as_ref().filter(|_| light).unwrap_or(&self.bytes)
    }
}

/// The reading end, which a connection writes out.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u64,
    pub(crate) frames: mpsc::Receiver<Arc<Frame>>,
    /// The stream has to end at once, whatever is still buffered.
    pub(crate) closed: CancellationToken,
}

#[derive(Debug)]
struct Client {
    id: u64,
    remote: String,
    frames: mpsc::Sender<Arc<Frame>>,
    closed: CancellationToken,
}

/// All streams.
#[derive(Debug)]
pub(crate) struct Streams {
    clients: Vec<Client>,
    next_id: u64,
    buffer: usize,
    overflow: Overflow,
    /// Whether frames have an `event:` line.
    named: bool,
}

impl Streams {
    pub(crate) fn new(buffer: usize, overflow: Overflow) -> Streams {
        Streams { clients: Vec::new(), next_id: 0, buffer: buffer.max(1), overflow, named: true }
    }

    /// The same with or without `event:` lines.
    pub(crate) fn named(self, named: bool) -> Streams {
        Streams { named, ..self }
    }

    /// Adds a stream, unless there are too many.
    pub(crate) fn attach(&mut self, remote: String) -> Option<Stream> {
        if self.clients.len() >= STREAMS_MAX {
            return None;
        }
        let (sender, frames) = mpsc::channel(self.buffer);
        let closed = CancellationToken::new();
        self.next_id += 1;
        let id = self.next_id;
        self.clients.push(Client { id, remote, frames: sender, closed: closed.clone() });
        Some(Stream { id, frames, closed })
    }

    /// Forgets a stream; who it was, if it was still there.
    pub(crate) fn detach(&mut self, id: u64) -> Option<String> {
        let at = self.clients.iter().position(|client| client.id == id)?;
        Some(self.clients.swap_remove(at).remote)
    }

    /// Gives every stream the event. All events count against the buffer, also those that a filter leaves out later.
    pub(crate) fn publish(&mut self, event: &Event) {
        if self.clients.is_empty() {
            return;
        }
        let frame = |body: &str| -> Bytes {
            match self.named {
                true => format!("event: {}\r\ndata: {body}\r\n\r\n", event.event_type).into(),
                false => format!("data: {body}\r\n\r\n").into(),
            }
        };
        let (bytes, light) = (frame(&event.body), event.light.as_deref().map(frame));
        let frame = Arc::new(Frame { event_type: event.event_type.clone(), bytes, light });
        let overflow = self.overflow;
        self.clients.retain(|client| match client.frames.try_send(frame.clone()) {
            // Its connection has gone before it could say so.
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) if overflow == Overflow::Close => {
                tracing::debug!(remote = %client.remote, "stream closed: its reader does not keep up");
                client.closed.cancel();
                true
            }
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => true,
        });
    }

    /// Ends all streams without a word.
    pub(crate) fn close_all(&mut self) {
        for client in &self.clients {
            client.closed.cancel();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event { event_type: "x".into(), body: "{}".into(), light: Some("{1}".into()) }
    }

    #[test]
    fn a_full_buffer_closes_or_drops() {
        for (overflow, closes) in [(Overflow::Close, true), (Overflow::Drop, false)] {
            let mut streams = Streams::new(2, overflow);
            let mut stream = streams.attach("a".into()).expect("room");
            for _ in 0..3 {
                streams.publish(&event());
            }
            assert_eq!(stream.closed.is_cancelled(), closes);
            assert!(stream.frames.try_recv().is_ok() && stream.frames.try_recv().is_ok());
            assert!(stream.frames.try_recv().is_err());
        }
    }

    #[test]
    fn frames_have_crlf() {
        for (named, start) in [(true, "event: x\r\n"), (false, "")] {
            let mut streams = Streams::new(2, Overflow::Close).named(named);
            let mut stream = streams.attach("a".into()).expect("room");
            streams.publish(&event());
            let frame = stream.frames.try_recv().expect("a frame");
            assert_eq!(frame.bytes(false), format!("{start}data: {{}}\r\n\r\n").as_bytes());
            assert_eq!(frame.bytes(true), format!("{start}data: {{1}}\r\n\r\n").as_bytes());
        }
    }
}
