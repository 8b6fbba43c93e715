//! The document is complete, and the one in the repository is the one that is served.

use crate::client::Ask;
use crate::node::Node;

/// `MCONN_UPDATE=1 cargo test -p mconn-web openapi` writes it anew.
#[tokio::test]
async fn the_document_in_the_repository_is_current() {
    let node = Node::start().await;
    let served = node.get("/v1/openapi.json").await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("MCONN_UPDATE").is_some() {
        std::fs::write(path, format!("{}\n", served.text())).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept.trim_end() == served.text(),
        "openapi.json is old: run with MCONN_UPDATE=1 and look at the diff"
    );
}

/// Routes come from the same list as the document, so only the other direction is left to test.
#[tokio::test]
async fn everything_in_the_document_is_served() {
    let document = mconn_web::openapi();
    let mut seen = 0;
    for (path, item) in &document.paths.paths {
        let methods =
            [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete)];
        for (method, operation) in methods {
            let Some(operation) = operation else { continue };
            assert!(operation.summary.is_some(), "{method} {path} has no summary");
            seen += 1;
            if path == "/v1/events" {
                continue;
            }
            let node = Node::start().await;
            let target = path.replace("{m}", "Test").replace("{app}", "a").replace("{seq}", "1");
            let answer = node.ask(Ask::new(method, target)).await;
            assert!(!answer.text().contains("URI not found"), "{method} {path}: {answer:?}");
        }
    }
    assert_eq!(seen, 35);
}
