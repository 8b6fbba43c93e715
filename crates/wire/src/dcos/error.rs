//! Why there is no token, and what to do.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::http::{Fault, HttpError, ShownUrl};

/// Why a login failed. Cheap to clone: all who waited for it get it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// No answer.
    #[error("no login to DC/OS: {0}")]
    Http(#[from] HttpError),
    /// The answer is no.
    #[error("no login to DC/OS as {uid}: {url} answers {}{}", status.as_u16(), told(words.as_deref(), advice))]
    Refused {
        /// Who wanted to log in.
        uid: String,
        /// Where.
        url: ShownUrl,
        /// The status.
        status: StatusCode,
        /// The other side's reason, shortened.
        words: Option<String>,
        /// What to do.
        advice: Advice,
    },
    /// The answer is yes, but without a token.
    #[error("no login to DC/OS: {url} answers 200, but without a usable token; is it a login endpoint?")]
    NoToken {
        /// Where.
        url: ShownUrl,
    },
    /// There are tokens, and nobody takes them.
    #[error("the tokens of the login to DC/OS are refused (401): do they belong to this cluster?")]
    Unwanted,
    /// The proof could not be signed.
    #[error("no login to DC/OS: signing failed, the system gives no random numbers")]
    Sign,
    /// The last one failed a moment ago.
    #[error("{last} (tried again in {} s)", wait.as_secs().saturating_add(1))]
    Paused {
        /// What it failed of.
        last: Box<LoginError>,
        /// Until the next attempt.
        wait: Duration,
    },
}

impl LoginError {
    /// Who has to act.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Http(error) => error.fault(),
            Self::Refused { status, .. } if status.is_server_error() => Fault::Server,
            Self::Refused { .. } | Self::Unwanted => Fault::Settings,
            Self::NoToken { .. } | Self::Sign => Fault::Server,
            Self::Paused { last, .. } => last.fault(),
        }
    }
}

/// What an operator can do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing but wait.
    Wait,
    /// The login endpoint is another one.
    Endpoint,
    /// The account, its key, or the clock, which is off by so many seconds if that is known.
    Account {
        /// Ours minus theirs.
        clock_ahead: Option<i64>,
    },
    /// User and password.
    User,
}

/// Clocks that differ by less are no reason for a refusal, in seconds.
const CLOCK_MATTERS: u64 = 30;

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait => f.write_str("it is tried again"),
            Self::Endpoint => f.write_str("check the login endpoint"),
            Self::User => f.write_str("check user and password"),
            Self::Account { clock_ahead: Some(ahead) } if ahead.unsigned_abs() > CLOCK_MATTERS => write!(
                f,
                "this machine's clock is {} s {} the other one's, set it right",
                ahead.unsigned_abs(),
                if *ahead > 0 { "ahead of" } else { "behind" }
            ),
            Self::Account { .. } => f.write_str(
                "check that the service account exists and that its public key belongs to our private one",
            ),
        }
    }
}

fn told(words: Option<&str>, advice: &Advice) -> String {
    words.map_or_else(|| format!("; {advice}"), |words| format!(" ({words}); {advice}"))
}
