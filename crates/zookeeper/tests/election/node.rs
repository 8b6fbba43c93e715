//! A node that takes part, with a consumer that takes its terms, and the record of what all nodes did.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use mconn_leadership::{Epoch, Leadership, MemberName, NodeAddress, Role};
use mconn_zookeeper::election::{self, Election, ElectionHandle, ElectionSettings, LEADER_PATH, Term};
use mconn_zookeeper::testing::{Ensemble, Options};
use mconn_zookeeper::{Session, Settings};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// More than anything here takes on a loaded machine. What waits for so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a node's consumer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Did {
    Lead(Epoch),
    Stop(Epoch),
}

/// What all nodes did, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<(String, Did)>>>);

impl Record {
    fn note(&self, node: &str, did: Did) {
        self.0.lock().unwrap().push((node.to_owned(), did));
    }

    pub(crate) fn all(&self) -> Vec<(String, Did)> {
        self.0.lock().unwrap().clone()
    }

    /// Leads never overlap, and each epoch is higher than the one before.
    pub(crate) fn check(&self) {
        let mut open: Option<(String, Epoch)> = None;
        let mut last = Epoch(0);
        for (node, did) in self.all() {
            match did {
                Did::Lead(epoch) => {
                    assert!(epoch > last, "epoch {epoch} after {last}: {:?}", self.all());
                    assert_eq!(open, None, "{node} leads while another does: {:?}", self.all());
                    last = epoch;
                    open = Some((node, epoch));
                }
                Did::Stop(epoch) => {
                    assert_eq!(open.take(), Some((node, epoch)), "{:?}", self.all());
                }
            }
        }
    }
}

/// One ensemble for all tests of this program; it ends with the process.
fn ensemble() -> &'static Ensemble {
    static ENSEMBLE: OnceLock<Ensemble> = OnceLock::new();
    ENSEMBLE.get_or_init(|| {
        let tick = Duration::from_millis(300);
        Ensemble::start(&Options { tick, ..Options::default() })
    })
}

/// The server of [`ensemble`].
pub(crate) fn server() -> SocketAddr {
    ensemble().address(0)
}

/// A path of its own, so that tests do not meet.
pub(crate) fn fresh_path() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("/test/election-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Settings for a node or a spectator.
pub(crate) fn settings(server: SocketAddr, path: &str, session: Duration) -> Settings {
    let mut settings = Settings::new(&server.to_string(), path).unwrap();
    settings.session_timeout = session;
    settings.connect_deadline = Duration::from_secs(2);
    settings.call_deadline = Duration::from_secs(3);
    settings.retry_pause = Duration::from_millis(300);
    settings
}

/// Short enough to wait for its end.
pub(crate) const SHORT: Duration = Duration::from_millis(1500);

/// So long that nothing in a test can be due to its end: the longest that the server grants.
pub(crate) const LONG: Duration = Duration::from_secs(6);

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) handle: ElectionHandle,
    pub(crate) view: watch::Receiver<Leadership>,
    task: JoinHandle<()>,
    consumer: JoinSet<()>,
}

impl Node {
    /// Takes part and is ready.
    pub(crate) async fn join(name: &str, zookeeper: Settings, record: &Record) -> Self {
        let node = Self::watch(name, zookeeper, record);
        node.handle.ready().await.unwrap();
        node
    }

    /// Takes part without being ready.
    pub(crate) fn watch(name: &str, zookeeper: Settings, record: &Record) -> Self {
        Self::refreshing(name, zookeeper, record, Duration::from_secs(2))
    }

    /// The same, looking around so often.
    pub(crate) fn refreshing(name: &str, zookeeper: Settings, record: &Record, refresh: Duration) -> Self {
        let rhythm = mconn_leadership::Settings { refresh, ..mconn_leadership::Settings::default() };
        let settings =
            ElectionSettings { zookeeper, address: address(name), version: "1.0".to_owned(), rhythm };
        let election = election::start(settings);
        let mut consumer = JoinSet::new();
        consumer.spawn(consume(name.to_owned(), election.terms, record.clone()));
        let view = election.handle.view();
        Self { name: name.to_owned(), handle: election.handle, view, task: election.task, consumer }
    }

