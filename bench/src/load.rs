//! The load: prepared requests over keep-alive connections, as fast as answers allow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::event::{task_id, write_post};
use crate::{Result, within};

/// Pause before a request that was answered with 503 is sent again, as the answer asks for, but shorter.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Bytes of it, head and body.
    length: usize,
}

/// The answer at the beginning of the buffer, once it is there as a whole. It has a length, as all answers that are
/// not streams.
fn whole(buffer: &[u8]) -> Option<Answer> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let status = text.get(9..12)?.parse().ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    let length = head + 4 + length;
    (buffer.len() >= length).then_some(Answer { status, length })
}

/// One keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(addr).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: Vec::with_capacity(1024) })
    }

    /// Sends a whole request and waits for its status.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<u16> {
        self.socket.write_all(request).await?;
        loop {
            if let Some(answer) = whole(&self.buffer) {
                self.buffer.drain(..answer.length);
                return Ok(answer.status);
            }
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server has closed a connection".into());
            }
        }
    }
}

/// What a blast has come to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blast {
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// Answers 503; those requests were sent again.
    pub(crate) refused: u64,
}

/// Posts the events `from..from + count` of one app over so many connections. Connections are open before the time
/// begins.
pub(crate) async fn blast(
    addr: SocketAddr,
    connections: usize,
    app: &'static str,
    from: u64,
    count: u64,
    limit: Duration,
) -> Result<Blast> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(addr).await?);
    }
    let next = Arc::new(AtomicU64::new(from));
    let mut senders = JoinSet::new();
    let began = Instant::now();
    for connection in open {
        senders.spawn(post_from(connection, app, next.clone(), from + count));
    }
    within(limit, "all events are accepted", async {
        let mut refused = 0;
        while let Some(ended) = senders.join_next().await {
            refused += ended??;
        }
        Ok(Blast { took: began.elapsed(), refused })
    })
    .await
}

async fn post_from(
    mut connection: Connection,
    app: &'static str,
    next: Arc<AtomicU64>,
    end: u64,
) -> Result<u64> {
    let (mut request, mut refused) = (Vec::with_capacity(1024), 0);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= end {
            return Ok(refused);
        }
        request.clear();
        write_post(&mut request, app, &task_id(app, number), "TASK_RUNNING", number);
        loop {
            match connection.send(&request).await? {
                200 => break,
                503 => refused += 1,
                status => return Err(format!("an event was answered with {status}").into()),
            }
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_is_there() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nabc";
        for end in 0..answer.len() {
            assert_eq!(whole(&answer[..end]), None, "{end}");
        }
        assert_eq!(whole(answer), Some(Answer { status: 200, length: answer.len() }));
        assert_eq!(whole(b"HTTP/1.1 503 x\r\n\r\n"), None, "no length");
    }
}
