//! The election against a real ZooKeeper, over links that can be troubled.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

mod node;
mod store;

use mconn_leadership::{Epoch, Leadership, Role};
use mconn_zookeeper::Session;
use mconn_zookeeper::election::{EPOCH_PATH, LEADER_PATH};
use mconn_zookeeper::testing::{Ensemble, Link, Options, Proxy};
use node::{
    Did, LONG, Node, PATIENCE, Record, SHORT, bare, fresh_path, members, server, settings, spectator,
    until_line, until_members,
};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn of_several_nodes_the_first_leads_and_all_agree() {
    let (path, record) = (fresh_path(), Record::default());
    let mut a = Node::join("a", settings(server(), &path, LONG), &record).await;
    let epoch = a.until_leads().await;
    assert_eq!(epoch, Epoch(1));
    let mut b = Node::join("b", settings(server(), &path, LONG), &record).await;
    let view = b.until_follows("a").await;
    let leader = view.leader.unwrap();
    assert_eq!((leader.epoch, leader.is_self, leader.since.is_some()), (Some(epoch), false, true));
    let mut c = Node::join("c", settings(server(), &path, LONG), &record).await;
    c.until_follows("a").await;
    for node in [&mut a, &mut b, &mut c] {
        // Members that joined behind a node are seen with the next refresh.
        let view = node.until("sees three", |view| view.members.len() == 3).await;
        let hosts: Vec<_> = view.members.iter().map(|m| m.address.as_ref().unwrap().host.clone()).collect();
        assert_eq!(hosts, ["a", "b", "c"]);
        assert!(view.members.iter().all(|m| m.version.as_deref() == Some("1.0")));
        let own: Vec<_> = view.members.iter().filter(|m| m.is_self).map(|m| m.name).collect();
        assert_eq!(own, [node.member().await]);
    }
    for node in [c, b, a] {
        node.leave().await;
    }
    record.check();
    assert!(members(&spectator(&path).await).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_leaves_hands_over_at_once() {
    let (path, record) = (fresh_path(), Record::default());
    let mut a = Node::join("a", settings(server(), &path, LONG), &record).await;
    let first = a.until_leads().await;
    let mut b = Node::join("b", settings(server(), &path, LONG), &record).await;
    b.until("is second in line", |view| view.member.is_some()).await;
    let mut c = Node::join("c", settings(server(), &path, LONG), &record).await;
    c.until_follows("a").await;
    let begun = Instant::now();
    a.leave().await;
    let second = b.until_leads().await;
    let took = begun.elapsed();
    println!("handed over in {took:?}");
    // Had b waited for the end of a's session, it would have taken longer than that.
    assert!(took < LONG, "{took:?}");
    assert_eq!(second, Epoch(first.0 + 1));
    // It may know who is first before it hears of the epoch.
    c.until("knows the epoch", |view| view.leader.as_ref().is_some_and(|l| l.epoch == Some(second))).await;
    b.leave().await;
    c.leave().await;
    record.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_link_resigns_before_its_successor_leads() {
    let (path, record) = (fresh_path(), Record::default());
    let proxy = Proxy::start(server(), Link::Open).await;
    let mut a = Node::join("a", settings(proxy.address(), &path, SHORT), &record).await;
    let first = a.until_leads().await;
    let member = a.member().await;
    let mut b = Node::join("b", settings(server(), &path, SHORT), &record).await;
    b.until_follows("a").await;

    proxy.set(Link::Frozen);
    a.until("is apart", |view| matches!(view.role, Role::Apart { .. })).await;
    let second = b.until_leads().await;
    let did: Vec<_> = record.all().into_iter().map(|(node, did)| format!("{node} {did:?}")).collect();
    assert_eq!(did, ["a Lead(Epoch(1))", "a Stop(Epoch(1))", "b Lead(Epoch(2))"]);
    assert!(second > first);

    // The session has expired: a new one, a new member, at the end, without the end of the process.
    proxy.set(Link::Cut);
    proxy.set(Link::Open);
    a.until_follows("b").await;
    a.until("is in the line again", |view| view.member.is_some_and(|own| own != member)).await;
    let spectator = spectator(&path).await;
    until_line(&spectator, &mut [&mut b, &mut a]).await;
    b.leave().await;
    a.until_leads().await;
    a.leave().await;
    record.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_server_has_lost_the_ensemble_resigns_before_its_successor_leads() {
    let (path, record) = (fresh_path(), Record::default());
    let proxy = Proxy::start(server(), Link::Open).await;
    let mut a = Node::join("a", settings(proxy.address(), &path, SHORT), &record).await;
    let first = a.until_leads().await;
    let mut b = Node::join("b", settings(server(), &path, SHORT), &record).await;
    b.until_follows("a").await;

    // Pings are answered, so the link is never lost; only the quorum is silent.
    let begun = Instant::now();
    proxy.set(Link::Stranded);
    let view = a.until("has resigned", |view| view.leads().is_none()).await;
    let took = begun.elapsed();
    assert_eq!(view.role, Role::Following, "it is connected: {view:?}");
    println!("resigned after {took:?}");
    let second = b.until_leads().await;
    assert!(second > first && took < begun.elapsed());
    record.check();

    // Its server gives up.
    proxy.set(Link::Cut);
    proxy.set(Link::Open);
    a.until_follows("b").await;
    let spectator = spectator(&path).await;
    until_line(&spectator, &mut [&mut b, &mut a]).await;
    b.leave().await;
    a.until_leads().await;
    a.leave().await;
    record.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_is_made_again_and_no_epoch_comes_twice() {
    let (path, record) = (format!("{}/deeper", fresh_path()), Record::default());
    let proxy = Proxy::start(server(), Link::Open).await;
    let mut a = Node::join("a", settings(proxy.address(), &path, LONG), &record).await;
    a.until_leads().await;
    a.handle.step_down(true).await.unwrap();
    a.until("leads again", |view| view.leads() == Some(Epoch(2))).await;
    let mut b = Node::join("b", settings(proxy.address(), &path, LONG), &record).await;
    b.until_follows("a").await;
    // Nobody puts anything back before all is gone.
    proxy.set(Link::Frozen);
    let root = spectator("/").await;
    delete_all(&root, &path).await;
    assert_eq!(root.exists(&path).await.unwrap(), None);
    proxy.set(Link::Open);
    let leads = |view: &Leadership| view.leads().is_some_and(|epoch| epoch != Epoch(2));
    let view = tokio::select! {
        view = a.until("leads on", leads) => view,
        view = b.until("leads on", leads) => view,
    };
    assert!(view.leads() > Some(Epoch(2)), "{view:?}");
    a.leave().await;
    b.leave().await;
    // Whose member was taken away by force may lead for the rest of its lease beside the next one, but never in its epoch.
    let led = record.all().into_iter().filter_map(|(_, did)| match did {
        Did::Lead(epoch) => Some(epoch),
        Did::Stop(_) => None,
    });
    assert!(led.is_sorted_by(|one, next| one < next), "{:?}", record.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_never_seen_an_epoch_does_not_begin_again_where_there_are_data() {
    let (path, record) = (fresh_path(), Record::default());
    let spectator = spectator(&path).await;
    spectator.create_all("/mconn/journal").await.unwrap();
    let mut a = Node::join("a", settings(server(), &path, LONG), &record).await;
    let told = |view: &Leadership| match &view.role {
        Role::Apart { why, .. } => why.contains("is gone, but") && why.contains("create that node, empty"),
        _ => false,
    };
    a.until("says what to do", told).await;
    spectator.create(EPOCH_PATH, b"").await.unwrap();
    a.until_leads().await;
    a.leave().await;
    record.check();
}

/// Deletes a node and all below it.
async fn delete_all(session: &Session, path: &str) {
    let Ok(names) = session.children(path).await else { return };
    for name in names {
        Box::pin(delete_all(session, &format!("{path}/{name}"))).await;
    }
    // Somebody may have put something there meanwhile.
    let _ = session.delete(path, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_interruption_costs_the_lead_but_not_the_place() {
    let (path, record) = (fresh_path(), Record::default());
    let proxy = Proxy::start(server(), Link::Open).await;
    let mut a = Node::join("a", settings(proxy.address(), &path, LONG), &record).await;
    let first = a.until_leads().await;
    let member = a.member().await;
    let mut b = Node::join("b", settings(server(), &path, LONG), &record).await;
    b.until_follows("a").await;
    for _ in 0..3 {
        proxy.set(Link::Cut);
        a.until("is apart", |view| matches!(view.role, Role::Apart { .. })).await;
        proxy.set(Link::Open);
        a.until_leads().await;
    }
    let epoch = a.until_leads().await;
    assert_eq!(epoch, Epoch(first.0 + 3));
    assert_eq!(members(&spectator(&path).await).await, [member, b.member().await]);
    b.until("knows the new epoch", |view| view.leader.as_ref().is_some_and(|l| l.epoch == Some(epoch))).await;
    assert_eq!(record.all().last(), Some(&("a".to_owned(), Did::Lead(epoch))));
    a.leave().await;
    b.leave().await;
    record.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ensemble_that_is_away_at_the_start_is_waited_for() {
    let (path, record) = (fresh_path(), Record::default());
    let proxy = Proxy::start(server(), Link::Cut).await;
    let mut a = Node::join("a", settings(proxy.address(), &path, SHORT), &record).await;
    let host = proxy.address().to_string();
    let told = move |view: &Leadership| match &view.role {
        Role::Apart { why, .. } => why.contains(&host),
        _ => false,
    };
    a.until("says which hosts it cannot reach", told).await;
    proxy.set(Link::Open);
    a.until_leads().await;
    a.leave().await;
    record.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_steps_down_goes_to_the_end_of_the_line() {
    let (path, record) = (fresh_path(), Record::default());
    let mut a = Node::join("a", settings(server(), &path, LONG), &record).await;
    a.until_leads().await;
    // Alone in the line, it leads again, in another epoch.
    assert_eq!(a.handle.step_down(true).await, Ok(true));
    a.until("leads again", |view| view.leads() == Some(Epoch(2))).await;

    let mut b = Node::join("b", settings(server(), &path, LONG), &record).await;
    b.until_follows("a").await;
    assert_eq!(b.handle.step_down(true).await, Ok(false), "a follower has nothing to give up");
    assert_eq!(a.handle.step_down(true).await, Ok(true));
    b.until_leads().await;
    a.until_follows("b").await;
    let spectator = spectator(&path).await;
    until_line(&spectator, &mut [&mut b, &mut a]).await;

    // Without keeping, it stays out.
    assert_eq!(b.handle.step_down(false).await, Ok(true));
    a.until_leads().await;
    until_line(&spectator, &mut [&mut a]).await;
    b.until_follows("a").await;
    a.leave().await;
    b.leave().await;
    assert!(members(&spectator).await.is_empty());
    record.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_creation_was_never_answered_is_found_again() {
    let (path, record) = (fresh_path(), Record::default());
    let proxy = Proxy::start(server(), Link::Open).await;
    let mut a = Node::watch("a", settings(proxy.address(), &path, LONG), &record);
    a.until("is connected", |view| view.role == Role::Following).await;
    let spectator = spectator(&path).await;
    proxy.set(Link::Mute);
    a.handle.ready().await.unwrap();
    let made = until_members(&spectator, 1).await;
    // The node does not know of its member yet, and never hears of it.
    proxy.set(Link::Cut);
    a.until("is apart", |view| matches!(view.role, Role::Apart { .. }) && view.member.is_none()).await;
    proxy.set(Link::Open);
    a.until_leads().await;
    assert_eq!(members(&spectator).await, made);
    assert_eq!(a.member().await, made[0]);
    a.leave().await;
    record.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_the_original_is_respected() {
    let (path, record) = (fresh_path(), Record::default());
    let original = spectator(&path).await;
    original.create_all(LEADER_PATH).await.unwrap();
    let data = br#"{"serverdata":{"ip":"old","port":"1234","serverurl":"http://old:1234"}}"#;
    original.create_member(LEADER_PATH, "member_", data).await.unwrap();
    let mut a = Node::join("a", settings(server(), &path, LONG), &record).await;
    let view = a.until_follows("old").await;
    assert_eq!(view.leader.as_ref().unwrap().epoch, None);
    a.until("is in the line", |view| view.members.len() == 2 && view.member.is_some()).await;
    assert!(record.all().is_empty(), "leads before it is first");
    original.close(LONG).await;
    a.until_leads().await;
    a.leave().await;
    record.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_robbed_of_its_member_or_epoch_resigns_and_joins_again() {
    let (path, record) = (fresh_path(), Record::default());
    let mut a = Node::join("a", settings(server(), &path, LONG), &record).await;
    a.until_leads().await;
    let mut b = Node::join("b", settings(server(), &path, LONG), &record).await;
    b.until_follows("a").await;
    let spectator = spectator(&path).await;
    let own = a.member().await;
    spectator.delete(&format!("{LEADER_PATH}/{own}"), None).await.unwrap();
    b.until_leads().await;
    a.until_follows("b").await;
    until_line(&spectator, &mut [&mut b, &mut a]).await;

    spectator.set(EPOCH_PATH, b"", None).await.unwrap();
    a.until_leads().await;
    b.until_follows("a").await;
    until_line(&spectator, &mut [&mut a, &mut b]).await;
    // The member was taken from a while it led, so its successor may have led before a heard of it: epochs are what counts.
    let leads: Vec<_> = record.all().into_iter().filter(|(_, did)| matches!(did, Did::Lead(_))).collect();
    let of = |node: &str, epoch| (node.to_owned(), Did::Lead(Epoch(epoch)));
    assert_eq!(leads, [of("a", 1), of("b", 2), of("a", 4)]);
    a.leave().await;
    b.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_is_followed_when_its_session_ends() {
    let (path, record) = (fresh_path(), Record::default());
    let proxy = Proxy::start(server(), Link::Open).await;
    let mut a = Node::join("a", settings(proxy.address(), &path, SHORT), &record).await;
    a.until_leads().await;
    let mut b = Node::join("b", settings(server(), &path, SHORT), &record).await;
    b.until_follows("a").await;
    // Nobody tells the servers that it is gone, as with kill -9. A new process at the same address is not its member.
    proxy.set(Link::Frozen);
    let mut again = Node::join("a", settings(server(), &path, SHORT), &record).await;
    let begun = Instant::now();
    let view = again.until("sees its dead predecessor", |view| view.leader.is_some()).await;
    if view.leader.as_ref().is_some_and(|leader| leader.address.host == "a") {
        assert!(!view.leader.as_ref().unwrap().is_self && view.to_ask().is_none(), "it would ask itself");
    }
    b.until_leads().await;
    println!("took over in {:?}", begun.elapsed());
    again.until_follows("b").await;
    proxy.set(Link::Cut);
    proxy.set(Link::Open);
    again.leave().await;
    b.leave().await;
    a.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ensemble_that_dies_and_comes_back_finds_one_leader() {
    let tick = std::time::Duration::from_millis(500);
    let mut ensemble = Ensemble::start(&Options { tick, ..Options::default() });
    let server = ensemble.address(0);
    let (path, record) = (fresh_path(), Record::default());
    let mut a = Node::join("a", settings(server, &path, LONG), &record).await;
    a.until_leads().await;
    let mut b = Node::join("b", settings(server, &path, LONG), &record).await;
    b.until_follows("a").await;
    ensemble.kill(0);
    for node in [&mut a, &mut b] {
        node.until("is apart", |view| matches!(view.role, Role::Apart { .. })).await;
    }
    ensemble.restart(0);
    // Sessions may have lived through it or not: one of the two leads, and the other knows it.
    let leads = |view: &Leadership| matches!(view.role, Role::Leading { .. });
    let (a_leads, b_leads) = (a.until("knows who leads", |view| leads(view) || view.to_ask().is_some()), {
        b.until("knows who leads", |view| leads(view) || view.to_ask().is_some())
    });
    let (a_view, b_view) = tokio::join!(a_leads, b_leads);
    assert!(leads(&a_view) || leads(&b_view), "{a_view:?} {b_view:?}");
    a.leave().await;
    b.leave().await;
    record.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_that_ends_by_itself_lets_the_next_one_try() {
    let path = fresh_path();
    let mut sick = bare("sick", &path);
    let mut view = sick.handle.view();
    sick.handle.ready().await.unwrap();
    let term = sick.terms.recv().await.unwrap();
    let record = Record::default();
    let mut b = Node::join("b", settings(server(), &path, LONG), &record).await;
    b.until_follows("sick").await;
    let cancelled = term.cancelled().clone();
    term.stopped(Some("the store is too new".to_owned()));
    b.until_leads().await;
    assert!(cancelled.is_cancelled());
    let told =
        |view: &Leadership| view.trouble.as_deref() == Some("the store is too new") && view.member.is_some();
    let waiting = view.wait_for(|view| told(view));
    tokio::time::timeout(PATIENCE, waiting).await.expect("back in line, and telling why").unwrap();
    // Its next term, after the other has left, is dropped by whoever should lead.
    b.leave().await;
    drop(sick.terms.recv().await.unwrap());
    let dropped = |view: &Leadership| view.trouble.as_deref() == Some("it was dropped without a reason");
    let waiting = view.wait_for(|view| dropped(view));
    tokio::time::timeout(PATIENCE, waiting).await.expect("it says that nobody leads").unwrap();
    sick.handle.leave().await;
    sick.task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_has_an_end_whatever_is_wrong() {
    let (path, record) = (fresh_path(), Record::default());
    // Never connected.
    let proxy = Proxy::start(server(), Link::Frozen).await;
    let a = Node::join("a", settings(proxy.address(), &path, LONG), &record).await;
    a.leave().await;
    // Connected, in the line, and then without a link.
    proxy.set(Link::Open);
    let mut b = Node::join("b", settings(proxy.address(), &path, LONG), &record).await;
    b.until_leads().await;
    proxy.set(Link::Frozen);
    b.leave().await;
    // All handles are gone.
    let election = bare("c", &path);
    drop(election.handle);
    tokio::time::timeout(PATIENCE, election.task).await.expect("it leaves by itself").unwrap();
}
