//! A Marathon behind TLS and behind DC/OS, end to end: who is trusted, who logs in, and what is said when it goes wrong.
//!
//! Several threads each: the front has to serve while the test waits for a process.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use mconn_tests::{Front, Node, Sim, run_to_end, until};
use mconn_wire::testing::SERVICE_ACCOUNT_KEY;
use serde_json::json;
use tempfile::TempDir;

/// Starts an app with three tasks.
async fn three_tasks(sim: &Sim) {
    let app = json!({"id": "/web", "cmd": "sleep", "cpus": 0.1, "mem": 32, "instances": 3});
    let answer = sim.api.post("/v2/apps", &app).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

async fn until_followed(node: &Node, tasks: usize) {
    node.api.preset("Test", "/web").await;
    until(&format!("{tasks} tasks arrive"), async || node.api.inventory("Test").await.len() == tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_authority_is_trusted_and_only_for_its_name() {
    let sim = Sim::start(&[]);
    let front = Front::tls(&sim.address).await;
    let dir = TempDir::new().unwrap();
    let (ca, host) = (front.ca_file(dir.path()), format!("localhost:{}", front.port));
    let env = [
        ("MCONN_MARATHON_HOSTS", host.as_str()),
        ("MCONN_MARATHON_SSL", "true"),
        ("MCONN_MARATHON_CA_FILE", ca.to_str().unwrap()),
    ];
    three_tasks(&sim).await;
    let node = Node::start(&dir, &env);
    until_followed(&node, 3).await;
    sim.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 5}))).await;
    until("five tasks", async || node.api.inventory("Test").await.len() == 5).await;
    assert!(!node.process.output().contains("is not verified"), "nothing to warn of");

    let by_address = format!("127.0.0.1:{}", front.port);
    let checked = check(&[("MCONN_MARATHON_HOSTS", &by_address), env[1], env[2]]);
    assert!(checked.contains("no TLS connection to https://127.0.0.1:"), "{checked}");
    assert!(checked.contains("check the CA file, the host name"), "{checked}");
}

/// What `mconn check` prints; it does not succeed.
fn check(env: &[(&str, &str)]) -> String {
    let dir = TempDir::new().unwrap();
    let own = [("MCONN_PORT", "0"), ("MCONN_DATA_DIR", dir.path().to_str().unwrap())];
    let output = run_to_end(&["check"], &[env, &own].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_authority_is_refused_and_the_reason_is_told() {
    let sim = Sim::start(&[]);
    let (front, other) = (Front::tls(&sim.address).await, Front::tls(&sim.address).await);
    let dir = TempDir::new().unwrap();
    let (ca, host) = (other.ca_file(dir.path()), format!("localhost:{}", front.port));
    let env = [
        ("MCONN_MARATHON_HOSTS", host.as_str()),
        ("MCONN_MARATHON_SSL", "true"),
        ("MCONN_MARATHON_CA_FILE", ca.to_str().unwrap()),
    ];
    let checked = check(&env);
    assert!(checked.contains("BAD      marathon: no usable answer"), "{checked}");
    assert!(
        checked.contains("an authority that is not trusted here") && checked.contains("check the CA file"),
        "{checked}"
    );

    three_tasks(&sim).await;
    let node = Node::start(&dir, &env);
    node.process.wait_for("no TLS connection to https://localhost:");
    assert_eq!(node.api.get("/v1/health/freshness").await.status, 503, "it knows nothing of that Marathon");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_verification_it_works_and_is_warned_of() {
    let sim = Sim::start(&[]);
    let front = Front::tls(&sim.address).await;
    let dir = TempDir::new().unwrap();
    three_tasks(&sim).await;
    let host = format!("https://127.0.0.1:{}", front.port);
    let node = Node::start(&dir, &[("MCONN_MARATHON_HOSTS", &host), ("MCONN_MARATHON_VERIFY", "false")]);
    until_followed(&node, 3).await;
    assert!(node.process.output().contains("is not verified"), "that is said at start");
}

#[test]
fn an_unusable_credential_stops_the_start_and_is_not_shown() {
    let dir = TempDir::new().unwrap();
    let secret = dir.path().join("dcos.json");
    std::fs::write(&secret, r#"{"uid": "sa", "private_key": "hush"}"#).unwrap();
    let (broken, missing) = (format!("file://{}", secret.display()), "file:///does/not/exist");
    let cases = [
        (broken.as_str(), 2, "there is no PEM block"),
        (missing, 2, "/does/not/exist"),
        ("ann:hush", 64, "hint: set MCONN_DCOS_LOGIN_ENDPOINT"),
        ("hush", 64, "MCONN_DCOS_CREDENTIAL"),
    ];
    for (credential, code, part) in cases {
        let env = [("MCONN_DCOS_CREDENTIAL", credential), ("MCONN_MARATHON_HOSTS", "127.0.0.1:1")];
        let output = run_to_end(&["serve"], &Node::env(&dir, &env));
        let [out, err] =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(output.status.code(), Some(code), "{out}{err}");
        assert!(err.contains(part) && !format!("{out}{err}").contains("hush"), "{part}: {out}{err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_follows_a_marathon_behind_admin_router() {
    let sim = Sim::start(&[]);
    let front = Front::dcos(&sim.address).await;
    let dir = TempDir::new().unwrap();
    let ca = front.ca_file(dir.path());
    let secret = dir.path().join("dcos.json");
    let account = json!({"scheme": "RS256", "uid": "sa", "private_key": SERVICE_ACCOUNT_KEY});
    std::fs::write(&secret, account.to_string()).unwrap();
    let (host, credential) = (
        format!("https://localhost:{}/service/marathon", front.port),
        format!("file://{}", secret.display()),
    );
    let env = [
        ("MCONN_MARATHON_HOSTS", host.as_str()),
        ("MCONN_MARATHON_CA_FILE", ca.to_str().unwrap()),
        ("DCOS_SERVICE_ACCOUNT_CREDENTIAL", credential.as_str()),
        ("MCONN_LOGGER_LEVEL", "4"),
    ];
    let without = check(&env[..2]);
    assert!(
        without.contains("DC/OS wants a login") && without.contains("MCONN_DCOS_CREDENTIAL"),
        "{without}"
    );

    three_tasks(&sim).await;
    let before = front.refused();
    let node = Node::start(&dir, &env);
    until_followed(&node, 3).await;
    assert_eq!(
        (front.logins().len(), front.refused() - before),
        (1, 0),
        "one login, before the first request"
    );

    // The token ends and the stream breaks: the next one needs a new login, which nobody notices.
    front.revoke();
    front.cut();
    sim.api.send("PUT", "/v2/apps/web", Some(&json!({"instances": 5}))).await;
    until("five tasks", async || node.api.inventory("Test").await.len() == 5).await;
    assert_eq!(front.logins().len(), 2);
    assert!(front.refused() > before, "it learnt by a 401");

    let output = node.process.output();
    let proof = front.logins()[0]["token"].as_str().unwrap().to_owned();
    for hidden in ["PRIVATE KEY", "login-1", "login-2", proof.as_str()] {
        assert!(!output.contains(hidden), "{hidden} is in the log");
    }
}
