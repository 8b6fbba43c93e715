//! Following over real sockets: streams in pieces, silence, huge and broken answers, and no end because of them.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mconn_marathon::client::{ClientSettings, Endpoint, MarathonClient};
use mconn_marathon::follow::{Ended, FollowSettings, FollowStats, Request, Wiring, follow};
use mconn_model::{AppId, ClusterEvent, Observation, SourceId};
use mconn_wire::testing::{Reply, STREAM_HEAD, Server};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Nothing here takes long; a test that waits for longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn quick() -> FollowSettings {
    FollowSettings {
        silence: Duration::from_millis(300),
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(50),
        poll_interval: Duration::from_millis(20),
        ..FollowSettings::default()
    }
}

/// A follower under way.
struct Following {
    batches: mpsc::Receiver<(SourceId, Vec<Observation>)>,
    waiting: std::collections::VecDeque<Observation>,
    requests: mpsc::Sender<Request>,
    stats: Arc<FollowStats>,
    cancel: CancellationToken,
    task: JoinHandle<Ended>,
}

impl Following {
    fn start(endpoints: &[&str], settings: FollowSettings) -> Self {
        let endpoints = endpoints.iter().map(|text| Endpoint::parse(text, false).unwrap()).collect();
        let mut client = ClientSettings::new(endpoints);
        client.request_timeout = Duration::from_secs(2);
        client.listing_timeout = Duration::from_secs(2);
        let client = MarathonClient::new(client).unwrap();
        let (observations, batches) = mpsc::channel(4);
        let (requests, receiver) = mpsc::channel(4);
        let (stats, cancel) = (Arc::new(FollowStats::default()), CancellationToken::new());
        let source = SourceId::new("marathon").unwrap();
        let wiring = Wiring { source, observations, requests: receiver, stats: stats.clone() };
        let task = tokio::spawn(follow(client, settings, wiring, cancel.clone()));
        Self { batches, waiting: Default::default(), requests, stats, cancel, task }
    }

    async fn next(&mut self) -> Observation {
        while self.waiting.is_empty() {
            let batch = timeout(PATIENCE, self.batches.recv()).await.expect("something is observed in time");
            self.waiting.extend(batch.expect("following goes on").1);
        }
        self.waiting.pop_front().unwrap()
    }

    /// Skips until something fits.
    async fn until(&mut self, fits: impl Fn(&Observation) -> bool) -> Observation {
        loop {
            let observation = self.next().await;
            if fits(&observation) {
                return observation;
            }
        }
    }

    async fn end(self) {
        self.cancel.cancel();
        assert_eq!(timeout(PATIENCE, self.task).await.unwrap().unwrap(), Ended::Cancelled);
    }
}

