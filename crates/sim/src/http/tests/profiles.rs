//! What differs between versions over HTTP: paths, headers, statuses, negotiation, the stream.

use super::*;

async fn start_as(profile: Profile) -> Sim {
    let sim = start(SimOptions { profile, callbacks: false, ..SimOptions::immediate() }).await;
    let created = post(&sim, "/v2/apps", web()).await;
    assert_eq!(created.status, 201, "{}", profile.name);
    assert_eq!(
        created.header("Marathon-Deployment-Id").is_some(),
        profile.deployment_header,
        "{}",
        profile.name
    );
    let tasks = created.json().get("tasks").is_some();
    assert_eq!(tasks, ["0.11", "0.15", "1.1", "1.3", "1.4"].contains(&profile.name), "{}", profile.name);
    until(&sim, "/v2/deployments", |found| found == &json!([])).await;
    sim
}

#[tokio::test]
async fn headers_and_paths_come_and_go() {
    for profile in Profile::all() {
        let sim = start_as(profile).await;
        let name = profile.name;
        let apps = get(&sim, "/v2/apps").await;
        let has = |header: &str| apps.header(header).is_some();
        assert_eq!(has("X-Marathon-Leader"), !matches!(name, "0.8" | "0.9"), "{name}");
        let new = !name.starts_with('0');
        assert_eq!((has("X-Frame-Options"), has("X-XSS-Protection")), (new, new), "{name}");
        assert!(has("Cache-Control") && has("Pragma") && has("Expires"));

        let unknown = get(&sim, "/v2/nothing").await;
        let expected = if new && !matches!(name, "1.1" | "1.3" | "1.4" | "1.5") {
            (500, json!({"message": "URI not found"}))
        } else {
            (404, json!({"message": "URI not found: /v2/nothing"}))
        };
        assert_eq!((unknown.status, unknown.json()), expected, "{name}");
        let callbacks = get(&sim, "/v2/eventSubscriptions").await;
        assert_eq!(callbacks.text().contains("event_subscriber"), profile.callbacks, "{name}");
        let stream = ask(&sim, "HEAD", "/v2/events", "", "").await.status;
        assert_eq!(stream, if name == "0.8" { 404 } else { 200 }, "{name}");
        let patched = ask(&sim, "PATCH", "/v2/apps/shop/web", "", "{}").await.status;
        assert_eq!(patched, if profile.patch { 200 } else { 405 }, "{name}");

        let info = get(&sim, "/v2/info").await.json();
        assert!(info["version"].as_str().is_some_and(|version| version.starts_with(name)), "{info}");
        assert_eq!(info.get("buildref").is_some(), !profile.callbacks, "{name}");
        assert_eq!(info.get("event_subscriber"), profile.callbacks.then_some(&Value::Null), "{name}");
    }
}

#[tokio::test]
async fn the_subscriber_is_told_where_it_is_on() {
    let sim = start(SimOptions { profile: Profile::v1_3(), ..SimOptions::immediate() }).await;
    post(&sim, "/v2/eventSubscriptions?callbackUrl=http://127.0.0.1:1/x", json!({})).await;
    let info = get(&sim, "/v2/info").await.json();
    let expected = json!({"type": "http_callback", "http_endpoints": ["http://127.0.0.1:1/x"]});
    assert_eq!(info["event_subscriber"], expected);
}

#[tokio::test]
async fn text_is_refused_at_last() {
    for profile in Profile::all() {
        let sim = start_as(profile).await;
        for path in ["/v2/tasks", "/v2/apps/shop/web/tasks"] {
            let table = ask(&sim, "GET", path, "Accept: text/plain\r\n", "").await;
            let gone = matches!(profile.name, "1.10" | "1.11");
            assert_eq!(table.status, if gone { 406 } else { 200 }, "{}", profile.name);
            assert_eq!(table.text().starts_with("shop_web\t10000\t10.0.0."), !gone, "{}", profile.name);
            assert_eq!(ask(&sim, "GET", path, "Accept: */*\r\n", "").await.status, 200);
        }
    }
}

#[tokio::test]
async fn in_0_8_the_seed_decides_what_anything_means() {
    for (seed, text) in [(1, false), (2, true)] {
        let profile = Profile::v0_8();
        let sim =
            start(SimOptions { profile, seed, initial_apps: vec![web()], ..SimOptions::immediate() }).await;
        let found = ask(&sim, "GET", "/v2/tasks", "Accept: */*\r\n", "").await;
        assert_eq!(found.header("Content-Type").is_some_and(|kind| kind.starts_with("text/plain")), text);
        let json = ask(&sim, "GET", "/v2/tasks", "Accept: application/json\r\n", "").await;
        assert!(json.json()["tasks"].is_array());
    }
}

