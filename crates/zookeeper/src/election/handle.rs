//! Starting an election, and what one may ask of it.

use mconn_leadership::{Leadership, MemberName, NodeAddress};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::shell::Shell;
use super::term::Term;
use crate::Settings;

/// Commands that wait; each is taken at once.
const COMMANDS: usize = 16;

/// Who takes part, where, and in what rhythm.
#[derive(Debug, Clone)]
pub struct ElectionSettings {
    /// Where ZooKeeper is. `retry_pause` bounds the random wait between attempts at a session.
    pub zookeeper: Settings,
    /// Where this node is reached.
    pub address: NodeAddress,
    /// The version of the program.
    pub version: String,
    /// The rhythm of the machine.
    pub rhythm: mconn_leadership::Settings,
}

/// A running election.
#[derive(Debug)]
pub struct Election {
    /// What one may ask of it.
    pub handle: ElectionHandle,
    /// This node's terms, one after the other: none comes before the one before has stopped.
    pub terms: mpsc::Receiver<Term>,
    /// Ends after [`ElectionHandle::leave`]; join it.
    pub task: JoinHandle<()>,
}

/// Asks an election. When all handles are gone, it leaves.
#[derive(Debug, Clone)]
pub struct ElectionHandle {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<Leadership>,
}

/// The election has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node has left the election")]
pub struct Gone;

#[derive(Debug)]
pub(super) enum Command {
    Ready,
    StepDown { keep: bool, led: oneshot::Sender<bool> },
    Dead(MemberName),
    Leave,
}

/// Starts to take part, as a spectator: [`ElectionHandle::ready`] joins the line. ZooKeeper may be away. Must be called
/// within a tokio runtime.
#[must_use]
pub fn start(settings: ElectionSettings) -> Election {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    // One at a time.
    let (outbox, terms) = mpsc::channel(1);
    let (shell, view) = Shell::new(settings, inbox, outbox);
    let task = tokio::spawn(shell.run());
    Election { handle: ElectionHandle { commands, view }, terms, task }
}

impl ElectionHandle {
    /// Leadership as this node sees it, now and whenever it changes.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Leadership> {
        self.view.clone()
    }

    /// This node is able to serve: joins the line.
    ///
    /// # Errors
    /// When the election has ended.
    pub async fn ready(&self) -> Result<(), Gone> {
        self.commands.send(Command::Ready).await.map_err(|_| Gone)
    }

    /// Gives up the lead and the place in the line; with `keep` this node joins again at its end. Without it, it stays out
    /// for good. Says whether this node led. When this returns, its term is cancelled; its member goes when that has stopped.
    ///
    /// # Errors
    /// When the election has ended.
    pub async fn step_down(&self, keep: bool) -> Result<bool, Gone> {
        let (led, told) = oneshot::channel();
        self.commands.send(Command::StepDown { keep, led }).await.map_err(|_| Gone)?;
        told.await.map_err(|_| Gone)
    }

    /// The process of this member, the leader before this node in line, has ended: this node takes over at once and does not wait
    /// until the session ends. If that is wrong, the leader loses the lead and joins again.
    pub async fn dead(&self, member: MemberName) {
        // Whoever has left does not care.
        let _ = self.commands.send(Command::Dead(member)).await;
    }

    /// Gives up everything and waits until the session is closed, at most for the rhythm's `leave_limit` and some seconds.
    pub async fn leave(&self) {
        // It may have ended before.
        let _ = self.commands.send(Command::Leave).await;
        self.commands.closed().await;
    }
}
