//! Tasks as real HTTP servers on loopback.
//!
//! A port is bound when the task is offered, so that the number is known, but it refuses connections until the task
//! runs. After SIGTERM it goes on serving until the task is dead.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections one port of a task serves at a time.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take for one request.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// The longest request head.
const HEAD_MAX: usize = 16 * 1024;

/// The sockets of all tasks.
#[derive(Debug)]
pub(crate) struct Sockets {
    bound: HashMap<String, Vec<TcpSocket>>,
    serving: HashMap<String, CancellationToken>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Sockets {
    pub(crate) fn new(tracker: TaskTracker, shutdown: CancellationToken) -> Sockets {
        Sockets { bound: HashMap::new(), serving: HashMap::new(), tracker, shutdown }
    }

    /// Binds the wanted ports, 0 being any; all or none.
    pub(crate) fn bind(&mut self, task: &str, wanted: &[u16]) -> Option<Vec<u16>> {
        let bind = |&port: &u16| {
            let socket = TcpSocket::new_v4()?;
            // A fixed port shall be usable again as soon as the task before is gone.
            socket.set_reuseaddr(port != 0)?;
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
            let port = socket.local_addr()?.port();
            Ok::<_, std::io::Error>((socket, port))
        };
        let found: Result<Vec<_>, _> = wanted.iter().map(bind).collect();
        match found {
            Ok(found) => {
                let (sockets, ports) = found.into_iter().unzip();
                self.bound.insert(task.to_owned(), sockets);
                Some(ports)
            }
            Err(error) => {
                tracing::debug!(task, %error, "no ports for a task");
                None
            }
        }
    }

    /// The task runs: its ports answer.
    pub(crate) fn run(&mut self, task: &str) {
        let Some(sockets) = self.bound.remove(task) else { return };
        let stop = self.shutdown.child_token();
        for socket in sockets {
            match socket.listen(128) {
                Ok(listener) => {
                    let serving = serve(listener, task.to_owned(), stop.clone(), self.tracker.clone());
                    self.tracker.spawn(serving);
                }
                Err(error) => tracing::warn!(task, %error, "a task cannot listen"),
            }
        }
        self.serving.insert(task.to_owned(), stop);
    }

    /// The task is dead: its ports and connections are closed.
    pub(crate) fn end(&mut self, task: &str) {
        self.bound.remove(task);
        if let Some(stop) = self.serving.remove(task) {
            stop.cancel();
        }
    }
}

async fn serve(listener: TcpListener, task: String, stop: CancellationToken, tracker: TaskTracker) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: give others time to close some.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        let (task, stop) = (task.clone(), stop.clone());
        tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = tokio::time::timeout(REQUEST_TIME, answer(stream, &task)) => {}
            }
            drop(slot);
        });
    }
}

/// Answers any request with the task's id.
async fn answer(mut stream: TcpStream, task: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > HEAD_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let length = task.len();
    let body = if head.starts_with(b"HEAD ") { "" } else { task };
    let text = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
