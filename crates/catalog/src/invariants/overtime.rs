//! What holds over time, for whoever knows the truth beside the snapshots: simulations and property tests.
//!
//! A [`Watcher`] is fed with each published snapshot and asks a [`World`] what is true of the tasks in it. It has no
//! clock, and no opinion on how the truth came to be known.
//!
//! ```text
//!   Snapshot --\
//!   now --------- Watcher::observe --> [Broken]      (each law that does not hold, with what happened)
//!   World -----/
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use mconn_model::{AppId, Endpoint, Rule, Snapshot, SourceId, TaskEntry, TaskId, Timestamp, VerdictKind};

/// The laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// No task is routable before it was ready once.
    ReadyFirst,
    /// No task stays routable after a hint has reached the catalog that it will go.
    Told,
    /// No task stays routable long after such a hint was given, even if the hint was lost on its way.
    Lost,
    /// A routable task that nothing speaks against stays routable with all its ports: what it takes is not a leader
    /// change, not a lost stream, not an old answer.
    Steady,
    /// A routable endpoint is where its task really listens.
    Place,
    /// What is known equals the truth once it has been left alone for long enough.
    Agreement,
    /// Marathon is not asked more often than was settled.
    Budget,
    /// A stream that has gone silent is left in time, and what is attached is compared at once.
    Fresh,
}

/// A law that does not hold, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub law: Law,
    /// What happened.
    pub what: String,
}

impl Broken {
    /// What all breaks of one kind have in common: the law, and the words without names, numbers and details.
    #[must_use]
    pub fn kind(&self) -> String {
        let told = self.what.split(';').next().unwrap_or_default();
        let words =
            told.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit() || c == '/'));
        format!("{:?}: {}", self.law, words.collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.what)
    }
}

/// What is true of a task now. Times are on the clock of the snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// When it ran, passed all checks of its definition, and was ready for the first time.
    pub first_ready: Option<Duration>,
    /// What it lacks to be ready, for people.
    pub lacks: &'static str,
    /// When the first hint reached the catalog, in an event or in an answer, that it will go or has gone, and which.
    pub told: Option<(Duration, &'static str)>,
    /// Since when a hint is given that may have been lost, and nothing has hindered the catalog from asking.
    pub given: Option<Duration>,
    /// It runs, no check is failing, it is ready, and nobody wants it to go.
    pub good: bool,
    /// Something reached the catalog that spoke against it, true or not, after the last snapshot in which it was
    /// routable was published.
    pub doubted: bool,
}

/// Who knows the truth.
pub trait World {
    /// The truth about a task. One that never was is [`Known::default`].
    fn known(&self, source: &SourceId, task: &TaskId) -> Known;

    /// Whether this is where the port really is reached.
    fn is_place(&self, endpoint: &Endpoint) -> bool;
}

/// How long what takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// From a hint's arrival until no snapshot shows the task as routable.
    pub told: Duration,
    /// The same from a hint that was lost: the next comparison, its answer, and a pause after a failure.
    pub lost: Duration,
}

/// Watches the snapshots of one catalog.
#[derive(Debug)]
pub struct Watcher {
    bounds: Bounds,
    /// Tasks that were routable in the snapshot before, with the port indices of their endpoints.
    routable: BTreeMap<(SourceId, TaskId), (AppId, Vec<usize>)>,
    /// A task breaks a law once; what follows from that is no news.
    known: BTreeSet<(Law, SourceId, TaskId)>,
}

