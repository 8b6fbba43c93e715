//! Following a node's live events.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use mconn_wire::sse::SseParser;

use super::Client;
use crate::report::Report;

/// The node sends a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// The node's events are small; anything larger is not one of them.
const MAX_EVENT: usize = 1 << 20;

/// Prints events until the node or the user ends it: one line each, its kind and its JSON.
pub(crate) async fn watch(client: &Client, types: &[String]) -> Result<(), Report> {
    let types = types.join(",");
    let query: Vec<(&str, &str)> = if types.is_empty() { Vec::new() } else { vec![("types", &types)] };
    let mut response = client.open(&["v1", "events"], &query).await?;
    let mut parser = SseParser::new(MAX_EVENT);
    loop {
        let chunk = match response.body.chunk_within(SILENCE).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Err(Report::failed("the node has ended the stream")),
            Err(error) => return Err(Report::failed("the stream broke off").because(&error)),
        };
        let mut lines = String::new();
        parser
            .feed(&chunk, |event| {
                let kind = String::from_utf8_lossy(event.name.unwrap_or(b"message"));
                // Writing to a String cannot fail.
                let _ = writeln!(lines, "{kind} {}", String::from_utf8_lossy(event.data));
            })
            .map_err(|error| Report::failed("the node sent something that is no event").because(&error))?;
        let mut out = std::io::stdout().lock();
        // A closed pipe is how `| head` says that it has seen enough.
        if out.write_all(lines.as_bytes()).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
}
