//! A small HTTP client that shows exactly what came over the wire.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn message(&self) -> String {
        let json = self.json();
        assert_eq!(json["status"], "error", "{json}");
        json["message"].as_str().unwrap().to_owned()
    }
}

/// A request in the making.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, kind: &str, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        if kind.is_empty() { self } else { self.header("Content-Type", kind) }
    }

    pub(crate) fn json(self, body: impl AsRef<[u8]>) -> Self {
        self.body("application/json", body)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: test\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }
}

impl Connection {
    /// The next request, for who plays the server: head and body.
    pub(crate) async fn request(&mut self) -> String {
        let mut request = self.head_text().await.expect("a request");
        let length = request.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        let length: usize = length.unwrap_or(0);
        while self.buffer.len() < length {
            assert!(self.more().await, "the body is cut: {request}");
        }
        request.push_str(std::str::from_utf8(&self.buffer[..length]).unwrap());
        self.buffer.drain(..length);
        request
    }

    /// Whatever comes until the other side closes or breaks off.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    pub(crate) async fn ask(&mut self, ask: &Ask) -> Answer {
        self.send(&ask.bytes()).await;
        let head_only = ask.method == "HEAD";
        let answer = if head_only { self.head().await } else { self.answer().await };
        answer.unwrap_or_else(|| panic!("no answer to {ask:?}"))
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The head of an answer; `None` if the connection ended before.
    pub(crate) async fn head(&mut self) -> Option<Answer> {
        let head = self.head_text().await?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer { status, head, body: Vec::new() })
    }

    async fn head_text(&mut self) -> Option<String> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break at;
            }
            if !self.more().await {
                return None;
            }
        };
        Some(String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap())
    }

    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.head().await?;
        if let Some(length) = answer.header("Content-Length") {
            let length: usize = length.parse().unwrap();
            while self.buffer.len() < length {
                assert!(self.more().await, "the body is cut: {answer:?}");
            }
            answer.body = self.buffer.drain(..length).collect();
        } else {
            while let Some(chunk) = self.chunk().await {
                answer.body.extend(chunk);
            }
        }
        Some(answer)
    }

    /// The next chunk of a chunked body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|part| part == b"\r\n") {
                break at;
            }
            if !self.more().await {
                return None;
            }
        };
        let size = std::str::from_utf8(&self.buffer[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        while self.buffer.len() < end + 2 + size + 2 {
            assert!(self.more().await, "a chunk is cut");
        }
        let chunk = self.buffer[end + 2..end + 2 + size].to_vec();
        self.buffer.drain(..end + 2 + size + 2);
        (size > 0).then_some(chunk)
    }

    /// Whether the other side has closed.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.more().await
    }

    async fn more(&mut self) -> bool {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(read) => read > 0,
            Err(_) => false,
        }
    }
}
