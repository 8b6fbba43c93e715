//! What a run tells: its trace, and how to see it again.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use mconn_model::{Snapshot, VerdictKind};

/// Lines of a trace, if anybody wants them. Shared, as a panic must not take them along.
#[derive(Debug, Clone)]
pub(super) struct Log(Option<Rc<RefCell<Vec<String>>>>);

impl Log {
    pub(super) fn new(wanted: bool) -> Self {
        Self(wanted.then(Rc::default))
    }

    pub(super) fn line(&self, now: Duration, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.0 {
            let text = format!("{:>10.3} {}", now.as_secs_f64(), line());
            lines.borrow_mut().push(text);
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.as_ref().map(|lines| lines.take()).unwrap_or_default()
    }
}

/// The tasks of a snapshot in one line: `+` is routable, `~` draining, `-` neither.
pub(super) fn shown(snapshot: &Snapshot) -> String {
    let mut text = format!("{:016x}", snapshot.digest);
    for entry in snapshot.apps.values() {
        // Writing to a string cannot fail.
        let _ = write!(text, " {}", entry.id);
        for task in &entry.tasks {
            let sign = match task.verdict.kind {
                VerdictKind::Routable => '+',
                VerdictKind::Draining => '~',
                VerdictKind::NotReady => '-',
            };
            let id = task.task.id.as_str();
            let short = id.split_once(".instance-").map_or(id, |(_, rest)| rest);
            let uuid: String = short.chars().take(8).collect();
            let incarnation = id.rsplit('.').next().unwrap_or_default();
            let _ = write!(text, " {sign}{uuid}.{incarnation}({})", task.verdict.rule.as_str());
        }
    }
    text
}

/// How many lines before a broken law are shown.
const BEFORE: usize = 60;

/// The lines around the first broken law.
pub(super) fn excerpt(trace: &[String]) -> String {
    let at = trace.iter().position(|line| line.contains(" BROKEN ")).unwrap_or(trace.len());
    let from = at.saturating_sub(BEFORE);
    let to = (at + 3).min(trace.len());
    trace[from..to].iter().fold(String::new(), |mut text, line| {
        let short: String = line.chars().take(400).collect();
        let _ = writeln!(text, "{short}");
        text
    })
}
