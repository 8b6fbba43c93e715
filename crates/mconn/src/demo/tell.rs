//! How the story is told: one line a thing, with the seconds since the beginning.

use std::io::Write as _;

use tokio::time::Instant;

/// Writes the story's lines. A closed pipe ends the telling, not the demo.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    began: Instant,
}

impl Teller {
    pub(super) fn new(began: Instant) -> Self {
        Self { began }
    }

    pub(super) fn heading(&self, text: &str) {
        self.write(&format!("\n=== {text}\n"));
    }

    pub(super) fn line(&self, text: &str) {
        self.write(&format!("{:7.2}s  {text}\n", self.began.elapsed().as_secs_f64()));
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
