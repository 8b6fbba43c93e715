//! Accepted events until every module is through with them: the main queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mconn_model::TaskEvent;
use mconn_store::Seq;

use crate::StateName;

/// One accepted event.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) event: Arc<TaskEvent>,
    pub(crate) display_id: Arc<str>,
    /// One per module in loading order.
    pub(crate) copies: Box<[Copy]>,
    pending: usize,
    /// It is owed to a module that is not loaded now.
    owed_elsewhere: bool,
}

/// State of one module's copy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Copy {
    pub(crate) state: StateName,
    pub(crate) started: Option<Duration>,
    pub(crate) ended: Option<Duration>,
    pub(crate) error: Option<Arc<str>>,
}

impl Copy {
    pub(crate) const IDLE: Self = Self { state: StateName::Idle, started: None, ended: None, error: None };

    /// From the start until the end, or until now.
    pub(crate) fn runtime(&self, now: Duration) -> Duration {
        self.started.map_or(Duration::ZERO, |started| self.ended.unwrap_or(now).saturating_sub(started))
    }
}

/// Whether an event has left the journal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Other modules are not through yet.
    Pending,
    /// That was the last one that is loaded.
    Done {
        event: Arc<TaskEvent>,
        display_id: Arc<str>,
        /// A module that is not loaded has not seen it: it stays in the store.
        owed_elsewhere: bool,
    },
    /// There is no such event.
    Unknown,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// What the main queue shows.
    visible: BTreeMap<Seq, Entry>,
    /// Events that were the oldest for too long: no longer shown, still in the lanes.
    overdue: BTreeMap<Seq, Entry>,
    /// The oldest visible event, and since when it is that.
    head: Option<(Seq, Duration)>,
}

impl Journal {
    /// Adds an event; `through` tells for each module whether it is done with it already.
    pub(crate) fn insert(
        &mut self,
        seq: Seq,
        event: Arc<TaskEvent>,
        display_id: Arc<str>,
        through: &[bool],
        owed_elsewhere: bool,
    ) {
        let pending = through.iter().filter(|through| !**through).count();
        let copies = through
            .iter()
            .map(|&through| Copy {
                state: if through { StateName::Finished } else { StateName::Idle },
                ..Copy::IDLE
            })
            .collect();
        self.visible.insert(seq, Entry { event, display_id, copies, pending, owed_elsewhere });
    }

    /// Events that are not finished, shown or not.
    pub(crate) fn len(&self) -> usize {
        self.visible.len() + self.overdue.len()
    }

    pub(crate) fn visible(&self) -> impl Iterator<Item = &Entry> {
        self.visible.values()
    }

    pub(crate) fn visible_len(&self) -> usize {
        self.visible.len()
    }

    pub(crate) fn copy_mut(&mut self, seq: Seq, module: usize) -> Option<&mut Copy> {
        let entry = match self.visible.get_mut(&seq) {
            Some(entry) => entry,
            None => self.overdue.get_mut(&seq)?,
        };
        entry.copies.get_mut(module)
    }

    /// A module is through with an event.
    pub(crate) fn through(&mut self, seq: Seq) -> Progress {
        let map = if self.visible.contains_key(&seq) { &mut self.visible } else { &mut self.overdue };
        let Some(entry) = map.get_mut(&seq) else { return Progress::Unknown };
        entry.pending = entry.pending.saturating_sub(1);
        if entry.pending > 0 {
            return Progress::Pending;
        }
        match map.remove(&seq) {
            Some(Entry { event, display_id, owed_elsewhere, .. }) => {
                Progress::Done { event, display_id, owed_elsewhere }
            }
            None => Progress::Unknown,
        }
    }

    /// Notes since when the oldest visible event is the oldest; returns those that were it for longer than `timeout`.
    pub(crate) fn expire(&mut self, now: Duration, timeout: Duration) -> Vec<Arc<str>> {
        let mut expired = Vec::new();
        loop {
            let Some((&oldest, _)) = self.visible.first_key_value() else {
                self.head = None;
                return expired;
            };
            let since = match self.head {
                Some((seq, since)) if seq == oldest => since,
                _ => now,
            };
            self.head = Some((oldest, since));
            if now < since + timeout {
                return expired;
            }
            if let Some(entry) = self.visible.remove(&oldest) {
                expired.push(entry.display_id.clone());
                self.overdue.insert(oldest, entry);
            }
        }
    }

    /// When the oldest visible event will have been it for too long.
    pub(crate) fn next_expiry(&self, timeout: Duration) -> Option<Duration> {
        self.head.map(|(_, since)| since + timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mconn_model::{AppId, TaskId, TaskStatus};

    const SECOND: Duration = Duration::from_secs(1);

    fn journal(events: u64) -> Journal {
        let mut journal = Journal::default();
        for seq in 0..events {
            let event = TaskEvent {
                source: None,
                task: TaskId::new(&format!("t{seq}")).unwrap(),
                status: TaskStatus::Running,
                app: AppId::parse("/a").unwrap(),
                host: None,
                ports: Vec::new(),
                event_type: None,
                timestamp: None,
            };
            let id = event.display_id().into();
            journal.insert(Seq(seq), Arc::new(event), id, &[false, false], false);
        }
        journal
    }

    #[test]
    fn an_event_leaves_when_the_last_module_is_through() {
        let mut journal = journal(1);
        assert_eq!(journal.through(Seq(0)), Progress::Pending);
        assert!(matches!(journal.through(Seq(0)), Progress::Done { owed_elsewhere: false, .. }));
        assert_eq!(journal.through(Seq(0)), Progress::Unknown);
    }

    #[test]
    fn each_event_has_its_own_time_as_head() {
        let mut journal = journal(2);
        assert!(journal.expire(SECOND, SECOND).is_empty(), "the time begins when it is noticed");
        assert_eq!(journal.next_expiry(SECOND), Some(2 * SECOND));
        assert_eq!(journal.expire(2 * SECOND, SECOND), ["t0_TASK_RUNNING".into()]);
        assert_eq!((journal.visible_len(), journal.len()), (1, 2), "no longer shown, still to be done");
        assert!(journal.expire(2 * SECOND, SECOND).is_empty(), "the next one has just become head");
        assert_eq!(journal.through(Seq(0)), Progress::Pending, "its copies live on");
    }
}
