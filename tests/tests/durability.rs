//! What was accepted is handled, whatever dies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mconn_tests::{Client, Mconn, Node, run_to_end, status_update, until};
use serde_json::json;
use tempfile::TempDir;

/// Posts numbered events until it is told to stop; gives the numbers that were acknowledged.
async fn post_until(api: Client, stop: Arc<AtomicBool>, from: usize, step: usize) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    let mut number = from;
    while !stop.load(Ordering::SeqCst) {
        let mut event = status_update(&format!("t{number}"), "TASK_RUNNING", "/app");
        event["timestamp"] = number.into();
        match api.try_send("POST", "/v1/queue", Some(&event)).await {
            Ok(answer) if answer.status == 200 && answer.json["taskId"].is_string() => {
                acknowledged.push(number);
            }
            _ => return acknowledged,
        }
        number += step;
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_at_any_moment_loses_no_accepted_event() {
    const SENDERS: usize = 8;
    let dir = TempDir::new().unwrap();
    let mut all = BTreeSet::new();
    for round in 0..8 {
        let mut node = Node::start(&dir, &[]);
        node.api.preset("Test", "/app").await;
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let first = round * 1_000_000 + sender;
                tokio::spawn(post_until(node.api.clone(), stop.clone(), first, SENDERS))
            })
            .collect();
        // The moment is not a condition but the subject: a different one in each round.
        tokio::time::sleep(Duration::from_millis(20 + 37 * round as u64)).await;
        node.process.kill();
        stop.store(true, Ordering::SeqCst);
        for sender in senders {
            all.extend(sender.await.unwrap());
        }
    }
    assert!(all.len() > 100, "only {} events were accepted", all.len());
    let node = Node::start(&dir, &[]);
    until("the queue is empty", async || node.api.get("/v1/queue").await.json == json!([])).await;
    let inventory: BTreeSet<String> = node.api.inventory("Test").await.into_iter().collect();
    let lost: Vec<_> = all.iter().filter(|number| !inventory.contains(&format!("t{number}"))).collect();
    assert!(lost.is_empty(), "{} of {} accepted events were lost: {lost:?}", lost.len(), all.len());
}

#[tokio::test]
async fn a_clean_end_keeps_what_waits() {
    let dir = TempDir::new().unwrap();
    let mut node = Node::start(&dir, &[]);
    node.api.preset("Test", "/app").await;
    node.api.send("POST", "/v1/module/queue/pause/Test", None).await;
    for task in ["a", "b"] {
        node.api.post("/v1/queue", &status_update(task, "TASK_RUNNING", "/app")).await;
    }
    let bye = node.api.send("POST", "/v1/exit/node", None).await;
    assert_eq!(bye.json, json!({"status": "ok", "message": "Exit node"}));
    assert_eq!(node.process.exit_code(), 0, "{}", node.process.output());
    let node = Node::start(&dir, &[]);
    until("both are handled", async || node.api.inventory("Test").await == ["a", "b"]).await;
}

#[tokio::test]
async fn a_full_disk_is_an_error_now_and_no_loss_later() {
    let dir = TempDir::new().unwrap();
    // A limit for the size of files is what a full disk is like, and needs no rights.
    let shell = "trap '' XFSZ; ulimit -S -f 2048; exec \"$@\"";
    let env = Node::env(&dir, &[]);
    let node = Node::ready(Mconn::start_through(shell, &["serve"], &env, dir.path()));
    node.api.preset("Test", "/app").await;
    node.api.send("POST", "/v1/module/queue/pause/Test", None).await;
    let mut accepted = BTreeSet::new();
    let mut refused = None;
    for number in 0..20_000 {
        let task = format!("t{number}-{}", "x".repeat(1_000));
        let answer = node.api.post("/v1/queue", &status_update(&task, "TASK_RUNNING", "/app")).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
        accepted.insert(task);
    }
    let refused = refused.expect("the disk never got full");
    assert_eq!((refused.status, &refused.json["status"]), (503, &json!("error")), "{}", refused.text);
    assert!(refused.json["hint"].is_string(), "{}", refused.text);
    assert_eq!(node.api.get("/v1/health/ready").await.status, 503);
    assert_eq!(node.api.get("/v1/health/live").await.status, 200);

    let raised = std::process::Command::new("prlimit")
        .args(["--pid", &node.process.id().to_string(), "--fsize=unlimited"])
        .status()
        .expect("prlimit is there: apt-get install util-linux");
    assert!(raised.success(), "the limit cannot be raised");
    until("events are accepted again", async || {
        node.api.post("/v1/queue", &status_update("after", "TASK_RUNNING", "/app")).await.status == 200
    })
    .await;
    accepted.insert("after".to_owned());
    node.api.send("POST", "/v1/module/queue/resume/Test", None).await;
    until("all are handled", async || node.api.get("/v1/queue").await.json == json!([])).await;
    let inventory: BTreeSet<String> = node.api.inventory("Test").await.into_iter().collect();
    assert!(accepted.is_subset(&inventory), "{} accepted, {} handled", accepted.len(), inventory.len());
}

