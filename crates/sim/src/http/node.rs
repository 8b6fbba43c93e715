//! One node's listener, which goes when its process ends and comes back with it.

use super::conn::Conn;
use super::{Shared, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at one time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// Until the next try, when a listener cannot be had.
const PAUSE: Duration = Duration::from_millis(50);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Listens whenever the node is up, until the simulation ends.
pub(crate) async fn run(mut listener: TcpListener, shared: Arc<Shared>, tracker: TaskTracker) {
    let node = shared.node;
    let mut view = shared.driver.view();
    let mut stops = view.borrow().stops[node];
    loop {
        let life = shared.shutdown.child_token();
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            ended = view.wait_for(|view| view.stops[node] != stops) => match ended {
                Ok(_) => {}
                Err(_) => return,
            },
            () = accept(&listener, &shared, &tracker, &life) => {}
        }
        life.cancel();
        drop(listener);
        // Nobody else shall get the port meanwhile; a socket that does not listen refuses connections.
        let reserved = reserve(shared.addr);
        shared.ports[node].listening.send_replace(false);
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            up = view.wait_for(|view| view.up[node]) => match up {
                Ok(view) => stops = view.stops[node],
                Err(_) => return,
            },
        }
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            again = listen(reserved, shared.addr) => listener = again,
        }
        shared.ports[node].listening.send_replace(true);
    }
}

fn reserve(addr: SocketAddr) -> Option<TcpSocket> {
    let reserved = (|| {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        Ok::<_, std::io::Error>(socket)
    })();
    reserved
        .inspect_err(|error| tracing::debug!(%addr, %error, "the port of a stopped node is not kept"))
        .ok()
}

async fn listen(mut reserved: Option<TcpSocket>, addr: SocketAddr) -> TcpListener {
    loop {
        let listening = match reserved.take().or_else(|| reserve(addr)) {
            Some(socket) => socket.listen(BACKLOG),
            None => Err(std::io::ErrorKind::AddrInUse.into()),
        };
        match listening {
            Ok(listener) => return listener,
            Err(error) => {
                tracing::warn!(%addr, %error, "a node cannot listen again yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    tracker: &TaskTracker,
    life: &CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (shared, life) = (shared.clone(), life.clone());
                tracker.spawn(async move {
                    tokio::select! {
                        () = shared.shutdown.cancelled() => {}
                        () = async {
                            if let Some(conn) = Conn::open(stream, shared.tls.as_ref()).await {
                                serve(conn, peer, &shared, &life).await;
                            }
                        } => {}
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
