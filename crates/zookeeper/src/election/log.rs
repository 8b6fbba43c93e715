//! What people read about the election, in the original's words where it had them (spec/mconn.md sections 9 and 10).

use std::time::Duration;

use mconn_leadership::{Epoch, Leadership, News, Resigned};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::Error;

/// Between two lines about the same trouble.
const REMIND: Duration = Duration::from_secs(60);

/// Trouble that lasts is told at once and then now and then.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    since: Option<Instant>,
    told: Option<Instant>,
    count: u64,
}

impl Trouble {
    /// Once more. Says whether it is worth a line, and the line's facts.
    fn again(&mut self) -> Option<(u64, Duration)> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        self.count += 1;
        let due = self.told.is_none_or(|told| now.duration_since(told) >= REMIND);
        due.then(|| {
            self.told = Some(now);
            (self.count, now.duration_since(since))
        })
    }

    /// It is over, if it was: after how long.
    fn over(&mut self) -> Option<Duration> {
        std::mem::take(self).since.map(|since| since.elapsed())
    }
}

/// Lines about the session and its calls.
#[derive(Debug, Default)]
pub(super) struct Log {
    opening: Trouble,
    apart: Trouble,
    calls: Trouble,
}

impl Log {
    /// There is no session, or none that is of use: what the servers have may be wrong, not the way to them.
    pub(super) fn not_opened(&mut self, hosts: &str, failed: &Error) {
        if let Some((attempts, lasting)) = self.opening.again() {
            let seconds = lasting.as_secs();
            let what = if failed.kind.is_link() { "is unreachable" } else { "is of no use to this node" };
            error!(
                context = "ZookeeperHandler",
                attempts, seconds, "Zookeeper {what} \"{hosts}\", trying on: {failed}"
            );
        }
    }

    pub(super) fn opened(&mut self, place: &str, session: impl std::fmt::Display, timeout: Duration) {
        let after = self.opening.over().map(|lasted| format!(" after {lasted:.1?}")).unwrap_or_default();
        self.apart.over();
        info!(
            context = "ZookeeperHandler",
            "Connected to Zookeeper \"{place}\"{after}, session {session}, timeout {timeout:?}"
        );
    }

    pub(super) fn disconnected(&mut self) {
        self.apart.again();
        error!(context = "ZookeeperHandler", "Zookeeper Connection closed, trying to reconnect...");
    }

    pub(super) fn reconnected(&mut self) {
        if let Some(lasted) = self.apart.over() {
            info!(context = "ZookeeperHandler", "Reconnected to Zookeeper after {lasted:.1?}, same session");
        }
    }

    pub(super) fn expired(&mut self, why: &str) {
        error!(context = "ZookeeperHandler", "Zookeeper-Session has expired, opening a new one: {why}");
    }

    pub(super) fn call_failed(&mut self, why: &str) {
        if let Some((times, lasting)) = self.calls.again() {
            let seconds = lasting.as_secs();
            warn!(context = "ZookeeperHandler", times, seconds, "the election goes on after trouble: {why}");
        }
    }

    pub(super) fn call_done(&mut self) {
        self.calls.over();
    }

    pub(super) fn leads(&mut self, epoch: Epoch) {
        info!(context = "ZookeeperHandler", %epoch, "This node is the new leading master");
    }

    pub(super) fn resigned(&mut self, epoch: Epoch, reason: &Resigned) {
        let wanted = matches!(reason, Resigned::StepDown | Resigned::Leaving);
        if wanted {
            info!(context = "ZookeeperHandler", %epoch, "This node gives up the lead: {reason}");
        } else {
            warn!(context = "ZookeeperHandler", %epoch, "This node gives up the lead: {reason}");
        }
    }

    pub(super) fn term_failed(&mut self, epoch: Epoch, why: &str) {
        error!(context = "ZookeeperHandler", %epoch, "This node cannot lead: {why}");
    }

    pub(super) fn stopped(&mut self, epoch: Epoch) {
        debug!(context = "ZookeeperHandler", %epoch, "nothing of the lead runs any more");
    }

    pub(super) fn news(&mut self, news: &News, view: &Leadership) {
        match news {
            News::Joined(name) => {
                info!(context = "ZookeeperHandler", "New member generated with id \"{}\"", name.id());
            }
            News::StillLeads => info!(context = "ZookeeperHandler", "Leading master is still \"localhost\""),
            News::OtherLeads => {
                let leader = view.leader.as_ref().map(|leader| leader.address.host_port());
                let leader = leader.unwrap_or_default();
                info!(context = "ZookeeperHandler", leader, "Leading master is not \"localhost\"");
            }
            News::Settled => info!(context = "App", "leader election has been finished"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lasting_trouble_is_told_at_once_and_then_once_a_minute() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.over(), None);
        let mut told = Vec::new();
        for second in 0..=130 {
            if let Some((count, lasting)) = trouble.again() {
                told.push((second, count, lasting.as_secs()));
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(told, [(0, 1, 0), (60, 61, 60), (120, 121, 120)]);
        assert_eq!(trouble.over(), Some(Duration::from_secs(131)));
        assert!(trouble.again().is_some(), "new trouble is told at once");
    }
}
