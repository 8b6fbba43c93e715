//! Presets (spec/mconn.md sections 4.7 and 8).

use crate::client::Ask;
use crate::node::Node;

#[tokio::test]
async fn the_whole_app_id_is_the_key() {
    let node = Node::start().await;
    for (app, message) in [
        ("/group/app", "AppId for module Test created: /group/app"),
        ("/group/other", "AppId for module Test created: /group/other"),
        ("/group", "AppId for module Test created: /group"),
        ("group/app/", "AppId for module Test modified: /group/app"),
    ] {
        let body = format!(r#"{{"moduleName":"Test","appId":"{app}","status":"enabled"}}"#);
        assert_eq!(node.post("/v1/module/preset", &body).await.json()["message"], message);
    }
    let presets = node.get("/v1/module/preset/Test").await.json();
    let apps: Vec<_> = presets.as_array().unwrap().iter().map(|p| p["appId"].as_str().unwrap()).collect();
    assert_eq!(apps, ["/group", "/group/app", "/group/other"]);
    let delete = Ask::new("DELETE", "/v1/module/preset?moduleName=Test&appId=%2Fgroup%2Fapp");
    let answer = node.ask(delete.clone().json(r#"{"moduleName":"Test","appId":"/group"}"#)).await;
    assert_eq!(answer.json()["message"], "AppId for module Test deleted: /group/app", "the query wins");
    assert_eq!(node.ask(delete).await.message(), "Error removing preset /group/app for \"Test\": not found");
}

#[tokio::test]
async fn unknown_fields_are_kept_and_last_edit_is_ours() {
    let node = Node::start().await;
    let body = r#"{"moduleName":"Test","appId":"/a","status":"enabled","options":{"n":[1]},"lastEdit":7,"note":{"x":1}}"#;
    node.post("/v1/module/preset", body).await;
    let created = node.get("/v1/module/preset/Test").await.json();
    assert_eq!(created[0]["lastEdit"], false);
    assert_eq!(created[0]["note"]["x"], 1);
    node.ask(Ask::new("PUT", "/v1/module/preset").json(body)).await;
    let edited = node.get("/v1/module/preset/Test").await.json();
    assert!(edited[0]["lastEdit"].as_i64().unwrap() > 1_000_000, "{edited}");
}

#[tokio::test]
async fn forms_are_taken() {
    let node = Node::start().await;
    let form = Ask::new("POST", "/v1/module/preset")
        .body("application/x-www-form-urlencoded", "moduleName=Test&appId=%2Fa&status=enabled");
    assert_eq!(node.ask(form).await.json()["message"], "AppId for module Test created: /a");
    let form = Ask::new("DELETE", "/v1/module/preset")
        .body("application/x-www-form-urlencoded", "moduleName=Test&appId=a");
    assert_eq!(node.ask(form).await.json()["message"], "AppId for module Test deleted: /a");
}
