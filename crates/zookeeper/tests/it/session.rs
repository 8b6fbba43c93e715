//! The session against real servers.

use std::time::Duration;

use mconn_zookeeper::testing::{Ensemble, Link, Proxy};
use mconn_zookeeper::{Change, Done, ErrorKind, Fence, Session, Settings, State, claim};
use tokio_util::sync::CancellationToken;

use crate::support::{fresh_path, open, quick, settings, shared, soon, with_auth};

#[tokio::test]
async fn a_nested_path_is_created_and_everything_is_below_it() {
    let zookeeper = shared();
    let path = fresh_path();
    let session = open(settings(&zookeeper, &path)).await;
    session.create("/a", b"1").await.unwrap();
    session.create_all("/x/y/z").await.unwrap();
    session.create_all("/x/y/z").await.unwrap();
    let root = open(settings(&zookeeper, "/")).await;
    assert_eq!(root.get(&format!("{path}/a")).await.unwrap().0, b"1");
    assert!(root.exists(&format!("{path}/x/y/z")).await.unwrap().is_some());
    let mut names = session.children("/").await.unwrap();
    names.sort();
    assert_eq!(names, ["a", "x"]);
}

#[tokio::test]
async fn calls_say_what_was_wrong_and_where() {
    let zookeeper = shared();
    let path = fresh_path();
    let session = open(settings(&zookeeper, &path)).await;
    session.create("/a", b"1").await.unwrap();
    assert_eq!(session.create("/a", b"2").await.unwrap_err().kind, ErrorKind::NodeExists);
    assert_eq!(session.create("/b/c", b"").await.unwrap_err().kind, ErrorKind::NoNode);
    assert_eq!(session.set("/a", b"2", Some(0)).await.unwrap(), 1);
    assert_eq!(session.set("/a", b"3", Some(0)).await.unwrap_err().kind, ErrorKind::BadVersion);
    assert_eq!(session.delete("/a", Some(0)).await.unwrap_err().kind, ErrorKind::BadVersion);
    session.create("/a/b", b"").await.unwrap();
    assert_eq!(session.delete("/a", None).await.unwrap_err().kind, ErrorKind::NotEmpty);
    session.delete("/a/b", None).await.unwrap();
    session.delete("/a", Some(1)).await.unwrap();
    let error = session.get("/a").await.unwrap_err();
    let wanted = format!("cannot read {path}/a at ZooKeeper {}: node not exists", zookeeper.hosts());
    assert_eq!((error.kind, error.message), (ErrorKind::NoNode, wanted));
}

#[tokio::test]
async fn several_changes_are_all_or_nothing() {
    let zookeeper = shared();
    let session = open(settings(&zookeeper, &fresh_path())).await;
    session.create("/epoch", b"").await.unwrap();
    let changes = |version| {
        vec![
            Change::Check { path: "/epoch".to_owned(), version },
            Change::Create { path: "/a".to_owned(), data: b"1".to_vec() },
            Change::Set { path: "/a".to_owned(), data: b"2".to_vec(), version: Some(0) },
        ]
    };
    let error = session.multi(&changes(7)).await.unwrap_err();
    assert_eq!((error.kind, error.index), (ErrorKind::BadVersion, Some(0)));
    assert!(session.exists("/a").await.unwrap().is_none());
    assert_eq!(session.multi(&changes(0)).await.unwrap(), [Done::Done, Done::Done, Done::Set { version: 1 }]);
    let error = session.multi(&changes(0)).await.unwrap_err();
    assert_eq!((error.kind, error.index), (ErrorKind::NodeExists, Some(1)));
    assert_eq!(session.get("/a").await.unwrap().0, b"2");
}

#[tokio::test]
async fn watches_tell_of_the_next_change() {
    let zookeeper = shared();
    let path = fresh_path();
    let (one, two) = (open(settings(&zookeeper, &path)).await, open(settings(&zookeeper, &path)).await);
    one.create("/list", b"").await.unwrap();
    let (names, watch) = one.children_and_watch("/list").await.unwrap();
    assert!(names.is_empty());
    let first = two.create_member("/list", "member_", b"x").await.unwrap();
    soon(watch.changed()).await;
    assert_eq!(first, "member_0000000000");
    assert_eq!(two.own_children("/list", "member_").await.unwrap(), std::slice::from_ref(&first));
    assert!(one.own_children("/list", "member_").await.unwrap().is_empty());

    let (stat, watch) = one.exists_and_watch(&format!("/list/{first}")).await.unwrap();
    assert_eq!(stat.unwrap().owner, two.id());
    // Closing the session removes its node at once, not after the timeout.
    let began = std::time::Instant::now();
    two.close(Duration::from_secs(30)).await;
    soon(watch.changed()).await;
    assert!(began.elapsed() < one.timeout(), "{:?}", began.elapsed());
    assert_eq!(two.state(), State::Closed);
    assert_eq!(two.get("/list").await.unwrap_err().kind, ErrorKind::Closed);
    assert!(one.exists(&format!("/list/{first}")).await.unwrap().is_none());

    let (_, _, watch) = one.get_and_watch("/list").await.unwrap();
    one.set("/list", b"new", None).await.unwrap();
    soon(watch.changed()).await;
}

