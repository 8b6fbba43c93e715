//! Authentication (spec/mconn.md section 7).

use base64::Engine;
use mconn_web::{Basic, Credentials};

use crate::client::Ask;
use crate::node::{Node, SECRET, Setup, event};

fn basic(text: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

async fn guarded() -> Node {
    let credentials = Credentials::On(Basic::new("admin", SECRET));
    Node::with(Setup { credentials, ..Setup::default() }).await
}

#[tokio::test]
async fn everything_but_ping_and_intake_is_guarded() {
    let node = guarded().await;
    let cases = [
        ("GET", "/v1/ping", 200),
        ("POST", "/v1/ping", 404),
        ("GET", "/V1/ping", 401),
        ("GET", "/v1/ping/", 401),
        ("POST", "/v1/queue", 200),
        ("POST", "/v1/queue/", 401),
        ("POST", "/v1/%71ueue", 401),
        ("GET", "/v1/queue", 401),
        ("PUT", "/v1/queue", 401),
        ("GET", "/v1/info", 401),
        ("GET", "/v1/module/list", 401),
        ("POST", "/v1/exit/node", 401),
        ("GET", "/v1/events", 401),
        ("GET", "/metrics", 401),
        ("GET", "/v1/health/live", 401),
        ("GET", "/v1/health/ready", 401),
        ("GET", "/v1/catalog", 401),
        ("GET", "/v1/openapi.json", 401),
        ("GET", "/nothing", 401),
        ("GET", "/%zz", 401),
    ];
    for (method, target, status) in cases {
        let body = event("t1", "TASK_RUNNING", "/a");
        let answer = node.ask(Ask::new(method, target).json(&body)).await;
        assert_eq!(answer.status, status, "{method} {target}");
        if status == 401 {
            assert_eq!(answer.text(), "Unauthorized");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Basic realm=\"Authorization Required\""));
        }
    }
    assert!(!node.exit.is_cancelled());
    let page = node.ask(Ask::new("GET", "/metrics").header("Authorization", &basic("admin:hush-hush"))).await;
    assert!(
        page.text().contains(r#"mconn_http_problems_total{reason="unauthorised"} 17"#),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn only_the_right_credentials_pass() {
    let node = guarded().await;
    for (given, status) in [
        (basic("admin:hush-hush"), 200),
        (basic("admin:hush"), 401),
        (basic("admin:hush-hush-hush"), 401),
        (basic("Admin:hush-hush"), 401),
        (basic(":"), 401),
        (basic(""), 401),
        (basic("admin"), 401),
        ("Basic".to_owned(), 401),
        ("Basic %%%".to_owned(), 401),
        ("Bearer admin:hush-hush".to_owned(), 401),
    ] {
        let answer = node.ask(Ask::new("GET", "/v1/info").header("Authorization", &given)).await;
        assert_eq!(answer.status, status, "{given}");
    }
}

#[tokio::test]
async fn empty_credentials_let_nobody_in() {
    for (user, password) in [("", "x"), ("x", ""), ("", "")] {
        let credentials = Credentials::On(Basic::new(user, password));
        let node = Node::with(Setup { credentials, ..Setup::default() }).await;
        let given = basic(&format!("{user}:{password}"));
        let answer = node.ask(Ask::new("GET", "/v1/info").header("Authorization", &given)).await;
        assert_eq!(answer.status, 401, "{user}:{password}");
    }
}

#[tokio::test]
async fn malformed_credentials_let_everybody_in() {
    let node = Node::with(Setup { credentials: Credentials::Malformed, ..Setup::default() }).await;
    assert_eq!(node.get("/v1/info").await.status, 200);
}

#[tokio::test]
async fn no_answer_has_a_secret() {
    let node = guarded().await;
    let paths = mconn_web::openapi().paths.paths;
    for (path, item) in paths {
        if item.get.is_none() || path == "/v1/events" {
            continue;
        }
        let target = path.replace("{m}", "Test").replace("{app}", "a");
        let answer =
            node.ask(Ask::new("GET", target).header("Authorization", &basic("admin:hush-hush"))).await;
        assert!(!answer.text().contains(SECRET), "{path}");
        assert!(!answer.text().contains(&basic("admin:hush-hush")[6..]), "{path}");
    }
}
