//! Judges what happened: the history of what was sent and answered, against what the nodes show and what ZooKeeper has
//! recorded. Pure, so that its own tests can feed it histories that are wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use super::written::{Change, Entry, Written};

/// What a task's event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The module makes an item.
    Running,
    /// The module removes it.
    Killed,
}

impl Status {
    /// As Marathon writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "TASK_RUNNING",
            Self::Killed => "TASK_KILLED",
        }
    }
}

/// What became of one attempt to post an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 200 with a task id.
    Accepted,
    /// There was no connection, so nothing was sent.
    NotSent,
    /// Another whole answer. It may have been accepted all the same, but never after that answer.
    Refused,
    /// The connection broke or nothing came in time. Whoever had the request may have acted on it later.
    Unclear,
}

/// An event and every attempt to post it. The next event of its task is sent only after one was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Unique among all events.
    pub number: u64,
    /// What it says.
    pub status: Status,
    /// What became of each attempt.
    pub attempts: Vec<Outcome>,
}

impl Step {
    fn is_accepted(&self) -> bool {
        self.attempts.contains(&Outcome::Accepted)
    }

    /// Whether a copy of it may turn up at any time.
    fn may_be_late(&self) -> bool {
        self.attempts.contains(&Outcome::Unclear)
    }
}

/// A leadership as a node has shown it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// Its number.
    pub epoch: i32,
    /// `host:port` of the leader.
    pub leader: String,
}

/// A module is through with an event, as a node's log tells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ran {
    /// Its task.
    pub task: String,
    /// The task's new state.
    pub status: String,
}

impl Ran {
    /// What a line of the log tells, if it tells that.
    #[must_use]
    pub fn of_line(line: &str) -> Option<Self> {
        let id = line.split_once("\" state changed to \"finished\"!")?.0.rsplit_once('"')?.1;
        let (task, status) = id.split_once('_')?;
        Some(Self { task: task.to_owned(), status: status.to_owned() })
    }
}

/// Everything that is known in the end.
#[derive(Debug, Default)]
pub struct History {
    /// Each task's events, in the order in which they were sent.
    pub tasks: BTreeMap<String, Vec<Step>>,
    /// The keys of the inventory as each node shows them, by the node's name.
    pub inventories: Vec<(String, BTreeSet<String>)>,
    /// Leaderships that nodes have shown.
    pub sightings: BTreeSet<Sighting>,
    /// What ZooKeeper has recorded.
    pub written: Written,
    /// What each process says that it has done, in its order. The last lines of one that was killed may be missing.
    pub ran: Vec<Vec<Ran>>,
}

/// What must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// An acknowledged event was never put into the journal.
    NotDurable(String),
    /// No module was ever through with an acknowledged event.
    NotHandled(String),
    /// What a task's last acknowledged event did is not there.
    Lost(String),
    /// A copy of an event came into the journal after a later event of its task.
    OutOfOrder(String),
    /// A process has handled a task's events in another order.
    RanOutOfOrder(String),
    /// The inventory has something that nobody sent.
    Invented(String),
    /// Two nodes show different inventories.
    Differs(String),
    /// One epoch, two leaders.
    TwoLeaders(String),
    /// A write that checked no epoch.
    Unfenced(String),
    /// A write under an epoch that was over.
    Deposed(String),
    /// Epochs do not grow.
    Backwards(String),
    /// A place in the journal that two events have had.
    PlaceTwice(u64),
    /// Something in the journal that nobody could read.
    Unreadable(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDurable(what) => write!(f, "acknowledged and never in the journal: {what}"),
            Self::Lost(what) => write!(f, "acknowledged and lost: {what}"),
            Self::NotHandled(what) => write!(f, "acknowledged and never handled: {what}"),
            Self::RanOutOfOrder(what) => write!(f, "handled out of order: {what}"),
            Self::OutOfOrder(what) => write!(f, "out of order: {what}"),
            Self::Invented(what) => write!(f, "in the inventory and never sent: {what}"),
            Self::Differs(what) => write!(f, "nodes disagree: {what}"),
            Self::TwoLeaders(what) => write!(f, "two leaders in one epoch: {what}"),
            Self::Unfenced(what) => write!(f, "written without a check of the epoch: {what}"),
            Self::Deposed(what) => write!(f, "written by a deposed leader: {what}"),
            Self::Backwards(what) => write!(f, "epochs do not grow: {what}"),
            Self::PlaceTwice(place) => write!(f, "two events have had place {place} of the journal"),
            Self::Unreadable(what) => write!(f, "unreadable in the journal: {what}"),
        }
    }
}

