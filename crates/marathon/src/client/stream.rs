//! The event stream of one node (spec/marathon.md section 6.2).

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use mconn_wire::http::{BodyStream, HttpError, StreamResponse};
use tokio::time::Instant;

use super::{Ask, AttemptError, ClientError, Endpoint, MarathonClient};
use crate::event::EVENT_TYPES;

/// How much of a refusal is read, and for how long.
const REFUSAL_BYTES: usize = 16 * 1024;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Which events are asked for. Marathon before 1.3.7 sends all of them nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    /// Event types; empty asks for all. Default [`EVENT_TYPES`].
    pub types: Vec<String>,
}

impl Default for EventFilter {
    fn default() -> Self {
        Self { types: EVENT_TYPES.iter().map(|name| (*name).to_owned()).collect() }
    }
}

impl EventFilter {
    fn path(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new("v2/events?".to_owned());
        query.append_pair("plan-format", "light");
        for name in &self.types {
            query.append_pair("event_type", name);
        }
        query.finish().replacen("?&", "?", 1)
    }
}

/// An attached stream. Nothing that happened before was or will be replayed.
#[derive(Debug)]
pub struct EventStream {
    body: BodyStream,
    endpoint: Endpoint,
}

impl EventStream {
    /// The next bytes, `None` at the end. Waits without limit; dropping the future loses nothing.
    ///
    /// # Errors
    /// [`HttpError`] when the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        self.body.chunk().await
    }

    /// The node that was asked (a redirect may have led elsewhere).
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl MarathonClient {
    /// Attaches an event stream.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] when every node says that there is no stream (405, 403, or 404 in Marathon's own
    /// words), else [`ClientError::NoneAnswered`].
    pub async fn events(&self, filter: &EventFilter) -> Result<EventStream, ClientError> {
        let ask = Ask { accept: "text/event-stream", ..self.get("GET /v2/events", filter.path()) };
        let mut attempts = Vec::new();
        let candidates = self.routes().candidates(Instant::now());
        for endpoint in candidates {
            let outcome = match self.attempt::<StreamResponse>(&endpoint, &ask).await {
                Ok(response) => stream_of(response).await,
                Err(error) => Err(error),
            };
            if let Some(body) = self.take_note(endpoint.clone(), outcome, &mut attempts) {
                return Ok(EventStream { body, endpoint });
            }
        }
        if attempts.iter().all(|attempt| refused(&attempt.error)) {
            let reason = "Marathon has no event stream (0.8), or does not permit it";
            return Err(ClientError::Unsupported { what: "the event stream", reason, attempts });
        }
        Err(ClientError::NoneAnswered { call: ask.call, attempts })
    }
}

/// Whether an answer says that there is no stream, and not just now. A proxy's 404 says nothing about Marathon.
fn refused(error: &AttemptError) -> bool {
    match error {
        AttemptError::Status { status, message } => match status.as_u16() {
            404 => message.is_some(),
            403 | 405 => true,
            _ => false,
        },
        _ => false,
    }
}

/// What a refusal says, as far as it comes quickly and is short.
async fn words_of(mut body: BodyStream) -> Option<String> {
    let mut words = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = body.chunk().await {
            words.extend_from_slice(&chunk);
            if words.len() > REFUSAL_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, read).await;
    crate::json::error_message(&words)
}

async fn stream_of(response: StreamResponse) -> Result<BodyStream, AttemptError> {
    if response.status != StatusCode::OK {
        let (status, message) = (response.status, words_of(response.body).await);
        return Err(AttemptError::Status { status, message });
    }
    let content_type = response.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or("no content type");
    if !content_type.trim().to_ascii_lowercase().starts_with("text/event-stream") {
        return Err(AttemptError::NotAStream { content_type: content_type.to_owned() });
    }
    Ok(response.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_a_query() {
        let filter = EventFilter { types: vec!["a".to_owned(), "b".to_owned()] };
        assert_eq!(filter.path(), "v2/events?plan-format=light&event_type=a&event_type=b");
        assert_eq!(EventFilter { types: Vec::new() }.path(), "v2/events?plan-format=light");
    }
}
