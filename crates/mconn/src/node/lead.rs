//! One of several nodes: takes part in the election, and has a queue for as long as it leads.
//!
//! ```text
//!   election --Term--> lead: store of that epoch --> queue --> Seats --> web server
//!       |                                              \----> Taker --> feed
//!       \----- Leadership ----------------------------------> Seats
//! ```
//!
//! Five parts: *entrance* makes sure that ZooKeeper lets this node in before it joins the line; *lead* runs one term after
//! the other; *vigil* sees the leader's process end before its session does; *election* passes on what is seen, and leaves at the end; *handover* gives up the lead as soon as the node is
//! to end. For a moment it then passes requests on to the next leader, before its own port closes.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mconn_leadership::{Leadership, NodeAddress};
use mconn_model::Timestamp;
use mconn_queue::{ModuleSetup, RunningTasks};
use mconn_store::{StoreError, StoreErrorKind};
use mconn_web::{Leader, Position, Seat, StepDown};
use mconn_wire::http::Credentials;
use mconn_zookeeper::election::{self, Election, ElectionHandle, ElectionSettings, LEADER_PATH, Term};
use mconn_zookeeper::{ErrorKind, Session, Settings, ZookeeperStore};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::feed::{self, Feed, Ring, Taker};
use super::seats::Seats;
use super::supervise::{Step, Supervisor};
use super::vigil;

/// After this a queue that does not stop is told about. The election's own limit comes later, and lets others go on.
const SLOW_STOP: Duration = Duration::from_secs(4);
/// How long a node that ends waits for the next leader, with its port open. A takeover takes some tens of milliseconds.
const HANDOVER: Duration = Duration::from_millis(400);
/// How long closing the session of the entrance may take.
const CLOSE: Duration = Duration::from_secs(2);
/// How often a node that does not lead looks at the line: what `/v1/members` shows there is so old at most. Costs a few reads
/// of ZooKeeper.
const REFRESH: Duration = Duration::from_secs(3);
/// The shortest pause between two looks at the entrance.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// What a queue needs, again for each lead.
pub(super) struct Work {
    pub(super) settings: mconn_queue::Settings,
    pub(super) modules: Vec<ModuleSetup>,
    pub(super) running: Option<Arc<dyn RunningTasks>>,
    pub(super) deadline: Duration,
}

/// What the rest of the node sees of it.
pub(super) struct Together {
    pub(super) seat: watch::Receiver<Seat>,
    pub(super) step_down: StepDown,
    pub(super) feed: Feed,
}

/// Takes part from now on. ZooKeeper may be away. `credentials` open every node's API. `exit` ends the node when it is to end after it has stepped down.
pub(super) fn start(
    zookeeper: &Settings,
    address: NodeAddress,
    work: Work,
    end_within: Duration,
    credentials: Option<Credentials>,
    exit: CancellationToken,
    supervisor: &mut Supervisor,
) -> Together {
    let now = Timestamp::from_system_time(SystemTime::now()).unwrap_or(Timestamp::from_millis(0));
    let (seats, seat) = Seats::new(Leadership::unknown(address.clone(), now));
    let seats = Arc::new(seats);
    let (taker, takers) = watch::channel(Taker::Nobody);
    let ring = Ring::new(zookeeper.session_timeout);
    let own = Leader { authority: address.host_port(), url: address.url.clone(), epoch: None };
    let settings = ElectionSettings {
        zookeeper: zookeeper.clone(),
        address,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rhythm: mconn_leadership::Settings {
            leave_limit: end_within,
            refresh: REFRESH,
            ..mconn_leadership::Settings::default()
        },
    };
    let Election { handle, terms, task } = election::start(settings);

    let token = supervisor.token(Step::Handover);
    supervisor.spawn(Step::Handover, "handover", hand_over(handle.clone(), seat.clone(), token));
    let feed = Feed { takers, ring: ring.clone(), leadership: Some(handle.view()) };
    let token = supervisor.token(Step::Intake);
    supervisor.spawn(Step::Intake, "entrance", enter(zookeeper.clone(), handle.clone(), token));
    let token = supervisor.token(Step::Intake);
    supervisor.spawn(Step::Intake, "vigil", vigil::keep(handle.clone(), credentials, token));
    let terms = Terms { handle: handle.clone(), terms, work, own, seats: seats.clone(), taker, ring };
    let token = supervisor.token(Step::Work);
    supervisor.spawn(Step::Work, "lead", terms.run(token));
    // One is enough: a second one asks for the same.
    let (orders, ordered) = mpsc::channel(1);
    let token = supervisor.token(Step::Storage);
    supervisor.spawn(Step::Storage, "election", async move {
        let mut task = pin!(task);
        tokio::select! {
            biased;
            ended = &mut task => return Err(format!("the election has ended by itself ({ended:?})")),
            () = pass_on(&handle, &seats, ordered, &exit, &token) => {}
        }
        handle.leave().await;
        task.await.map_err(|error| format!("the election's task failed: {error}"))
    });
    Together { step_down: step_down(orders, seat.clone()), seat, feed }
}

