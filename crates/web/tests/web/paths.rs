//! Spellings of paths (spec/mconn.md section 3).

use crate::client::Ask;
use crate::node::Node;

#[tokio::test]
async fn case_and_a_trailing_slash_do_not_matter_but_module_names_do() {
    let node = Node::start().await;
    for (target, status) in [
        ("/V1/PING", 200),
        ("/v1/ping/", 200),
        ("/v1/ping//", 404),
        ("/v1/Module/List/Test/", 200),
        ("/v1/module/list/test", 404),
        ("/v1/module/list/T%65st", 200),
        ("/v1/module/list/%", 400),
        ("/v1/module/list/%zz", 400),
        ("/v1/module/list/%ff", 400),
        ("/v1/module/list/a%2Fb", 404),
        ("/v1/module/list/a%0Ab", 404),
    ] {
        let answer = node.get(target).await;
        assert_eq!(answer.status, status, "{target}: {answer:?}");
    }
    assert_eq!(node.get("/v1/module/list/a%2Fb").await.message(), "Module not found: a/b");
}

#[tokio::test]
async fn only_loaded_modules_exist() {
    let node = Node::start().await;
    for name in ["constructor", "__proto__", "toString", "hasOwnProperty", "..", "%2e%2e", "Test%00"] {
        for (method, path) in [
            ("GET", "list"),
            ("GET", "inventory"),
            ("GET", "queue/list"),
            ("GET", "preset"),
            ("GET", "dead-letters"),
            ("POST", "queue/pause"),
            ("POST", "queue/resume"),
            ("POST", "sync"),
        ] {
            let answer = node.ask(Ask::new(method, format!("/v1/module/{path}/{name}"))).await;
            assert_eq!(answer.status, 404, "{method} {path} {name}");
            assert!(answer.message().starts_with("Module not found: "), "{answer:?}");
        }
        let body = format!(r#"{{"moduleName":"{name}","appId":"/a"}}"#);
        assert_eq!(
            node.post("/v1/module/preset", &body).await.message(),
            format!("Module not found: {name}")
        );
    }
}
