//! How many events a second `POST /v1/queue` takes, with the load from this process over loopback:
//! `cargo run --release -p mconn-web --example intake [connections] [seconds] [1: through a follower]`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mconn_model::{ModuleName, Snapshot};
use mconn_module::{BoxFuture, Module, Outcome, Run};
use mconn_queue::{ModuleSetup, RunningList, RunningTasks, Settings};
use mconn_web::{App, Build, Credentials, Leader, Limits, Position, Seat, StepDown, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

struct Idle(ModuleName);

impl Module for Idle {
    fn name(&self) -> &ModuleName {
        &self.0
    }

    fn handle<'a>(&'a self, _: &'a mut Run) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Finished })
    }
}

struct Nothing;

impl RunningTasks for Nothing {
    fn fetch(&self) -> BoxFuture<'static, Result<RunningList, String>> {
        Box::pin(async { Ok(RunningList::default()) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).filter_map(|number| number.parse::<u64>().ok());
    let (connections, seconds) = (numbers.next().unwrap_or(32), numbers.next().unwrap_or(5));
    let module = Arc::new(Idle(ModuleName::new("Idle")?));
    let setup = ModuleSetup { module, concurrency: 1, folder: "Idle".to_owned() };
    let cancel = CancellationToken::new();
    let store = Arc::new(mconn_store::MemoryStore::new());
    let deadline = Duration::from_secs(5);
    let (queue, _task) = mconn_queue::start(
        Settings::default(),
        vec![setup],
        store,
        Some(Arc::new(Nothing)),
        deadline,
        cancel.clone(),
    )
    .await?;
    let (_catalog, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut app = App {
        seat: Seat::alone(queue, address.to_string(), format!("http://{address}"), "load".to_owned()),
        authority: address.to_string(),
        catalog: snapshots,
        followers: Vec::new(),
        ready: mconn_web::ReadyWhen::NoSource,
        credentials: Credentials::Off,
        env: Vec::new(),
        build: Build { version: "load".to_owned(), commit: None },
        store: "memory".to_owned(),
        callbacks: true,
        exit: CancellationToken::new(),
        step_down: StepDown::alone(CancellationToken::new()),
    };
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(serve(listener, app.clone(), Limits::default(), cancel.clone()));
    let through_follower = numbers.next().is_some_and(|followers| followers > 0);
    let address = if through_follower {
        let leader =
            Leader { authority: address.to_string(), url: format!("http://{address}"), epoch: Some(1) };
        let seat = Seat { position: Position::following(leader), members: Arc::from([]), apart: None };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        (app.seat, app.authority) = (watch::channel(seat).1, address.to_string());
        serving.spawn(serve(listener, app, Limits::default(), cancel.clone()));
        address
    } else {
        address
    };
    let accepted = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..connections {
        let accepted = accepted.clone();
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut answer = vec![0; 4096];
            let mut number = 0_u64;
            while Instant::now() < end {
                number += 1;
                let body = format!(
                    "{{\"slaveId\":\"s\",\"taskId\":\"app.{client}-{number}\",\"taskStatus\":\"TASK_RUNNING\",\
                     \"appId\":\"/app\",\"host\":\"agent\",\"ports\":[31000],\"version\":\"v\",\
                     \"eventType\":\"status_update_event\",\"timestamp\":\"2026-01-05T10:00:00.480Z\"}}"
                );
                let request = format!(
                    "POST /v1/queue HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(request.as_bytes()).await?;
                // One answer is one write, and small.
                let read = stream.read(&mut answer).await?;
                if answer[..read].starts_with(b"HTTP/1.1 200") {
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<_, std::io::Error>(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    println!("{} events a second", accepted.load(Ordering::Relaxed) / seconds.max(1));
    cancel.cancel();
    serving.join_all().await;
    Ok(())
}
