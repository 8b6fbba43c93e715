//! Thousands of seeds of ten simulated minutes: whatever the cluster and the way to it do, the laws hold.
//!
//! `MCONN_LEVEL_SEEDS` (default 2000) is how many, `MCONN_LEVEL_FIRST` (default 0) the first. A failing seed prints how
//! to see it again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use mconn_tests::level::{Coverage, Outcome, run};

/// Failing seeds that are shown whole.
const SHOWN: usize = 1;

fn number(name: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

/// Runs the seeds on all cores.
fn run_all(first: u64, count: u64) -> (Vec<Outcome>, Coverage) {
    let (next, total) = (AtomicU64::new(first), Mutex::new((Vec::new(), Coverage::default())));
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let outcome = run(seed, false);
                    let mut total = total.lock().expect("no run panics here");
                    total.1.add(&outcome.coverage);
                    if !outcome.is_good() {
                        total.0.push(outcome);
                    }
                }
            });
        }
    });
    let (mut failed, coverage) = total.into_inner().expect("no run panics here");
    failed.sort_by_key(|outcome| outcome.seed);
    (failed, coverage)
}

/// Failures by kind, each with an example and its seeds.
fn kinds(failed: &[Outcome]) -> BTreeMap<String, (String, Vec<u64>)> {
    let mut kinds = BTreeMap::<String, (String, Vec<u64>)>::new();
    for outcome in failed {
        let panic = outcome.panicked.iter().map(|words| ("panic".to_owned(), words.clone()));
        let broken = outcome
            .broken
            .iter()
            .map(|(at, broken)| (broken.kind(), format!("{:.3} s: {broken}", at.as_secs_f64())));
        for (kind, example) in broken.chain(panic) {
            kinds.entry(kind).or_insert_with(|| (example, Vec::new())).1.push(outcome.seed);
        }
    }
    kinds
}

#[test]
fn every_law_holds_with_every_seed() {
    let (first, count) = (number("MCONN_LEVEL_FIRST", 0), number("MCONN_LEVEL_SEEDS", 2000));
    let started = Instant::now();
    let (failed, coverage) = run_all(first, count);
    println!("{count} seeds in {:.1} s\n{coverage}", started.elapsed().as_secs_f64());
    for (kind, (broken, seeds)) in kinds(&failed) {
        println!("{kind}: {} seeds, the first {:?}: {broken}", seeds.len(), &seeds[..seeds.len().min(8)]);
    }
    for outcome in failed.iter().take(SHOWN) {
        println!("{}", run(outcome.seed, true));
    }
    assert!(failed.is_empty(), "{} of {count} seeds break a law", failed.len());
    let missing = if count >= 2000 { coverage.missing([]) } else { Vec::new() };
    assert!(missing.is_empty(), "never met, so nothing is known about it: {missing:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 7, 4711] {
        let (one, other) = (run(seed, true), run(seed, true));
        assert!(one.trace.len() > 1000, "something has to happen: {}", one.trace.len());
        let differs = one.trace.iter().zip(&other.trace).find(|(one, other)| one != other);
        assert_eq!((differs, one.trace.len()), (None, other.trace.len()), "seed {seed}");
        assert_eq!(run(seed, false).coverage, one.coverage, "looking on changes nothing");
    }
}

/// Prints one seed whole: `MCONN_LEVEL_SEED=123 cargo test -p mconn-tests --test level replay -- --nocapture`
#[test]
fn replay() {
    let Ok(_) = std::env::var("MCONN_LEVEL_SEED") else { return };
    let outcome = run(number("MCONN_LEVEL_SEED", 0), true);
    outcome.trace.iter().for_each(|line| println!("{line}"));
    assert!(outcome.is_good(), "{outcome}");
}
