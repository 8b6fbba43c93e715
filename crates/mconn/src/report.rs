//! How a command ends badly: one error with its causes, a hint, and an exit code. Standard error only.

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Exit codes are part of the interface: 0 it worked, 1 it was tried and failed, 2 it could not run, 64 wrong usage or
/// configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was tried and failed: not found, refused, unreachable.
    Failed,
    /// It could not run: no port, no data directory.
    CouldNotRun,
    /// The command line or the configuration is wrong.
    Usage,
}

impl Exit {
    fn number(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::CouldNotRun => 2,
            Self::Usage => 64,
        }
    }
}

/// What the user is told.
#[derive(Debug)]
pub(crate) struct Report {
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    exit: Exit,
}

impl Report {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hint: None, exit }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(crate) fn could_not_run(message: impl Into<String>) -> Self {
        Self::new(Exit::CouldNotRun, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds an error and everything behind it.
    #[must_use]
    pub(crate) fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// `error:`, the causes, `hint:`; readable without colour.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        for cause in &self.causes {
            let _ = writeln!(text, "  caused by: {cause}");
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    /// The same on one line, for a log.
    pub(crate) fn line(&self) -> String {
        let causes = self.causes.iter().map(String::as_str);
        std::iter::once(self.message.as_str()).chain(causes).collect::<Vec<_>>().join(": ")
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_happened_why_and_what_to_do() {
        let cause = std::io::Error::other("permission denied");
        let report =
            Report::could_not_run("cannot open the store").because(&cause).hint("run it as its owner");
        assert_eq!(
            report.text(),
            "error: cannot open the store\n  caused by: permission denied\nhint: run it as its owner\n"
        );
    }
}
