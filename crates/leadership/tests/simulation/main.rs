//! The machine against a simulated service with everything that goes wrong: the seed decides.

mod server;
mod world;

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mconn_leadership::Call;
use world::{Faults, World};

/// How long things go wrong, and how long it may take until all is well again, in ms of the simulation.
const TROUBLE: u64 = 20_000;
const RECOVERY: u64 = 15_000;

/// Runs one seed; if it fails, the end of its story is told. Says what it has met.
fn run(seed: u64, faults: Faults, keep_originals: bool) -> BTreeSet<String> {
    let nodes = 2 + usize::try_from(seed % 4).expect("small");
    let mut world = World::new(seed, nodes, faults);
    let story = catch_unwind(AssertUnwindSafe(|| {
        world.run_until(TROUBLE);
        world.calm_down(keep_originals);
        world.run_until(TROUBLE + RECOVERY);
        world.check_settled();
    }));
    if let Err(panic) = story {
        let from = world.log.len().saturating_sub(150);
        eprintln!("seed {seed}, {faults:?}, the end of its story:\n{}", world.log[from..].join("\n"));
        resume_unwind(panic);
    }
    world.met
}

/// Runs many seeds and wants them to have met all of `expected`: a story without trouble proves nothing.
fn run_all(seeds: Range<u64>, faults: Faults, expected: &[&str]) {
    let met: BTreeSet<_> = seeds.flat_map(|seed| run(seed, faults, seed % 2 == 0)).collect();
    let missed: Vec<_> = expected.iter().filter(|what| !met.contains(**what)).collect();
    assert!(missed.is_empty(), "never met: {missed:?}, but {met:?}");
}

/// What any trouble brings about.
const USUAL: &[&str] = &[
    "resigned: Disconnected",
    "resigned: StepDown",
    "resigned: Leaving",
    "resigned: Ended",
    "found a member that was made without an answer",
    "removed a leftover",
    "removed a dead leader",
    "claim refused",
    "resigned: Silent",
    "late Create",
    "late Claim",
    "late Delete",
    "left the line with a term that hangs",
];

#[test]
fn at_most_one_believes_to_lead_and_somebody_does_in_the_end() {
    run_all(0..2_000, Faults { pauses: false, tampering: false, originals: false }, USUAL);
}

#[test]
fn processes_that_stand_still_never_lead_in_the_epoch_of_another() {
    run_all(10_000..11_000, Faults { pauses: true, tampering: false, originals: false }, USUAL);
}

#[test]
fn members_of_the_original_are_respected_and_tampering_is_survived() {
    let more = ["resigned: Deposed", "resigned: MemberGone", "resigned: Refuted"];
    run_all(
        20_000..21_000,
        Faults { pauses: true, tampering: true, originals: true },
        &[USUAL, &more].concat(),
    );
}

#[test]
fn a_leaders_death_wakes_its_successor_only() {
    let mut world = World::new(1, 9, Faults { pauses: false, tampering: false, originals: false });
    world.calm_down(false);
    world.run_until(5_000);
    world.check_settled();
    let leader = world.leader();
    world.called.clear();
    world.kill_now(leader);
    // Until a new leader has claimed the epoch, at most refreshes may have happened beside its own work.
    world.run_until(5_000 + 2_000);
    let claims: usize = world.called.values().flatten().filter(|c| matches!(c, Call::Claim { .. })).count();
    assert_eq!(claims, 1, "only the successor claims: {:?}", world.called);
}
