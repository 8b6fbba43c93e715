//! A link that can be troubled: a TCP proxy between one node and the ensemble.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Passes everything on.
    Open,
    /// Passes nothing on and says nothing: a pulled cable.
    Frozen,
    /// Passes requests on and keeps the answers.
    Mute,
    /// Ends every connection at once.
    Cut,
}

/// The proxy. It ends with this value.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    link: Arc<watch::Sender<Link>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(upstream: SocketAddr, link: Link) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = listener.local_addr().expect("its address");
        let link = Arc::new(watch::channel(link).0);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, link.clone()));
        Self { address, link, _tasks: tasks }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, link: Arc<watch::Sender<Link>>) {
    // Ends, with all its tasks, when the proxy is dropped.
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        connections.spawn(serve(client, upstream, link.subscribe()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(client: TcpStream, upstream: SocketAddr, mut link: watch::Receiver<Link>) {
    let state = *link.borrow();
    if state == Link::Cut {
        return;
    }
    // A connection that was begun on a frozen link is never answered: its first packet was lost.
    if state == Link::Frozen {
        let _ = link.wait_for(|state| *state == Link::Cut).await;
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = link.clone();
    tokio::select! {
        () = copy(from_client, to_server, link.clone(), &[Link::Open, Link::Mute]) => {}
        () = copy(from_server, to_client, link, &[Link::Open]) => {}
        _ = cut.wait_for(|state| *state == Link::Cut) => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut link: watch::Receiver<Link>,
    passes: &[Link],
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        if link.wait_for(|state| passes.contains(state)).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
