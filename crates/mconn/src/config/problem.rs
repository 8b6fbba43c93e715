//! What can be wrong with a configuration. Each problem names its place, the value (secrets hidden) and what is
//! expected; all of them are reported together, so that one start is enough to find them.

use std::fmt;

use super::raw::{Given, Origin};
use super::secret::mask;
use super::setting::Setting;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// A value that cannot be read.
    #[error("{place}: the value {shown:?} does not fit, expected {expected}")]
    Value {
        /// The variable, flag, or file with line and key.
        place: String,
        /// The value, without its secrets.
        shown: String,
        /// What would fit.
        expected: String,
    },
    /// Two values that do not go together.
    #[error("{place}: {shown:?} is above {other} ({other_value}), expected at most that")]
    Above {
        /// The smaller setting.
        place: String,
        /// Its value.
        shown: String,
        /// The larger setting.
        other: &'static str,
        /// Its value.
        other_value: u128,
    },
    /// A key that no setting has.
    #[error("{path}:{line}: unknown key {key:?}{}", hint.map(|h| format!(", did you mean \"{h}\"?")).unwrap_or_default())]
    UnknownKey {
        /// The file.
        path: String,
        /// The line, from 1 on.
        line: usize,
        /// The key with its table.
        key: String,
        /// The known key that looks most like it.
        hint: Option<&'static str>,
    },
    /// A TOML value of a type that the setting does not have.
    #[error("{path}:{line}: {key} is {found}, expected {expected}")]
    Type {
        /// The file.
        path: String,
        /// The line, from 1 on.
        line: usize,
        /// The key with its table.
        key: String,
        /// The type that is there.
        found: &'static str,
        /// What would fit.
        expected: &'static str,
    },
    /// No TOML at all.
    #[error("{path}:{line}: {message}")]
    Syntax {
        /// The file.
        path: String,
        /// The line, from 1 on.
        line: usize,
        /// What the parser says; never the line itself, which may hold a secret.
        message: String,
    },
}

impl Problem {
    /// A value that cannot be read.
    pub(crate) fn value(setting: &Setting, given: &Given, expected: impl Into<String>) -> Self {
        let shown = mask(setting.secret, given.text());
        Self::Value { place: place(setting, given.origin()), shown, expected: expected.into() }
    }
}

/// Where a user finds the value in order to change it.
pub(crate) fn place(setting: &Setting, origin: &Origin) -> String {
    match origin {
        Origin::Default => format!("{} (default)", setting.env),
        Origin::Fallback(variable) => format!("{variable} (in place of {})", setting.env),
        Origin::File { path, line } => format!("{path}:{line} ({})", setting.key),
        Origin::Environment(variable) => (*variable).to_owned(),
        Origin::Flag(flag) => format!("--{flag}"),
    }
}

/// All that is wrong. Its `Display` has one line per problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    /// `None` if there is nothing to report.
    pub(crate) fn new(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// One by one.
    #[cfg(test)]
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
