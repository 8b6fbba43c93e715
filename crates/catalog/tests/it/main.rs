//! The catalog seen from outside: what is folded into it, and what it shows and asks for.
#![expect(clippy::unwrap_used, reason = "in helpers of tests, too, what cannot be built is a failed test")]
#![expect(clippy::needless_pass_by_value, reason = "cases of a table are given away")]

mod digest;
mod endpoints;
mod events;
mod hints;
mod listings;
mod memory;
mod model;
mod news;
mod older;
mod overtime;
mod panic;
mod readiness;
mod requests;
mod shell;
mod sources;
mod support;
mod verdicts;
