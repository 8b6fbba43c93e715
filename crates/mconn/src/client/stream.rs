//! A node's live events, one batch at a time.

use std::time::Duration;

use mconn_wire::http::BodyStream;
use mconn_wire::sse::SseParser;

use super::Client;
use crate::report::Report;

/// The node sends a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// The largest events name 500 changes of verdicts, at some 500 bytes each unless ids are very long.
const MAX_EVENT: usize = 4 << 20;

/// An open stream.
pub(super) struct Events {
    body: BodyStream,
    parser: SseParser,
}

impl Events {
    /// Opens the stream of these kinds of events; of all, if none is named.
    pub(super) async fn open(client: &Client, types: &[String]) -> Result<Self, Report> {
        let types = types.join(",");
        let query: Vec<(&str, &str)> = if types.is_empty() { Vec::new() } else { vec![("types", &types)] };
        let response = client.open(&["v1", "events"], &query).await?;
        Ok(Self { body: response.body, parser: SseParser::new(MAX_EVENT) })
    }

    /// The kinds and data of the events that came next; may be none. An error at the end of the stream.
    pub(super) async fn batch(&mut self) -> Result<Vec<(String, String)>, Report> {
        let chunk = match self.body.chunk_within(SILENCE).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Err(Report::failed("the node has ended the stream")),
            Err(error) => return Err(Report::failed("the stream broke off").because(&error)),
        };
        let mut batch = Vec::new();
        let fed = self.parser.feed(&chunk, |event| {
            let kind = String::from_utf8_lossy(event.name.unwrap_or(b"message")).into_owned();
            batch.push((kind, String::from_utf8_lossy(event.data).into_owned()));
        });
        fed.map_err(|error| Report::failed("the node sent something that is no event").because(&error))?;
        Ok(batch)
    }
}
