//! A client's socket with deadlines: who sends a request's head too slowly, or takes an answer too slowly, is cut off.
//!
//! ```text
//!   connected --> Head --head complete--> Busy --answered--> Idle --first byte--> Head ...
//!                  | read_timeout: 408                       | idle_timeout (hyper's): closed without a word
//! ```

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\n\
    Content-Type: application/json; charset=utf-8\r\n\
    Content-Length: 85\r\n\
    Connection: close\r\n\r\n\
    {\n    \"status\": \"error\",\n    \"message\": \"the request's head did not arrive in time\"\n}";

/// Where a connection is in its exchange, shared by the socket and the one who answers.
#[derive(Debug, Clone)]
pub(crate) struct Phase(Arc<AtomicU8>);

impl Phase {
    fn new() -> Self {
        Self(Arc::new(AtomicU8::new(HEAD)))
    }

    /// A request's head has been read.
    pub(crate) fn busy(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// A request has been answered.
    pub(crate) fn idle(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

/// A socket with deadlines.
#[derive(Debug)]
pub(crate) struct Guarded {
    stream: TcpStream,
    phase: Phase,
    read_timeout: Duration,
    write_timeout: Duration,
    /// Armed while a head is being read.
    reading: Option<Pin<Box<Sleep>>>,
    /// Armed while the client takes nothing.
    writing: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    pub(crate) fn new(stream: TcpStream, read_timeout: Duration, write_timeout: Duration) -> Self {
        let reading = Some(Box::pin(sleep(read_timeout)));
        Self { stream, phase: Phase::new(), read_timeout, write_timeout, reading, writing: None }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.clone()
    }

    /// Fails if the client has taken nothing for too long.
    fn stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let timeout = self.write_timeout;
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client does not take the answer"))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            if this.phase.is(IDLE) && buf.filled().len() > before {
                this.phase.0.store(HEAD, Ordering::Relaxed);
                let deadline = Instant::now() + this.read_timeout;
                match &mut this.reading {
                    Some(timer) => timer.as_mut().reset(deadline),
                    None => this.reading = Some(Box::pin(tokio::time::sleep_until(deadline))),
                }
            }
            return Poll::Ready(read);
        }
        if !this.phase.is(HEAD) {
            return Poll::Pending;
        }
        let Some(timer) = &mut this.reading else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        // Whether it fits into the socket's buffer or not: nobody waits for this client any more.
        let _ = this.stream.try_write(TOO_SLOW);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends too slowly")))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Poll::Ready(written) = Pin::new(&mut this.stream).poll_write(cx, data) {
            this.writing = None;
            return Poll::Ready(written);
        }
        this.stalled(cx).map(Err)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Poll::Ready(written) = Pin::new(&mut this.stream).poll_write_vectored(cx, data) {
            this.writing = None;
            return Poll::Ready(written);
        }
        this.stalled(cx).map(Err)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::TOO_SLOW;

    #[test]
    fn the_prepared_answer_tells_its_length() {
        let text = std::str::from_utf8(TOO_SLOW).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
