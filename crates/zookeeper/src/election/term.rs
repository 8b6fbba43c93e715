//! One lead of this node, from the claim until nothing of it runs any more.

use std::future::pending;

use mconn_leadership::{Epoch, Input};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{Fence, Session};

/// This node leads. Whoever holds it may write to the store as long as it is not cancelled, with the check of its epoch in
/// every transaction. Dropping it says that nothing of it runs any more.
#[derive(Debug)]
pub struct Term {
    epoch: Epoch,
    session: Session,
    cancelled: CancellationToken,
    serving: Option<oneshot::Sender<()>>,
    stopped: oneshot::Sender<Option<String>>,
}

impl Term {
    /// The epoch. It is the version of [`super::EPOCH_PATH`] for as long as this node leads.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What every write of this lead carries.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence::of(self.epoch.0)
    }

    /// The session that the lead belongs to.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Cancelled when the lead is over: stop everything, then say [`Term::stopped`].
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// What the one before has left is taken up, and requests are served.
    pub fn serving(&mut self) {
        // Nobody listens only if the election has ended, and then it matters no more.
        let _ = self.serving.take().map(|sender| sender.send(()));
    }

    /// Nothing of this term runs or writes any more. `failed` says why, if it was not cancelled: this node then goes to the
    /// end of the line, and stays out of it for longer each time that this happens before it served.
    pub fn stopped(self, failed: Option<String>) {
        let _ = self.stopped.send(failed);
    }
}

/// The other end of a [`Term`].
#[derive(Debug)]
pub(super) struct Running {
    epoch: Epoch,
    cancelled: CancellationToken,
    serving: Option<oneshot::Receiver<()>>,
    stopped: oneshot::Receiver<Option<String>>,
}

impl Running {
    pub(super) fn new(epoch: Epoch, session: Session) -> (Self, Term) {
        let (serving, told_serving) = oneshot::channel();
        let (stopped, told_stopped) = oneshot::channel();
        let cancelled = CancellationToken::new();
        let term = Term { epoch, session, cancelled: cancelled.clone(), serving: Some(serving), stopped };
        (Self { epoch, cancelled, serving: Some(told_serving), stopped: told_stopped }, term)
    }

    pub(super) fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// What the holder of the term says next. Once it has stopped, `slot` is empty. Dropping the future loses nothing.
    pub(super) async fn told(slot: &mut Option<Self>) -> Input {
        let Some(running) = slot else { return pending().await };
        let epoch = running.epoch;
        loop {
            tokio::select! {
                biased;
                told = told_serving(&mut running.serving) => {
                    running.serving = None;
                    if told {
                        return Input::Serving(epoch);
                    }
                }
                told = &mut running.stopped => {
                    let by_itself = !running.cancelled.is_cancelled();
                    // Whoever else holds the token must not go on.
                    running.cancel();
                    *slot = None;
                    let failed = told.unwrap_or_else(|_| Some("it was dropped without a reason".to_owned()));
                    return Input::Stopped { epoch, failed: failed.filter(|_| by_itself) };
                }
            }
        }
    }
}

async fn told_serving(slot: &mut Option<oneshot::Receiver<()>>) -> bool {
    match slot {
        Some(receiver) => receiver.await.is_ok(),
        None => pending().await,
    }
}
