//! How long a leader may go on without a word from the quorum.
//!
//! A connection says only that one server answers. That server may have lost the ensemble: it answers pings by itself for as
//! long as `syncLimit` allows, while the ensemble lets the session expire and another node leads. So whoever leads has a
//! *lease*: three fifths of the session timeout from the moment at which it **sent** the newest call that the quorum has
//! confirmed. That call was carried out while the session lived, which had been heard of shortly before (pings every 3/20
//! of the timeout, which a follower passes on every half tick, a quarter of the shortest session at most): the session cannot
//! expire before the lease ends.

use std::time::Duration;

use crate::calls::{Call, Effect, Resigned};
use crate::clock::Moment;
use crate::member::Epoch;

use super::{Elector, Link, Tenure};

impl Elector {
    /// How long a call may take at most, where it matters: a leader that waits longer for one call could not prove anything
    /// with the next one in time.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        matches!(self.tenure, Tenure::Leading { .. }).then(|| self.timeout * 2 / 5)
    }

    /// How long the quorum's word holds from when it was asked.
    pub(super) fn lease(&self) -> Duration {
        self.timeout * 3 / 5
    }

    /// How long after the last proof the next is asked for: two may be lost.
    fn rhythm(&self) -> Duration {
        self.timeout / 5
    }

    pub(super) fn lease_ends(&self) -> Option<Duration> {
        match self.tenure {
            Tenure::Leading { proved, .. } => Some(proved.saturating_add(self.lease())),
            Tenure::None | Tenure::Stopping { .. } => None,
        }
    }

    pub(super) fn proof_due(&self) -> Option<Duration> {
        match self.tenure {
            Tenure::Leading { proved, .. } => Some(proved.saturating_add(self.rhythm())),
            Tenure::None | Tenure::Stopping { .. } => None,
        }
    }

    pub(super) fn next_proof(&self, moment: Moment) -> Option<Call> {
        let Tenure::Leading { epoch, .. } = self.tenure else { return None };
        let member = self.member?;
        let due = self.proof_due().is_some_and(|due| moment.now >= due);
        due.then_some(Call::Prove { member, epoch })
    }

    pub(super) fn watch_lease(&mut self, moment: Moment, out: &mut Vec<Effect>) {
        if self.lease_ends().is_some_and(|end| moment.now >= end) {
            self.resign(Resigned::Silent, moment, out);
            if matches!(self.link, Link::Up(_)) {
                // What was read while nothing was confirmed may be old.
                self.line_dirty = true;
                self.epoch_dirty = true;
            }
        }
    }

    pub(super) fn proved(&mut self, of: Epoch, sent: Duration) {
        if let Tenure::Leading { epoch, proved, .. } = &mut self.tenure
            && *epoch == of
        {
            *proved = (*proved).max(sent);
        }
    }

    /// Why is told by what is read next.
    pub(super) fn refuted(&mut self, of: Epoch, moment: Moment, out: &mut Vec<Effect>) {
        self.line_dirty = true;
        self.epoch_dirty = true;
        if matches!(self.tenure, Tenure::Leading { epoch, .. } if epoch == of) {
            self.give_way(Resigned::Refuted, moment, out);
        }
    }

    /// The epoch is this node's, but whether its session still lives is not known. The claim is made again.
    pub(super) fn claimed_too_late(&mut self, sent: Duration, moment: Moment) {
        let (took, lease) = (moment.now.saturating_sub(sent), self.lease());
        self.failed(
            format!(
                "the claim took {took:?}, more than the {lease:?} for which it would hold: ZooKeeper is too slow for a \
                 session timeout of {:?}",
                self.timeout
            ),
            moment,
        );
    }
}
