//! Collects one event's fields: the message, the context, and all others in the form that the line needs.

use std::error::Error;
use std::fmt::{Debug, Write as _};

use tracing::field::{Field, Visit};

use super::escape;
use super::options::Format;

/// The name of the field that names the context.
const CONTEXT: &str = "context";
const MESSAGE: &str = "message";

/// Texts of one event. Kept per thread and cleared, so that a line costs no allocation.
pub(super) struct Fields {
    pub(super) format: Format,
    pub(super) message: String,
    pub(super) context: String,
    /// Classic: ` key=value` each. JSON: `"key":value` with commas between.
    pub(super) others: String,
    scratch: String,
}

impl Fields {
    pub(super) const fn new() -> Self {
        Self {
            format: Format::Classic,
            message: String::new(),
            context: String::new(),
            others: String::new(),
            scratch: String::new(),
        }
    }

    /// Ready for the next event.
    pub(super) fn clear(&mut self, format: Format) {
        self.format = format;
        self.message.clear();
        self.context.clear();
        self.others.clear();
    }

    fn key(&mut self, field: &Field) {
        match self.format {
            Format::Classic => {
                self.others.push(' ');
                escape::push(&mut self.others, field.name());
                self.others.push('=');
            }
            Format::Json => {
                if !self.others.is_empty() {
                    self.others.push(',');
                }
                escape::push_json(&mut self.others, field.name());
                self.others.push(':');
            }
        }
    }

    fn text(&mut self, field: &Field, text: &str) {
        match field.name() {
            MESSAGE => self.message.push_str(text),
            CONTEXT => self.context.push_str(text),
            _ => {
                self.key(field);
                match self.format {
                    Format::Classic => escape::push_value(&mut self.others, text),
                    Format::Json => escape::push_json(&mut self.others, text),
                }
            }
        }
    }

    /// Numbers and truth values: the same in both formats, never escaped.
    fn bare(&mut self, field: &Field, value: &dyn std::fmt::Display) {
        let target = match field.name() {
            MESSAGE => &mut self.message,
            CONTEXT => &mut self.context,
            _ => {
                self.key(field);
                &mut self.others
            }
        };
        // Writing to a String cannot fail.
        let _ = write!(target, "{value}");
    }

    fn formatted(&mut self, field: &Field, text: std::fmt::Arguments<'_>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        // A value whose own formatting fails is shown as far as it came.
        let _ = scratch.write_fmt(text);
        self.text(field, &scratch);
        self.scratch = scratch;
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.formatted(field, format_args!("{value:?}"));
    }

    /// With all its causes, but for those that an error has put into its own text already.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.ends_with(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            cause = error.source();
        }
        self.text(field, &text);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, &value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.bare(field, &value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.bare(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.bare(field, &value);
        } else {
            // JSON has no number for it.
            self.text(field, &value.to_string());
        }
    }
}
