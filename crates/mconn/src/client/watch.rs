//! `mconn queue watch`: a node's live events as they are.

use std::fmt::Write as _;

use super::stream::Events;
use super::{Client, put};
use crate::report::Report;

/// Prints events until the node or the user ends it: one line each, its kind and its JSON.
pub(crate) async fn watch(client: &Client, types: &[String]) -> Result<(), Report> {
    let mut events = Events::open(client, types).await?;
    loop {
        let mut lines = String::new();
        for (kind, data) in events.batch().await? {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{kind} {data}");
        }
        if !put(&lines) {
            return Ok(());
        }
    }
}