fn step_down(orders: mpsc::Sender<bool>, seat: watch::Receiver<Seat>) -> StepDown {
    StepDown::new(move |keep| {
        if keep && !seat.borrow().members.iter().any(|member| !member.is_self) {
            return Err("no other node could lead: this one is the only member".to_owned());
        }
        // A full channel means that one is under way.
        let _ = orders.try_send(keep);
        Ok(())
    })
}

/// At the end of the node: gives up the lead, and lets the others find out while this node can still pass requests on. The
/// supervisor bounds the wait.
async fn hand_over(
    handle: ElectionHandle,
    mut seat: watch::Receiver<Seat>,
    token: CancellationToken,
) -> Result<(), String> {
    token.cancelled().await;
    // Out of the line for good, leading or not, so that it does not get the lead now.
    if let Ok(true) = handle.step_down(false).await {
        let others = seat.borrow().members.iter().any(|member| !member.is_self);
        // Who is first in line has no epoch before it leads.
        let leads = |position: &Position| match position {
            Position::Following(leader) => leader.epoch.is_some(),
            Position::Leading(_) | Position::Vacant { .. } => false,
        };
        let taken = seat.wait_for(|seat| leads(&seat.position));
        if others && tokio::time::timeout(HANDOVER, taken).await.is_err() {
            warn!(context = "ZookeeperHandler", "no other node has taken the lead within {HANDOVER:?}");
        }
    }
    Ok(())
}

/// Keeps the seat up to date and steps down when asked to, until the node's turn to leave has come.
async fn pass_on(
    handle: &ElectionHandle,
    seats: &Seats,
    mut ordered: mpsc::Receiver<bool>,
    exit: &CancellationToken,
    token: &CancellationToken,
) {
    let mut view = handle.view();
    seats.see(view.borrow_and_update().clone());
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            changed = view.changed() => match changed {
                Ok(()) => seats.see(view.borrow_and_update().clone()),
                // The election's own end is told by its task.
                Err(_) => return token.cancelled().await,
            },
            Some(keep) = ordered.recv() => {
                // It has left already: then there is nothing to give up.
                let _ = handle.step_down(keep).await;
                if !keep {
                    exit.cancel();
                }
            }
        }
    }
}

