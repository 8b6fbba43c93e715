//! `mconn demo`, as `make demo` starts it.

use std::collections::BTreeSet;
use std::path::Path;

use mconn_tests::{Client, Mconn, run_to_end, until};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn the_story_is_told_to_its_end() {
    let mut demo = Mconn::start(&["demo", "--for", "25s", "--speed", "20"], &[], Path::new("/"));
    assert_eq!(demo.exit_code(), 0, "{}", demo.output());
    let told = demo.output();
    for part in [
        "presets",
        "start four tasks",
        "GET http://127.0.0.1:",
        "scale up to six",
        "kill one",
        "roll out a new version",
        "delete /shop/web",
        "Moin, Moin",
        "Tschues",
        "the end",
        "it stays up",
        "=== summary",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
}

#[test]
fn a_short_time_ends_it_early_and_well() {
    let mut demo = Mconn::start(&["demo", "--for", "1s"], &[], Path::new("/"));
    assert_eq!(demo.exit_code(), 0, "{}", demo.output());
    assert!(demo.output().contains("=== summary"));
}

#[test]
fn ctrl_c_ends_it_with_a_summary() {
    let mut demo = Mconn::start(&["demo"], &[], Path::new("/"));
    demo.wait_for("presets");
    demo.signal("INT");
    assert_eq!(demo.exit_code(), 0, "{}", demo.output());
    assert!(demo.output().contains("=== summary"));
}

#[tokio::test]
async fn three_nodes_lose_nothing_when_the_leader_is_killed() {
    let mut demo = Mconn::start(&["demo", "--nodes", "3"], &[], Path::new("/"));
    demo.wait_for("it stays up");
    let before = descendants(demo.id());
    let files = demo.wait_for("what the nodes have logged");
    let files =
        files.split_once("tail -f ").and_then(|(_, files)| files.split_once("/node-")).expect(&files).0;
    assert!(Path::new(files).is_dir(), "{files}");
    demo.wait_for("Ctrl-C ends it");
    let told = demo.output();
    let url = told.lines().find_map(|line| line.split_once("node 1     ")?.1.split_once("/v1/"));
    Client::new(url.expect("where node 1 is").0).post("/v1/exit/node", &Value::Null).await;
    demo.wait_for("node 1 has ended");
    demo.signal("INT");
    assert_eq!(demo.exit_code(), 0, "{}", demo.output());
    assert!(!Path::new(files).exists(), "{files} is left");
    let told = demo.output();
    for part in [
        "ZooKeeper  127.0.0.1:",
        "node 3     http://127.0.0.1:",
        "which leads",
        "failover  ",
        "comes back",
        "hands over",
        "handover  ",
        "through node 1: ",
        "through node 2: ",
        "through node 3: ",
        "lost      none of ",
        "=== summary",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    let sent = told.lines().find_map(|line| line.split_once("events    ")).expect("a line of numbers").1;
    let numbers: Vec<u32> = sent.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(numbers[0] >= 500 && numbers[0] == numbers[1], "sent and acknowledged: {sent}");
    // ZooKeeper, and three nodes of which one is the second in its place.
    assert_eq!(before.len(), 4, "{before:?}");
    let left: Vec<_> = before.iter().filter(|id| runs(**id)).collect();
    assert!(left.is_empty(), "these still run: {left:?}");
}

#[test]
fn ctrl_c_ends_three_nodes_under_load() {
    let mut demo = Mconn::start(&["demo", "--nodes", "3", "--log"], &[], Path::new("/"));
    demo.wait_for("each event goes to the next node");
    let before = descendants(demo.id());
    demo.signal("INT");
    assert_eq!(demo.exit_code(), 0, "{}", demo.output());
    let told = demo.output();
    assert!(told.contains("nothing was counted") && told.contains("=== summary"), "{told}");
    assert!(told.contains("node 2 | "), "--log shows whose line it is:\n{told}");
    assert_eq!(before.len(), 4, "{before:?}");
    assert!(!before.iter().any(|id| runs(*id)), "something still runs:\n{told}");
}

#[tokio::test]
async fn a_killed_demo_leaves_no_process_behind() {
    // What is killed removes no files.
    let files = TempDir::new().unwrap();
    let env = [("TMPDIR", files.path().to_str().unwrap())];
    let mut demo = Mconn::start(&["demo", "--nodes", "2"], &env, Path::new("/"));
    demo.wait_for("each event goes to the next node");
    let before = descendants(demo.id());
    assert_eq!(before.len(), 3, "{before:?}");
    demo.kill();
    until("everything it started has ended", async || !before.iter().any(|id| runs(*id))).await;
}

#[test]
fn several_nodes_that_cannot_be_are_refused() {
    for (args, text) in [
        (&["demo", "--nodes", "1"][..], "1 is not in 2..=9"),
        (&["demo", "--nodes", "3", "--speed", "20"], "cannot be used with"),
    ] {
        let output = run_to_end(args, &[]);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(text), "{args:?}: {said}");
    }
    let output = run_to_end(&["demo", "--nodes", "3"], &[("PATH", "/nowhere")]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("java is missing") && said.contains("apt-get install"), "{said}");
}

/// The processes below this one that run, as the system lists them.
fn descendants(id: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([id]);
    let parents: Vec<(u32, u32)> =
        std::fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| parent(&entry)).collect();
    while parents.iter().any(|(child, parent)| found.contains(parent) && found.insert(*child)) {}
    found.remove(&id);
    found
}

/// A process that has not ended, and its parent.
fn parent(entry: &std::fs::DirEntry) -> Option<(u32, u32)> {
    let id = entry.file_name().to_str()?.parse().ok()?;
    let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
    // The name before may have any characters.
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    (words.next()? != "Z").then_some(())?;
    Some((id, words.next()?.parse().ok()?))
}

fn runs(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
