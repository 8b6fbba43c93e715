//! The shapes of answers. Field names and order are the original's where it had them (spec/mconn.md section 4).

pub(crate) mod catalog;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod live;
pub(crate) mod module;
pub(crate) mod preset;
pub(crate) mod queue;
pub(crate) mod task;

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

/// Something was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Done {
    /// Always `ok`.
    status: &'static str,
    /// What was done.
    message: String,
}

impl Done {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { status: "ok", message: message.into() }
    }
}

/// Something was not done. Some come with HTTP status 200: test `status`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Refusal<'a> {
    /// Always `error`.
    pub(crate) status: &'static str,
    /// What is wrong.
    pub(crate) message: &'a str,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<&'a str>,
}

/// Seconds with one decimal.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}
