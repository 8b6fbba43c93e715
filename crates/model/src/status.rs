//! The state of a Mesos task.

use std::fmt;
use std::sync::Arc;

/// A Mesos task state as task JSON and events name it (spec/marathon.md section 7). States that we do not know are kept
/// by name: a module may have a use for them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the variants are Mesos' own names")]
pub enum TaskStatus {
    Staging,
    Starting,
    Running,
    Killing,
    Finished,
    Failed,
    Killed,
    Error,
    Lost,
    Dropped,
    Gone,
    GoneByOperator,
    Unreachable,
    Unknown,
    /// Anything else, e.g. `TASK_FANCY`, as it was written.
    Other(Arc<str>),
}

impl TaskStatus {
    /// Reads a name such as `TASK_RUNNING`.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "TASK_STAGING" => Self::Staging,
            "TASK_STARTING" => Self::Starting,
            "TASK_RUNNING" => Self::Running,
            "TASK_KILLING" => Self::Killing,
            "TASK_FINISHED" => Self::Finished,
            "TASK_FAILED" => Self::Failed,
            "TASK_KILLED" => Self::Killed,
            "TASK_ERROR" => Self::Error,
            "TASK_LOST" => Self::Lost,
            "TASK_DROPPED" => Self::Dropped,
            "TASK_GONE" => Self::Gone,
            "TASK_GONE_BY_OPERATOR" => Self::GoneByOperator,
            "TASK_UNREACHABLE" => Self::Unreachable,
            "TASK_UNKNOWN" => Self::Unknown,
            other => Self::Other(other.into()),
        }
    }

    /// The name as Mesos writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Staging => "TASK_STAGING",
            Self::Starting => "TASK_STARTING",
            Self::Running => "TASK_RUNNING",
            Self::Killing => "TASK_KILLING",
            Self::Finished => "TASK_FINISHED",
            Self::Failed => "TASK_FAILED",
            Self::Killed => "TASK_KILLED",
            Self::Error => "TASK_ERROR",
            Self::Lost => "TASK_LOST",
            Self::Dropped => "TASK_DROPPED",
            Self::Gone => "TASK_GONE",
            Self::GoneByOperator => "TASK_GONE_BY_OPERATOR",
            Self::Unreachable => "TASK_UNREACHABLE",
            Self::Unknown => "TASK_UNKNOWN",
            Self::Other(name) => name,
        }
    }

    /// The task has ended for certain; it will not come back under this id.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Finished
                | Self::Failed
                | Self::Killed
                | Self::Error
                | Self::Lost
                | Self::Dropped
                | Self::Gone
                | Self::GoneByOperator
        )
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for name in [
            "TASK_STAGING",
            "TASK_STARTING",
            "TASK_RUNNING",
            "TASK_KILLING",
            "TASK_FINISHED",
            "TASK_FAILED",
            "TASK_KILLED",
            "TASK_ERROR",
            "TASK_LOST",
            "TASK_DROPPED",
            "TASK_GONE",
            "TASK_GONE_BY_OPERATOR",
            "TASK_UNREACHABLE",
            "TASK_UNKNOWN",
            "TASK_FANCY",
        ] {
            assert_eq!(TaskStatus::parse(name).as_str(), name);
        }
    }

    #[test]
    fn unreachable_may_come_back_and_killing_still_runs() {
        assert!(!TaskStatus::Unreachable.is_terminal() && !TaskStatus::Killing.is_terminal());
        assert!(TaskStatus::Lost.is_terminal());
    }
}
