//! The binary. For now it only holds configuration and logging together; the command line is wired next.

#![expect(dead_code, unused_imports, reason = "wired next")]

mod config;
mod logging;

fn main() {}
