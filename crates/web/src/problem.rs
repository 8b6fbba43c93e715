//! Everything that can be wrong with a request, and how it is told: `{"status":"error","message":...,"hint":...}`.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use mconn_queue::{AcceptError, CommandError, SyncError};

use crate::dto::Refusal;
use crate::json;

/// What was wrong, as `mconn_http_problems_total` counts it. Travels in the answer's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    BadRequest,
    BadJson,
    BadUtf8,
    BadType,
    BadEscape,
    BadEvent,
    RejectedEvent,
    TooLarge,
    SlowClient,
    Unauthorised,
    NotFound,
    UnknownModule,
    Conflict,
    Overloaded,
    Timeout,
    Store,
    NoLeader,
    Internal,
}

impl Cause {
    pub(crate) const ALL: [Self; 18] = [
        Self::BadRequest,
        Self::BadJson,
        Self::BadUtf8,
        Self::BadType,
        Self::BadEscape,
        Self::BadEvent,
        Self::RejectedEvent,
        Self::TooLarge,
        Self::SlowClient,
        Self::Unauthorised,
        Self::NotFound,
        Self::UnknownModule,
        Self::Conflict,
        Self::Overloaded,
        Self::Timeout,
        Self::Store,
        Self::NoLeader,
        Self::Internal,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::BadJson => "bad_json",
            Self::BadUtf8 => "bad_utf8",
            Self::BadType => "bad_type",
            Self::BadEscape => "bad_escape",
            Self::BadEvent => "bad_event",
            Self::RejectedEvent => "rejected_event",
            Self::TooLarge => "too_large",
            Self::SlowClient => "slow_client",
            Self::Unauthorised => "unauthorised",
            Self::NotFound => "not_found",
            Self::UnknownModule => "unknown_module",
            Self::Conflict => "conflict",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Store => "store",
            Self::NoLeader => "no_leader",
            Self::Internal => "internal",
        }
    }
}

/// An answer that says no. Many have status 200, as in the original: clients test `status == "error"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    message: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    cause: Cause,
    retry: bool,
    close: bool,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, cause: Cause, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), hint: None, cause, retry: false, close: false }
    }

    /// The request asks for something that does not fit; HTTP 200, as the original's clients expect.
    pub(crate) fn mild(cause: Cause, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::OK, cause, message)
    }

    pub(crate) fn bad(cause: Cause, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, cause, message)
    }

    /// Passes by itself: try again in a second.
    pub(crate) fn unavailable(cause: Cause, message: impl Into<Cow<'static, str>>) -> Self {
        Self { retry: true, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, cause, message) }
    }

    /// Nobody serves what only the leader has.
    pub(crate) fn no_leader(why: &str) -> Self {
        Self::unavailable(Cause::NoLeader, format!("there is no leader at the moment: {why}"))
            .hint("nothing was done: try again in a second; GET /v1/members shows who there is")
    }

    pub(crate) fn not_found(target: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, Cause::NotFound, format!("URI not found: {target}"))
            .hint("GET /v1/openapi.json lists all routes")
    }

    pub(crate) fn unknown_module(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, Cause::UnknownModule, format!("Module not found: {name}"))
            .hint("GET /v1/module/list names the loaded modules; names are case-sensitive")
    }

    /// It can be read, but not stored: trying again makes no sense.
    fn too_large(error: &impl std::fmt::Display) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Cause::TooLarge, error.to_string())
            .hint("nothing has changed: send less in one request")
    }

    /// What to do about it.
    pub(crate) fn hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Nothing more can be read from this connection.
    pub(crate) fn close(self) -> Self {
        Self { close: true, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let dto = Refusal { status: "error", message: &self.message, hint: self.hint.as_deref() };
        let mut response = json::respond(self.status, &dto);
        response.extensions_mut().insert(self.cause);
        if self.retry {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::UnknownModule(name) => Self::unknown_module(&name),
            CommandError::Store { .. } => Self::unavailable(Cause::Store, error.to_string())
                .hint("nothing has changed; the node's log says what is wrong with the store"),
            CommandError::TooLarge { .. } => Self::too_large(&error),
            CommandError::Refused(reason) => Self::new(StatusCode::CONFLICT, Cause::Conflict, reason),
            CommandError::NoAnswer => {
                Self::unavailable(Cause::Timeout, error.to_string()).hint("try again in a second")
            }
        }
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Self {
        let cause = match error {
            AcceptError::TooLarge { .. } => return Self::too_large(&error),
            AcceptError::Full { .. } => Cause::Overloaded,
            AcceptError::Store { .. } => Cause::Store,
            AcceptError::NoAnswer => Cause::Timeout,
        };
        Self::unavailable(cause, error.to_string())
            .hint("the event was not accepted: send it again; GET /v1/health/ready says more")
    }
}

impl From<SyncError> for Problem {
    fn from(error: SyncError) -> Self {
        match &error {
            SyncError::UnknownModule(name) => Self::unknown_module(name),
            SyncError::Unreachable { reason } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, Cause::Timeout, error.to_string())
                    .hint(format!("the inventory was left alone: {reason}"))
            }
            SyncError::NoAnswer => {
                Self::unavailable(Cause::Timeout, error.to_string()).hint("try again in a second")
            }
        }
    }
}
