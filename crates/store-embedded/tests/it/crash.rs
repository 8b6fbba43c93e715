//! `kill -9` in the middle of commits: what was acknowledged is there, and every batch is whole.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use mconn_store::{Seq, Store, Write};
use mconn_store_embedded::{EmbeddedStore, OpenOptions, check};

use crate::common::append;

/// Set for the child: where its store is.
const CHILD_DIR: &str = "MCONN_STORE_CRASH_DIR";

/// Events of one batch; its number is that of its first event divided by this.
const BATCH: u64 = 16;

/// A batch stays this long before it is forgotten again, so that pages are freed and used again.
const KEPT: u64 = 40;

const ROUNDS: u32 = 20;

/// In the child: commits for ever and says so. In a normal run of the tests: nothing.
#[tokio::test]
async fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let store = EmbeddedStore::open(Path::new(&dir), OpenOptions::default()).unwrap();
    let next = store.load().await.unwrap().next_seq.map_or(0, |seq| seq.0);
    assert_eq!(next % BATCH, 0, "the last batch is whole");
    let mut out = std::io::stdout();
    for number in next / BATCH.. {
        store.commit(batch(number)).await.unwrap();
        writeln!(out, "committed {number}").unwrap();
        out.flush().unwrap();
    }
}

fn batch(number: u64) -> Vec<Write> {
    let appends = (number * BATCH..(number + 1) * BATCH).map(append);
    let old = number.checked_sub(KEPT);
    let forgets =
        old.into_iter().flat_map(|old| old * BATCH..(old + 1) * BATCH).map(|seq| Write::Forget(Seq(seq)));
    appends.chain(forgets).collect()
}

/// Runs the child until it has acknowledged `batches` more, kills it, and returns the last number it acknowledged.
fn run_and_kill(dir: &Path, batches: u64, pause_us: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = lines.map_while(Result::ok).filter_map(|line| {
        let number = line.strip_prefix("committed ")?;
        number.parse::<u64>().ok()
    });
    let mut last =
        acknowledged.by_ref().take(usize::try_from(batches).unwrap()).last().expect("the child commits");
    // Not a wait for something: it moves the kill to another moment within a commit.
    std::thread::sleep(std::time::Duration::from_micros(pause_us));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success(), "it was killed: {status}");
    if let Some(number) = acknowledged.last() {
        last = number;
    }
    last
}

#[tokio::test]
async fn acknowledged_batches_survive_kill_9_and_all_batches_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..ROUNDS {
        let last = run_and_kill(dir.path(), random.u64(1..60), random.u64(0..3_000));
        let report = check(dir.path()).unwrap();
        assert!(report.is_sound(), "round {round}: {:?}", report.problems);
        let store = EmbeddedStore::open(dir.path(), OpenOptions::default()).unwrap();
        let contents = store.load().await.unwrap();
        store.close().await.unwrap();

        let mut sizes = BTreeMap::new();
        for entry in &contents.journal {
            *sizes.entry(entry.seq.0 / BATCH).or_insert(0) += 1;
        }
        let newest = sizes.keys().next_back().copied().unwrap();
        assert!(newest == last || newest == last + 1, "round {round}: acknowledged {last}, found {newest}");
        assert!(sizes.values().all(|size| *size == BATCH), "round {round}: a batch is not whole: {sizes:?}");
        let oldest = newest.saturating_sub(KEPT - 1);
        assert!(sizes.keys().copied().eq(oldest..=newest), "round {round}: {sizes:?}");
        assert_eq!(contents.next_seq, Some(Seq((newest + 1) * BATCH)), "round {round}");
    }
}