#[tokio::test]
async fn embeds_are_those_the_version_knows() {
    for profile in Profile::all() {
        let sim = start_as(profile).await;
        let query = "?embed=tasks&embed=apps.taskStats&embed=apps.readiness";
        let app = get(&sim, &format!("/v2/apps{query}")).await.json()["apps"][0].clone();
        let has = |key: &str| app.get(key).is_some();
        assert_eq!(has("tasks"), !matches!(profile.name, "0.8" | "0.9"), "{}", profile.name);
        assert_eq!(has("taskStats"), profile.apps.stats_key == Some("taskStats"), "{}", profile.name);
        assert_eq!(has("tasksStats"), profile.apps.stats_key == Some("tasksStats"), "{}", profile.name);
        assert_eq!(has("readinessCheckResults"), profile.apps.readiness_checks, "{}", profile.name);
        let old = get(&sim, "/v2/apps?embed=apps.failures").await.json()["apps"][0].clone();
        assert!(old["tasks"].is_array(), "{}", profile.name);
        let groups = get(&sim, "/v2/groups").await.json();
        assert_eq!(groups.get("pods").is_some(), profile.pods, "{}", profile.name);
        assert_eq!(groups["groups"][0].get("enforceRole").is_some(), profile.apps.role, "{}", profile.name);
    }
}

#[tokio::test]
async fn streams_of_0_9_have_data_lines_only() {
    let sim = start(SimOptions { profile: Profile::v0_9(), ..SimOptions::immediate() }).await;
    // There is no filter yet either.
    let mut events = Listener::attach(&sim, "?event_type=none").await;
    events.until("data: {\"remoteAddress\"").await;
    assert!(!events.text().contains("event: "));
}

#[tokio::test]
async fn light_plans_are_given_to_those_who_ask() {
    let sim = start(SimOptions { profile: Profile::v1_6(), ..SimOptions::immediate() }).await;
    let mut heavy = Listener::attach(&sim, "?event_type=deployment_success").await;
    let mut light = Listener::attach(&sim, "?event_type=deployment_success&plan-format=light").await;
    post(&sim, "/v2/apps", web()).await;
    heavy.until("deployment_success").await;
    light.until("}\r\n\r\n").await;
    heavy.until("}\r\n\r\n").await;
    assert!(heavy.text().contains("\"original\":{\"id\":\"/\""));
    assert!(!light.text().contains("original") && light.text().contains("\"steps\":["));
}

#[tokio::test]
async fn a_full_buffer_of_an_old_version_loses_events() {
    let options = SimOptions { profile: Profile::v1_7(), stream_buffer: Some(2), ..SimOptions::immediate() };
    let sim = start(options).await;
    let mut events = Listener::attach(&sim, "").await;
    let padding = "x".repeat(1_000_000);
    for number in 0..50 {
        sim.handle().emit(json!({"eventType": "big", "n": number, "padding": padding})).await;
    }
    // What is lost is lost, but the stream goes on.
    within(async {
        loop {
            sim.handle().emit(json!({"eventType": "last"})).await;
            let read = events.stream.read_buf(&mut events.seen).await.expect("reads");
            assert_ne!(read, 0, "the stream ended");
            if events.seen.windows(11).any(|window| window == b"event: last") {
                break;
            }
        }
    })
    .await;
    assert!(events.text().matches("event: big").count() < 50);
}

#[tokio::test]
async fn error_bodies_are_in_marathons_order() {
    let sim = start(SimOptions::immediate()).await;
    for (body, start) in [
        ("{", r#"{"message":"Invalid JSON","details":""#),
        (r#"{"id":7}"#, r#"{"message":"Invalid JSON","details":[{"path":"/id","errors":["#),
        (
            r#"{"id":"/A","cmd":"x"}"#,
            r#"{"message":"Object is not valid","details":[{"path":"/id","errors":["#,
        ),
    ] {
        let text = ask(&sim, "POST", "/v2/apps", "", body).await.text();
        assert!(text.starts_with(start), "{text}");
    }
    post(&sim, "/v2/apps", web()).await;
    let changed = ask(&sim, "PUT", "/v2/apps/shop/web?force=true", "", r#"{"cmd":"y"}"#).await.text();
    assert!(changed.starts_with(r#"{"version":""#) && changed.contains(r#","deploymentId":""#), "{changed}");
    let locked = ask(&sim, "POST", "/v2/apps/shop/web/restart", "", "").await;
    if locked.status == 409 {
        assert!(locked.text().starts_with(r#"{"message":"App is locked"#), "{}", locked.text());
    }
}
