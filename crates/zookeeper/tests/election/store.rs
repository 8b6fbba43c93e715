//! What a term is for: the store of its epoch.

use std::sync::Arc;

use mconn_model::{AppId, ModuleName, Preset};
use mconn_store::{Store as _, StoreErrorKind, Write};
use mconn_zookeeper::ZookeeperStore;
use mconn_zookeeper::election::{Election, Term};

use crate::node::{PATIENCE, bare, fresh_path};

fn preset(app: &str) -> Write {
    Write::PutPreset(Arc::new(Preset {
        app: AppId::parse(app).unwrap(),
        module: ModuleName::new("Test").unwrap(),
        status: Preset::ENABLED.into(),
        options: serde_json::json!({}),
        last_edit: None,
        extra: serde_json::Map::new(),
    }))
}

async fn term(election: &mut Election) -> Term {
    tokio::time::timeout(PATIENCE, election.terms.recv()).await.expect("it leads").expect("it runs")
}

fn store(term: &Term) -> ZookeeperStore {
    ZookeeperStore::new(term.session().clone(), term.fence())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_does_not_stop_cannot_write_once_another_leads() {
    let path = fresh_path();
    let (mut a, mut b) = (bare("a", &path), bare("b", &path));
    a.handle.ready().await.unwrap();
    let first = term(&mut a).await;
    let old = store(&first);
    old.load().await.unwrap();
    old.commit(vec![preset("/kept")]).await.unwrap();
    b.handle.ready().await.unwrap();
    let mut view = b.handle.view();
    view.wait_for(|view| view.member.is_some()).await.unwrap();

    // It is told to stop and does not: it loses its place in line after a while, and the other leads.
    a.handle.step_down(true).await.unwrap();
    assert!(first.cancelled().is_cancelled());
    old.commit(vec![preset("/late")]).await.expect("until somebody else leads, it may end what it has begun");
    let second = term(&mut b).await;
    let new = store(&second);
    assert!(second.epoch() > first.epoch());
    let refused = old.commit(vec![preset("/lost")]).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Deposed, "{refused}");
    let contents = new.load().await.unwrap();
    let apps: Vec<_> = contents.presets.iter().map(|preset| preset.app.to_string()).collect();
    assert_eq!(apps, ["/kept", "/late"]);

    first.stopped(None);
    second.stopped(None);
    for election in [a, b] {
        election.handle.leave().await;
        election.task.await.unwrap();
    }
}
