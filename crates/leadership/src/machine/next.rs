//! What follows from what is known: the next call, a session, the end.

use crate::calls::{Call, Effect};
use crate::clock::Moment;
use crate::member::MemberName;

use super::{Apart, Elector, Link, Tenure, Then, UnderWay, Wish};

impl Elector {
    /// What follows from all that is known: the next call, a session, the end.
    pub(super) fn go_on(&mut self, moment: Moment, out: &mut Vec<Effect>) {
        if self.may_close(moment) {
            self.link = Link::Closed;
            self.call = None;
            self.member = None;
            self.apart = Apart { since: moment.wall, why: "this node has left".to_owned() };
            out.push(Effect::CloseSession);
            return;
        }
        if self.link == Link::None {
            self.link = Link::Opening;
            out.push(Effect::OpenSession);
        }
        if !matches!(self.link, Link::Up(_)) || self.call.is_some() || moment.now < self.retry_at {
            return;
        }
        if moment.now >= self.refresh_at {
            let quarter = self.settings.refresh.mul_f64(moment.dice / 4.0);
            self.refresh_at = moment.now.saturating_add(self.settings.refresh).saturating_add(quarter);
            self.line_dirty = true;
            self.epoch_dirty = true;
        }
        if let Some(call) = self.next(moment) {
            self.tickets += 1;
            self.call = Some(UnderWay { ticket: self.tickets, call: call.clone(), sent: moment.now });
            out.push(Effect::Call { ticket: self.tickets, call });
        }
    }

    /// Whether nothing holds the session any more, or for too long.
    fn may_close(&self, moment: Moment) -> bool {
        if self.wish != Wish::Out(Then::Close) {
            return false;
        }
        let out_of_line = match self.link {
            Link::Up(_) => self.member.is_none() && !self.line_dirty && self.call.is_none(),
            // Nothing can be done but to let the session expire.
            Link::None | Link::Opening | Link::Down | Link::Closed => true,
        };
        let late = self.leave_by.is_some_and(|limit| moment.now >= limit);
        late || (out_of_line && self.may_leave(moment))
    }

    /// Whether the place in the line may be given up: nothing of the term runs, or it takes too long to stop.
    fn may_leave(&self, moment: Moment) -> bool {
        match self.tenure {
            Tenure::None => true,
            Tenure::Leading { .. } => false,
            Tenure::Stopping { patience, .. } => moment.now >= patience,
        }
    }

    fn next(&mut self, moment: Moment) -> Option<Call> {
        // Whoever leads must be sure of it first.
        if let Some(proof) = self.next_proof(moment) {
            return Some(proof);
        }
        // The epoch first: who leads is what followers are asked for, and a leader must know that it is one.
        if std::mem::take(&mut self.epoch_dirty) {
            return Some(Call::ReadEpoch);
        }
        if std::mem::take(&mut self.line_dirty) {
            return Some(Call::List);
        }
        if let Some(leftover) = self.line.leftover(&self.node, self.member) {
            return Some(Call::Delete(leftover));
        }
        let Some(own) = self.member else { return self.join(moment) };
        // Only the successor's word counts, as only the successor leads next.
        let dead = self.dead.take().filter(|dead| self.line.before(own) == Some(*dead));
        if let Some(dead) = dead.filter(|_| self.wish == Wish::Member) {
            return Some(Call::Delete(dead));
        }
        if self.wish == Wish::Member && !self.may_leave(moment) {
            // It leads, or has to stop first.
            return self.missing_watch(own);
        }
        if self.wish == Wish::Member && self.tenure != Tenure::None {
            // The term hangs. It cannot write any more, but nobody else leads as long as we stand here.
            self.wish = Wish::Out(Then::Back);
        }
        match self.wish {
            Wish::Member if self.line.before(own).is_some() => self.missing_watch(own),
            Wish::Member => self.claim(own),
            Wish::NotYet | Wish::Out(_) => self.may_leave(moment).then_some(Call::Delete(own)),
        }
    }

    fn join(&mut self, moment: Moment) -> Option<Call> {
        if self.wish == Wish::Out(Then::Back) {
            self.wish = Wish::Member;
        }
        let stopped = self.tenure == Tenure::None;
        (self.wish == Wish::Member && stopped && moment.now >= self.rejoin_at).then_some(Call::Create)
    }

    fn missing_watch(&self, own: MemberName) -> Option<Call> {
        let wanted = [self.line.before(own), Some(own)];
        wanted.into_iter().flatten().find(|name| !self.watched.contains(name)).map(Call::Watch)
    }

    fn claim(&self, member: MemberName) -> Option<Call> {
        let seen = self.epoch.as_ref()?.epoch;
        Some(Call::Claim { member, seen })
    }
}
