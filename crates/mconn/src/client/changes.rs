//! `mconn watch`: the changes of verdicts, live, over restarts of the node.

use std::time::Duration;

use jiff::tz::TimeZone;
use mconn_wire::http::Method;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::filter::Filter;
use super::known::Known;
use super::stream::Events;
use super::{Client, put, text, when};
use crate::cli::WatchArgs;
use crate::report::Report;

/// First and longest pause before a node that is away is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Why watching has ended without an error.
enum Ended {
    /// Nobody reads any more.
    ClosedPipe,
}

/// Prints changes until the user ends it. Fails only if the node cannot be watched at the beginning.
pub(crate) async fn watch(args: &WatchArgs) -> Result<(), Report> {
    let client = Client::new(&args.node)?;
    let mut watch =
        Watch { client, filter: Filter::new(args), known: Known::default(), zone: TimeZone::system() };
    tokio::select! {
        done = watch.run() => done,
        () = interrupted() => Ok(()),
    }
}

async fn interrupted() {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        // Then the signal ends the process in its own way.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

struct Watch {
    client: Client,
    filter: Filter,
    known: Known,
    zone: TimeZone,
}

impl Watch {
    async fn run(&mut self) -> Result<(), Report> {
        let (mut events, _) = self.attach().await?;
        eprintln!("watching {} (Ctrl-C ends)", self.known.summary());
        loop {
            let lost = match self.follow(&mut events).await {
                Ok(Ended::ClosedPipe) => return Ok(()),
                Err(report) => report,
            };
            eprintln!("the node is lost: {}; trying again", lost.line());
            let missed;
            (events, missed) = self.reattach().await;
            eprintln!("the node is back: watching {}", self.known.summary());
            if !self.print(&missed) {
                return Ok(());
            }
        }
    }

    /// Attaches, and gives what has changed since the time before. Opens the stream first, so that nothing falls between
    /// it and the list.
    async fn attach(&mut self) -> Result<(Events, Vec<Value>), Report> {
        let events = Events::open(&self.client, &["catalog".to_owned()]).await?;
        self.known.reattached();
        let missed = self.list().await?;
        Ok((events, missed))
    }

    /// Tries until the node is there.
    async fn reattach(&mut self) -> (Events, Vec<Value>) {
        let mut pause = PAUSE.0;
        let mut said = String::new();
        loop {
            // Several terminals must not all come at once.
            tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            match self.attach().await {
                Ok(attached) => return attached,
                Err(report) => {
                    let line = report.line();
                    if line != said {
                        eprintln!("not yet: {line}");
                    }
                    said = line;
                }
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn follow(&mut self, events: &mut Events) -> Result<Ended, Report> {
        loop {
            for (kind, data) in events.batch().await? {
                let Some(event) =
                    (kind == "catalog").then(|| serde_json::from_str::<Value>(&data).ok()).flatten()
                else {
                    continue;
                };
                for turned in self.known.turned(&event) {
                    eprintln!("{turned}");
                }
                let mut changes = Vec::new();
                if self.known.wants_list(&event) {
                    changes = self.list().await?;
                }
                changes.extend(self.known.event(&event));
                let more = event["moreVerdicts"].as_u64().unwrap_or(0);
                if more > 0 {
                    eprintln!("{more} changes came too fast to be told one by one; what they led to follows");
                    changes.extend(self.list().await?);
                }
                if !self.print(&changes) {
                    return Ok(Ended::ClosedPipe);
                }
            }
        }
    }

    /// Reads all verdicts, and gives what differs from what was known.
    async fn list(&mut self) -> Result<Vec<Value>, Report> {
        let listing = self.client.call(Method::GET, &["v1", "verdicts"], None).await?;
        let now = format!("{:.3}", jiff::Timestamp::now());
        Ok(self.known.list(&listing, &now))
    }

    fn print(&self, changes: &[Value]) -> bool {
        let mut lines = String::new();
        for change in changes.iter().filter(|change| self.filter.fits(change)) {
            if self.client.wants_json() {
                lines.push_str(&change.to_string());
            } else {
                lines.push_str(&line(change, &self.zone));
            }
            lines.push('\n');
        }
        put(&lines)
    }
}

/// One change as people read it.
fn line(change: &Value, zone: &TimeZone) -> String {
    let addresses: Vec<String> = change["addresses"].as_array().into_iter().flatten().map(text).collect();
    let parts = [
        when(&change["at"], zone, "%H:%M:%S%.3f"),
        text(&change["app"]),
        text(&change["task"]),
        addresses.join(","),
        String::new(),
        format!("{}  {}", step(change), text(&change["cause"])),
    ];
    let shown = parts.into_iter().enumerate().filter(|(at, part)| *at == 4 || !part.is_empty());
    let line = shown.map(|(_, part)| part).collect::<Vec<_>>().join(" ");
    if line.chars().any(char::is_control) { line.escape_debug().to_string() } else { line }
}

/// `not ready (health-unknown) -> routable (healthy)`
pub(super) fn step(change: &Value) -> String {
    let side = |side: &Value, otherwise: &str| match side["verdict"].as_str() {
        Some(verdict) => format!("{verdict} ({})", text(&side["rule"])),
        None => otherwise.to_owned(),
    };
    format!("{} -> {}", side(&change["before"], "new"), side(&change["after"], "gone"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_says_when_what_where_and_why() {
        let mut change = json!({
            "at": "2026-01-05T12:01:02.123Z", "source": "m", "app": "/shop/cart", "task": "shop_cart.1",
            "addresses": ["10.0.0.1:31000", "10.0.0.1:31001"],
            "before": {"verdict": "not ready", "rule": "health-unknown"},
            "after": {"verdict": "routable", "rule": "healthy"}, "cause": "health event, healthy: true",
        });
        assert_eq!(
            line(&change, &TimeZone::UTC),
            "12:01:02.123 /shop/cart shop_cart.1 10.0.0.1:31000,10.0.0.1:31001  not ready (health-unknown) -> routable \
             (healthy)  health event, healthy: true"
        );
        change["addresses"] = json!([]);
        change["before"] = change["after"].take();
        assert_eq!(
            line(&change, &TimeZone::UTC),
            "12:01:02.123 /shop/cart shop_cart.1  routable (healthy) -> gone  health event, healthy: true"
        );
    }
}
