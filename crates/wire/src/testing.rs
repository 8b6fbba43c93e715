//! Scripted servers on loopback: raw bytes over real sockets, so that a test decides each byte, pause and hang-up.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What a server does with one request, after which it closes the connection.
#[derive(Debug)]
pub enum Reply {
    /// Writes these bytes.
    Bytes(Vec<u8>),
    /// Writes these bytes one by one, each flushed.
    BytePieces(Vec<u8>),
    /// Writes these bytes and then keeps silent until the client goes away.
    ThenSilence(Vec<u8>),
    /// Writes what the test sends through the channel until the test drops its end.
    Live(mpsc::Receiver<Vec<u8>>),
}

impl Reply {
    /// A whole answer with a length, e.g. `Reply::answer("200 OK", &["X-A: b"], b"{}")`.
    #[must_use]
    pub fn answer(status: &str, headers: &[&str], body: &[u8]) -> Self {
        let mut head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        Self::Bytes(bytes)
    }

    /// `200 OK` with JSON.
    #[must_use]
    pub fn json(body: &str) -> Self {
        Self::answer("200 OK", &["Content-Type: application/json"], body.as_bytes())
    }

    /// Accepts the request and never answers.
    #[must_use]
    pub fn silence() -> Self {
        Self::ThenSilence(Vec::new())
    }
}

/// A private key that proves nothing to anybody: the one of the service account in tests (PEM, PKCS #8).
pub const SERVICE_ACCOUNT_KEY: &str = include_str!("../fixtures/service-account.pkcs8.pem");

/// The head of an event stream's answer, as Marathon writes it.
pub const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\nConnection: close\r\n\r\n";

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    /// `127.0.0.1:port`.
    pub address: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts a server whose every request (head and body as text) is answered by `script`.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_on(listener().await, script)
    }

    /// Like [`Server::start`], on a listener that the caller has bound (its address may already be known to others).
    ///
    /// # Panics
    /// When the listener has no address.
    pub fn start_on(listener: TcpListener, script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let script = Arc::new(script);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (script, seen) = (script.clone(), seen.clone());
                tokio::spawn(async move {
                    serve(socket, |head| {
                        seen.lock().unwrap_or_else(PoisonError::into_inner).push(head.to_owned());
                        script(head)
                    })
                    .await;
                });
            }
        });
        Self { address, requests, task }
    }

    /// A URL on this server.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far, in order: head and body as text.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A listener on a free port of loopback.
///
/// # Panics
/// When there is none.
pub async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port")
}

/// An address on loopback that refuses connections.
///
/// # Panics
/// When loopback has no free port.
pub async fn refusing_address() -> String {
    listener().await.local_addr().expect("a bound socket has an address").to_string()
}

/// Reads one request from any connection (TLS too) and answers it. Write errors mean that the client is gone.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S, script: impl FnOnce(&str) -> Reply) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let mut request = String::from_utf8_lossy(&head).into_owned();
    let mut body = vec![0; content_length(&request)];
    if socket.read_exact(&mut body).await.is_err() {
        return;
    }
    request.push_str(&String::from_utf8_lossy(&body));
    let reply = script(&request);
    let _ = write_reply(&mut socket, reply).await;
    let _ = socket.shutdown().await;
}

fn content_length(head: &str) -> usize {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

async fn write_reply<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Bytes(bytes) => socket.write_all(&bytes).await,
        Reply::BytePieces(bytes) => {
            for byte in bytes {
                socket.write_all(&[byte]).await?;
                socket.flush().await?;
            }
            Ok(())
        }
        Reply::ThenSilence(bytes) => {
            socket.write_all(&bytes).await?;
            socket.flush().await?;
            while socket.read(&mut [0; 64]).await? > 0 {}
            Ok(())
        }
        Reply::Live(mut pieces) => {
            while let Some(piece) = pieces.recv().await {
                socket.write_all(&piece).await?;
                socket.flush().await?;
            }
            Ok(())
        }
    }
}