#[tokio::test]
async fn others_can_neither_read_nor_write_what_was_made_with_credentials() {
    let zookeeper = shared();
    let path = fresh_path();
    let mine = open(with_auth(settings(&zookeeper, &path), "me:hush")).await;
    mine.create("/a", b"1").await.unwrap();
    mine.create("/leader", b"").await.unwrap();
    let member = mine.create_member("/leader", "member_", b"x").await.unwrap();
    let multi = [Change::Create { path: "/b".to_owned(), data: Vec::new() }];
    mine.multi(&multi).await.unwrap();

    // The path is there, so the stranger gets a session.
    for stranger in [settings(&zookeeper, &path), with_auth(settings(&zookeeper, &path), "me:wrong")] {
        let stranger = open(stranger).await;
        for node in ["/a", "/b", "/leader", &format!("/leader/{member}")] {
            let error = stranger.get(node).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::NoAuth, "{node}");
            assert!(error.message.contains("use the ZooKeeper credentials that created the node"), "{error}");
            assert_eq!(stranger.set(node, b"", None).await.unwrap_err().kind, ErrorKind::NoAuth);
            assert_eq!(stranger.children(node).await.unwrap_err().kind, ErrorKind::NoAuth);
        }
        assert_eq!(stranger.create("/c", b"").await.unwrap_err().kind, ErrorKind::NoAuth);
        assert_eq!(stranger.delete("/a", None).await.unwrap_err().kind, ErrorKind::NoAuth);
        let error = Session::open_once(settings(&zookeeper, &format!("{path}/deeper"))).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NoAuth, "{error}");
    }
    let again = open(with_auth(settings(&zookeeper, &path), "me:hush")).await;
    assert_eq!(again.get("/a").await.unwrap().0, b"1");
}

#[tokio::test]
async fn the_way_to_our_path_is_shared_with_others() {
    let zookeeper = shared();
    let infra = fresh_path();
    let mine = open(with_auth(settings(&zookeeper, &format!("{infra}/mconn-a")), "me:hush")).await;
    let other = open(with_auth(settings(&zookeeper, &format!("{infra}/mconn-b")), "other:hush")).await;
    mine.create("/x", b"").await.unwrap();
    other.create("/x", b"").await.unwrap();
    // But nobody gets into what is another's.
    let stranger = open(settings(&zookeeper, "/")).await;
    for path in [format!("{infra}/mconn-a"), format!("{infra}/mconn-b/x")] {
        assert_eq!(stranger.children(&path).await.unwrap_err().kind, ErrorKind::NoAuth, "{path}");
    }
}

#[tokio::test]
async fn what_everybody_can_write_is_told_wherever_it_is() {
    let zookeeper = shared();
    let path = fresh_path();
    let mine = with_auth(settings(&zookeeper, &path), "me:hush");
    let session = open(mine).await;
    session.create("/leader", b"").await.unwrap();
    assert_eq!(session.open_to_the_world().await.unwrap(), None);
    // The path is ours, and something below it is not.
    let root = open(settings(&zookeeper, "/")).await;
    let theirs = fresh_path();
    root.create_all(&format!("{theirs}/mconn/next")).await.unwrap();
    root.create_all(&format!("{theirs}/modules")).await.unwrap();
    let session = open(with_auth(settings(&zookeeper, &theirs), "me:hush")).await;
    let text = session.open_to_the_world().await.unwrap().unwrap();
    let wanted = format!("everybody can write {theirs}, {theirs}/mconn, {theirs}/mconn/next and 1 more");
    assert!(text.contains(&wanted), "{text}");
    assert!(text.contains(&format!("setAcl -R {theirs} auth::cdrwa")), "{text}");
}

#[tokio::test]
async fn an_ensemble_that_takes_longer_than_the_configured_timeout_is_waited_for() {
    let zookeeper = shared();
    // Answers half a second late: the library alone gives up a session of one second after 400 ms.
    let slow = Proxy::start(zookeeper.address(0), Link::Late(Duration::from_millis(500))).await;
    for asked in [Duration::from_millis(1), Duration::from_secs(1)] {
        let mut given = Settings::new(&slow.address().to_string(), &fresh_path()).unwrap();
        given.session_timeout = asked;
        let session = soon(open(given)).await;
        assert!(session.timeout() >= Duration::from_secs(2), "{:?}", session.timeout());
    }
    // Who refuses is not waited for.
    slow.set(Link::Cut);
    let mut given = Settings::new(&slow.address().to_string(), "/m").unwrap();
    given.session_timeout = Duration::from_secs(5);
    let began = std::time::Instant::now();
    let error = Session::open_once(given).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotSent, "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // And without a word there is an end.
    slow.set(Link::Frozen);
    let mut given = Settings::new(&slow.address().to_string(), "/m").unwrap();
    given.session_timeout = Duration::from_millis(1);
    given.connect_deadline = Duration::from_secs(2);
    let error = soon(Session::open_once(given)).await.unwrap_err();
    assert!(error.message.contains("no answer within 2s"), "{error}");
}

