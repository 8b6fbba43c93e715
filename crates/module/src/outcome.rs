//! How a run ended.

use std::fmt;

/// How a run ended (spec/mconn.md section 5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done; inventory changes are stored.
    Finished,
    /// It did not work out.
    Failed(Failure),
    /// The preset does not ask for anything here.
    NoPreset {
        /// Why, for the log.
        reason: String,
    },
    /// The module does nothing for this task status. An end like the others.
    UndefinedStatus,
}

/// Why a run failed, and whether another attempt makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the log, the API and the dead letter: what happened, where, what to do. No secrets.
    pub reason: String,
    /// Whether the framework may try again.
    pub retry: bool,
}

impl Failure {
    /// Something that may pass: a host that does not answer, a lost connection.
    pub fn transient(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), retry: true }
    }

    /// Something that stays wrong until the operator changes it: a missing option. Becomes a dead letter at once.
    pub fn permanent(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), retry: false }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