/// What was judged, so that a check that had nothing to look at is noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judged {
    /// Events that were acknowledged.
    pub acknowledged: usize,
    /// Tasks whose item, or its absence, was judged.
    pub ends: usize,
    /// Tasks of which a copy may turn up late, so that only what is certain was judged.
    pub unclear: usize,
    /// Writes of leaders.
    pub writes: usize,
    /// Leaderships.
    pub epochs: usize,
    /// Transactions that ZooKeeper refused.
    pub refused: usize,
}

/// Everything that is wrong.
#[must_use]
pub fn check(history: &History) -> (Vec<Violation>, Judged) {
    let mut violations = Vec::new();
    let mut judged = Judged {
        writes: history.written.writes.len(),
        epochs: history.written.claims.len(),
        refused: history.written.refused,
        ..Judged::default()
    };
    events(history, &mut violations, &mut judged);
    runs(history, &mut violations);
    inventories(history, &mut violations, &mut judged);
    leaders(history, &mut violations);
    (violations, judged)
}

/// Every acknowledged event is in the journal, and each task's events are there in their order.
fn events(history: &History, violations: &mut Vec<Violation>, judged: &mut Judged) {
    let mut places: HashMap<(&str, &str, u64), Vec<u64>> = HashMap::new();
    for Entry { place, task, status, number } in &history.written.journal {
        let Some(number) = number else { continue };
        places.entry((task, status, *number)).or_default().push(*place);
    }
    violations.extend(history.written.places_used_twice().into_iter().map(Violation::PlaceTwice));
    violations.extend(history.written.unreadable.iter().cloned().map(Violation::Unreadable));
    for (task, steps) in &history.tasks {
        // The first place of the event after, from the last one on.
        let mut next: Option<u64> = None;
        for step in steps.iter().rev() {
            let what = || format!("{} of {task} (event {})", step.status.as_str(), step.number);
            let places = places.get(&(task.as_str(), step.status.as_str(), step.number));
            judged.acknowledged += usize::from(step.is_accepted());
            let Some(places) = places else {
                if step.is_accepted() {
                    violations.push(Violation::NotDurable(what()));
                }
                continue;
            };
            let (first, last) = (places.iter().min().copied(), places.iter().max().copied());
            // One copy at least came before whatever was sent later; all of them, if none can be late.
            let latest = if step.may_be_late() { first } else { last };
            if let (Some(latest), Some(after)) = (latest, next)
                && latest > after
            {
                violations.push(Violation::OutOfOrder(format!(
                    "{} has place {latest}, and what was sent after it {after}",
                    what()
                )));
            }
            next = first.or(next);
        }
    }
}