#[tokio::test]
async fn one_directory_serves_one_node() {
    let dir = TempDir::new().unwrap();
    let _node = Node::start(&dir, &[]);
    let mut second = Mconn::start(&["serve"], &Node::env(&dir, &[]), dir.path());
    assert_eq!(second.exit_code(), 2);
    let output = second.output();
    assert!(output.contains("in use by another process") && output.contains("--data-dir"), "{output}");
}

#[tokio::test]
async fn a_damaged_directory_is_refused_and_can_be_repaired() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();
    let mut node = Node::start(&dir, &[]);
    node.api.preset("Test", "/group/app").await;
    node.api.post("/v1/queue", &status_update("t", "TASK_RUNNING", "/group/app")).await;
    until("it is handled", async || node.api.inventory("Test").await == ["t"]).await;
    node.process.signal("TERM");
    assert_eq!(node.process.exit_code(), 0);

    let export = run_to_end(&["store", "export", "--data-dir", path], &[]);
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    let file = dir.path().join("mconn.redb");
    let sound = std::fs::read(&file).unwrap();
    std::fs::write(&file, &sound[..sound.len() / 2]).unwrap();
    let damaged = std::fs::read(&file).unwrap();

    let mut refused = Mconn::start(&["serve"], &Node::env(&dir, &[]), dir.path());
    assert_eq!(refused.exit_code(), 2);
    let output = refused.output();
    assert!(output.contains("mconn.redb") && output.contains("mconn store repair"), "{output}");
    assert_eq!(std::fs::read(&file).unwrap(), damaged, "nothing was changed");
    let check = run_to_end(&["store", "check", "--data-dir", path], &[]);
    assert!(!check.status.success());
    assert_eq!(std::fs::read(&file).unwrap(), damaged, "nothing was changed");

    let repair = run_to_end(&["store", "repair", "--allow-empty", "--data-dir", path], &[]);
    assert!(repair.status.success(), "{}", String::from_utf8_lossy(&repair.stderr));
    let aside = std::fs::read_dir(dir.path()).unwrap().flatten();
    assert!(
        aside.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("corrupt")),
        "kept aside"
    );
    let document = dir.path().join("export.json");
    std::fs::write(&document, &export.stdout).unwrap();
    let import =
        run_to_end(&["store", "import", "--replace", "--data-dir", path, document.to_str().unwrap()], &[]);
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    let node = Node::start(&dir, &[]);
    assert_eq!(node.api.inventory("Test").await, ["t"]);
    assert_eq!(node.api.get("/v1/module/preset/Test").await.json[0]["appId"], "/group/app");
}

#[tokio::test]
async fn events_wait_for_a_module_that_is_left_out_by_mistake_until_it_is_dropped_on_purpose() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();
    let mut node = Node::start(&dir, &[]);
    node.api.preset("Test", "/app").await;
    node.api.send("POST", "/v1/module/queue/pause/Test", None).await;
    for task in ["a", "b"] {
        node.api.post("/v1/queue", &status_update(task, "TASK_RUNNING", "/app")).await;
    }
    node.process.signal("TERM");
    assert_eq!(node.process.exit_code(), 0);

    let mut mistaken = Node::start(&dir, &[("MCONN_MODULE_START", "Tset")]);
    let warning = "2 stored events are owed to module \"Test\"";
    until("it is warned", async || mistaken.process.output().contains(warning)).await;
    mistaken.process.signal("TERM");
    assert_eq!(mistaken.process.exit_code(), 0);

    let mut node = Node::start(&dir, &[]);
    until("both are handled", async || node.api.inventory("Test").await == ["a", "b"]).await;
    node.process.signal("TERM");
    assert_eq!(node.process.exit_code(), 0);

    let dropped = run_to_end(&["store", "drop-module", "Test", "--data-dir", path], &[]);
    let said = String::from_utf8_lossy(&dropped.stdout);
    assert!(said.contains("1 presets, 2 inventory items"), "{said}");
    let node = Node::start(&dir, &[]);
    assert!(node.api.inventory("Test").await.is_empty());
    assert_eq!(node.api.get("/v1/module/preset/Test").await.json, json!([]));
}
