//! What the next leader finds, and goes on with: waiting events in their order, presets, inventories, dead letters.

use mconn_tests::{FakeMarathon, status_update, until};
use serde_json::json;

use crate::{Cluster, accept, ensemble};

const MODULES: [&str; 2] = ["Test", "HelloWorld"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_accepted_is_taken_up_where_it_stood() {
    let ensemble = ensemble();
    let more = [("MCONN_MODULE_START", "Test,HelloWorld"), ("MCONN_QUEUE_RETRIES", "0")];
    let mut cluster = Cluster::with(&ensemble, "/mconn", 3, "1000", &more);
    let old = cluster.leader().await;
    let api = cluster.node(cluster.follower_of(old)).api.clone();
    for module in MODULES {
        api.preset(module, "/app").await;
    }
    // Texts are missing, so HelloWorld fails for good.
    let broken = json!({"moduleName": "HelloWorld", "appId": "/broken", "status": "enabled", "options": {}});
    api.post("/v1/module/preset", &broken).await;
    api.post("/v1/queue", &status_update("bad", "TASK_RUNNING", "/broken")).await;
    accept(&api, "done").await;
    for module in MODULES {
        until("it is done", async || api.inventory(module).await == ["done"]).await;
    }
    let letters = "/v1/module/dead-letters/HelloWorld";
    until("it is a dead letter", async || !api.get(letters).await.text.contains("[]")).await;
    let letters_before = api.get(letters).await.text;
    let inventory_before = api.get("/v1/module/inventory/HelloWorld").await.text;

    for module in MODULES {
        let path = format!("/v1/module/queue/pause/{module}");
        assert_eq!(api.send("POST", &path, None).await.status, 200);
    }
    for (task, status) in [
        ("comes-and-goes", "TASK_RUNNING"),
        ("stays", "TASK_RUNNING"),
        ("comes-and-goes", "TASK_KILLED"),
        ("done", "TASK_FINISHED"),
    ] {
        let answer = api.post("/v1/queue", &status_update(task, status, "/app")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let waiting = api.get("/v1/queue").await;
    assert_eq!(waiting.json.as_array().map(Vec::len), Some(4), "{}", waiting.text);
    assert_eq!(api.get("/v1/module/inventory/HelloWorld").await.text, inventory_before, "paused");

    cluster.nodes[old].take().unwrap().process.kill();
    cluster.leader().await;
    for module in MODULES {
        until("what waited is done in order", async || api.inventory(module).await == ["stays"]).await;
    }
    until("the queue is empty", async || api.get("/v1/queue").await.json == json!([])).await;
    assert_eq!(api.get(letters).await.text, letters_before);
    let presets = api.get("/v1/module/preset").await.json;
    assert_eq!(presets["Test"].as_array().map(Vec::len), Some(1), "{presets}");
    assert_eq!(presets["HelloWorld"].as_array().map(Vec::len), Some(2), "{presets}");

    // What the old leader has done it alone remembers: the same again is done once more, which changes nothing.
    let again = api.post("/v1/queue", &status_update("done", "TASK_FINISHED", "/app")).await;
    assert_eq!(again.status, 200, "{}", again.text);
    until("the queue is empty", async || api.get("/v1/queue").await.json == json!([])).await;
    for module in MODULES {
        assert_eq!(api.inventory(module).await, ["stays"]);
    }

    // The dead letter is the new leader's: with its preset mended it goes through.
    api.preset("HelloWorld", "/broken").await;
    let number = serde_json::from_str::<serde_json::Value>(&letters_before).unwrap()[0]["seq"].clone();
    let retried = api.send("POST", &format!("{letters}/{number}/retry"), None).await;
    assert_eq!(retried.status, 200, "{}", retried.text);
    until("it is greeted", async || api.inventory("HelloWorld").await == ["bad", "stays"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_new_leader_syncs_what_nobody_has_told() {
    let ensemble = ensemble();
    let marathon = FakeMarathon::start().await;
    let more = [("MCONN_MARATHON_HOSTS", marathon.address.as_str()), ("MCONN_MARATHON_READY", "none")];
    let mut cluster = Cluster::with(&ensemble, "/mconn", 2, "1000", &more);
    let old = cluster.leader().await;
    let api = cluster.node(cluster.follower_of(old)).api.clone();
    marathon.tasks(&["A"]);
    api.preset("Test", "/dev-app-1").await;
    until("the sync of the preset finds it", async || api.inventory("Test").await == ["A"]).await;
    marathon.tasks(&["B", "C"]);
    cluster.nodes[old].take().unwrap().process.kill();
    cluster.leader().await;
    until("inventory and truth are the same", async || api.inventory("Test").await == ["B", "C"]).await;
}