/// A module was through with every acknowledged event, and within a process in the order in which they were sent.
fn runs(history: &History, violations: &mut Vec<Violation>) {
    let told: HashSet<&Ran> = history.ran.iter().flatten().collect();
    for (task, steps) in &history.tasks {
        // What was done to the item, or the log: either may be missing. Two changes of one item can be one write, and the log of a
        // process that was killed lacks its end. From the last one on, as the last change is the last event's.
        let mut changes = history.written.items.get(task).map(Vec::as_slice).unwrap_or_default();
        for step in steps.iter().rev().filter(|step| step.is_accepted()) {
            let wanted = match step.status {
                Status::Running => Change::Put,
                Status::Killed => Change::Removed,
            };
            let found = changes.iter().rposition(|change| *change == wanted);
            let written = found.is_some();
            changes = &changes[..found.unwrap_or(changes.len())];
            let ran = Ran { task: task.clone(), status: step.status.as_str().to_owned() };
            if !written && !told.contains(&ran) {
                let what = format!("{} of {task} (event {})", step.status.as_str(), step.number);
                violations.push(Violation::NotHandled(what));
            }
        }
    }
    for process in &history.ran {
        let mut first: HashMap<&Ran, usize> = HashMap::new();
        for (at, ran) in process.iter().enumerate() {
            first.entry(ran).or_insert(at);
        }
        for (task, steps) in &history.tasks {
            // Where a state comes twice, or an event may come late, its first time may have been elsewhere.
            let [before, after] = &steps[..] else { continue };
            if before.may_be_late() {
                continue;
            }
            let at = |step: &Step| {
                first.get(&Ran { task: task.clone(), status: step.status.as_str().to_owned() }).copied()
            };
            if let (Some(before), Some(after)) = (at(before), at(after))
                && before > after
            {
                violations.push(Violation::RanOutOfOrder(task.clone()));
            }
        }
    }
}

/// Items are what each task's last event says, and every node shows the same.
fn inventories(history: &History, violations: &mut Vec<Violation>, judged: &mut Judged) {
    let Some((first, inventory)) = history.inventories.first() else { return };
    for (node, other) in &history.inventories[1..] {
        let different: Vec<_> = inventory.symmetric_difference(other).take(3).cloned().collect();
        if !different.is_empty() {
            violations.push(Violation::Differs(format!("{first} and {node} in {}", different.join(", "))));
        }
    }
    for (task, steps) in &history.tasks {
        let Some((last, before)) = steps.split_last() else { continue };
        if !last.is_accepted() {
            judged.unclear += 1;
            continue;
        }
        let undone_late = |step: &Step| step.status != last.status && step.may_be_late();
        if before.iter().any(undone_late) {
            judged.unclear += 1;
            continue;
        }
        judged.ends += 1;
        let wanted = last.status == Status::Running;
        if inventory.contains(task) != wanted {
            violations.push(Violation::Lost(format!(
                "{} of {task} (event {}): its item is {}",
                last.status.as_str(),
                last.number,
                if wanted { "missing" } else { "still there" }
            )));
        }
    }
    let invented = inventory.iter().filter(|key| !history.tasks.contains_key(*key)).cloned();
    violations.extend(invented.map(Violation::Invented));
}

/// Each epoch has one leader, in what nodes show and in what is written, and only the current one's writes are there.
fn leaders(history: &History, violations: &mut Vec<Violation>) {
    let mut holders: BTreeMap<i32, (i64, &str)> = BTreeMap::new();
    let mut last = 0;
    for claim in &history.written.claims {
        if claim.epoch <= last {
            violations.push(Violation::Backwards(format!("{} after {last}", claim.epoch)));
        }
        last = claim.epoch;
        if let Some((_, other)) = holders.insert(claim.epoch, (claim.session, &claim.node)) {
            let what = format!("{} was claimed by {other} and {}", claim.epoch, claim.node);
            violations.push(Violation::TwoLeaders(what));
        }
    }
    for write in &history.written.writes {
        let what =
            format!("transaction {:#x} of session {:#x}, at {}", write.zxid, write.session, write.path);
        let Some(epoch) = write.epoch else {
            violations.push(Violation::Unfenced(what));
            continue;
        };
        if epoch != write.current {
            let current = write.current;
            violations.push(Violation::Deposed(format!("{what}: epoch {epoch}, and it is {current}")));
        }
        match holders.get(&epoch) {
            Some((session, _)) if *session == write.session => {}
            holder => {
                violations.push(Violation::TwoLeaders(format!("{what}: epoch {epoch} is of {holder:x?}")));
            }
        }
    }
    for Sighting { epoch, leader } in &history.sightings {
        match holders.get(epoch) {
            Some((_, holder)) if holder == leader => {}
            holder => violations.push(Violation::TwoLeaders(format!(
                "a node has shown {leader} as the leader of epoch {epoch}, which is of {holder:?}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
