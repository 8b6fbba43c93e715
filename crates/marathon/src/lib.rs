//! Marathon.
pub mod event;
pub mod json;
