//! A gate in front of the simulated Marathon: everything passes, except `GET /v2/tasks` while it is shut.
//!
//! A sync would remove what was posted for tasks that the simulation does not know, and add what was lost. While it is
//! to be seen whether anything is lost, syncs must not come to anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Result;

/// The largest head of a request.
const HEAD_MAX: usize = 64 * 1024;

/// A listening gate. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    open: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
    listener: Option<TcpListener>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Gate {
    /// A shut gate whose address is known before there is anything behind it.
    pub(crate) async fn bind() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        Ok(Self { addr, open: Arc::default(), task: None, listener: Some(listener) })
    }

    /// Lets requests through to that server.
    pub(crate) fn lead_to(&mut self, server: SocketAddr) {
        let Some(listener) = self.listener.take() else { return };
        let open = self.open.clone();
        self.task = Some(tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let open = open.clone();
                // Either side may go away at any time.
                tokio::spawn(async move { drop(pass(socket, server, &open).await) });
            }
        }));
    }

    /// From now on `GET /v2/tasks` passes, too.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}

/// One request and its answer; the connection ends with it.
async fn pass(mut client: TcpStream, server: SocketAddr, open: &AtomicBool) -> Result<()> {
    client.set_nodelay(true)?;
    let mut head = Vec::with_capacity(1024);
    let end = loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if head.len() > HEAD_MAX || client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    if head.starts_with(b"GET /v2/tasks") && !open.load(Ordering::Relaxed) {
        let refusal = b"HTTP/1.1 503 shut\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return Ok(client.write_all(refusal).await?);
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.set_nodelay(true)?;
    upstream.write_all(&head[..end]).await?;
    upstream.write_all(b"\r\nConnection: close").await?;
    upstream.write_all(&head[end..]).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = upstream.split();
    // The stream's client never says more: when it goes away, the answer has nowhere to go either.
    tokio::select! {
        answered = copy(&mut from_server, &mut to_client) => drop(answered?),
        gone = copy(&mut from_client, &mut to_server) => drop(gone?),
    }
    Ok(())
}
