//! A node for tests: memory store, one module that does as it is told, a Marathon that answers as it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mconn_model::{ModuleName, Snapshot, SourceId};
use mconn_module::{BoxFuture, Failure, Module, Outcome, Run, TaskStatus};
use mconn_queue::{
    ModuleSetup, Notice, QueueHandle, QueueTask, RunningList, RunningTask, RunningTasks, Settings,
};
use mconn_store::{Contents, MemoryStore, Store, StoreError, Write};
use mconn_web::{
    App, Build, Credentials, Follower, FollowerCounts, Limits, ReadyWhen, Seat, Served, StepDown, serve,
};
use serde_json::json;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, Ask, Connection};

/// Password of a Marathon, which nobody may ever see.
pub(crate) const SECRET: &str = "hush-hush";

/// Stores running tasks and forgets ended ones; waits for the gate if the preset says `hold`, fails if it says `fail`.
#[derive(Debug)]
struct TestModule {
    name: ModuleName,
    gate: Arc<Semaphore>,
}

impl Module for TestModule {
    fn name(&self) -> &ModuleName {
        &self.name
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn options(&self) -> serde_json::Value {
        assert!(self.name.as_str() != "Panics", "this module cannot even say what it is");
        json!({})
    }

    fn handle<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            if run.preset().options["hold"] == true {
                self.gate.acquire().await.unwrap().forget();
            }
            if run.preset().options["fail"] == true {
                return Failure::permanent("as the preset says").into();
            }
            match &run.event().status {
                TaskStatus::Running => run.put_item("", json!("test")),
                status if status.is_terminal() => run.remove_item(""),
                _ => return Outcome::UndefinedStatus,
            }
            Outcome::Finished
        })
    }
}

/// A store that can be made to hang.
struct Hanging {
    store: Arc<MemoryStore>,
    hangs: Arc<AtomicBool>,
}

impl Store for Hanging {
    fn load(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        self.store.load()
    }

    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>> {
        if self.hangs.load(Ordering::Relaxed) {
            Box::pin(std::future::pending())
        } else {
            self.store.commit(batch)
        }
    }

    fn location(&self) -> String {
        self.store.location()
    }

    fn record_limit(&self) -> Option<usize> {
        self.store.record_limit()
    }
}

type Listing = Result<Vec<RunningTask>, String>;

struct Marathon(Arc<Mutex<Listing>>);

impl RunningTasks for Marathon {
    fn fetch(&self) -> BoxFuture<'static, Result<RunningList, String>> {
        let listing = self.0.lock().unwrap().clone().map(|tasks| RunningList {
            tasks,
            complete: [None].into(),
            unread: 0,
        });
        Box::pin(async move { listing })
    }
}

/// How a node is started.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) credentials: Credentials,
    pub(crate) queue: Settings,
    pub(crate) modules: Vec<&'static str>,
    pub(crate) callbacks: bool,
    pub(crate) ready: ReadyWhen,
    /// Alone, if missing.
    pub(crate) seat: Option<watch::Receiver<Seat>>,
    pub(crate) authority: String,
    /// As on a node without others, if missing.
    pub(crate) step_down: Option<StepDown>,
    /// The most bytes that the store takes in one record, if there is a limit.
    pub(crate) record_limit: Option<usize>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            credentials: Credentials::Off,
            queue: Settings::default(),
            modules: vec!["Test"],
            callbacks: true,
            ready: ReadyWhen::EverySource,
            seat: None,
            authority: "node.example:1234".to_owned(),
            step_down: None,
            record_limit: None,
        }
    }
}

