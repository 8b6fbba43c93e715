//! Following a Marathon end to end: what happens there arrives in the inventory, whatever happens to the stream.

use mconn_tests::{Client, Node, Sim, until};
use serde_json::{Value, json};
use tempfile::TempDir;

fn app(id: &str, instances: u32) -> Value {
    json!({
        "id": id, "cmd": "sleep", "cpus": 0.1, "mem": 32, "instances": instances, "taskKillGracePeriodSeconds": 1,
        "networks": [{"mode": "host"}], "portDefinitions": [{"port": 0, "name": "http", "protocol": "tcp"}],
    })
}

/// No stream can be attached from now on.
async fn refuse_streams(sim: &Sim) {
    let answer = sim.api.post("/sim/fault", &json!({"refuseStreams": true})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// Ids of the tasks that run in the simulated cluster, sorted.
async fn truth(sim: &Client) -> Vec<String> {
    let tasks = sim.get("/v2/tasks?status=running").await.json;
    let mut ids: Vec<_> = tasks["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|task| task["state"] == "TASK_RUNNING")
        .filter_map(|task| task["id"].as_str().map(str::to_owned))
        .collect();
    ids.sort();
    ids
}

/// Until the inventory is what runs, and so many.
async fn until_equal(sim: &Sim, node: &Node, count: usize) {
    until(&format!("{count} tasks run and are in the inventory"), async || {
        let truth = truth(&sim.api).await;
        truth.len() == count && node.api.inventory("Test").await == truth
    })
    .await;
}

fn start(dir: &TempDir, sim: &Sim, env: &[(&str, &str)]) -> Node {
    let mut all = vec![("MCONN_MARATHON_HOSTS", sim.address.as_str())];
    all.extend(env);
    Node::start(dir, &all)
}

/// From the stream where there is one, from listings where there is none (0.8).
#[tokio::test]
async fn versions_of_all_ages_are_followed() {
    for profile in ["0.8", "0.11", "1.3", "1.5", "1.11"] {
        let sim = Sim::start(&["--profile", profile, "--no-callbacks", "--speed", "10"]);
        let dir = TempDir::new().unwrap();
        let node = start(
            &dir,
            &sim,
            &[
                ("MCONN_MARATHON_COMPARE_MIN", "300"),
                ("MCONN_MARATHON_COMPARE_MAX", "600"),
                // Where no event tells that the only app was deleted, its absence is held first.
                ("MCONN_HOLD_FOR", "1000"),
            ],
        );
        node.api.preset("Test", "/shop/web").await;
        sim.api.post("/v2/apps", &app("/shop/web", 2)).await;
        until(&format!("{profile}: two tasks"), async || node.api.inventory("Test").await.len() == 2).await;
        sim.api.send("DELETE", "/v2/apps/shop/web", None).await;
        until(&format!("{profile}: none"), async || node.api.inventory("Test").await.is_empty()).await;
    }
}

#[tokio::test]
async fn what_happens_in_marathon_arrives() {
    let sim = Sim::start(&[]);
    let dir = TempDir::new().unwrap();
    let node = start(&dir, &sim, &[]);
    node.api.preset("Test", "/shop/web").await;

    sim.api.post("/v2/apps", &app("/shop/web", 3)).await;
    sim.api.post("/v2/apps", &app("/shop/other", 2)).await;
    until("three tasks of /shop/web alone", async || node.api.inventory("Test").await.len() == 3).await;
    assert!(node.api.inventory("Test").await.iter().all(|task| task.starts_with("shop_web.")));
    sim.api.send("DELETE", "/v2/apps/shop/other", None).await;

    sim.api.send("PUT", "/v2/apps/shop/web", Some(&json!({"instances": 5}))).await;
    until_equal(&sim, &node, 5).await;
    let victim = truth(&sim.api).await.remove(0);
    sim.api.send("DELETE", &format!("/v2/apps/shop/web/tasks/{victim}"), None).await;
    until("the victim is gone", async || !node.api.inventory("Test").await.contains(&victim)).await;
    until_equal(&sim, &node, 5).await;
    sim.api.send("PUT", "/v2/apps/shop/web?force=true", Some(&json!({"cmd": "sleep longer"}))).await;
    until_equal(&sim, &node, 5).await;
    sim.api.send("DELETE", "/v2/apps/shop/web", None).await;
    until_equal(&sim, &node, 0).await;

    let catalog = node.api.get("/v1/catalog").await;
    assert_eq!(catalog.status, 200, "{}", catalog.text);
    assert_eq!(node.api.get("/v1/health/freshness").await.status, 200);
}

#[tokio::test]
async fn tasks_that_ran_before_are_found_by_the_preset_s_sync() {
    let sim = Sim::start(&[]);
    sim.api.post("/v2/apps", &app("/a/b/c", 2)).await;
    until("they run", async || truth(&sim.api).await.len() == 2).await;
    let dir = TempDir::new().unwrap();
    let node = start(&dir, &sim, &[]);
    node.api.preset("Test", "/a/b/c").await;
    until_equal(&sim, &node, 2).await;
}

#[tokio::test]
async fn a_lost_stream_loses_nothing() {
    let sim = Sim::start(&[]);
    let dir = TempDir::new().unwrap();
    // A sync as often as every second repairs what was never seen; the stream brings the rest.
    let node = start(&dir, &sim, &[("MCONN_MODULE_SYNC_TIME", "1000")]);
    node.api.preset("Test", "/web").await;
    sim.api.post("/v2/apps", &app("/web", 3)).await;
    until_equal(&sim, &node, 3).await;

    refuse_streams(&sim).await;
    sim.api.post("/sim/streams/close", &json!({})).await;
    sim.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 1}))).await;
    until_equal(&sim, &node, 1).await;
    sim.api.send("DELETE", "/sim/fault", None).await;
    sim.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 4}))).await;
    until_equal(&sim, &node, 4).await;
}

