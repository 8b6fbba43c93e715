//! What can be chosen about the log.

use std::io::IsTerminal as _;

/// `MCONN_LOGGER_LEVEL`: each level has the lines of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// 1
    Error = 1,
    /// 2
    Warn = 2,
    /// 3
    Info = 3,
    /// 4
    Debug = 4,
}

impl Level {
    /// From the original's number.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug].into_iter().find(|level| *level as u8 == number)
    }

    /// Our crates at this level; the libraries below us are heard from `warn` on, or a level 4 would drown in them.
    pub(super) fn directives(self) -> String {
        let (ours, theirs) = match self {
            Self::Error => ("error", "error"),
            Self::Warn => ("warn", "warn"),
            Self::Info => ("info", "warn"),
            Self::Debug => ("debug", "warn"),
        };
        format!("{theirs},mconn={ours}")
    }
}

/// The shape of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `[DD-MM-YYYY HH:mm:ss] [LEVEL] message key=value (Context)`
    Classic,
    /// An object per line.
    Json,
}

/// All that logging needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// What is worth a line.
    pub(crate) level: Level,
    /// The shape of a line.
    pub(crate) format: Format,
    /// No line at all.
    pub(crate) muted: bool,
    /// Warnings in red as well.
    pub(crate) development: bool,
    /// Colours in classic lines.
    pub(crate) colours: bool,
    /// The developers' filter, `RUST_LOG`; goes before the level if it is there.
    pub(crate) filter: Option<String>,
}

impl Options {
    /// Colours if standard output is a terminal and `NO_COLOR` does not ask for none. The variables come in as values.
    #[must_use]
    pub(crate) fn for_terminal(mut self, no_color: Option<&str>) -> Self {
        let unwanted = no_color.is_some_and(|value| !value.is_empty());
        self.colours = !unwanted && std::io::stdout().is_terminal();
        self
    }
}