/// A node that runs.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) queue: QueueHandle,
    /// Ends the queue.
    pub(crate) queue_end: CancellationToken,
    pub(crate) queue_task: QueueTask,
    pub(crate) store: Arc<MemoryStore>,
    /// From now on the store never answers.
    pub(crate) hangs: Arc<AtomicBool>,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) running: Arc<Mutex<Listing>>,
    pub(crate) catalog: watch::Sender<Arc<Snapshot>>,
    pub(crate) exit: CancellationToken,
    pub(crate) cancel: CancellationToken,
    pub(crate) serving: JoinHandle<Served>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let store =
            Arc::new(setup.record_limit.map_or_else(MemoryStore::new, MemoryStore::with_record_limit));
        let hangs = Arc::new(AtomicBool::new(false));
        let gate = Arc::new(Semaphore::new(0));
        let running = Arc::new(Mutex::new(Ok(Vec::new())));
        let cancel = CancellationToken::new();
        let modules = setup.modules.iter().map(|name| ModuleSetup {
            module: Arc::new(TestModule { name: ModuleName::new(name).unwrap(), gate: gate.clone() }),
            concurrency: 1,
            folder: format!("{name}-folder"),
        });
        let queue_end = CancellationToken::new();
        let (queue, queue_task) = mconn_queue::start(
            setup.queue,
            modules.collect(),
            Arc::new(Hanging { store: store.clone(), hangs: hangs.clone() }),
            Some(Arc::new(Marathon(running.clone()))),
            Duration::from_secs(5),
            queue_end.clone(),
        )
        .await
        .unwrap();
        let (catalog, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let exit = CancellationToken::new();
        let app = App {
            seat: setup.seat.unwrap_or_else(|| {
                let authority = setup.authority.clone();
                let url = format!("http://{authority}");
                Seat::alone(queue.clone(), authority, url, "0.1.0".to_owned())
            }),
            authority: setup.authority,
            catalog: snapshots,
            followers: vec![Follower {
                source: SourceId::new("m").unwrap(),
                mark: None,
                counts: Arc::new(|| FollowerCounts { undecodable: 7, ..FollowerCounts::default() }),
            }],
            ready: setup.ready,
            credentials: setup.credentials,
            env: vec![
                ("MCONN_LOGGER_LEVEL".to_owned(), "3".to_owned()),
                ("MCONN_HOST".to_owned(), "node.example".to_owned()),
                ("MCONN_MARATHON_HOSTS".to_owned(), "***:***@marathon:8080".to_owned()),
            ],
            build: Build { version: "0.1.0".to_owned(), commit: Some("abc".to_owned()) },
            store: "memory".to_owned(),
            callbacks: setup.callbacks,
            exit: exit.clone(),
            step_down: setup.step_down.unwrap_or_else(|| StepDown::alone(exit.clone())),
        };
        let serving = tokio::spawn(serve(listener, app, setup.limits, cancel.clone()));
        Self {
            address,
            queue,
            queue_end,
            queue_task,
            store,
            hangs,
            gate,
            running,
            catalog,
            exit,
            cancel,
            serving,
        }
    }

    pub(crate) async fn open(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Asks on a connection of its own.
    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        self.open().await.ask(&ask).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.ask(Ask::new("GET", target)).await
    }

    pub(crate) async fn post(&self, target: &str, body: &str) -> Answer {
        self.ask(Ask::new("POST", target).json(body)).await
    }

    /// Stores an enabled preset for `app`.
    pub(crate) async fn preset(&self, app: &str, options: &str) {
        let body =
            format!(r#"{{"moduleName":"Test","appId":"{app}","status":"enabled","options":{options}}}"#);
        let answer = self.post("/v1/module/preset", &body).await;
        assert_eq!(answer.json()["status"], "ok", "{answer:?}");
    }

    /// Posts a status update.
    pub(crate) async fn event(&self, task: &str, status: &str, app: &str) -> Answer {
        self.post("/v1/queue", &event(task, status, app)).await
    }
}

/// A status update as Marathon sends it.
pub(crate) fn event(task: &str, status: &str, app: &str) -> String {
    json!({
        "eventType": "status_update_event", "timestamp": "2015-05-25T15:12:24.140Z", "slaveId": "s1",
        "taskId": task, "taskStatus": status, "appId": app, "host": "h", "ports": [31000],
        "version": "2015-05-25T15:12:20.000Z",
    })
    .to_string()
}

/// Waits for a notice.
pub(crate) async fn until(notices: &mut broadcast::Receiver<Arc<Notice>>, wanted: impl Fn(&Notice) -> bool) {
    while !wanted(&notices.recv().await.unwrap()) {}
}
