//! Who leads.
//!
//! **Owns** the words of leadership (member, epoch, role, the view that everybody watches) and the state machine that
//! decides for one node: when to join the line, whom to watch, when to claim the lead, when to resign.
//! **Comes in:** what happened to the session, answers, watches that fired, the wishes of this node, the time.
//! **Goes out:** one call at a time, `Lead` and `Resign`, and the view.
//! **Never:** I/O, a clock, randomness, JSON, or a word about which service keeps the line (`mconn-zookeeper` does).
//!
//! ```text
//!   session: connected, lost, expired --\                      /--> OpenSession, CloseSession
//!   answers of calls ---------------------\                   /---> Call: list, read epoch, watch, create, delete, claim
//!   watches: member or epoch touched ------ step(moment) ------ --> Lead{epoch} ... Resign{epoch}
//!   ready, step down, leave, stopped -----/      |            \---> News, for the log
//!   timer: deadline() <--------------------------+ view()      \--> Leadership, for API, metrics and proxying
//! ```
//!
//! # How a lead comes about
//!
//! Members stand in a line, ordered by the number that they got when they joined. Who is first claims the **epoch**: one
//! number that only grows, and that is changed by comparing and setting. Whoever set it to n is the leader of epoch n,
//! for as long as it is n: every write of a leader is refused once it is not. So two nodes may for a moment both believe
//! to lead, after a node was stopped and woke up, but never in the same epoch, and only one of them can write.
//!
//! # What is deliberately absent
//!
//! * No herd: a member watches the one before it, and who leads all of them. Everybody watches the epoch.
//! * No lead without a connection: it ends when the connection does, not when the session has expired.
//! * No lead on the word of one server: a leader proves to the quorum that it leads, every fifth of the session timeout, and
//!   resigns three fifths after the newest proof was sent. A server that has lost the ensemble answers pings all the same.
//! * No second term before the first has stopped: `Lead` is never said again before `Stopped` has answered `Resign`.
//! * No trust in answers that are late: answers carry the number of their call, and whatever went wrong, the line is
//!   listed again before anything is created.

mod calls;
mod clock;
mod line;
mod machine;
mod member;
mod settings;
#[cfg(test)]
mod tests;
mod view;

pub use calls::{Answer, Call, Effect, Input, News, Resigned, Ticket};
pub use clock::Moment;
pub use line::{EpochNode, Named, Seen};
pub use machine::Elector;
pub use member::{Epoch, Member, MemberName, NodeAddress, NodeId, SessionId};
pub use settings::Settings;
pub use view::{Leader, Leadership, Role};
