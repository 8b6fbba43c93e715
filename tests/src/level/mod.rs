//! The whole level path in virtual time: the simulated cluster, the follower and the catalog, all of them pure, driven by
//! one loop with one clock and one seed.
//!
//! **Comes in:** a seed. **Goes out:** the laws that did not hold ([`mconn_catalog::invariants::overtime`]), what was met
//! on the way ([`Coverage`]), and a trace. **Never:** a socket, a thread, the real time, or anything that is not the same
//! the next time.
//!
//! A run is ten minutes: eight in which the cluster is used (`story`) and the way to it is bad (`weather`), then two in
//! which all of that has ended, so that the catalog has to agree with the truth in the end. Bytes pass through the real
//! decoders: `stream` makes frames of events, `requests` makes JSON of listings.

mod agenda;
mod apps;
mod coverage;
mod report;
mod requests;
mod story;
mod stream;
mod truth;
mod weather;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mconn_catalog::invariants::overtime::Broken;

pub use coverage::{Coverage, WANTED};

use report::Log;
use world::World;

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first break of each law, and when.
    pub broken: Vec<(Duration, Broken)>,
    /// The words of a panic.
    pub panicked: Option<String>,
    /// What was met.
    pub coverage: Coverage,
    /// Everything that happened, if it was asked for.
    pub trace: Vec<String>,
}

impl Outcome {
    /// Whether every law held.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.broken.is_empty() && self.panicked.is_none()
    }
}

impl fmt::Display for Outcome {
    /// Everything that is needed to look into a failure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.seed;
        writeln!(f, "seed {seed}; to see all of it:")?;
        writeln!(
            f,
            "  MCONN_LEVEL_SEED={seed} cargo test -p mconn-tests --test level replay -- --nocapture"
        )?;
        if let Some(words) = &self.panicked {
            writeln!(f, "  panicked: {words}")?;
        }
        self.broken
            .iter()
            .try_for_each(|(at, broken)| writeln!(f, "  {:.3} s: {broken}", at.as_secs_f64()))?;
        write!(f, "{}", report::excerpt(&self.trace))
    }
}

/// Runs one seed, with or without a trace.
#[must_use]
pub fn run(seed: u64, traced: bool) -> Outcome {
    let log = Log::new(traced);
    let ran = catch_unwind(AssertUnwindSafe(|| World::new(seed, log.clone()).run()));
    let (broken, coverage, panicked) = match ran {
        Ok((broken, coverage)) => (broken, coverage, None),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            (Vec::new(), Coverage::default(), Some(words.unwrap_or_else(|| "no words".to_owned())))
        }
    };
    Outcome { seed, broken, panicked, coverage, trace: log.lines() }
}
