//! Several Marathons at once: each is followed for itself, and what happens to one touches nothing of the other.

use mconn_tests::{Node, Sim, run_to_end, status_update, until};
use serde_json::{Value, json};
use tempfile::TempDir;

fn app(instances: u32) -> Value {
    json!({
        "id": "/web", "cmd": "sleep", "cpus": 0.1, "mem": 32, "instances": instances,
        "taskKillGracePeriodSeconds": 1, "networks": [{"mode": "host"}],
        "portDefinitions": [{"port": 0, "name": "http", "protocol": "tcp"}],
    })
}

/// What runs there, sorted, with what an inventory puts behind it.
async fn truth(sim: &Sim, behind: &str) -> Vec<String> {
    let tasks = sim.api.get("/v2/tasks?status=running").await.json;
    let tasks = tasks["tasks"].as_array().cloned().unwrap_or_default();
    let running = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING");
    let ids = running.filter_map(|task| task["id"].as_str());
    let mut ids: Vec<_> = ids.map(|id| format!("{id}{behind}")).collect();
    ids.sort();
    ids
}

/// The inventory's tasks of the Marathon with a name, and those of the other.
async fn inventory(node: &Node) -> (Vec<String>, Vec<String>) {
    node.api.inventory("Test").await.into_iter().partition(|key| key.ends_with("@east"))
}

/// Until exactly these many run in the first Marathon and are known; those of the other one are `east`.
async fn until_north(what: &str, node: &Node, north: &Sim, count: usize, east: &[String]) {
    until(what, async || {
        let truth = truth(north, "").await;
        truth.len() == count && inventory(node).await == (east.to_vec(), truth)
    })
    .await;
}

async fn until_east(what: &str, node: &Node, east: &Sim, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    until(what, async || {
        found = truth(east, "@east").await;
        found.len() == count && inventory(node).await.0 == found
    })
    .await;
    found
}

/// A node that follows both, and compares often.
fn start(dir: &TempDir, north: &Sim, east: &str, env: &[(&str, &str)]) -> Node {
    let mut all = vec![
        ("MCONN_MARATHON_HOSTS", north.address.as_str()),
        ("MCONN_MARATHON_CLUSTERS", east),
        ("MCONN_MODULE_SYNC_TIME", "1000"),
        ("MCONN_MARATHON_LISTING_TIMEOUT", "2000"),
        ("MCONN_MARATHON_REQUEST_TIMEOUT", "2000"),
    ];
    all.extend(env);
    Node::start(dir, &all)
}

async fn until_ready(node: &Node) {
    until("both were read", async || node.api.get("/v1/health/ready").await.status == 200).await;
}

/// Two with the same seed, which give the same ids to the tasks of the same app.
fn twins() -> (Sim, Sim) {
    (Sim::start(&["--seed", "7"]), Sim::start(&["--seed", "7"]))
}

/// Three tasks of the same app in both, with the same ids; gives those of the second.
async fn deploy(node: &Node, north: &Sim, east: &Sim) -> Vec<String> {
    until_ready(node).await;
    node.api.preset("Test", "/web").await;
    north.api.post("/v2/apps", &app(3)).await;
    east.api.post("/v2/apps", &app(3)).await;
    let tasks = until_east("three tasks of the one", node, east, 3).await;
    until_north("three tasks of the other", node, north, 3, &tasks).await;
    tasks
}