/// Looks whether ZooKeeper lets this node do its work, for as long as that takes; then joins the line.
async fn enter(settings: Settings, handle: ElectionHandle, token: CancellationToken) -> Result<(), String> {
    let mut told = None;
    while !token.is_cancelled() {
        let Some(looked) = token.run_until_cancelled(examine(&settings)).await else { break };
        let Err(error) = looked else {
            handle.ready().await.map_err(|error| error.to_string())?;
            token.cancelled().await;
            break;
        };
        if matches!(error.kind, ErrorKind::NoAuth | ErrorKind::AuthFailed) {
            let set = if settings.auth.is_some() { "does not fit" } else { "is not set" };
            return Err(format!("{} (MCONN_ZK_AUTH {set})", error.message));
        }
        // That nobody answers is told by the election.
        if !error.kind.is_link() && told != Some(error.kind) {
            warn!(context = "ZookeeperHandler", "this node does not take part yet: {error}");
            told = Some(error.kind);
        }
        let pause = settings.retry_pause.mul_f64(fastrand::f64()).max(MIN_PAUSE);
        token.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}

/// Opens a session of its own, and reads what every node has to read. Creates the path if it is missing. Says how many nodes
/// there are.
async fn examine(settings: &Settings) -> Result<usize, mconn_zookeeper::Error> {
    let session = Session::open_once(settings.clone()).await?;
    let looked = look(&session).await;
    session.close(CLOSE).await;
    looked
}

/// How many nodes there are, as far as one may see. Changes nothing.
pub(crate) async fn look(session: &Session) -> Result<usize, mconn_zookeeper::Error> {
    let mut members = 0;
    for path in ["/", LEADER_PATH, "/mconn", "/modules"] {
        match session.children(path).await {
            Ok(names) if path == LEADER_PATH => members = names.len(),
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::NoNode => {}
            Err(error) => return Err(error),
        }
    }
    Ok(members)
}

/// This node's terms, one after the other.
struct Terms {
    handle: ElectionHandle,
    terms: mpsc::Receiver<Term>,
    work: Work,
    own: Leader,
    seats: Arc<Seats>,
    taker: watch::Sender<Taker>,
    ring: Ring,
}

impl Terms {
    async fn run(mut self, token: CancellationToken) -> Result<(), String> {
        loop {
            let term = tokio::select! {
                biased;
                () = token.cancelled() => return Ok(()),
                term = self.terms.recv() => term,
            };
            let Some(mut term) = term else {
                // The election has ended, and says why itself.
                token.cancelled().await;
                return Ok(());
            };
            let led = self.lead(&mut term, &token).await;
            self.seats.vacate();
            self.taker.send_replace(Taker::Nobody);
            term.stopped(led.as_ref().err().map(|error| error.message.clone()));
            if let Err(error) = led
                && error.kind == StoreErrorKind::TooNew
            {
                // It would be so again each time, and this node in the way of others that can.
                return Err(error.message);
            }
        }
    }

    /// Leads until the term is over or something fails. When this returns, nothing of it runs any more.
    async fn lead(&self, term: &mut Term, token: &CancellationToken) -> Result<(), StoreError> {
        self.taker.send_replace(Taker::Soon);
        let store = Arc::new(ZookeeperStore::new(term.session().clone(), term.fence()));
        let stop = CancellationToken::new();
        let Work { settings, modules, running, deadline } = &self.work;
        let settings = mconn_queue::Settings { seed: fastrand::u64(..), ..settings.clone() };
        let taking_over =
            mconn_queue::start(settings, modules.clone(), store, running.clone(), *deadline, stop.clone());
        let taken_over = tokio::select! {
            biased;
            () = over(term, token) => return Ok(()),
            taken_over = taking_over => taken_over,
        };
        let (queue, task) = taken_over?;
        let epoch = term.epoch();
        let leader = Leader { epoch: u64::try_from(epoch.0).ok(), ..self.own.clone() };
        let serve = || self.seats.serve(epoch, Position::leading(queue.clone(), leader));
        tokio::select! {
            biased;
            () = over(term, token) => {}
            () = feed::take_up(&self.taker, &self.ring, &queue, serve) => {}
        }
        term.serving();
        let mut ended = pin!(task.join());
        tokio::select! {
            biased;
            () = over(term, token) => {}
            ended = &mut ended => {
                return Err(ended.err().unwrap_or_else(|| {
                    StoreError::new(StoreErrorKind::Unavailable, "the queue has ended by itself")
                }));
            }
        }
        if token.is_cancelled() {
            // Says the reason, and that this node does not want the lead again.
            let _ = self.handle.step_down(false).await;
        }
        // Requests go elsewhere before the queue refuses them.
        self.seats.vacate();
        self.taker.send_replace(Taker::Nobody);
        stop.cancel();
        let stopped = match tokio::time::timeout(SLOW_STOP, &mut ended).await {
            Ok(stopped) => stopped,
            Err(_) => {
                warn!(
                    context = "QueueManager",
                    "the queue has not stopped within {SLOW_STOP:?}: a run of a module does not end; waiting on"
                );
                ended.await
            }
        };
        match stopped {
            Ok(()) => info!(context = "QueueManager", %epoch, "The queue has stopped"),
            Err(error) => warn!(
                context = "QueueManager",
                %epoch, "The queue has stopped; what was under way runs again at the next leader: {}", error.message
            ),
        }
        Ok(())
    }
}

/// Until this node is to lead no more.
async fn over(term: &Term, token: &CancellationToken) {
    tokio::select! {
        () = term.cancelled().cancelled() => {}
        () = token.cancelled() => {}
    }
}
