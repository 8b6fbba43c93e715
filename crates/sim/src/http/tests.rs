//! The simulation as a client sees it: raw bytes over real sockets.

mod doors;
mod faults;
mod nodes;
mod profiles;

use crate::{Fault, Profile, Sim, SimOptions};
use serde_json::{Value, json};
use std::future::Future;
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Everything here takes milliseconds; on a busy machine perhaps seconds.
const DEADLINE: Duration = Duration::from_secs(20);

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("within the deadline")
}

async fn start(options: SimOptions) -> Sim {
    Sim::start(options, SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("starts")
}

struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

/// One request on a connection of its own.
async fn ask(sim: &Sim, method: &str, path: &str, headers: &str, body: &str) -> Got {
    request_at(sim.addr(), method, path, headers, body).await
}

async fn request_at(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Got {
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    let mut bytes = Vec::new();
    within(async {
        stream.write_all(text.as_bytes()).await.expect("writes");
        stream.read_to_end(&mut bytes).await.expect("reads");
    })
    .await;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head[9..12].parse().expect("a status");
    Got { status, head, body: bytes[end + 4..].to_vec() }
}

async fn get(sim: &Sim, path: &str) -> Got {
    ask(sim, "GET", path, "", "").await
}

async fn get_at(addr: SocketAddr, path: &str) -> Got {
    request_at(addr, "GET", path, "", "").await
}

async fn post(sim: &Sim, path: &str, body: Value) -> Got {
    post_at(sim.addr(), path, body).await
}

async fn post_at(addr: SocketAddr, path: &str, body: Value) -> Got {
    request_at(addr, "POST", path, "", &body.to_string()).await
}

/// Waits until `test` holds for what `path` answers.
async fn until(sim: &Sim, path: &str, test: impl Fn(&Value) -> bool) -> Value {
    until_at(sim.addr(), path, test).await
}

async fn until_at(addr: SocketAddr, path: &str, test: impl Fn(&Value) -> bool) -> Value {
    within(async {
        loop {
            let found = get_at(addr, path).await.json();
            if test(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// An attached event stream.
struct Listener {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Listener {
    async fn attach(sim: &Sim, query: &str) -> Listener {
        Listener::attach_at(sim.addr(), query).await
    }

    async fn attach_at(addr: SocketAddr, query: &str) -> Listener {
        let mut stream = TcpStream::connect(addr).await.expect("connects");
        let text =
            format!("GET /v2/events{query} HTTP/1.1\r\nHost: sim\r\nAccept: text/event-stream\r\n\r\n");
        stream.write_all(text.as_bytes()).await.expect("writes");
        let mut listener = Listener { stream, seen: Vec::new() };
        listener.until("\r\n\r\n").await;
        listener
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Reads until `text` was seen.
    async fn until(&mut self, text: &str) {
        within(async {
            while !self.text().contains(text) {
                assert_ne!(
                    self.stream.read_buf(&mut self.seen).await.expect("reads"),
                    0,
                    "ended: {}",
                    self.text()
                );
            }
        })
        .await;
    }

    /// Reads to the end of the stream.
    async fn end(&mut self) {
        // A reset is an end, too.
        let _ = within(self.stream.read_to_end(&mut self.seen)).await;
    }
}

fn web() -> Value {
    json!({"id": "/shop/web", "cmd": "run", "labels": {"tier": "front"},
        "healthChecks": [{"protocol": "HTTP", "path": "/", "portIndex": 0}]})
}

#[tokio::test]
async fn an_app_lives_from_post_to_delete() {
    let sim = start(SimOptions::immediate()).await;
    let mut events = Listener::attach(&sim, "").await;
    let created = post(&sim, "/v2/apps", web()).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.json()["tasksRunning"], 0);
    let deployment = created.header("Marathon-Deployment-Id").expect("a deployment").to_owned();
    assert_eq!(created.json()["deployments"][0]["id"], deployment.as_str());
    assert!(created.header("Location").expect("a location").ends_with("/shop/web"));
    events.until("deployment_success").await;
    let app = get(&sim, "/v2/apps//shop%2Fweb").await.json()["app"].clone();
    assert_eq!(app["tasksHealthy"], 1);
    assert_eq!(app["tasks"][0]["state"], "TASK_RUNNING");
    assert_eq!(app["tasks"][0]["servicePorts"], json!([]));
    let tasks = get(&sim, "/v2/tasks?status=running").await.json();
    assert_eq!(tasks["tasks"][0]["servicePorts"], json!([10_000]));
    assert_eq!(get(&sim, "/v2/tasks?status=staging").await.json(), json!({"tasks": []}));

    let changed = ask(&sim, "PUT", "/v2/apps/shop/web", "", r#"{"cmd":"run2"}"#).await;
    assert_eq!(changed.status, 200);
    until(&sim, "/v2/deployments", |found| found == &json!([])).await;
    let versions = get(&sim, "/v2/apps/shop/web/versions").await.json();
    assert_eq!(versions["versions"].as_array().map(Vec::len), Some(2));
    let first = versions["versions"][1].as_str().expect("a version");
    assert_eq!(get(&sim, &format!("/v2/apps/shop/web/versions/{first}")).await.json()["cmd"], "run");
    assert_eq!(get(&sim, "/v2/apps/shop/*").await.json()["*"][0]["id"], "/shop/web");
    assert_eq!(post(&sim, "/v2/apps/shop/web/restart", json!({})).await.status, 200);
    until(&sim, "/v2/deployments", |found| found == &json!([])).await;
    assert_eq!(get(&sim, "/v2/queue").await.json(), json!({"queue": []}));

    assert_eq!(ask(&sim, "DELETE", "/v2/apps/shop/web", "", "").await.status, 200);
    assert_eq!(get(&sim, "/v2/apps/shop/web").await.status, 404);
    events.until("app_terminated_event").await;
    until(&sim, "/sim/state", |state| state["tasks"] == json!([])).await;
    sim.shutdown().await;
}

#[tokio::test]
async fn the_stream_is_framed_as_the_real_one() {
    let sim = start(SimOptions { heartbeat: Duration::from_millis(20), ..SimOptions::immediate() }).await;
    let mut events = Listener::attach(&sim, "").await;
    events.until("event_stream_attached").await;
    let head = events.text();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("Content-Type: text/event-stream;charset=UTF-8\r\n")
            && head.contains("Connection: close\r\n")
    );
    assert!(!head.contains("Content-Length") && !head.contains("Transfer-Encoding"));
    post(&sim, "/sim/events", json!({"eventType": "mine", "n": 1})).await;
    events.until("event: mine\r\ndata: {\"eventType\":\"mine\",\"n\":1}\r\n\r\n").await;
    events.until("}\r\n\r\n\r\n\r\n").await;
    assert_eq!(sim.handle().stream_count().await, 1);
    drop(events);
    within(async {
        while sim.handle().stream_count().await != 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn only_the_exact_accept_line_gets_a_stream() {
    let sim = start(SimOptions::immediate()).await;
    for headers in
        ["", "Accept: */*\r\n", "Accept: text/event-stream, */*\r\n", "Accept: text/event-stream;q=1\r\n"]
    {
        let refused = ask(&sim, "GET", "/v2/events", headers, "").await;
        assert_eq!(refused.status, 405, "{headers}");
        assert!(refused.text().starts_with("<html>") && refused.header("Allow").is_some());
    }
    assert_eq!(ask(&sim, "OPTIONS", "/v2/events", "", "").await.header("Allow"), Some("GET, HEAD, OPTIONS"));
}

#[tokio::test]
async fn event_types_filter() {
    let sim = start(SimOptions::immediate()).await;
    let mut events =
        Listener::attach(&sim, "?event_type=status_update_event&event_type=last&event_type=unknown").await;
    post(&sim, "/v2/apps", web()).await;
    until(&sim, "/v2/deployments", |found| found == &json!([])).await;
    post(&sim, "/sim/events", json!({"eventType": "last"})).await;
    events.until("event: last").await;
    let text = events.text();
    assert!(
        text.contains("TASK_RUNNING") && !text.contains("deployment_info") && !text.contains("attached"),
        "{text}"
    );
}

#[tokio::test]
async fn a_slow_reader_is_cut_off() {
    let sim = start(SimOptions { stream_buffer: Some(4), ..SimOptions::immediate() }).await;
    let mut events = Listener::attach(&sim, "").await;
    events.until("event_stream_attached").await;
    let padding = "x".repeat(1_000_000);
    within(async {
        while sim.handle().stream_count().await == 1 {
            sim.handle().emit(json!({"eventType": "big", "padding": padding})).await;
        }
    })
    .await;
    events.end().await;
}

#[tokio::test]
async fn streams_close_stall_and_are_refused() {
    let sim = start(SimOptions { heartbeat: Duration::from_millis(5), ..SimOptions::immediate() }).await;
    let mut events = Listener::attach(&sim, "").await;
    events.until("event_stream_attached").await;
    post(&sim, "/sim/streams/stall", json!({"on": true})).await;
    post(&sim, "/sim/events", json!({"eventType": "lost"})).await;
    post(&sim, "/sim/streams/stall", json!({"on": false})).await;
    post(&sim, "/sim/events", json!({"eventType": "seen"})).await;
    events.until("event: seen").await;
    post(&sim, "/sim/streams/close", json!({})).await;
    events.end().await;
    post(&sim, "/sim/fault", json!({"refuseStreams": true})).await;
    assert_eq!(ask(&sim, "GET", "/v2/events", "Accept: text/event-stream\r\n", "").await.status, 503);
    assert_eq!(get(&sim, "/v2/apps").await.status, 200);
    ask(&sim, "DELETE", "/sim/fault", "", "").await;
    let mut events = Listener::attach(&sim, "").await;
    post(&sim, "/sim/leader/change", json!({"leader": "other:8080"})).await;
    events.end().await;
    assert_eq!(get(&sim, "/v2/leader").await.json(), json!({"leader": "other:8080"}));
    assert_eq!(get(&sim, "/ping").await.header("X-Marathon-Leader"), Some("http://other:8080"));
}

#[tokio::test]
async fn faults_delay_fail_and_truncate() {
    let sim = start(SimOptions::immediate()).await;
    let handle = sim.handle();
    handle.set_fault(Fault { status: Some(502), html: true, ..Fault::default() }).expect("valid");
    let failed = get(&sim, "/v2/apps").await;
    assert!(failed.status == 502 && failed.text().starts_with("<html>"));
    assert_eq!(get(&sim, "/sim/state").await.status, 200);
    handle.set_fault(Fault { truncate_bodies: true, delay_ms: 1, ..Fault::default() }).expect("valid");
    let cut = get(&sim, "/v2/info").await;
    let length: usize = cut.header("Content-Length").expect("a length").parse().expect("a number");
    assert!(cut.body.len() < length);
    handle.clear_fault();
    assert_eq!(get(&sim, "/v2/info").await.json()["version"], "1.8.244");
    assert_eq!(post(&sim, "/sim/fault", json!({"status": 7})).await.status, 422);
}

#[tokio::test]
async fn errors_are_those_of_the_table() {
    let sim = start(SimOptions::immediate()).await;
    post(&sim, "/v2/apps", web()).await;
    let long = format!("/v2/apps/{}", "x/".repeat(20_000));
    for (method, path, body, status, part) in [
        ("POST", "/v2/apps", "{", 400, "Invalid JSON"),
        ("POST", "/v2/apps", r#"{"id":7}"#, 400, "error.expected.jsstring"),
        ("POST", "/v2/apps", r#"{"cmd":"x"}"#, 400, "error.path.missing"),
        ("POST", "/v2/apps", r#"{"id":"/A","cmd":"x"}"#, 422, "Object is not valid"),
        ("POST", "/v2/apps", r#"{"id":"/a/tasks","cmd":"x"}"#, 422, "must not end"),
        ("POST", "/v2/apps", r#"{"id":"/shop","cmd":"x"}"#, 422, "same identifier"),
        (
            "POST",
            "/v2/apps",
            r#"{"id":"/shop/web","cmd":"x"}"#,
            409,
            "An app with id [/shop/web] already exists.",
        ),
        ("PATCH", "/v2/apps/none", r#"{"cmd":"x"}"#, 404, "App '/none' does not exist"),
        ("PUT", "/v2/apps/shop/web", "[]", 400, "error.expected.jsobject"),
        ("PUT", "/v2/apps", "{}", 400, "error.expected.jsarray"),
        ("GET", "/v2/apps/none", "", 404, "App '/none' does not exist"),
        ("GET", "/v2/apps?label=a==", "", 422, "Can not parse label selector"),
        ("GET", "/v2/apps/shop/web/versions/x", "", 404, "in version x"),
        ("GET", "/v2/groups/none", "", 404, "Group '/none' does not exist"),
        ("DELETE", "/v2/deployments/x", "", 404, "DeploymentPlan x does not exist"),
        ("DELETE", "/v2/queue/x/delay", "", 404, "not found in tasks queue"),
        ("DELETE", "/v2/apps/shop/web/tasks/x", "", 404, "Task 'x' does not exist"),
        ("DELETE", "/v2/apps/shop/web/tasks?scale=true&wipe=true", "", 400, "scale and wipe"),
        ("POST", "/v2/tasks/delete", r#"{"ids":["x"]}"#, 400, "Invalid task id"),
        ("POST", "/v2/tasks/delete", r#"{"ids":[1]}"#, 400, "/ids"),
        ("GET", "/v2/nothing", "", 500, "URI not found"),
        ("POST", "/sim/tasks/x/fail", "", 404, "does not exist"),
        ("POST", "/sim/fill", r#"{"apps":4000000,"tasks":9}"#, 422, "at most"),
        ("GET", long.as_str(), "", 404, "does not exist"),
        ("PUT", "/v2/groups", r#"{"apps":[{"id":"a"}]}"#, 422, "must either contain"),
    ] {
        let got = ask(&sim, method, path, "", body).await;
        assert_eq!(got.status, status, "{method} {path} {body}: {}", got.text());
        assert!(got.text().contains(part), "{method} {path}: {}", got.text());
    }
}

#[tokio::test]
async fn filters_and_embeds() {
    let sim = start(SimOptions {
        initial_apps: vec![web(), json!({"id": "/other", "cmd": "Sleep 5"})],
        ..SimOptions::immediate()
    })
    .await;
    until(&sim, "/v2/deployments", |found| found == &json!([])).await;
    let ids = async |query: &str| -> Vec<String> {
        let found = get(&sim, &format!("/v2/apps{query}")).await.json();
        let apps = found["apps"].as_array().expect("apps").iter();
        apps.map(|app| app["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids("").await, ["/other", "/shop/web"]);
    assert_eq!(ids("?cmd=sleep").await, ["/other"]);
    assert_eq!(ids("?id=SHOP").await, ["/shop/web"]);
    assert_eq!(ids("?label=tier%20in%20(front,back)").await, ["/shop/web"]);
    assert_eq!(ids("?label=tier!=front").await, Vec::<String>::new());
    let plain = get(&sim, "/v2/apps").await.json();
    assert!(plain["apps"][0].get("tasks").is_none() && plain["apps"][0].get("tasksRunning").is_some());
    let full = get(&sim, "/v2/apps?embed=apps.tasks&embed=apps.taskStats").await.json();
    assert_eq!(full["apps"][1]["tasks"][0]["appId"], "/shop/web");
    assert_eq!(full["apps"][1]["taskStats"]["totalSummary"]["stats"]["counts"]["running"], 1);
    let groups =
        get(&sim, "/v2/groups?embed=group.groups&embed=group.apps&embed=group.apps.tasks").await.json();
    assert_eq!(groups["groups"][0]["apps"][0]["tasks"][0]["state"], "TASK_RUNNING");
    assert!(groups.get("pods").is_none());
}

#[tokio::test]
async fn text_only_when_asked_for() {
    let sim = start(SimOptions {
        initial_apps: vec![web(), json!({"id": "/bare", "cmd": "x", "ports": []})],
        ..SimOptions::immediate()
    })
    .await;
    until(&sim, "/v2/deployments", |found| found == &json!([])).await;
    let table = ask(&sim, "GET", "/v2/tasks", "Accept: text/plain\r\n", "").await.text();
    let lines: Vec<&str> = table.split_terminator('\n').collect();
    assert!(lines[0].starts_with("bare\t \t10.0.0.") && lines[0].ends_with('\t'), "{table}");
    assert!(lines[1].starts_with("shop_web\t10000\t10.0.0."), "{table}");
    assert_eq!(
        ask(&sim, "GET", "/v2/tasks", "Accept: */*\r\n", "").await.json()["tasks"].as_array().map(Vec::len),
        Some(2)
    );
    assert!(
        ask(&sim, "GET", "/v2/apps/shop/web/tasks", "Accept: text/plain\r\n", "")
            .await
            .text()
            .starts_with("shop_web\t")
    );
}

#[tokio::test]
async fn json_is_compressed_for_those_who_can_read_it() {
    let sim = start(SimOptions { initial_apps: vec![web()], ..SimOptions::immediate() }).await;
    let plain = get(&sim, "/v2/apps").await;
    assert!(plain.header("Content-Encoding").is_none());
    assert_eq!(plain.header("Cache-Control"), Some("no-cache, no-store, must-revalidate"));
    let packed = ask(&sim, "GET", "/v2/apps", "Accept-Encoding: gzip, deflate\r\n", "").await;
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).expect("gzip");
    assert!(text.starts_with("{\"apps\":["));
}

#[tokio::test]
async fn credentials_guard_everything() {
    let sim = start(SimOptions { credentials: Some("me:pass:word".into()), ..SimOptions::immediate() }).await;
    for path in ["/ping", "/v2/apps", "/v2/events", "/sim/state"] {
        let refused = get(&sim, path).await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.header("WWW-Authenticate"), Some("Basic realm=\"Mesosphere\""));
    }
    // me:pass:word
    let header = "Authorization: Basic bWU6cGFzczp3b3Jk\r\n";
    assert_eq!(ask(&sim, "GET", "/ping", header, "").await.text(), "pong");
}

#[tokio::test]
async fn callbacks_get_events_and_can_be_off() {
    let sim = start(SimOptions::immediate()).await;
    let receiver = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/cb?x=1", receiver.local_addr().expect("an address"));
    let path = format!("/v2/eventSubscriptions?callbackUrl={}", url.replace(':', "%3A").replace('?', "%3F"));
    let subscribed = post(&sim, &path, json!({})).await.json();
    assert_eq!(subscribed["eventType"], "subscribe_event");
    assert_eq!(get(&sim, "/v2/eventSubscriptions").await.json(), json!({"callbackUrls": [url]}));
    let (mut stream, _) = within(receiver.accept()).await.expect("a call");
    let mut seen = Vec::new();
    within(async {
        while !String::from_utf8_lossy(&seen).contains("subscribe_event") {
            assert_ne!(stream.read_buf(&mut seen).await.expect("reads"), 0);
        }
    })
    .await;
    let text = String::from_utf8_lossy(&seen).into_owned();
    assert!(text.starts_with("POST /cb?x=1 HTTP/1.1\r\n") && text.contains("application/json"), "{text}");
    assert_eq!(ask(&sim, "DELETE", &path, "", "").await.json()["eventType"], "unsubscribe_event");
    // Switched off, an old version says so, and a newer one knows no such path.
    for (profile, status) in [(Profile::v1_4(), 404), (Profile::v1_8(), 500)] {
        let off = start(SimOptions { callbacks: false, profile, ..SimOptions::immediate() }).await;
        assert_eq!(get(&off, "/v2/eventSubscriptions").await.status, status);
    }
}

#[tokio::test]
async fn tasks_are_servers_that_outlive_sigterm() {
    let app = json!({"id": "/web", "cmd": "run", "taskKillGracePeriodSeconds": 1});
    let sim =
        start(SimOptions { task_sockets: true, initial_apps: vec![app], ..SimOptions::immediate() }).await;
    let running = |found: &Value| found["tasks"][0]["state"] == "TASK_RUNNING";
    let task = until(&sim, "/v2/tasks", running).await["tasks"][0].clone();
    let (id, port) = (task["id"].as_str().expect("an id"), task["ports"][0].as_u64().expect("a port"));
    assert_eq!(task["host"], "127.0.0.1");
    let call = || async move {
        let mut stream = TcpStream::connect(("127.0.0.1", port as u16)).await.ok()?;
        stream.write_all(b"GET /any HTTP/1.1\r\n\r\n").await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        Some(text)
    };
    let text = within(call()).await.expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with(id), "{text}");
    ask(&sim, "DELETE", "/v2/apps/web", "", "").await;
    until(&sim, "/sim/state", |state| state["tasks"][0]["dying"] == true).await;
    assert!(within(call()).await.is_some_and(|text| text.ends_with(id)));
    until(&sim, "/sim/state", |state| state["tasks"] == json!([])).await;
    within(async {
        while call().await.is_some_and(|text| !text.is_empty()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn bad_initial_apps_are_told_and_shutdown_ends() {
    let options = SimOptions { initial_apps: vec![json!({"id": "/a"})], ..SimOptions::immediate() };
    let error = Sim::start(options, SocketAddr::from(([127, 0, 0, 1], 0))).await.expect_err("refused");
    assert!(error.to_string().contains("422"), "{error}");
    let sim = start(SimOptions::immediate()).await;
    let mut events = Listener::attach(&sim, "").await;
    let addr = sim.addr();
    within(sim.shutdown()).await;
    events.end().await;
    assert!(TcpStream::connect(addr).await.is_err());
}
