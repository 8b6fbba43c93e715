//! What the machine is told and what it wants done.

use std::fmt;
use std::time::Duration;

use crate::line::{EpochNode, Seen};
use crate::member::{Epoch, MemberName, SessionId};

/// The number of a call. An answer that carries another than the last is late and counts for nothing.
pub type Ticket = u64;

/// What is asked of the service that keeps the line. There is at most one under way, and each is answered within a deadline
/// that the shell keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// All members, after a sync: what was done before by this session is in the list.
    List,
    /// The epoch and who owns it; and tell once when it is changed ([`Input::EpochTouched`]).
    ReadEpoch,
    /// Whether this member is there; and if so, tell once when it goes ([`Input::MemberTouched`]).
    Watch(MemberName),
    /// A new member of this process at the end of the line, bound to the session.
    Create,
    /// Remove this member.
    Delete(MemberName),
    /// In one transaction: this member is there, and the epoch is `seen`, so it is ours now, one higher.
    Claim {
        /// This node's member.
        member: MemberName,
        /// The epoch that it follows.
        seen: Epoch,
    },
    /// In one transaction that changes nothing but is confirmed by the quorum: this member is there, and the epoch is still
    /// this one. Asked again and again by whoever leads: no answer that one server gives alone can stand for it.
    Prove {
        /// This node's member.
        member: MemberName,
        /// The epoch in which it leads.
        epoch: Epoch,
    },
}

/// What a call has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Call::List`].
    Listed(Vec<Seen>),
    /// To [`Call::ReadEpoch`].
    Epoch(EpochNode),
    /// To [`Call::Watch`].
    Watching {
        /// Whether it is there. If not, there is no watch.
        present: bool,
    },
    /// To [`Call::Create`].
    Created(MemberName),
    /// To [`Call::Delete`]: it is gone, or was.
    Deleted,
    /// To [`Call::Claim`]: the new epoch.
    Claimed(Epoch),
    /// To [`Call::Prove`]: so it is.
    Proved,
    /// To [`Call::Claim`]: somebody else was faster, or the member is gone. Nothing was changed. To [`Call::Prove`]: the epoch
    /// is another's, or the member is gone.
    Refused,
    /// It went wrong, or nobody knows: what it was to do may have been done, or may still be.
    Failed {
        /// Why, for people.
        why: String,
    },
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// There is a connection: a new session, or the same again.
    Connected {
        /// Which.
        session: SessionId,
        /// How long it lives without a word from us, as the service has granted it.
        timeout: Duration,
    },
    /// The session that was to be opened could not be, and is tried again.
    Unreachable {
        /// Why, for people.
        why: String,
    },
    /// The connection is lost; the session may still live.
    Disconnected {
        /// Why, for people.
        why: String,
    },
    /// The session is over, and with it all that belonged to it.
    Expired {
        /// Why, for people.
        why: String,
    },
    /// This node is able to serve, so it may join the line.
    Ready,
    /// Give up the lead, and the place in the line.
    StepDown {
        /// Join again at its end. Otherwise stay out.
        keep: bool,
    },
    /// Give up everything: the node is about to end.
    Leave,
    /// The term of this epoch serves.
    Serving(Epoch),
    /// The term of this epoch has stopped: nothing of it runs or writes any more.
    Stopped {
        /// Which.
        epoch: Epoch,
        /// If it ended without having been told to: why, for people.
        failed: Option<String>,
    },
    /// A call was answered.
    Answered {
        /// Which.
        ticket: Ticket,
        /// How.
        answer: Answer,
    },
    /// A member that is watched has changed or gone.
    MemberTouched(MemberName),
    /// The process of this member has ended, as its successor has seen: there is no need to wait until its session does. If it
    /// is wrong, a living leader loses the lead and joins again; nothing else can come of it, since the epoch moves on first.
    Dead(MemberName),
    /// The epoch has changed or gone.
    EpochTouched,
    /// Somebody may have joined or left, wherever in the line. Who is first is told so at once; the others need not know, and
    /// look now and then ([`crate::Settings::refresh`]).
    LineTouched,
    /// The time of [`crate::Elector::deadline`] has come.
    Tick,
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open a session, trying for ever; there is none. Answer with [`Input::Connected`].
    OpenSession,
    /// Close the session or stop opening one. The machine has ended.
    CloseSession,
    /// Do this, and answer with its ticket. Drop what is left of the one before, if its answer never came.
    Call {
        /// Its number.
        ticket: Ticket,
        /// What.
        call: Call,
    },
    /// Start a term. Answer with [`Input::Serving`] and, at the end, [`Input::Stopped`].
    Lead {
        /// Its epoch.
        epoch: Epoch,
    },
    /// Stop the term at once, and answer with [`Input::Stopped`].
    Resign {
        /// Its epoch.
        epoch: Epoch,
        /// Why.
        reason: Resigned,
    },
    /// Worth a line in the log.
    Tell(News),
}

/// Why a node gave up the lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resigned {
    /// The connection was lost: the session may expire any time.
    Disconnected,
    /// The session is over.
    Expired,
    /// There is a connection, but the quorum has confirmed nothing for so long that the session may have expired.
    Silent,
    /// It was asked to.
    StepDown,
    /// The node is about to end.
    Leaving,
    /// Its term has ended by itself.
    Ended,
    /// The epoch is another's.
    Deposed {
        /// The epoch now.
        by: Epoch,
    },
    /// The quorum says that the epoch or the member of this node is gone.
    Refuted,
    /// Somebody has removed this node's member.
    MemberGone,
    /// Somebody stands before this node, although the line only grows at its end.
    Overtaken,
}

impl fmt::Display for Resigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("the connection is lost"),
            Self::Expired => f.write_str("the session has expired"),
            Self::Silent => f.write_str(
                "the quorum has confirmed nothing for too long, although a server answers: the session may have expired",
            ),
            Self::StepDown => f.write_str("it was asked to step down"),
            Self::Leaving => f.write_str("this node is about to end"),
            Self::Ended => f.write_str("its term has ended by itself"),
            Self::Deposed { by } => write!(f, "the epoch is {by} now, which is not this node's"),
            Self::Refuted => f.write_str("the quorum says that its epoch or its member is gone"),
            Self::MemberGone => f.write_str("this node's member was removed by somebody else"),
            Self::Overtaken => f.write_str("another member stands before this node's"),
        }
    }
}

/// What people want to read in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// This node is in the line.
    Joined(MemberName),
    /// The line has changed, and this node leads as before.
    StillLeads,
    /// Another node leads, and the line or the leader has changed.
    OtherLeads,
    /// For the first time it is known who leads.
    Settled,
}
