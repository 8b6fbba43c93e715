//! `mconn sim` as a program: what its flags do, seen by our own client.

use std::path::{Path, PathBuf};

use mconn_tests::{Client, Mconn, Sim, run_to_end, until};
use mconn_wire::http::{HttpClient, HttpSettings, Request, Trust};
use serde_json::json;
use tempfile::TempDir;

fn start(args: &[&str]) -> Mconn {
    let all: Vec<&str> = ["sim", "--listen", "127.0.0.1:0"].iter().chain(args).copied().collect();
    Mconn::start(&all, &[], Path::new("/"))
}

fn last_word(line: &str) -> String {
    line.rsplit(' ').next().unwrap_or_default().to_owned()
}

/// The status of `GET /v2/info`, for a client that trusts so.
async fn info(url: &str, trust: Trust) -> Result<u16, String> {
    let http = HttpClient::new(&HttpSettings { trust, ..HttpSettings::default() }).expect("an HTTP client");
    let request = Request::get(format!("{url}/v2/info").parse().expect("a URL"));
    http.send(request).await.map(|answer| answer.status.as_u16()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn our_client_believes_the_authority_that_the_simulator_makes_up() {
    let sim = start(&["--tls"]);
    let url = last_word(&sim.wait_for("listens on https://"));
    let ca = PathBuf::from(last_word(&sim.wait_for("CA file")));
    assert_eq!(info(&url, Trust::CaFile(ca.clone())).await, Ok(200));
    let refused = info(&url, Trust::System).await.expect_err("nobody else knows it");
    assert!(refused.to_lowercase().contains("certificate"), "{refused}");

    let dir = TempDir::new().unwrap();
    let kept = dir.path().join("ca.pem");
    let other = start(&["--tls", "--tls-ca", kept.to_str().unwrap()]);
    let url = last_word(&other.wait_for("listens on https://"));
    assert_eq!(last_word(&other.wait_for("CA file")), kept.display().to_string());
    assert_eq!(info(&url, Trust::CaFile(kept)).await, Ok(200));
    assert!(info(&url, Trust::CaFile(ca)).await.is_err());
}

#[tokio::test]
async fn followers_are_told_and_take_over() {
    let sim = Sim::start(&["--nodes", "2", "--speed", "200"]);
    let follower = Client::new(&last_word(&sim.process.wait_for("follower")));
    assert_eq!(follower.get("/v2/info").await.json["elected"], false);
    let app = json!({"id": "/a", "cmd": "x"});
    assert_eq!(follower.post("/v2/apps", &app).await.status, 201);
    assert_eq!(sim.api.get("/v2/apps/a").await.json["app"]["id"], "/a");
    assert_eq!(sim.api.send("DELETE", "/v2/leader", None).await.status, 200);
    until("the follower leads", async || follower.get("/v2/info").await.json["elected"] == true).await;
    assert_eq!(follower.get("/v2/apps/a").await.json["app"]["id"], "/a");
}

#[tokio::test]
async fn dcos_asks_everybody_for_a_token() {
    let sim = Sim::start(&["--dcos", "--dcos-user", "ann:se:cret", "--token-lifetime", "30s"]);
    assert_eq!(sim.api.get("/v2/apps").await.status, 401);
    assert_eq!(sim.api.get("/service/marathon/v2/apps").await.status, 401);
    let login = json!({"uid": "ann", "password": "se:cret"});
    let token = sim.api.post("/acs/api/v1/auth/login", &login).await;
    assert!(token.status == 200 && token.json["token"].is_string(), "{}", token.text);
    assert_eq!(sim.api.post("/sim/tokens/expire", &json!({})).await.status, 200);
    let usual = Sim::start(&["--dcos"]);
    let login = json!({"uid": "bootstrapuser", "password": "deleteme"});
    assert_eq!(usual.api.post("/acs/api/v1/auth/login", &login).await.status, 200);
}

#[test]
fn wrong_flags_and_files_are_told() {
    for (args, part) in [
        (&["--tls-cert", "/none.pem"][..], "--tls-key"),
        (&["--tls-cert", "/none.pem", "--tls-key", "/none.pem"], "cannot read /none.pem"),
        (&["--dcos-user", "a:b"], "--dcos"),
        (&["--dcos", "--dcos-user", "a"], "UID:PASSWORD"),
        (&["--dcos", "--dcos-key", "sa=/none.pem"], "cannot read /none.pem"),
        (&["--nodes", "0"], "--nodes"),
    ] {
        let all: Vec<&str> = ["sim", "--listen", "127.0.0.1:0"].iter().chain(args).copied().collect();
        let done = run_to_end(&all, &[]);
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.code() == Some(64) && told.contains(part), "{args:?}: {told}");
    }
}
