//! A link that can be troubled: a TCP proxy between one node and one server of an ensemble.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Passes everything on.
    Open,
    /// Passes nothing on and says nothing: a pulled cable. What was sent meanwhile arrives when it is open again.
    Frozen,
    /// Passes requests on and keeps the answers.
    Mute,
    /// Ends every connection at once.
    Cut,
}

/// The proxy. It ends with this value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    link: Arc<watch::Sender<Link>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts to listen on a free port of loopback and passes on to `upstream`.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(upstream: SocketAddr, link: Link) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = listener.local_addr().expect("its address");
        let link = Arc::new(watch::channel(link).0);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, link.clone()));
        Self { address, link, _tasks: tasks }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the link, with all its connections, is so.
    pub fn set(&self, link: Link) {
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
    // The first packet of a connection that is begun on a frozen link is sent again until it gets through.
    let state = link.wait_for(|state| *state != Link::Frozen).await.map(|state| *state);
    if !matches!(state, Ok(Link::Open | Link::Mute)) {
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