impl Watcher {
    /// A watcher that has seen nothing yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, routable: BTreeMap::new(), known: BTreeSet::new() }
    }

    /// Whether the task was routable in the snapshot before.
    #[must_use]
    pub fn was_routable(&self, source: &SourceId, task: &TaskId) -> bool {
        self.routable.contains_key(&(source.clone(), task.clone()))
    }

    /// Takes the snapshot that is the published one at `now`, new or not: a task may have become overdue in an old one.
    pub fn observe(&mut self, snapshot: &Snapshot, now: Duration, world: &impl World) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut routable = BTreeMap::new();
        for entry in snapshot.apps.values() {
            for task in entry.tasks.iter().filter(|task| is_routable(task)) {
                let known = world.known(&entry.source, &task.task.id);
                let found = self.judge(task, known, now);
                broken.extend(
                    found.into_iter().map(|found| (entry.source.clone(), task.task.id.clone(), found)),
                );
                for endpoint in task.endpoints.iter().filter(|endpoint| !world.is_place(endpoint)) {
                    let what = format!(
                        "{}: port {} is not at {}",
                        task.task.id, endpoint.port_index, endpoint.transport
                    );
                    let found = Broken { law: Law::Place, what };
                    broken.push((entry.source.clone(), task.task.id.clone(), found));
                }
                let ports: Vec<usize> = task.endpoints.iter().map(|endpoint| endpoint.port_index).collect();
                routable.insert((entry.source.clone(), task.task.id.clone()), (entry.id.clone(), ports));
            }
        }
        for ((source, task), (app, ports)) in &self.routable {
            let still = routable.get(&(source.clone(), task.clone()));
            if still.is_some_and(|(_, now)| ports.iter().all(|port| now.contains(port))) {
                continue;
            }
            let known = world.known(source, task);
            if known.good && !known.doubted {
                let what = format!("{task}: was routable, is {}", shown(snapshot, source, app, task));
                broken.push((source.clone(), task.clone(), Broken { law: Law::Steady, what }));
            }
        }
        self.routable = routable;
        broken.retain(|(source, task, broken)| self.known.insert((broken.law, source.clone(), task.clone())));
        broken.into_iter().map(|(.., broken)| broken).collect()
    }

    fn judge(&self, task: &TaskEntry, known: Known, now: Duration) -> Vec<Broken> {
        let mut broken = Vec::new();
        let (id, rule) = (&task.task.id, task.verdict.rule.as_str());
        // Who was admitted without memory was not known to be ready: that is the point of it.
        let admitted = task.verdict.rule == Rule::Admitted;
        if !admitted && known.first_ready.is_none_or(|at| at > now) {
            let what = format!("{id}: is routable by {rule}, never was ready: {}", known.lacks);
            broken.push(Broken { law: Law::ReadyFirst, what });
        }
        let late = |since: Duration| now.saturating_sub(since);
        if let Some((since, by)) = known.told.filter(|(since, _)| late(*since) > self.bounds.told) {
            let late = late(since);
            let what = format!("{id}: is routable by {rule} {late:?} after {by}");
            broken.push(Broken { law: Law::Told, what });
        } else if let Some(since) = known.given.filter(|since| late(*since) > self.bounds.lost) {
            let late = late(since);
            let what = format!("{id}: is routable by {rule} {late:?} after a hint that was lost");
            broken.push(Broken { law: Law::Lost, what });
        }
        broken
    }
}

fn is_routable(task: &TaskEntry) -> bool {
    task.verdict.kind == VerdictKind::Routable
}

fn shown(snapshot: &Snapshot, source: &SourceId, app: &AppId, task: &TaskId) -> String {
    let Some(entry) = snapshot.apps.get(&(source.clone(), app.clone())) else {
        return "gone with its app".into();
    };
    match entry.tasks.iter().find(|entry| entry.task.id == *task) {
        None => "gone".into(),
        Some(entry) => {
            let ports: Vec<_> = entry.endpoints.iter().map(|endpoint| endpoint.port_index).collect();
            let (kind, rule) = (entry.verdict.kind.as_str(), entry.verdict.rule.as_str());
            format!("{kind} by {rule}; {}, ports {ports:?}, {:?}", entry.task.status, entry.unresolved)
        }
    }
}

/// What a snapshot should say of a task that was left alone for long enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its app.
    pub app: AppId,
    /// Marathon's name of its state.
    pub status: &'static str,
    /// Whether it should get traffic.
    pub routable: bool,
    /// `address:port` by port index; compared if it should get traffic.
    pub places: Vec<(usize, String)>,
}