#[tokio::test]
async fn a_task_that_died_in_a_gap_of_the_stream_leaves_the_inventory() {
    let sim = Sim::start(&[]);
    let dir = TempDir::new().unwrap();
    let node = start(&dir, &sim, &[]);
    node.api.preset("Test", "/web").await;
    sim.api.post("/v2/apps", &app("/web", 3)).await;
    until_equal(&sim, &node, 3).await;

    refuse_streams(&sim).await;
    sim.api.post("/sim/streams/close", &json!({})).await;
    sim.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 1}))).await;
    until("only one is left", async || truth(&sim.api).await.len() == 1).await;
    sim.api.send("DELETE", "/sim/fault", None).await;
    until_equal(&sim, &node, 1).await;
}

#[tokio::test]
async fn without_a_stream_scaling_arrives_by_polling() {
    let sim = Sim::start(&[]);
    refuse_streams(&sim).await;
    let dir = TempDir::new().unwrap();
    let node = start(&dir, &sim, &[]);
    node.api.preset("Test", "/web").await;
    sim.api.post("/v2/apps", &app("/web", 3)).await;
    until_equal(&sim, &node, 3).await;
    sim.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 1}))).await;
    until_equal(&sim, &node, 1).await;
}

#[tokio::test]
async fn a_registered_scheduler_syncs_all_modules() {
    let sim = Sim::start(&[]);
    let dir = TempDir::new().unwrap();
    let node = start(&dir, &sim, &[]);
    until("it follows", async || node.api.get("/v1/health/freshness").await.status == 200).await;
    let event = json!({"eventType": "scheduler_registered_event", "frameworkId": "f", "master": "m:5050"});
    sim.api.post("/sim/events", &event).await;
    node.process.wait_for("Marathon has changed his leader! Sync all modules");
}

#[tokio::test]
async fn a_silent_stream_is_noticed() {
    let sim = Sim::start(&[]);
    let dir = TempDir::new().unwrap();
    let node = start(&dir, &sim, &[("MCONN_MARATHON_WATCHDOG", "500")]);
    node.api.preset("Test", "/web").await;
    sim.api.post("/sim/streams/stall", &json!({"on": true})).await;
    sim.api.post("/v2/apps", &app("/web", 2)).await;
    until("the catalog has it although no event came", async || {
        let entry = node.api.get("/v1/catalog/web").await;
        entry.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_leader_change_syncs_all_modules() {
    let sim = Sim::start(&[]);
    let dir = TempDir::new().unwrap();
    let node = start(&dir, &sim, &[]);
    node.api.preset("Test", "/web").await;
    sim.api.post("/v2/apps", &app("/web", 2)).await;
    until_equal(&sim, &node, 2).await;
    sim.api.post("/sim/leader/change", &json!({"leader": "10.0.0.9:8080"})).await;
    node.process.wait_for("Marathon has changed his leader! Sync all modules");
    until_equal(&sim, &node, 2).await;
}

#[tokio::test]
async fn callbacks_work_where_there_is_no_stream() {
    let sim = Sim::start(&[]);
    refuse_streams(&sim).await;
    let dir = TempDir::new().unwrap();
    // The node has to know its own address before it starts.
    let port = {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        probe.local_addr().unwrap().port().to_string()
    };
    let callback = format!("http://127.0.0.1:{port}/v1/queue");
    let env =
        [("MCONN_PORT", port.as_str()), ("MCONN_CALLBACK_URL", &callback), ("MCONN_INTAKE", "callback")];
    let mut node = start(&dir, &sim, &env);
    node.api.preset("Test", "/web").await;
    let registered = async || sim.api.get("/v2/eventSubscriptions").await.json["callbackUrls"].clone();
    until("it is registered", async || registered().await == json!([callback])).await;
    sim.api.post("/v2/apps", &app("/web", 2)).await;
    until_equal(&sim, &node, 2).await;
    node.process.signal("TERM");
    assert_eq!(node.process.exit_code(), 0, "{}", node.process.output());
    assert_eq!(registered().await, json!([]), "and unregistered at the end");
}

#[tokio::test]
async fn an_event_that_comes_twice_is_handled_once() {
    let sim = Sim::start(&[]);
    let dir = TempDir::new().unwrap();
    let node = start(&dir, &sim, &[]);
    let callback = format!("{}/v1/queue", node.url);
    sim.api.send("POST", &format!("/v2/eventSubscriptions?callbackUrl={callback}"), None).await;
    node.api.preset("Test", "/web").await;
    sim.api.post("/v2/apps", &app("/web", 3)).await;
    until_equal(&sim, &node, 3).await;
    until("second deliveries were known", async || {
        let metrics = node.api.get("/metrics").await.text;
        metrics.lines().any(|line| line.starts_with("mconn_events_duplicate_total ") && !line.ends_with(" 0"))
    })
    .await;
}
