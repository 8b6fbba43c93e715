//! Whether a task shall get traffic, and the named rule that says so.

/// A verdict: what to do, and why. Made from a rule alone, so the two never disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// What to do.
    pub kind: VerdictKind,
    /// The rule that decided.
    pub rule: Rule,
}

impl From<Rule> for Verdict {
    fn from(rule: Rule) -> Self {
        Self { kind: rule.kind(), rule }
    }
}

/// What to do with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VerdictKind {
    /// Give it traffic.
    Routable,
    /// Give it no new traffic; it is about to go.
    Draining,
    /// Give it none yet (or no longer).
    NotReady,
}

impl VerdictKind {
    /// All of them, for tables and metrics.
    pub const ALL: [Self; 3] = [Self::Routable, Self::Draining, Self::NotReady];

    /// Lower-case name for API and log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Routable => "routable",
            Self::Draining => "draining",
            Self::NotReady => "not ready",
        }
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident $kind:ident $name:literal $text:literal;)*) => {
        /// The named rules of the verdict; the name is the reason that people see. In the order in which they are tried
        /// within a kind; what ends a task comes before what makes it routable (design: removal is fast, addition is
        /// careful).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule { $(#[doc = $text] $rule,)* }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$rule,)*];

            /// What the rule says to do.
            #[must_use]
            pub fn kind(self) -> VerdictKind {
                match self { $(Self::$rule => VerdictKind::$kind,)* }
            }

            /// The name, as API and log show it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$rule => $name,)* }
            }

            /// One sentence for people.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$rule => $text,)* }
            }
        }
    };
}

rules! {
    RunningWithoutChecks Routable "running-without-checks"
        "It runs, and its app defines no health check.";
    Healthy Routable "healthy"
        "It runs, and every check is alive.";
    RememberedHealthy Routable "remembered-healthy"
        "A check has no result now, but it was healthy when last known: Marathon forgets results on a leader change.";
    Admitted Routable "admitted-without-memory"
        "No check has a result and nothing is remembered of any task, but it has run for longer than its grace period.";
    UnreachableKept Routable "unreachable-kept"
        "Mesos cannot reach its agent; it was healthy before, and the policy is to keep such tasks.";
    Panic Routable "panic"
        "A check is failing, but so few tasks of the app are healthy that all that were ready once are served.";
    Killing Draining "killing"
        "TASK_KILLING: it has been told to end.";
    KillAnnounced Draining "kill-announced"
        "Marathon has announced that it kills the task.";
    GoalChanged Draining "goal-changed"
        "Its instance's goal changed during a deployment of its app: it is about to be killed.";
    AppStopping Draining "app-stopping"
        "A deployment stops its app.";
    ScaledToZero Draining "scaled-to-zero"
        "Its app is wanted with no instance at all.";
    Unreachable Draining "unreachable"
        "TASK_UNREACHABLE: Mesos cannot reach its agent.";
    Ended NotReady "ended"
        "It has ended.";
    UnreachableRemoved NotReady "unreachable-removed"
        "TASK_UNREACHABLE, and the policy is to take such tasks out at once.";
    NotRunning NotReady "not-running"
        "It does not run yet.";
    NoDefinition NotReady "definition-unknown"
        "The definition of its app is not known yet.";
    NoAddress NotReady "no-address"
        "No address or port is known at which it could be reached.";
    ReadinessPending NotReady "readiness-pending"
        "The readiness check of the running deployment has not succeeded yet.";
    Unhealthy NotReady "unhealthy"
        "A check is failing.";
    HealthUnknown NotReady "health-unknown"
        "A check has no result yet, and it was never known to be healthy.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_in_one_style() {
        let names: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        for name in names {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
        }
    }
}