/// Everything that a snapshot should say of one source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// The visible apps, with their versions.
    pub apps: BTreeMap<AppId, Timestamp>,
    /// Apps that changed too short a time ago to be compared, with their tasks.
    pub moving: Vec<AppId>,
    /// Tasks of the other apps; `None` for one that changed too short a time ago.
    pub tasks: BTreeMap<TaskId, Option<Expected>>,
}

/// Compares a snapshot with the truth, in both directions.
#[must_use]
pub fn agree(snapshot: &Snapshot, source: &SourceId, truth: &Settled) -> Vec<Broken> {
    let mut differences = Vec::new();
    let entries = || snapshot.apps.values().filter(|entry| entry.source == *source);
    for (id, version) in &truth.apps {
        match snapshot.apps.get(&(source.clone(), id.clone())) {
            _ if truth.moving.contains(id) => {}
            None => differences.push(format!("{id} is missing")),
            Some(entry) => {
                let known = entry.app.as_ref().and_then(|app| app.version);
                if known != Some(*version) {
                    differences.push(format!("{id} is at {version}, not at {known:?}"));
                }
            }
        }
    }
    for entry in entries().filter(|entry| !truth.moving.contains(&entry.id)) {
        if !truth.apps.contains_key(&entry.id) {
            differences.push(format!("{} does not exist, nor do its {} tasks", entry.id, entry.tasks.len()));
        }
    }
    let mut tasks: BTreeMap<&TaskId, &TaskEntry> = BTreeMap::new();
    for entry in entries().filter(|entry| !truth.moving.contains(&entry.id)) {
        tasks.extend(entry.tasks.iter().map(|task| (&task.task.id, &**task)));
    }
    for (id, expected) in &truth.tasks {
        match (tasks.remove(id), expected) {
            (_, None) => {}
            (None, Some(_)) => differences.push(format!("{id} is missing")),
            (Some(task), Some(expected)) => differences.extend(differs(task, expected)),
        }
    }
    differences.extend(tasks.keys().map(|id| format!("{id} does not exist")));
    differences.into_iter().map(|what| Broken { law: Law::Agreement, what }).collect()
}

fn differs(task: &TaskEntry, expected: &Expected) -> Option<String> {
    let id = &task.task.id;
    if task.task.status.as_str() != expected.status {
        return Some(format!("{id} is {}, not {}", expected.status, task.task.status));
    }
    if is_routable(task) != expected.routable {
        let not = if expected.routable { "not " } else { "" };
        return Some(format!("{id} is {not}routable by {}", task.verdict.rule.as_str()));
    }
    let places: Vec<_> =
        task.endpoints.iter().map(|endpoint| (endpoint.port_index, endpoint.transport.to_string())).collect();
    (expected.routable && places != expected.places)
        .then(|| format!("{id} is at {:?}, not at {places:?}", expected.places))
}

/// Counts requests.
#[derive(Debug, Clone)]
pub struct Budget {
    per_minute: usize,
    burst: usize,
    sent: VecDeque<Duration>,
}

impl Budget {
    /// So many in any minute, and so many more at once after a quiet time.
    #[must_use]
    pub fn new(per_minute: u32, burst: u32) -> Self {
        Self { per_minute: per_minute as usize, burst: burst as usize, sent: VecDeque::new() }
    }

    /// Whether more were made in the last minute than without a quiet time before it.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.sent.len() >= self.per_minute
    }

    /// Takes one request into account.
    pub fn sent(&mut self, now: Duration) -> Option<Broken> {
        let minute = Duration::from_secs(60);
        while self.sent.front().is_some_and(|at| *at + minute <= now) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
        let (sent, most) = (self.sent.len(), self.per_minute + self.burst);
        (sent > most).then(|| Broken {
            law: Law::Budget,
            what: format!("{sent} requests in a minute, {most} are allowed"),
        })
    }
}
