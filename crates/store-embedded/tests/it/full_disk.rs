//! A disk that is really full: first by a limit on the size of files, which works everywhere, then, for root, by a file
//! system of 1 MiB. `src/faults.rs` tries every single operation; here it is the kernel that says no.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mconn_store::{Seq, Store, StoreErrorKind, Write};
use mconn_store_embedded::{EmbeddedStore, OpenOptions, check, export};
use serde_json::json;

use crate::common::{append, put_item};

/// Set for the child: where its store is.
const CHILD_DIR: &str = "MCONN_STORE_FULL_DIR";

/// Batches that the child makes at most; far more than fit.
const BATCHES_MAX: u64 = 10_000;

fn batch(number: u64) -> Vec<Write> {
    vec![append(number), put_item("Test", &format!("item-{number}"), json!("x".repeat(2_000)))]
}

/// In the child: commits until the disk is full, checks that nothing is half there, waits for space, and goes on in the
/// same store. In a normal run of the tests: nothing.
#[tokio::test]
async fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let store = EmbeddedStore::open(Path::new(&dir), OpenOptions::default()).unwrap();
    let mut number = 0;
    let error = loop {
        assert!(number < BATCHES_MAX, "the disk is never full");
        match store.commit(batch(number)).await {
            Ok(()) => number += 1,
            Err(error) => break error,
        }
    };
    println!("full after {number}: {error}");
    for _ in 0..3 {
        let error = store.commit(batch(number)).await.unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Unavailable | StoreErrorKind::Unknown), "{error}");
    }
    println!("waiting");
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();

    let contents = store.load().await.unwrap();
    let events = u64::try_from(contents.journal.len()).unwrap();
    assert!(events == number || events == number + 1, "{events} events, {number} acknowledged");
    assert_eq!(contents.items.len(), contents.journal.len(), "no batch is half there");
    for number in number..number + 100 {
        store.commit(batch(number)).await.unwrap();
    }
    store.commit(vec![Write::Forget(Seq(0))]).await.unwrap();
    store.close().await.unwrap();
    println!("done {}", number + 100);
    std::io::stdout().flush().unwrap();
}

/// Starts the child through a shell that first runs `before`.
fn start(dir: &Path, before: &str) -> Child {
    Command::new("sh")
        .args(["-c", &format!("{before} exec \"$0\" full_disk::child --exact --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD_DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets the child fill its disk, makes space, and looks at what it leaves.
fn fill_and_go_on(dir: &Path, mut child: Child, make_space: impl FnOnce(u32)) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let full = lines.find(|line| line.starts_with("full after ")).expect("the disk gets full");
    assert!(lines.any(|line| line == "waiting"), "{full}");
    make_space(child.id());
    child.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    let done = lines.find_map(|line| line.strip_prefix("done ")?.parse::<usize>().ok());
    let done = done.unwrap_or_else(|| panic!("it does not go on: {full}"));
    assert!(child.wait().unwrap().success());

    let report = check(dir).unwrap();
    assert!(report.is_sound() && report.closed_well, "{report:?}");
    let contents = export(dir).unwrap();
    assert_eq!((contents.items.len(), contents.journal.len()), (done, done - 1));
}

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn the_store_goes_on_when_files_may_grow_again() {
    let dir = tempfile::tempdir().unwrap();
    // In units of 512 bytes; writing beyond is an error instead of a signal.
    let child = start(dir.path(), "trap '' XFSZ; ulimit -S -f 1000;");
    fill_and_go_on(dir.path(), child, |pid| {
        let raised = run("prlimit", &["--pid", &pid.to_string(), "--fsize=unlimited:"]);
        assert!(raised, "prlimit (util-linux) is needed for this test");
    });
}

#[test]
fn the_store_goes_on_when_a_full_file_system_gets_space() {
    let dir = tempfile::tempdir().unwrap();
    let mount_point = dir.path().to_str().unwrap().to_owned();
    if !run("mount", &["-t", "tmpfs", "-o", "size=1m", "mconn-test", &mount_point]) {
        eprintln!(
            "NOT TESTED: no permission to mount a tmpfs; the limit on file sizes and src/faults.rs stand in for it"
        );
        return;
    }
    let _unmount = Unmount(mount_point.clone());
    let data = dir.path().join("data");
    let child = start(&data, "");
    fill_and_go_on(&data, child, |_| {
        assert!(run("mount", &["-o", "remount,size=64m", &mount_point]), "more space");
    });
}

struct Unmount(String);

impl Drop for Unmount {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0]);
    }
}
