//! The layer: one event, one line, one write.

use std::cell::RefCell;
use std::io::Write as _;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;

use super::clock::Clock;
use super::fields::Fields;
use super::options::Format;
use super::{context, escape};

const RED: &str = "\u{1b}[31m";
const YELLOW: &str = "\u{1b}[33m";
const RESET: &str = "\u{1b}[39m";

thread_local! {
    static BUFFERS: RefCell<(Fields, String)> = const { RefCell::new((Fields::new(), String::new())) };
}

/// Writes lines.
pub(super) struct Lines<W> {
    pub(super) writer: W,
    pub(super) clock: Clock,
    pub(super) format: Format,
    pub(super) colours: bool,
    pub(super) development: bool,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        BUFFERS.with(|buffers| match buffers.try_borrow_mut() {
            Ok(mut buffers) => {
                let (fields, line) = &mut *buffers;
                self.write(event, fields, line);
            }
            // A value that logs while it is being formatted.
            Err(_) => self.write(event, &mut Fields::new(), &mut String::new()),
        });
    }
}

impl<W: for<'w> MakeWriter<'w>> Lines<W> {
    fn write(&self, event: &Event<'_>, fields: &mut Fields, line: &mut String) {
        fields.clear(self.format);
        line.clear();
        event.record(fields);
        let metadata = event.metadata();
        if fields.context.is_empty() {
            fields.context.push_str(context::of_target(metadata.target()));
        }
        match self.format {
            Format::Classic => self.classic(*metadata.level(), fields, line),
            Format::Json => self.json(*metadata.level(), fields, line),
        }
        line.push('\n');
        // Nobody is left to tell when standard output is gone; the node's work goes on.
        let _ = self.writer.make_writer().write_all(line.as_bytes());
    }

    fn classic(&self, level: Level, fields: &Fields, line: &mut String) {
        let colour = self.colour(level);
        line.push_str(colour.unwrap_or_default());
        line.push('[');
        self.clock.push_local(line);
        line.push_str("] [");
        line.push_str(level.as_str());
        line.push_str("] ");
        escape::push(line, &fields.message);
        line.push_str(if fields.message.is_empty() { fields.others.trim_start() } else { &fields.others });
        line.push_str(" (");
        escape::push(line, &fields.context);
        line.push(')');
        if colour.is_some() {
            line.push_str(RESET);
        }
    }

    fn colour(&self, level: Level) -> Option<&'static str> {
        match level {
            _ if !self.colours => None,
            Level::ERROR => Some(RED),
            Level::WARN if self.development => Some(RED),
            Level::DEBUG => Some(YELLOW),
            _ => None,
        }
    }

    fn json(&self, level: Level, fields: &Fields, line: &mut String) {
        line.push_str("{\"ts\":\"");
        self.clock.push_rfc3339(line);
        line.push_str("\",\"level\":\"");
        line.push_str(level.as_str());
        line.push_str("\",\"context\":");
        escape::push_json(line, &fields.context);
        line.push_str(",\"message\":");
        escape::push_json(line, &fields.message);
        line.push_str(",\"fields\":{");
        line.push_str(&fields.others);
        line.push_str("}}");
    }
}

#[cfg(test)]
mod tests;
