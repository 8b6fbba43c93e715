//! The raw layers: who gave which text. Nothing is judged here but unknown names; the texts are read in `resolve`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::problem::Problem;
use super::table::{Name, SETTINGS};
use super::{CONFIG_FILE_VARIABLE, file};

/// Where a value came from. The order is that of precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Built in.
    Default,
    /// Another variable that stands in, e.g. `PORT0`.
    Fallback(&'static str),
    /// The TOML file.
    File {
        /// As it was given.
        path: String,
        /// From 1 on.
        line: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// A flag, without its dashes.
    Flag(&'static str),
}

impl Origin {
    fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Fallback(_) => 1,
            Self::File { .. } => 2,
            Self::Environment(_) => 3,
            Self::Flag(_) => 4,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Fallback(variable) => write!(f, "fallback ${variable}"),
            Self::File { path, line } => write!(f, "file {path}:{line}"),
            Self::Environment(variable) => write!(f, "environment ${variable}"),
            Self::Flag(flag) => write!(f, "flag --{flag}"),
        }
    }
}

/// A text and where it came from. `Debug` leaves the text out, since it may be a secret.
#[derive(Clone)]
pub(crate) struct Given {
    text: String,
    origin: Origin,
}

impl Given {
    pub(crate) fn new(text: impl Into<String>, origin: Origin) -> Self {
        Self { text: text.into(), origin }
    }

    /// The text as it was given, secrets included.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Given(from {})", self.origin)
    }
}

/// What all layers together say, in whatever order they were added.
#[derive(Debug, Clone, Default)]
pub(crate) struct Raw {
    values: BTreeMap<Name, Given>,
    /// Fallback variables, the Mesos sandbox among them.
    fallbacks: HashMap<&'static str, String>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

/// Variables with our prefix that are no settings of a node: the file's name, and what client commands and the simulator read.
const OTHER_VARIABLES: &[&str] = &[CONFIG_FILE_VARIABLE, "MCONN_URL", "MCONN_SIM_CREDENTIALS"];
/// The original's test-suite sets these; they mean nothing to a node.
const TEST_SUITE_PREFIX: &str = "MCONN_TEST_";

impl Raw {
    /// Nothing given: all defaults.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file by its text; `path` is for messages only.
    #[must_use]
    pub(crate) fn with_file(mut self, path: &str, text: &str) -> Self {
        let (values, problems) = file::read(path, text);
        self.problems.extend(problems);
        for (name, given) in values {
            self.put(name, given);
        }
        self
    }

    /// Adds the environment. Variables that are not ours are ignored, except for the fallbacks.
    #[must_use]
    pub(crate) fn with_environment<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: AsRef<str>,
        V: Into<String>,
    {
        let mut unknown = Vec::new();
        for (key, value) in variables {
            let (key, value) = (key.as_ref(), value.into());
            if let Some(setting) = SETTINGS.iter().find(|s| s.env == key) {
                self.put(setting.name, Given::new(value, Origin::Environment(setting.env)));
            } else if let Some(name) = fallback_variable(key) {
                if !value.is_empty() {
                    self.fallbacks.insert(name, value);
                }
            } else if key.starts_with("MCONN_")
                && !OTHER_VARIABLES.contains(&key)
                && !key.starts_with(TEST_SUITE_PREFIX)
            {
                unknown.push(format!("The environment variable {key:?} is not known and has no effect"));
            }
        }
        unknown.sort();
        self.warnings.extend(unknown);
        self
    }

    /// Adds flags as (name without dashes, value). Names that no setting has are ignored: the command line parser has
    /// refused them before.
    #[must_use]
    pub(crate) fn with_flags<K, V>(mut self, flags: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: AsRef<str>,
        V: Into<String>,
    {
        for (flag, value) in flags {
            if let Some(setting) = SETTINGS.iter().find(|s| s.flag == flag.as_ref()) {
                self.put(setting.name, Given::new(value, Origin::Flag(setting.flag)));
            }
        }
        self
    }

    fn put(&mut self, name: Name, given: Given) {
        let stronger = self.values.get(&name).is_none_or(|old| old.origin.rank() <= given.origin.rank());
        if stronger {
            self.values.insert(name, given);
        }
    }

    /// What was given for a setting by file, environment or flag.
    pub(super) fn given(&self, name: Name) -> Option<&Given> {
        self.values.get(&name)
    }

    /// The value of a fallback variable, if it is there and not empty.
    pub(super) fn fallback(&self, variable: &str) -> Option<&str> {
        self.fallbacks.get(variable).map(String::as_str)
    }

    /// Takes out what was found wrong and strange while reading.
    pub(super) fn take_findings(&mut self) -> (Vec<Problem>, Vec<String>) {
        (std::mem::take(&mut self.problems), std::mem::take(&mut self.warnings))
    }
}

/// The static name of a fallback variable.
fn fallback_variable(key: &str) -> Option<&'static str> {
    SETTINGS.iter().find_map(|s| match s.default {
        super::setting::Default::Fallback { env, .. } if env == key => Some(env),
        _ => None,
    })
}