#[tokio::test]
async fn closing_does_not_wait_for_calls_that_hang() {
    let zookeeper = shared();
    let proxy = Proxy::start(zookeeper.address(0), Link::Open).await;
    let mut given = Settings::new(&proxy.address().to_string(), &fresh_path()).unwrap();
    given.session_timeout = Duration::from_secs(8);
    let session = open(given).await;
    proxy.set(Link::Stranded);
    let hanging = session.clone();
    let call = tokio::spawn(async move { hanging.set("/", b"", None).await });
    tokio::task::yield_now().await;
    // The session ends at the servers only when the library may send its end, for which nobody may hold it.
    let (error, ()) = tokio::join!(call, session.close(Duration::from_millis(1)));
    assert_eq!(error.unwrap().unwrap_err().kind, ErrorKind::Closed);
}

#[tokio::test]
async fn a_lost_link_is_told_at_once_and_survived() {
    let zookeeper = Ensemble::start(&quick(1));
    let mut settings = settings(&zookeeper, "/m");
    settings.session_timeout = Duration::from_secs(8);
    settings.call_deadline = Duration::from_secs(1);
    let session = open(settings).await;
    let mut states = session.states();
    assert_eq!(states.now(), State::Connected);
    zookeeper.stop(0);
    let sent = session.set("/", b"late", None).await.unwrap_err();
    assert_eq!(sent.kind, ErrorKind::Unknown, "{sent}");
    assert_eq!(soon(states.changed()).await, State::Disconnected);
    // From now on nothing is sent that could be carried out when nobody expects it any more.
    let refused = session.set("/", b"never", None).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NotSent, "{refused}");
    assert!(refused.message.contains("check that the ensemble can be reached"), "{refused}");
    zookeeper.cont(0);
    assert_eq!(soon(states.changed()).await, State::Connected);
    let (data, _) = session.get("/").await.unwrap();
    assert!(data.is_empty() || data == b"late", "{data:?}");
}

#[tokio::test]
async fn an_expired_session_says_so_and_a_new_one_is_another() {
    let mut zookeeper = Ensemble::start(&quick(1));
    let mut given = settings(&zookeeper, "/m");
    given.session_timeout = Duration::from_secs(1);
    let session = open(given.clone()).await;
    assert_eq!(session.timeout(), Duration::from_secs(1));
    session.create("/leader", b"").await.unwrap();
    session.create_member("/leader", "member_", b"").await.unwrap();
    let mut states = session.states();
    zookeeper.kill(0);
    assert_eq!(soon(states.changed()).await, State::Disconnected);
    assert_eq!(soon(states.changed()).await, State::Expired);
    assert_eq!(session.get("/").await.unwrap_err().kind, ErrorKind::Expired);

    // Opening goes on until the ensemble is back.
    let cancel = CancellationToken::new();
    let opening = Session::open(given, &cancel);
    zookeeper.restart(0);
    let next = soon(opening).await.unwrap();
    assert_ne!(next.id(), session.id());
    let mut names = next.children("/leader").await.unwrap();
    while !names.is_empty() {
        let (now, watch) = next.children_and_watch("/leader").await.unwrap();
        names = now;
        if !names.is_empty() {
            soon(watch.changed()).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_takes_longer_than_a_very_short_session_is_reached() {
    let zookeeper = shared();
    let server = zookeeper.hosts().parse().unwrap();
    let proxy = Proxy::start(server, Link::Frozen).await;
    let mut given = settings(&zookeeper, &fresh_path());
    given.hosts = Settings::new(&proxy.address().to_string(), "/").unwrap().hosts;
    // As the original's own tests have it; no server allows that.
    given.session_timeout = Duration::from_millis(250);
    let mut opening = std::pin::pin!(Session::open_once(given));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut opening).await;
    assert!(early.is_err(), "it has given up: {early:?}");
    proxy.set(Link::Open);
    assert_eq!(soon(opening).await.unwrap().timeout(), Duration::from_secs(1));
}

#[tokio::test]
async fn a_claim_ends_every_epoch_before() {
    let zookeeper = shared();
    let path = fresh_path();
    let (one, two) = (open(settings(&zookeeper, &path)).await, open(settings(&zookeeper, &path)).await);
    let write = |fence: Fence, name: &str| {
        vec![fence.check(), Change::Create { path: format!("/{name}"), data: Vec::new() }]
    };
    let first = claim(&one, b"one").await.unwrap();
    one.multi(&write(first, "a")).await.unwrap();
    let second = claim(&two, b"two").await.unwrap();
    assert!(second > first);
    let error = one.multi(&write(first, "b")).await.unwrap_err();
    assert_eq!((error.kind, error.index), (ErrorKind::BadVersion, Some(0)));
    assert!(two.exists("/b").await.unwrap().is_none());
    two.multi(&write(second, "b")).await.unwrap();
    assert_eq!(two.get("/mconn/epoch").await.unwrap().0, b"two");
}