fn path_of(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

fn is_stream(head: &str) -> bool {
    path_of(head).starts_with("/v2/events")
}

/// Everything but the stream.
fn rest(head: &str) -> Reply {
    match path_of(head) {
        path if path.starts_with("/v2/apps?") => Reply::json(r#"{"apps":[{"id":"/a"}]}"#),
        "/v2/apps/a?embed=app.readiness" => Reply::json(r#"{"app":{"id":"/a"}}"#),
        _ => Reply::answer("404 Not Found", &[], br#"{"message":"URI not found"}"#),
    }
}

fn status(index: usize) -> String {
    format!(
        "event: status_update_event\r\ndata: {{\"taskId\":\"a.{index}\",\"taskStatus\":\"TASK_RUNNING\",\"appId\":\"/a\",\
         \"eventType\":\"status_update_event\"}}\r\n\r\n"
    )
}

fn stream_of(body: &str) -> Vec<u8> {
    [STREAM_HEAD, body.as_bytes()].concat()
}

/// A node whose streams are fed by the test, one after the other.
async fn live(streams: Vec<mpsc::Receiver<Vec<u8>>>) -> Server {
    let streams = Mutex::new(streams.into_iter());
    Server::start(move |head| {
        if !is_stream(head) {
            return rest(head);
        }
        match streams.lock().unwrap().next() {
            Some(stream) => Reply::Live(stream),
            None => Reply::ThenSilence(STREAM_HEAD.to_vec()),
        }
    })
    .await
}

fn task_of(observation: &Observation) -> Option<&str> {
    match observation {
        Observation::Event(ClusterEvent::Status(update)) => Some(update.event.task.as_str()),
        _ => None,
    }
}

#[tokio::test]
async fn attaches_lists_and_passes_events_on_byte_by_byte() {
    let body: String =
        (0..3).map(status).collect::<String>() + "data: garbage\r\n\r\n" + &status(3) + "\r\n\r\n";
    let server =
        Server::start(
            move |head| {
                if is_stream(head) { Reply::BytePieces(stream_of(&body)) } else { rest(head) }
            },
        )
        .await;
    let mut following = Following::start(&[&server.address], quick());
    assert_eq!(following.next().await, Observation::Attached);
    let (mut tasks, mut listed) = (Vec::new(), None);
    while tasks.len() < 4 || listed.is_none() {
        let observation = following.next().await;
        if let Observation::Listing { listing, requested_at_event } = &observation {
            listed.get_or_insert((listing.apps.len(), *requested_at_event));
        }
        tasks.extend(task_of(&observation).map(str::to_owned));
    }
    assert_eq!(tasks[..4], ["a.0", "a.1", "a.2", "a.3"]);
    assert_eq!(listed, Some((1, 0)), "asked for before the first event");
    assert!(following.stats.undecodable.load(Ordering::Relaxed) >= 1);
    let order: Vec<_> = server.requests().iter().map(|head| is_stream(head)).take(2).collect();
    assert_eq!(order, [true, false], "the stream comes first");
    following.end().await;
}

#[tokio::test]
async fn silence_is_a_loss_and_a_new_stream_brings_a_new_listing() {
    let (first, receiver) = mpsc::channel(4);
    let server = live(vec![receiver]).await;
    let mut following = Following::start(&[&server.address], quick());
    first.send(stream_of(&status(0))).await.unwrap();
    following.until(|o| task_of(o) == Some("a.0")).await;
    let Observation::Lost { reason } = following.until(|o| matches!(o, Observation::Lost { .. })).await
    else {
        panic!("not lost");
    };
    assert!(reason.contains("no byte for 300ms"), "{reason}");
    assert_eq!(following.until(|o| *o == Observation::Attached).await, Observation::Attached);
    following.until(|o| matches!(o, Observation::Listing { requested_at_event: 1, .. })).await;
    following.end().await;
}

#[tokio::test]
async fn an_ended_stream_is_attached_again_and_heartbeats_keep_it() {
    let (first, one) = mpsc::channel(4);
    let (second, two) = mpsc::channel(4);
    let server = live(vec![one, two]).await;
    let mut following = Following::start(&[&server.address], quick());
    first.send(stream_of("\r\n")).await.unwrap();
    assert_eq!(following.next().await, Observation::Attached);
    drop(first);
    let Observation::Lost { reason } = following.until(|o| matches!(o, Observation::Lost { .. })).await
    else {
        panic!("not lost");
    };
    assert!(reason.contains("ended the stream"), "{reason}");
    second.send(stream_of(&status(7))).await.unwrap();
    following.until(|o| task_of(o) == Some("a.7")).await;
    following.end().await;
}

#[tokio::test]
async fn an_event_over_the_limit_costs_the_stream_and_nothing_else() {
    let (first, one) = mpsc::channel(4);
    let server = live(vec![one]).await;
    let settings = FollowSettings { event_limit: 1000, ..quick() };
    let mut following = Following::start(&[&server.address], settings);
    let huge = format!("data: {}\r\n\r\n", "x".repeat(2000));
    first.send(stream_of(&(status(0) + &huge))).await.unwrap();
    following.until(|o| task_of(o) == Some("a.0")).await;
    following.until(|o| matches!(o, Observation::Lost { reason } if reason.contains("1000 bytes"))).await;
    following.until(|o| *o == Observation::Attached).await;
    following.until(|o| matches!(o, Observation::Listing { .. })).await;
    following.end().await;
}

#[tokio::test]
async fn task_events_carry_their_mark() {
    let (first, one) = mpsc::channel(4);
    let server = live(vec![one]).await;
    let mark = SourceId::new("east").ok();
    let settings = FollowSettings { mark: mark.clone(), silence: PATIENCE, ..quick() };
    let mut following = Following::start(&[&server.address], settings);
    first.send(stream_of(&status(0))).await.unwrap();
    following
        .until(|o| match o {
            Observation::Event(ClusterEvent::Status(update)) => {
                assert_eq!(update.event.source, mark);
                true
            }
            _ => false,
        })
        .await;
    following.end().await;
}

#[tokio::test]
async fn without_a_stream_everything_is_polled_and_said_so() {
    let server = Server::start(|head| {
        if is_stream(head) { Reply::answer("405 Method Not Allowed", &[], b"<html>") } else { rest(head) }
    })
    .await;
    let mut following = Following::start(&[&server.address], quick());
    let Observation::Lost { reason } = following.next().await else { panic!("not lost") };
    assert!(reason.contains("405") && reason.contains("listed every 20ms instead"), "{reason}");
    for _ in 0..3 {
        following.until(|o| matches!(o, Observation::Listing { requested_at_event: 0, .. })).await;
    }
    following.end().await;
}

#[tokio::test]
async fn requests_are_answered_and_failures_are_told() {
    let failing = Arc::new(AtomicUsize::new(0));
    let count = failing.clone();
    let server = Server::start(move |head| match path_of(head) {
        "/v2/apps/b?embed=app.readiness" => {
            count.fetch_add(1, Ordering::Relaxed);
            Reply::answer("500 Server Error", &[], b"<html>")
        }
        "/v2/apps/c?embed=app.readiness" => {
            Reply::answer("404 Not Found", &[], br#"{"message":"App '/c' does not exist"}"#)
        }
        _ if is_stream(head) => Reply::ThenSilence(stream_of("\r\n")),
        _ => rest(head),
    })
    .await;
    let mut following = Following::start(&[&server.address], FollowSettings { silence: PATIENCE, ..quick() });
    following.until(|o| matches!(o, Observation::Listing { .. })).await;
    let id = |text: &str| AppId::parse(text).unwrap();
    for text in ["/a", "/c", "/b"] {
        following.requests.send(Request::App(id(text))).await.unwrap();
        let answer = following
            .until(|o| matches!(o, Observation::App { .. } | Observation::RequestFailed { .. }))
            .await;
        match (text, &answer) {
            ("/a", Observation::App { listing: Some(listing), .. }) => assert_eq!(listing.app.id, id("/a")),
            ("/b", Observation::RequestFailed { id: Some(failed), reason }) => {
                assert_eq!(*failed, id("/b"));
                assert!(reason.contains("status 500"), "{reason}");
            }
            ("/c", Observation::App { listing: None, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(failing.load(Ordering::Relaxed), 1, "a failing app is not asked for again and again");
    following.end().await;
}

#[tokio::test]
async fn broken_listings_are_failures_until_one_is_whole() {
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |head| match path_of(head) {
        _ if is_stream(head) => Reply::ThenSilence(stream_of("\r\n")),
        path if path.starts_with("/v2/apps?") => match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"apps\":[".to_vec()),
            1 => Reply::answer("200 OK", &["Content-Type: text/html"], b"<html>login</html>"),
            2 => Reply::Bytes(b"\x00\x01\x02 no http at all\r\n\r\n".to_vec()),
            _ => Reply::json(r#"{"apps":[{"id":"/a"},{"nonsense":true}]}"#),
        },
        _ => rest(head),
    })
    .await;
    let settings = FollowSettings { silence: PATIENCE, ..quick() };
    let mut following = Following::start(&[&server.address], settings);
    assert_eq!(following.next().await, Observation::Attached);
    for _ in 0..3 {
        assert!(matches!(following.next().await, Observation::RequestFailed { id: None, .. }));
    }
    let Observation::Listing { listing, .. } = following.next().await else { panic!("no listing") };
    assert_eq!((listing.apps.len(), listing.warnings.len()), (1, 1));
    following.end().await;
}

#[tokio::test]
async fn a_changed_leader_is_told_before_what_it_lists() {
    let listings = AtomicUsize::new(0);
    let (first, one) = mpsc::channel(4);
    let streams = Mutex::new(Some(one));
    let server = Server::start(move |head| match path_of(head) {
        _ if is_stream(head) => Reply::Live(streams.lock().unwrap().take().unwrap()),
        path if path.starts_with("/v2/apps?") => {
            let name = if listings.fetch_add(1, Ordering::Relaxed) == 0 { "one" } else { "two" };
            // Names that nobody can resolve: they are told, tried, and given up.
            let header = format!("X-Marathon-Leader: http://{name}.invalid:8080");
            Reply::answer("200 OK", &[&header], br#"{"apps":[]}"#)
        }
        _ => rest(head),
    })
    .await;
    let mut following = Following::start(&[&server.address], FollowSettings { silence: PATIENCE, ..quick() });
    first.send(stream_of("\r\n")).await.unwrap();
    assert_eq!(following.next().await, Observation::Attached);
    assert_eq!(following.next().await, Observation::LeaderChanged { leader: "one.invalid:8080".to_owned() });
    assert!(matches!(following.next().await, Observation::Listing { .. }));
    following.requests.send(Request::Listing).await.unwrap();
    assert_eq!(following.next().await, Observation::LeaderChanged { leader: "two.invalid:8080".to_owned() });
    assert!(matches!(following.next().await, Observation::Listing { .. }));
    following.end().await;
}

#[tokio::test]
async fn a_slow_receiver_is_no_silence_and_nothing_is_lost() {
    let count = 20_000;
    let body: String = (0..count).map(status).collect();
    let server =
        Server::start(
            move |head| {
                if is_stream(head) { Reply::ThenSilence(stream_of(&body)) } else { rest(head) }
            },
        )
        .await;
    let mut following = Following::start(&[&server.address], quick());
    assert_eq!(following.next().await, Observation::Attached);
    // Longer than the watchdog's patience, while the channel is full: the time is what is tested here.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let mut seen = 0;
    while seen < count {
        let observation = following.next().await;
        assert!(!matches!(observation, Observation::Lost { .. }), "{observation:?} after {seen}");
        if let Some(task) = task_of(&observation) {
            assert_eq!(task, format!("a.{seen}"));
            seen += 1;
        }
    }
    following.end().await;
}

#[tokio::test]
async fn it_ends_when_nobody_listens() {
    let server = live(Vec::new()).await;
    let following = Following::start(&[&server.address], quick());
    drop(following.batches);
    assert_eq!(timeout(PATIENCE, following.task).await.unwrap().unwrap(), Ended::ReceiverGone);
}

#[tokio::test]
async fn it_waits_for_a_marathon_that_is_not_there_yet() {
    let listener = mconn_wire::testing::listener().await;
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut following = Following::start(&[&address], quick());
    assert!(matches!(following.next().await, Observation::Lost { .. }));
    let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
    let _server = Server::start_on(listener, |head| {
        if is_stream(head) { Reply::ThenSilence(stream_of("\r\n")) } else { rest(head) }
    });
    following.until(|o| *o == Observation::Attached).await;
    following.until(|o| matches!(o, Observation::Listing { .. })).await;
    following.end().await;
}
