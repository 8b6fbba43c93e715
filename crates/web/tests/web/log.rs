//! Log lines (spec/mconn.md section 10).

use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine;
use mconn_web::{Basic, Credentials};

use crate::client::Ask;
use crate::node::{Node, SECRET, Setup, event};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Takes the log of this thread, on which the whole node of a test runs.
    fn take() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn every_request_is_a_line_with_its_address_as_sent() {
    let (lines, _guard) = Lines::take();
    let node = Node::start().await;
    for target in ["/v1/ping", "/V1/Module/List/Test/?a=%0Ab", "/nope"] {
        node.get(target).await;
    }
    let text = lines.text();
    for (begins, status) in [
        (r#"GET "/v1/ping" "#, 200),
        (r#"GET "/V1/Module/List/Test/?a=%0Ab" "#, 200),
        (r#"GET "/nope" "#, 404),
    ] {
        let line = text.lines().find(|line| line.contains(begins)).expect(begins);
        assert!(line.trim_start().starts_with("INFO"), "{line}");
        assert!(line.contains(&format!("{begins}{status} ")), "{line}");
        assert!(line.contains(r#" 127.0.0.1 context="Middlewares""#), "{line}");
    }
}

#[tokio::test]
async fn the_originals_lines_are_kept_and_foreign_text_stays_on_one() {
    let (lines, _guard) = Lines::take();
    let node = Node::start().await;
    node.post("/v1/queue", r#"{"eventType":"a\nb\u001b[31m"}"#).await;
    node.post("/v1/queue", r#"{"eventType":"scheduler_registered_event"}"#).await;
    node.post("/v1/module/sync", "").await;
    node.post("/v1/module/sync/Test", "").await;
    node.post("/v1/module/preset", r#"{"moduleName":"No\npe","appId":"/a"}"#).await;
    let text = lines.text();
    for line in [
        r#"Ignoring eventType "a\nb\u{1b}[31m" context="Middlewares""#,
        r#"Marathon has changed his leader! Sync all modules context="Middlewares""#,
        r#"Force sync of all modules! context="IndexRouter""#,
        r#"Syncing "Test" context="IndexRouter""#,
        r#"Force sync of module "Test"! context="IndexRouter""#,
        r#"ERROR Module not found: No\npe context="ModulePreset""#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_and_never_shown() {
    let (lines, _guard) = Lines::take();
    let credentials = Credentials::On(Basic::new("admin", SECRET));
    let node = Node::with(Setup { credentials, ..Setup::default() }).await;
    let token = base64::engine::general_purpose::STANDARD.encode(format!("admin:{SECRET}"));
    for given in [format!("Basic {token}"), format!("Basic x{token}")] {
        node.ask(Ask::new("GET", "/v1/info").header("Authorization", &given)).await;
    }
    node.post("/v1/queue", &event("t1", "TASK_RUNNING", "/a")).await;
    let text = lines.text();
    assert_eq!(
        text.matches(r#"WARN Client "127.0.0.1" tried to connect with wrong credentials!"#).count(),
        1
    );
    assert!(!text.contains(SECRET) && !text.contains(&token), "{text}");
    let malformed = Node::with(Setup { credentials: Credentials::Malformed, ..Setup::default() }).await;
    malformed.get("/v1/ping").await;
    assert!(
        lines.text().contains(
            r#"WARN "MCONN_CREDENTIALS" has an invalid formatting and basic-auth has been disabled!"#
        )
    );
}

#[tokio::test]
async fn what_is_passed_on_is_told_and_so_is_what_cannot_be() {
    use crate::proxy::{behind, follower, impatient};
    let (lines, _guard) = Lines::take();
    let leader = Node::start().await;
    let address = leader.address;
    let (follower, _seats) = follower(behind(address), impatient()).await;
    follower.get("/v1/module/list/Test?a=%0Ab").await;
    let told = format!(
        "INFO Proxying request to leader \"http://{address}/v1/module/list/Test?a=%0Ab\" context=\"Middlewares\""
    );
    assert!(lines.text().contains(&told), "{told} is not in\n{}", lines.text());
    leader.cancel.cancel();
    leader.serving.await.unwrap();
    follower.get("/v1/module/list").await;
    let told = format!("ERROR Error by proxying request to leader \"{address}: ");
    assert_eq!(
        lines.text().matches(&told).count(),
        1,
        "once a request, however often it is tried:\n{}",
        lines.text()
    );
}