#[tokio::test]
async fn a_marathon_that_is_gone_keeps_its_tasks_and_the_other_goes_on() {
    let (north, mut east) = twins();
    let dir = TempDir::new().unwrap();
    let node = start(&dir, &north, &format!("east={}", east.address), &[]);
    let tasks = deploy(&node, &north, &east).await;

    east.process.kill();
    until("its absence is noticed", async || node.api.get("/v1/health/freshness").await.status == 503).await;
    let freshness = node.api.get("/v1/health/freshness").await.json;
    assert_eq!(freshness["sources"]["east"]["freshness"], "stale", "{freshness}");
    assert_eq!(freshness["sources"][&north.address]["freshness"], "fresh", "{freshness}");
    assert_eq!(node.api.get("/v1/health/ready").await.status, 200, "it was read once");

    north.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 5}))).await;
    until_north("the other one grows", &node, &north, 5, &tasks).await;
    north.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 1}))).await;
    until_north("the other one shrinks", &node, &north, 1, &tasks).await;
    // What a sync alone could know: this task was never seen.
    let ghost = node.api.post("/v1/queue", &status_update("ghost", "TASK_RUNNING", "/web")).await;
    assert_eq!(ghost.status, 200, "{}", ghost.text);
    until_north("a sync removes what does not run", &node, &north, 1, &tasks).await;
    let sync = node.api.post("/v1/module/sync/Test", &json!({})).await;
    assert_eq!(sync.status, 200, "{}", sync.text);
    assert!(sync.text.contains("(1 sources gave no list"), "{}", sync.text);
    assert_eq!(inventory(&node).await.0, tasks);
    let catalog = node.api.get("/v1/catalog").await.text;
    assert!(catalog.contains("\"east\""), "its last state is served: {catalog}");

    // Back again, with nothing left.
    let east = Sim::start(&["--seed", "7", "--listen", &east.address]);
    until_east("its tasks are compared again", &node, &east, 0).await;
    east.api.post("/v2/apps", &app(2)).await;
    let tasks = until_east("it is followed again", &node, &east, 2).await;
    until_north("the other one is as it was", &node, &north, 1, &tasks).await;
    assert_eq!(node.api.get("/v1/health/freshness").await.status, 200);
}

#[tokio::test]
async fn a_marathon_that_hangs_holds_up_nobody() {
    let (north, east) = twins();
    let dir = TempDir::new().unwrap();
    let node = start(
        &dir,
        &north,
        &format!("east={}", east.address),
        &[("MCONN_MARATHON_WATCHDOG", "2000"), ("MCONN_MARATHON_CONNECT_TIMEOUT", "1000")],
    );
    let tasks = deploy(&node, &north, &east).await;
    // The same ids in both, as promised, or this test tests less than it says.
    assert_eq!(
        tasks.iter().map(|id| id.trim_end_matches("@east")).collect::<Vec<_>>(),
        truth(&north, "").await
    );

    east.process.signal("STOP");
    north.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 5}))).await;
    until_north("the other one grows", &node, &north, 5, &tasks).await;
    until("its silence is noticed", async || {
        let freshness = node.api.get("/v1/health/freshness").await.json;
        freshness["sources"]["east"]["freshness"] == "stale"
    })
    .await;
    north.api.send("DELETE", "/v2/apps/web", None).await;
    until_north("the other one's app goes", &node, &north, 0, &tasks).await;

    let failed = "mconn_source_requests_total{source=\"east\",kind=\"other\",result=\"failed\"} ";
    until("a sync asks it in vain", async || {
        let metrics = node.api.get("/metrics").await.text;
        metrics.lines().find_map(|line| line.strip_prefix(failed)).is_some_and(|count| count != "0")
    })
    .await;
    until_north("and leaves its tasks alone", &node, &north, 0, &tasks).await;

    east.process.signal("CONT");
    east.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 1}))).await;
    until_east("it is followed again", &node, &east, 1).await;
    until("it is fresh again", async || node.api.get("/v1/health/freshness").await.status == 200).await;
    let metrics = node.api.get("/metrics").await.text;
    let first = &north.address;
    for wanted in [
        "mconn_source_freshness{source=\"east\",freshness=\"fresh\"} 1".to_owned(),
        format!("mconn_source_freshness{{source=\"{first}\",freshness=\"fresh\"}} 1"),
        "mconn_source_requests_total{source=\"east\",kind=\"listing\",result=\"ok\"}".to_owned(),
        format!("mconn_source_requests_total{{source=\"{first}\",kind=\"other\",result=\"failed\"}} 0"),
        "mconn_source_request_budget{source=\"east\"} 300".to_owned(),
        "mconn_source_request_budget_left{source=\"east\"}".to_owned(),
        "mconn_follower_streams_total{source=\"east\"}".to_owned(),
    ] {
        assert!(metrics.contains(&wanted), "{wanted} is missing in:\n{metrics}");
    }
}