    /// Waits until this node's view is so.
    pub(crate) async fn until(&mut self, what: &str, mut is: impl FnMut(&Leadership) -> bool) -> Leadership {
        let waiting = self.view.wait_for(|view| is(view));
        if let Ok(view) = tokio::time::timeout(PATIENCE, waiting).await {
            return view.expect("the election runs").clone();
        }
        panic!("{}: never {what}: {:?}", self.name, *self.view.borrow())
    }

    pub(crate) async fn until_leads(&mut self) -> Epoch {
        let view = self.until("leads", |view| matches!(view.role, Role::Leading { .. })).await;
        view.leads().unwrap()
    }

    pub(crate) async fn until_follows(&mut self, leader: &str) -> Leadership {
        let leader = address(leader);
        let follows = |view: &Leadership| {
            view.role == Role::Following && view.to_ask().is_some_and(|known| known.address == leader)
        };
        self.until("follows", follows).await
    }

    pub(crate) async fn member(&mut self) -> MemberName {
        let view = self.until("is in the line", |view| view.member.is_some()).await;
        view.member.unwrap()
    }

    /// Leaves and waits for the end of its tasks.
    pub(crate) async fn leave(mut self) {
        tokio::time::timeout(PATIENCE, self.handle.leave()).await.expect("leaving has a limit");
        self.task.await.expect("the election does not panic");
        while let Some(ended) = self.consumer.join_next().await {
            ended.expect("the consumer does not panic");
        }
    }
}

pub(crate) fn address(name: &str) -> NodeAddress {
    NodeAddress { host: name.to_owned(), port: 1234, url: format!("http://{name}:1234") }
}

/// An election whose terms the test takes itself.
pub(crate) fn bare(name: &str, path: &str) -> Election {
    election::start(ElectionSettings {
        zookeeper: settings(server(), path, LONG),
        address: address(name),
        version: "1.0".to_owned(),
        rhythm: mconn_leadership::Settings {
            stop_limit: Duration::from_secs(1),
            ..mconn_leadership::Settings::default()
        },
    })
}

async fn consume(name: String, mut terms: mpsc::Receiver<Term>, record: Record) {
    while let Some(mut term) = terms.recv().await {
        record.note(&name, Did::Lead(term.epoch()));
        term.serving();
        term.cancelled().cancelled().await;
        record.note(&name, Did::Stop(term.epoch()));
        term.stopped(None);
    }
}

/// A session of its own to look with.
pub(crate) async fn spectator(path: &str) -> Session {
    let opening = async {
        loop {
            if let Ok(session) = Session::open_once(settings(server(), path, LONG)).await {
                return session;
            }
        }
    };
    tokio::time::timeout(PATIENCE, opening).await.expect("the ensemble serves")
}

/// The names of all members, first to last.
pub(crate) async fn members(spectator: &Session) -> Vec<MemberName> {
    spectator.sync(LEADER_PATH).await.unwrap();
    let names = spectator.children(LEADER_PATH).await.unwrap();
    let mut names: Vec<_> = names.iter().filter_map(|name| MemberName::parse(name)).collect();
    names.sort();
    names
}

/// Waits until there are so many members.
pub(crate) async fn until_members(spectator: &Session, count: usize) -> Vec<MemberName> {
    let looking = async {
        loop {
            let (_, watch) = spectator.children_and_watch(LEADER_PATH).await.unwrap();
            let names = members(spectator).await;
            if names.len() == count {
                return names;
            }
            watch.changed().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never {count} members"))
}

/// Waits until these nodes, and no others, stand in line in this order, and know it.
pub(crate) async fn until_line(spectator: &Session, nodes: &mut [&mut Node]) {
    let names = until_members(spectator, nodes.len()).await;
    for (node, name) in nodes.iter_mut().zip(names) {
        node.until("is where it should be in the line", |view| view.member == Some(name)).await;
    }
}
