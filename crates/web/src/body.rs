//! Bodies of requests: read whole within limits, before a handler sees the request.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::problem::{Cause, Problem};

/// How much more than the limit is read and thrown away, so that the client gets to see the answer.
const DISCARD: usize = 4;
/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// A request's body, and what its sender says it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Posted {
    pub(crate) bytes: Bytes,
    pub(crate) kind: Kind,
}

/// What the content type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// Anything else: counts as an empty object, as in the original.
    #[default]
    Other,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Self {
        let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = text.split(';').next().unwrap_or_default().trim();
        if name.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else if name.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Self::Form
        } else {
            Self::Other
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Posted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.remove().unwrap_or_default())
    }
}

/// Reads a body.
pub(crate) async fn read<B>(
    headers: &HeaderMap,
    body: B,
    limit: usize,
    deadline: Instant,
) -> Result<Posted, Problem>
where
    B: Body + Unpin,
    B::Error: std::fmt::Display,
{
    let encoding = headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let message = "the body is compressed, which is not supported";
        return Err(Problem::new(status, Cause::BadType, message)
            .hint("send it without Content-Encoding")
            .close());
    }
    match tokio::time::timeout_at(deadline, collect(headers, body, limit)).await {
        Ok(Ok(bytes)) => Ok(Posted { bytes, kind: Kind::of(headers) }),
        Ok(Err(problem)) => Err(problem),
        Err(_) => {
            let message = "the body did not arrive in time";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, Cause::SlowClient, message).close())
        }
    }
}

async fn collect<B>(headers: &HeaderMap, mut body: B, limit: usize) -> Result<Bytes, Problem>
where
    B: Body + Unpin,
    B::Error: std::fmt::Display,
{
    let told: Option<usize> =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    // A client that waits for "100 Continue" has sent nothing yet.
    let waits = headers.contains_key(http::header::EXPECT);
    if told.is_some_and(|told| told > limit) {
        if !waits {
            discard(&mut body, limit).await;
        }
        return Err(too_large(limit));
    }
    let mut first = Bytes::new();
    let mut whole: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::bad(Cause::SlowClient, format!("the body could not be read: {error}")).close()
        })?;
        let Ok(mut data) = frame.into_data() else { continue };
        let data = data.copy_to_bytes(data.remaining());
        if first.len() + whole.as_ref().map_or(0, BytesMut::len) + data.len() > limit {
            discard(&mut body, limit).await;
            return Err(too_large(limit));
        }
        match &mut whole {
            Some(whole) => whole.extend_from_slice(&data),
            // Nearly every body comes in one piece, and is not copied.
            None if first.is_empty() => first = data,
            None => {
                let mut joined = BytesMut::with_capacity(told.unwrap_or(0).max(first.len() + data.len()));
                joined.extend_from_slice(&std::mem::take(&mut first));
                joined.extend_from_slice(&data);
                whole = Some(joined);
            }
        }
    }
    Ok(whole.map_or(first, BytesMut::freeze))
}

async fn discard<B: Body + Unpin>(body: &mut B, limit: usize) {
    let read = async {
        let mut left = limit.saturating_mul(DISCARD);
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Buf::remaining);
            let Some(rest) = left.checked_sub(size) else { return };
            left = rest;
        }
    };
    // In time or not: the connection is closed after the answer.
    let _ = tokio::time::timeout(DISCARD_TIME, read).await;
}

fn too_large(limit: usize) -> Problem {
    let message = format!("the body is larger than {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Cause::TooLarge, message)
        .hint("MCONN_BODY_LIMIT raises the limit")
        .close()
}

impl Posted {
    /// The body's text.
    pub(crate) fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.bytes).map_err(|error| {
            let at = error.valid_up_to();
            Problem::bad(Cause::BadUtf8, format!("the body is no UTF-8: broken at byte {at}"))
        })
    }

    /// The pairs of a form.
    pub(crate) fn pairs(&self) -> form_urlencoded::Parse<'_> {
        form_urlencoded::parse(&self.bytes)
    }

    /// The body as named fields: an object, a flat form, or nothing.
    pub(crate) fn fields(&self) -> Result<Map<String, Value>, Problem> {
        match self.kind {
            Kind::Other => Ok(Map::new()),
            Kind::Form => {
                Ok(self.pairs().map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect())
            }
            Kind::Json => {
                let text = self.text()?;
                if text.trim_ascii().is_empty() {
                    return Ok(Map::new());
                }
                match serde_json::from_str(text).map_err(|error| broken(&error))? {
                    Value::Object(fields) => Ok(fields),
                    Value::Array(_) => {
                        Err(Problem::mild(Cause::BadType, "the body is an array, an object is needed"))
                    }
                    _ => Err(Problem::bad(Cause::BadType, "the body is neither an object nor an array")),
                }
            }
        }
    }
}

/// JSON that is none. The message has the place, not the content.
pub(crate) fn broken(error: &serde_json::Error) -> Problem {
    Problem::bad(Cause::BadJson, format!("the body is no JSON: {error}"))
}