#[tokio::test]
async fn a_node_is_ready_when_every_source_was_read_or_as_it_is_told() {
    let north = Sim::start(&[]);
    // Takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let east = format!("east={}", silent.local_addr().unwrap());
    for (wanted, ready) in [("all", false), ("any", true), ("none", true)] {
        let dir = TempDir::new().unwrap();
        let node = start(&dir, &north, &east, &[("MCONN_MARATHON_READY", wanted)]);
        until("the one that answers was read", async || {
            let freshness = node.api.get("/v1/health/freshness").await.json;
            freshness["sources"][&north.address]["freshness"] == "fresh"
        })
        .await;
        let answer = node.api.get("/v1/health/ready").await;
        assert_eq!(answer.status, if ready { 200 } else { 503 }, "{wanted}: {}", answer.text);
        assert_eq!(answer.text.contains("never read completely: east"), !ready, "{}", answer.text);
    }
}

#[tokio::test]
async fn callbacks_say_whose_they_are() {
    let (north, east) = twins();
    let dir = TempDir::new().unwrap();
    let callback = ("MCONN_CALLBACK_URL", "http://127.0.0.1:9/v1/queue");
    let mut node = start(&dir, &north, &format!("east={}", east.address), &[callback]);
    let registered =
        async |sim: &Sim| sim.api.get("/v2/eventSubscriptions").await.json["callbackUrls"].clone();
    until("both know where to call", async || {
        registered(&north).await == json!(["http://127.0.0.1:9/v1/queue"])
            && registered(&east).await == json!(["http://127.0.0.1:9/v1/queue?source=east"])
    })
    .await;

    node.api.send("POST", "/v1/module/pause/Test", None).await;
    for source in ["?source=east", "", &format!("?source={}", north.address)] {
        let path = format!("/v1/queue{source}");
        let answer = node.api.post(&path, &status_update("t", "TASK_RUNNING", "/web")).await;
        assert_eq!(
            (answer.status, &answer.json["taskId"]),
            (200, &json!("t_TASK_RUNNING")),
            "{}",
            answer.text
        );
    }
    let unknown = node.api.post("/v1/queue?source=west", &status_update("t", "TASK_RUNNING", "/web")).await;
    assert_eq!(unknown.status, 400, "{}", unknown.text);
    assert!(unknown.text.contains("west") && unknown.text.contains("east"), "{}", unknown.text);

    node.process.signal("TERM");
    assert_eq!(node.process.exit_code(), 0);
    for sim in [&north, &east] {
        assert_eq!(registered(sim).await, json!([]));
    }
}

#[test]
fn check_looks_at_every_marathon() {
    let (north, east) = twins();
    let clusters = format!("east=me:hush@{}", east.address);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = TempDir::new().unwrap();
    let west = format!("{clusters},west={}", silent.local_addr().unwrap());
    let check = |clusters: &str| {
        let env = [
            ("MCONN_MARATHON_HOSTS", north.address.as_str()),
            ("MCONN_MARATHON_NAME", "north"),
            ("MCONN_MARATHON_CLUSTERS", clusters),
            ("MCONN_MARATHON_LISTING_TIMEOUT", "500"),
            ("MCONN_MARATHON_REQUEST_TIMEOUT", "500"),
            ("MCONN_PORT", "0"),
            ("MCONN_DATA_DIR", dir.path().to_str().unwrap()),
        ];
        let output = run_to_end(&["check"], &env);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = check(&clusters);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("ok       marathon north host {}: answers", north.address)), "{text}");
    assert!(text.contains(&format!("ok       marathon east host {}: answers", east.address)), "{text}");
    assert!(text.contains("ok       marathon east: version "), "{text}");
    assert!(!text.contains("hush"), "{text}");
    let (code, text) = check(&west);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("BAD      marathon west: "), "{text}");
    assert!(text.contains("ok       marathon east: version "), "{text}");
}
