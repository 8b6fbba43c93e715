//! The smallest Marathon that MConn's own tests use: it knows `GET /v2/tasks` and nothing else.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server on a free port. Ends when it is dropped.
#[derive(Debug)]
pub struct FakeMarathon {
    /// `host:port`.
    pub address: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    status: u16,
    body: String,
    requests: Vec<String>,
}

impl Drop for FakeMarathon {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeMarathon {
    /// Starts it without tasks.
    ///
    /// # Panics
    /// If no port can be had.
    pub async fn start() -> Self {
        Self::on("127.0.0.1:0").await
    }

    /// Starts it on this address.
    ///
    /// # Panics
    /// If the address cannot be had.
    pub async fn on(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = State { status: 200, body: json!({"tasks": []}).to_string(), requests: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, shared.clone()));
            }
        });
        Self { address, state, task }
    }

    /// From now on it lists these tasks of `/dev-app-1`.
    pub fn tasks(&self, ids: &[&str]) {
        self.tasks_of("/dev-app-1", ids);
    }

    /// From now on it lists these tasks of an app.
    pub fn tasks_of(&self, app: &str, ids: &[&str]) {
        let tasks: Vec<Value> = ids
            .iter()
            .map(|id| {
                json!({
                    "appId": app, "id": id, "host": "ac3.kiel", "ports": [31001, 31002, 31003, 31004],
                    "startedAt": "2014-08-28T12:16:28.930Z", "stagedAt": "2014-08-28T12:16:28.930Z",
                    "version": "2014-08-28T12:16:28.930Z", "servicePorts": [10004],
                })
            })
            .collect();
        self.answers(200, &json!({"tasks": tasks}).to_string());
    }

    /// From now on it answers this.
    ///
    /// # Panics
    /// Never.
    pub fn answers(&self, status: u16, body: &str) {
        let mut state = self.state.lock().expect("no test panics in here");
        state.status = status;
        body.clone_into(&mut state.body);
    }

    /// Request lines of `/v2/tasks` so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().expect("no test panics in here").requests.clone()
    }
}

/// One request per connection.
async fn answer(mut socket: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let (status, body) = {
        let mut state = state.lock().expect("no test panics in here");
        if line.starts_with("GET /v2/tasks") {
            state.requests.push(line);
            (state.status, state.body.clone())
        } else {
            (404, json!({"message": "URI not found"}).to_string())
        }
    };
    let answer = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // The client may have gone.
    let _ = socket.write_all(answer.as_bytes()).await;
}
