//! Why a call to Marathon failed, node by node.

use std::fmt;

use http::StatusCode;
use mconn_wire::dcos::LoginError;
use mconn_wire::http::{HttpError, SetupError};

use super::Endpoint;
use crate::json::JsonError;

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientSetupError {
    /// There is nobody to ask.
    #[error("no Marathon is configured")]
    NoEndpoint,
    /// Certificates or TLS.
    #[error(transparent)]
    Http(#[from] SetupError),
}

/// Why one node's answer cannot be used. The next node is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// No (whole) answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An answer of a status that means no.
    #[error("status {}{}", status.as_u16(), explain(*status, message.as_deref()))]
    Status {
        /// The status.
        status: StatusCode,
        /// Marathon's own words; `None` for HTML pages of proxies.
        message: Option<String>,
    },
    /// No token for a node that needs one.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// DC/OS is in front, and nobody can log in.
    #[error(
        "status 401: DC/OS wants a login here; give it a service account or user:password (MCONN_DCOS_CREDENTIAL)"
    )]
    LoginWanted,
    /// The login worked, and its token does not.
    #[error(
        "status 401 to the token of the login to DC/OS; does it belong to this cluster, and may the account use Marathon?"
    )]
    TokenRefused,
    /// The right status, but a body that is not what was asked for.
    #[error("an unusable answer: {0}")]
    Body(#[from] JsonError),
    /// A redirect to a place that is neither configured nor named by Marathon: credentials would leak there.
    #[error("a redirect to {to}, which is neither configured nor Marathon's leader; it was not followed")]
    ForeignRedirect {
        /// Where to, without credentials and query.
        to: String,
    },
    /// Redirects without end, or without target.
    #[error("redirects that lead nowhere (more than {limit}, or without target)")]
    RedirectLoop {
        /// How many were followed.
        limit: usize,
    },
    /// Not an event stream.
    #[error("a stream was asked for, and {content_type} came")]
    NotAStream {
        /// What came instead.
        content_type: String,
    },
    /// Decoding panicked: a bug of ours, kept from ending the program.
    #[error("decoding the answer failed; please report this")]
    Crashed,
}

impl AttemptError {
    /// Whether the node itself (or the way to it) is at fault, and not what was asked for.
    pub(super) fn is_of_node(&self) -> bool {
        match self {
            Self::Http(HttpError::TooLarge { .. }) => false,
            Self::Http(_) => true,
            Self::Status { status, .. } => matches!(status.as_u16(), 502..=504),
            _ => false,
        }
    }
}

fn explain(status: StatusCode, message: Option<&str>) -> String {
    let hint = match status {
        StatusCode::UNAUTHORIZED => "; check user and password",
        StatusCode::FORBIDDEN => "; the user lacks the permission",
        _ => "",
    };
    match message {
        Some(message) => format!(" ({message}){hint}"),
        None => hint.to_owned(),
    }
}

/// One node's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The node.
    pub endpoint: Endpoint,
    /// What happened.
    pub error: AttemptError,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            AttemptError::Http(error) => error.fmt(f), // names the URL itself
            error => write!(f, "{}: {error}", self.endpoint),
        }
    }
}

/// Why a call failed on every node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No node gave a usable answer.
    #[error("no usable answer to {call}: {}", join(attempts))]
    NoneAnswered {
        /// The call, e.g. `GET /v2/apps`.
        call: &'static str,
        /// What happened on each node, in the order asked.
        attempts: Vec<Attempt>,
    },
    /// Marathon answers, but does not have or does not allow this.
    #[error("{what} cannot be used here: {reason}{}", tail(attempts))]
    Unsupported {
        /// What was wanted, e.g. `the event stream`.
        what: &'static str,
        /// Why, and what to do.
        reason: &'static str,
        /// What happened on each node, in the order asked.
        attempts: Vec<Attempt>,
    },
}

fn join(attempts: &[Attempt]) -> String {
    attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn tail(attempts: &[Attempt]) -> String {
    if attempts.is_empty() { String::new() } else { format!(" ({})", join(attempts)) }
}
