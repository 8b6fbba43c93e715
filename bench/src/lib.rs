//! Benches and the load harness.
