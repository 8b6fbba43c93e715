//! Why tasks are, or are not, reachable, as the command line tells it: `mconn explain` and `mconn watch`, end to end.

use mconn_tests::{Client, Mconn, Node, Sim, run_to_end, until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An app with a check that is made every 12 seconds (600 by the simulated cluster's time) and never kills.
fn checked(id: &str, instances: u32) -> Value {
    json!({
        "id": id, "cmd": "sleep", "cpus": 0.1, "mem": 32, "instances": instances, "taskKillGracePeriodSeconds": 1,
        "networks": [{"mode": "host"}], "portDefinitions": [{"port": 0, "name": "http", "protocol": "tcp"}],
        "healthChecks": [{"protocol": "HTTP", "path": "/", "portIndex": 0, "gracePeriodSeconds": 300,
                          "intervalSeconds": 600, "timeoutSeconds": 20, "maxConsecutiveFailures": 0}],
    })
}

fn plain(id: &str, instances: u32) -> Value {
    let mut app = checked(id, instances);
    app["healthChecks"] = json!([]);
    app
}

fn watch(url: &str, args: &[&str], dir: &TempDir) -> Mconn {
    let args: Vec<&str> = ["watch", "--url", url].iter().chain(args).copied().collect();
    let watch = Mconn::start(&args, &[], dir.path());
    watch.wait_for("(Ctrl-C ends)");
    watch
}

/// The next change for which this is true.
fn change(watch: &Mconn, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line = watch.wait_for("{\"addresses\"");
        let change: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{what}: {error}: {line}"));
        if wanted(&change) {
            return change;
        }
    }
}

fn to(change: &Value, rule: &str) -> bool {
    change["after"]["rule"] == rule
}

/// Ids of an app's routable tasks.
async fn routable(node: &Client, app: &str) -> Vec<String> {
    let page = node.get(&format!("/v1/explain{app}")).await.json;
    let tasks = page["apps"][0]["tasks"].as_array().cloned().unwrap_or_default();
    let routable = tasks.iter().filter(|task| task["verdict"] == "routable");
    routable.filter_map(|task| task["id"].as_str().map(str::to_owned)).collect()
}

struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

fn mconn(args: &[&str], node: &Node) -> Done {
    let done = run_to_end(args, &[("MCONN_URL", &node.url)]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Done { code: done.status.code(), out: text(&done.stdout), err: text(&done.stderr) }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told_with_its_rule_and_cause() {
    let (dir, sim) = (TempDir::new().unwrap(), Sim::start(&[]));
    let node = Node::start(&dir, &[("MCONN_MARATHON_HOSTS", &sim.address)]);
    until("it follows", async || node.api.get("/v1/health/freshness").await.status == 200).await;
    let watch = watch(&node.url, &["--json", "--app", "/shop"], &dir);

    sim.api.post("/v2/apps", &plain("/other", 1)).await;
    sim.api.post("/v2/apps", &checked("/shop/web", 4)).await;
    let first = change(&watch, "a task starts", |_| true);
    assert_eq!(
        (&first["app"], &first["before"], &first["after"]["verdict"]),
        (&json!("/shop/web"), &Value::Null, &json!("not ready"))
    );
    let waiting = change(&watch, "a task waits for its check", |change| to(change, "health-unknown"));
    // Which of the two comes last, the task's state or the definition that has the check, is Marathon's affair.
    let cause = &waiting["cause"];
    assert!(cause == "status_update_event TASK_RUNNING" || cause == "api_post_event", "{waiting}");
    assert!(waiting["addresses"][0].as_str().unwrap().contains(':'), "{waiting}");
    let healthy = change(&watch, "a task is healthy", |change| to(change, "healthy"));
    assert_eq!(healthy["after"]["verdict"], "routable");
    until("all are routable", async || routable(&node.api, "/shop/web").await.len() == 4).await;
    let done = mconn(&["explain", "/shop/web"], &node);
    let source = &sim.address;
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.starts_with(&format!("/shop/web at {source}: 4 of 4 tasks routable\n")), "{}", done.out);
    assert!(done.out.contains("health-unknown) -> routable (healthy)"), "{}", done.out);

    // Marathon forgets what it knew of their health; we do not.
    sim.api.post("/sim/leader/change", &json!({"leader": "10.0.0.9:8080"})).await;
    let remembered = change(&watch, "health is forgotten", |change| {
        assert_eq!(change["after"]["verdict"], "routable", "nothing is taken out by it: {change}");
        to(change, "remembered-healthy")
    });
    assert_eq!(remembered["before"]["rule"], "healthy");
    assert_eq!(routable(&node.api, "/shop/web").await.len(), 4);

    // Scaling down drains the one that goes, before it goes.
    sim.api.send("PUT", "/v2/apps/shop/web", Some(&json!({"instances": 3}))).await;
    let draining = change(&watch, "one drains", |change| change["after"]["verdict"] == "draining");
    assert_eq!(draining["before"]["verdict"], "routable");
    assert!(to(&draining, "goal-changed") || to(&draining, "killing"), "{draining}");
    let cause = draining["cause"].as_str().unwrap();
    assert!(
        cause.starts_with("instance_changed_event") || cause.starts_with("status_update_event"),
        "{draining}"
    );
    let gone = change(&watch, "it goes", |change| change["after"].is_null());
    assert_eq!(
        (&gone["task"], &gone["cause"]),
        (&draining["task"], &json!("status_update_event TASK_KILLED"))
    );

    let victim = routable(&node.api, "/shop/web").await.remove(0);
    sim.api.send("DELETE", &format!("/v2/apps/shop/web/tasks/{victim}"), None).await;
    let killed = change(&watch, "it is killed", |change| change["task"] == *victim && to(change, "killing"));
    assert_eq!(killed["cause"], "status_update_event TASK_KILLING");
    change(&watch, "it is gone", |change| change["task"] == *victim && change["after"].is_null());

    let failing = routable(&node.api, "/shop/web").await.remove(0);
    sim.api.post(&format!("/sim/tasks/{failing}/health"), &json!({"alive": false})).await;
    change(&watch, "its check fails", |change| change["task"] == *failing && to(change, "unhealthy"));
    let summary = mconn(&["explain"], &node);
    assert!(summary.out.contains("unhealthy 1") && summary.out.contains("/shop/web"), "{}", summary.out);
    assert!(!summary.out.contains("/other"), "{}", summary.out);
    let page = mconn(&["explain", "shop/web", "--source", source], &node).out;
    assert!(page.contains("unhealthy: A check is failing.") && page.contains("  failing "), "{page}");
    let json: Value = serde_json::from_str(&mconn(&["explain", "/shop/web", "--json"], &node).out).unwrap();
    assert_eq!(json["apps"][0]["id"], "/shop/web");
    assert!(!watch.output().contains("/other"), "filtered");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_goes_on_when_the_node_is_started_again() {
    let (dir, sim) = (TempDir::new().unwrap(), Sim::start(&[]));
    // The second node has to be found where the first one was.
    let port = {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        probe.local_addr().unwrap().port().to_string()
    };
    let env = [("MCONN_MARATHON_HOSTS", sim.address.as_str()), ("MCONN_PORT", &port)];
    let mut node = Node::start(&dir, &env);
    sim.api.post("/v2/apps", &plain("/web", 3)).await;
    until("all are routable", async || routable(&node.api, "/web").await.len() == 3).await;
    let mut watch = watch(&node.url, &[], &dir);
    node.process.signal("TERM");
    assert_eq!(node.process.exit_code(), 0);
    watch.wait_for("the node is lost");
    sim.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 1}))).await;
    until("one is left", async || {
        let state = sim.api.get("/sim/state").await.json;
        state["tasks"]
            .as_array()
            .is_some_and(|tasks| tasks.iter().filter(|task| task["routable"] == true).count() == 1)
            && state["deployments"] == 0
    })
    .await;
    let node = Node::start(&dir, &env);
    for _ in 0..2 {
        let line = watch.wait_for("found by comparing");
        assert!(
            line.contains("/web") && line.contains("routable (running-without-checks) -> gone"),
            "{line}"
        );
    }
    sim.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 2}))).await;
    let line = watch.wait_for("-> routable (running-without-checks)");
    assert!(line.contains(" /web web.instance-") && line.contains(" 10.0.0."), "{line}");
    assert!(watch.output().contains("the node is back: watching 1 tasks at "), "{}", watch.output());
    watch.signal("INT");
    assert_eq!(watch.exit_code(), 0, "Ctrl-C ends it well");
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_ends_it_quietly() {
    let (dir, sim) = (TempDir::new().unwrap(), Sim::start(&[]));
    let node = Node::start(&dir, &[("MCONN_MARATHON_HOSTS", &sim.address)]);
    until("it follows", async || node.api.get("/v1/health/freshness").await.status == 200).await;
    let shell = "\"$@\" | head -n 1; echo \"ended with ${PIPESTATUS[0]}\"";
    let args = ["watch", "--url", &node.url, "--verdict", "routable", "--rule", "running-without-checks"];
    let piped = Mconn::start_through(shell, &args, &[], dir.path());
    piped.wait_for("(Ctrl-C ends)");
    sim.api.post("/v2/apps", &plain("/a", 1)).await;
    piped.wait_for("routable (running-without-checks)");
    // The next line finds nobody.
    sim.api.post("/v2/apps", &plain("/b", 1)).await;
    piped.wait_for("ended with 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_an_error_with_a_hint_and_what_went_is_explained() {
    let (dir, sim) = (TempDir::new().unwrap(), Sim::start(&[]));
    let node = Node::start(&dir, &[("MCONN_MARATHON_HOSTS", &sim.address)]);
    sim.api.post("/v2/apps", &plain("/shop/cart", 1)).await;
    until("it is routable", async || routable(&node.api, "/shop/cart").await.len() == 1).await;
    let unknown = mconn(&["explain", "/shop/crat"], &node);
    assert_eq!(unknown.code, Some(1));
    assert_eq!(unknown.err, "error: App not found: /shop/crat\nhint: similar: /shop/cart\n");
    assert_eq!(mconn(&["explain", "/shop/cart", "--source", "nope"], &node).code, Some(1));
    assert_eq!(mconn(&["watch", "--rule", "nope"], &node).code, Some(64));
    assert!(mconn(&["explain"], &node).out.contains("every task of every app is routable"));

    sim.api.send("DELETE", "/v2/apps/shop/cart", None).await;
    until("it is gone", async || node.api.get("/v1/catalog/shop/cart").await.status == 404).await;
    let gone = mconn(&["explain", "/shop/cart"], &node);
    assert_eq!(gone.code, Some(0), "{}", gone.err);
    assert!(gone.out.starts_with(&format!("/shop/cart at {}: gone, ", sim.address)), "{}", gone.out);
    assert!(gone.out.contains("lately:") && gone.out.contains("-> gone"), "{}", gone.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_settings() {
    let (dir, sim) = (TempDir::new().unwrap(), Sim::start(&[]));
    let policies = [("MCONN_PANIC_BELOW", "60"), ("MCONN_UNREACHABLE", "keep")];
    let node =
        Node::start(&dir, &[&[("MCONN_MARATHON_HOSTS", sim.address.as_str())], &policies[..]].concat());
    let mut app = checked("/web", 2);
    app["healthChecks"][0]["intervalSeconds"] = json!(50);
    sim.api.post("/v2/apps", &app).await;
    sim.api.post("/v2/apps", &plain("/lost", 1)).await;
    until("all are routable", async || {
        routable(&node.api, "/web").await.len() == 2 && routable(&node.api, "/lost").await.len() == 1
    })
    .await;
    let trouble = async |app: &str| {
        let page = node.api.get("/v1/explain").await.json;
        let apps = page["apps"].as_array().cloned().unwrap_or_default();
        apps.into_iter().find(|entry| entry["id"] == app).unwrap_or_default()
    };
    let failing = routable(&node.api, "/web").await.remove(0);
    sim.api.post(&format!("/sim/tasks/{failing}/health"), &json!({"alive": false})).await;
    until("one of two is too few", async || trouble("/web").await["panic"] == true).await;
    assert_eq!(trouble("/web").await["rules"], json!({"healthy": 1, "panic": 1}));
    let page = mconn(&["explain", "/web"], &node).out;
    assert!(
        page.contains(": 2 of 2 tasks routable\n") && page.contains("PANIC: only 1 of 2 are healthy"),
        "{page}"
    );
    let ready = node.api.get("/v1/health/ready").await;
    assert!(
        ready.status == 200 && ready.json["warnings"][0].as_str().unwrap().contains("in panic"),
        "{}",
        ready.text
    );

    let lost = routable(&node.api, "/lost").await.remove(0);
    sim.api.post(&format!("/sim/tasks/{lost}/lost"), &json!({})).await;
    until("its agent is away, and it is kept", async || {
        let page = node.api.get("/v1/explain/lost").await.json;
        let tasks = page["apps"][0]["tasks"].as_array().cloned().unwrap_or_default();
        tasks.iter().any(|task| task["id"] == *lost && task["rule"] == "unreachable-kept")
    })
    .await;
}
