//! Logging: `tracing` events as lines on standard output, in the original's form or as JSON.
//!
//! ```text
//!  tracing event --level--> Lines (this thread: one text per event) --bounded queue--> worker thread --> stdout
//! ```
//!
//! It owns the shape of a line, the level (which can be changed while running) and the writer, which never drops a line:
//! when standard output is slow, the queue fills up and whoever logs waits. It never reads the environment or looks for a
//! terminal on its own, except in [`Options::for_terminal`], and it never writes to standard error.
//!
//! Cost, release build on one of two shared cores, everything from event to a sink: 1.5 million classic lines a second, 0.85
//! million as JSON (`cost_of_one_hundred_thousand_lines` measures it). What a terminal or a pipe takes comes on top.
//!
//! Write `tracing::info!(context = "Module.Test", tasks = n, "message")` to choose the context; without that field it
//! follows from the crate ([`context`]).

mod clock;
mod context;
mod escape;
mod fields;
mod lines;
mod options;
mod start;

pub(crate) use options::{Format, Level, Options};
pub(crate) use start::{LevelControl, Logging, start};
