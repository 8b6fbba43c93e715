//! Marathon's JSON of ten generations, brought to the model (spec/marathon.md sections 2 to 5).
//!
//! Every document is decoded element by element: an app, a task or a pod that cannot be read is left out with a
//! [`Warning`] and never hides the others. A document as a whole is refused when its syntax is broken or when it is not
//! the document that was asked for: `{}` is not an empty list of apps.

mod app;
mod deployment;
mod document;
mod group;
mod info;
mod lenient;
mod network;
mod pod;
mod task;

use mconn_model::Warning;
use serde::Deserialize;

pub use deployment::{DeploymentStatus, ReadinessResult, deployments};
pub use document::{app, listing, pods, tasks};
pub use group::group;
pub use info::{Info, error_message, info, leader};
pub use task::{RunningTask, running_tasks};

pub(crate) use app::decode_app;
pub(crate) use deployment::{affected, stopped_by};
pub(crate) use lenient::{Flag, List, Number, Object, RawList, Text, TextOrWhole};
pub(crate) use task::{AddressDto, addresses, ports};

/// Why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Broken or truncated.
    #[error("no valid JSON: {reason}")]
    Syntax {
        /// The parser's words, with line and column.
        reason: String,
    },
    /// Valid JSON, but something else.
    #[error("this is not {wanted}: {reason}")]
    Unexpected {
        /// What was asked for, e.g. `a list of apps`.
        wanted: &'static str,
        /// What is missing.
        reason: String,
    },
}

/// A value and what had to be left out of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed<T> {
    /// What could be read.
    pub value: T,
    /// What could not, and why.
    pub warnings: Vec<Warning>,
}

/// Parses the document's outermost form; a type error there means that it is another document.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], wanted: &'static str) -> Result<T, JsonError> {
    serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            JsonError::Unexpected { wanted, reason: error.to_string() }
        } else {
            JsonError::Syntax { reason: error.to_string() }
        }
    })
}

/// Like [`parse`], for documents that are objects. Serde would also fill a struct from an array.
pub(crate) fn parse_object<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    wanted: &'static str,
) -> Result<T, JsonError> {
    let object: Object<T> = parse(body, wanted)?;
    object.0.ok_or_else(|| JsonError::Unexpected { wanted, reason: "it is no object".to_owned() })
}

/// Decodes an element that must be an object.
pub(crate) fn object<'a, T: Deserialize<'a>>(raw: &'a str) -> Result<T, String> {
    let object: Object<T> = serde_json::from_str(raw).map_err(|error| error.to_string())?;
    object.0.ok_or_else(|| "it is no object".to_owned())
}

/// Where we are in a document, and what could not be read so far.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    warnings: Vec<Warning>,
}

impl Notes {
    pub(crate) fn warn(&mut self, place: &str, reason: impl Into<String>) {
        self.warnings.push(Warning { place: place.to_owned(), reason: reason.into() });
    }

    /// Decodes each element alone; those that fail become warnings.
    pub(crate) fn each<'a, T>(
        &mut self,
        place: &str,
        list: &RawList<'a>,
        mut decode: impl FnMut(&'a str, &str, &mut Self) -> Result<T, String>,
    ) -> Vec<T> {
        let mut out = Vec::with_capacity(list.0.as_ref().map_or(0, Vec::len));
        for (index, raw) in list.0.iter().flatten().enumerate() {
            let place = format!("{place}[{index}]");
            match decode(raw.get(), &place, self) {
                Ok(value) => out.push(value),
                Err(reason) => self.warn(&place, reason),
            }
        }
        out
    }

    pub(crate) fn done<T>(self, value: T) -> Parsed<T> {
        Parsed { value, warnings: self.warnings }
    }

    pub(crate) fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }
}
