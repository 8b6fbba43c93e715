//! A link that can be troubled: a TCP proxy between one node and one server of an ensemble.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What the link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Passes everything on.
    Open,
    /// Passes nothing on and says nothing: a pulled cable. What was sent meanwhile arrives when it is open again.
    Frozen,
    /// Passes requests on and keeps the answers.
    Mute,
    /// The server has lost the ensemble: it answers pings, and nothing else. Requests are lost.
    Stranded,
    /// Passes answers on after so long.
    Late(Duration),
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
    if !matches!(state, Ok(Link::Open | Link::Mute | Link::Stranded | Link::Late(_))) {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let to_client = Mutex::new(to_client);
    let mut cut = link.clone();
    tokio::select! {
        () = requests(from_client, to_server, &to_client, link.clone()) => {}
        () = answers(from_server, &to_client, link) => {}
        _ = cut.wait_for(|state| *state == Link::Cut) => {}
    }
}

/// Passes requests on, one by one: each is its length in four bytes, and then so many bytes.
async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    to_client: &Mutex<OwnedWriteHalf>,
    mut link: watch::Receiver<Link>,
) {
    loop {
        let Ok(length) = from.read_u32().await else { return };
        let mut request = length.to_be_bytes().to_vec();
        // More than a server takes.
        if length > 2 * 1024 * 1024 {
            return;
        }
        request.resize(4 + length as usize, 0);
        if from.read_exact(&mut request[4..]).await.is_err() {
            return;
        }
        let waits = [Link::Frozen, Link::Cut];
        let Ok(state) = link.wait_for(|state| !waits.contains(state)).await.map(|state| *state) else {
            return;
        };
        let sent = match state {
            Link::Stranded if request.get(4..8) == Some(&PING.to_be_bytes()[..]) => {
                to_client.lock().await.write_all(&pong()).await
            }
            Link::Stranded => Ok(()),
            _ => to.write_all(&request).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The number of every request that is a ping.
const PING: i32 = -2;

/// Its answer: length, number, no transaction, no error.
fn pong() -> Vec<u8> {
    [&16_u32.to_be_bytes()[..], &PING.to_be_bytes()[..], &[0; 12]].concat()
}

async fn answers(mut from: OwnedReadHalf, to: &Mutex<OwnedWriteHalf>, mut link: watch::Receiver<Link>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let passes = |state: &Link| matches!(state, Link::Open | Link::Late(_));
        let Ok(state) = link.wait_for(passes).await.map(|state| *state) else { return };
        if let Link::Late(time) = state {
            sleep(time).await;
        }
        if to.lock().await.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
