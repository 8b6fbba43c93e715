//! The client against nodes that are down, hang, lie, or answer something else.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::Write as _;
use std::time::Duration;

use mconn_marathon::client::{
    AttemptError, ClientError, ClientSettings, ClientSetupError, Endpoint, EventFilter, MarathonClient,
};
use mconn_model::{AppId, Timestamp};
use mconn_wire::http::HttpError;
use mconn_wire::testing::{Reply, STREAM_HEAD, Server, listener, refusing_address};

const APPS: &str =
    r#"{"apps":[{"id":"/a","tasks":[{"id":"a.1","state":"TASK_RUNNING","host":"h","ports":[31000]}]}]}"#;
const HTML: &[u8] = b"<html><body>500 Server Error</body></html>";

fn client_with(endpoints: &[&str], change: impl FnOnce(&mut ClientSettings)) -> MarathonClient {
    let endpoints = endpoints.iter().map(|text| Endpoint::parse(text, false).unwrap()).collect();
    let mut settings = ClientSettings::new(endpoints);
    settings.request_timeout = Duration::from_secs(5);
    settings.listing_timeout = Duration::from_secs(5);
    change(&mut settings);
    MarathonClient::new(settings).unwrap()
}

fn client(endpoints: &[&str]) -> MarathonClient {
    client_with(endpoints, |_| ())
}

fn impatient(settings: &mut ClientSettings) {
    settings.request_timeout = Duration::from_millis(300);
    settings.listing_timeout = Duration::from_millis(300);
}

/// A Marathon without pods that has one app.
fn marathon(head: &str) -> Reply {
    match path_of(head) {
        path if path.starts_with("/v2/apps?") => Reply::json(APPS),
        "/ping" => Reply::answer("200 OK", &["Content-Type: text/plain"], b"pong"),
        "/v2/tasks?status=running" => {
            Reply::json(r#"{"tasks":[{"id":"A","appId":"/dev-app-1","host":"ac3.kiel","ports":[31001]}]}"#)
        }
        _ => Reply::answer("404 Not Found", &[], br#"{"message":"URI not found"}"#),
    }
}

fn path_of(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

fn attempts(error: ClientError) -> Vec<AttemptError> {
    match error {
        ClientError::NoneAnswered { attempts, .. } | ClientError::Unsupported { attempts, .. } => {
            attempts.into_iter().map(|attempt| attempt.error).collect()
        }
    }
}

#[tokio::test]
async fn a_dead_a_hung_and_a_failing_node_are_passed_over() {
    let good = Server::start(marathon).await;
    let hung = Server::start(|_| Reply::silence()).await;
    let failing =
        Server::start(|_| Reply::answer("500 Server Error", &["Content-Type: text/html"], HTML)).await;
    let refusing = refusing_address().await;
    for bad in [&refusing, &hung.address, &failing.address] {
        let client = client_with(&[bad, &good.address], impatient);
        let listing = client.listing().await.unwrap();
        assert_eq!(listing.apps[0].tasks[0].ports, [31000], "{bad}");
        assert_eq!((listing.pods.len(), listing.warnings.len()), (0, 0), "{bad}");
    }
    let before = failing.requests().len();
    let client = client(&[&failing.address, &good.address]);
    client.ping().await.unwrap();
    client.listing().await.unwrap();
    assert_eq!(failing.requests().len(), before + 1, "the last good node is asked first");
}

#[tokio::test]
async fn when_nobody_answers_each_node_has_its_reason() {
    let failing =
        Server::start(|_| Reply::answer("503 Unavailable", &[], br#"{"message":"no leader"}"#)).await;
    let refusing = refusing_address().await;
    let client = client(&[&format!("ann:s3cret@{refusing}"), &format!("ann:s3cret@{}", failing.address)]);
    let error = client.listing().await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains(&refusing) && text.contains(&failing.address), "{text}");
    assert!(text.contains("refused") && text.contains("status 503 (no leader)"), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    assert!(matches!(
        MarathonClient::new(ClientSettings::new(Vec::new())),
        Err(ClientSetupError::NoEndpoint)
    ));
}

#[tokio::test]
async fn a_truncated_empty_or_foreign_list_is_never_an_empty_one() {
    let truncated = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", APPS.len(), &APPS[..30]);
    let to_the_end = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", &APPS[..30]);
    let replies: [(&str, Vec<u8>); 4] = [
        ("length", truncated.into_bytes()),
        ("close", to_the_end.into_bytes()),
        ("empty", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()),
        ("object", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}".to_vec()),
    ];
    for (name, bytes) in replies {
        let server = Server::start(move |_| Reply::Bytes(bytes.clone())).await;
        assert!(client(&[&server.address]).listing().await.is_err(), "{name}");
    }
    let empty = Server::start(|head| match path_of(head) {
        path if path.starts_with("/v2/apps?") => Reply::json("{\"apps\":[]}"),
        _ => marathon(head),
    })
    .await;
    assert!(client(&[&empty.address]).listing().await.unwrap().apps.is_empty(), "this one is to be believed");
}

#[tokio::test]
async fn lists_may_be_compressed_and_are_limited() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(APPS.as_bytes()).unwrap();
    let zipped = encoder.finish().unwrap();
    let server = Server::start(move |head| match path_of(head) {
        path if path.starts_with("/v2/apps?") => {
            Reply::answer("200 OK", &["Content-Encoding: gzip"], &zipped)
        }
        _ => marathon(head),
    })
    .await;
    assert_eq!(client(&[&server.address]).listing().await.unwrap().apps.len(), 1);
    let small = client_with(&[&server.address], |settings| settings.listing_limit = APPS.len() - 1);
    let errors = attempts(small.listing().await.unwrap_err());
    assert!(matches!(errors[0], AttemptError::Http(HttpError::TooLarge { .. })), "{errors:?}");
}

#[tokio::test]
async fn a_big_list_is_read_aside() {
    let app =
        |index: usize| format!("{{\"id\":\"/a{index}\",\"labels\":{{\"x\":\"{}\"}}}}", "y".repeat(2_000));
    let apps: Vec<_> = (0..1_000).map(app).collect();
    let body = format!("{{\"apps\":[{}]}}", apps.join(","));
    let server = Server::start(move |head| match path_of(head) {
        path if path.starts_with("/v2/apps?") => Reply::json(&body),
        _ => marathon(head),
    })
    .await;
    assert_eq!(client(&[&server.address]).listing().await.unwrap().apps.len(), 1_000);
}

#[tokio::test]
async fn a_wrong_password_says_so() {
    let server = Server::start(|head| {
        if head.contains("authorization: Basic YW5uOnJpZ2h0\r\n") {
            return marathon(head);
        }
        Reply::answer(
            "401 Unauthorized",
            &["WWW-Authenticate: Basic"],
            br#"{"message":"Invalid username or password."}"#,
        )
    })
    .await;
    let wrong = client(&[&format!("ann:wr0ng@{}", server.address)]);
    let error = wrong.running_tasks().await.unwrap_err().to_string();
    assert!(
        error.contains("401") && error.contains("check user and password") && !error.contains("wr0ng"),
        "{error}"
    );
    let right = client(&[&format!("ann:right@{}", server.address)]);
    assert_eq!(right.running_tasks().await.unwrap().tasks[0].ports, [31001]);
}

#[tokio::test]
async fn running_tasks_need_the_right_status_and_form() {
    let good = Server::start(marathon).await;
    for (status, body) in [
        ("200 OK", "[]"),
        ("200 OK", "{\"tasks\":{}}"),
        ("201 Created", "{\"tasks\":[]}"),
        ("200 OK", "pong"),
    ] {
        let bad = Server::start(move |_| Reply::answer(status, &[], body.as_bytes())).await;
        let tasks = client(&[&bad.address, &good.address]).running_tasks().await.unwrap().tasks;
        assert_eq!((tasks[0].task.as_str(), tasks[0].app.as_str()), ("A", "/dev-app-1"), "{status} {body}");
    }
    assert!(good.requests()[0].contains("\r\naccept: application/json\r\n"));
}

#[tokio::test]
async fn a_missing_app_is_only_believed_in_marathons_own_words() {
    let id = AppId::parse("/group/a").unwrap();
    let own = Server::start(|_| {
        Reply::answer("404 Not Found", &[], br#"{"message":"App '/group/a' does not exist"}"#)
    })
    .await;
    assert_eq!(client(&[&own.address]).app(&id).await.unwrap().app, None);
    assert!(own.requests()[0].starts_with("GET /v2/apps/group/a?embed=app.readiness HTTP"));
    let proxy = Server::start(|_| Reply::answer("404 Not Found", &["Content-Type: text/html"], HTML)).await;
    assert!(client(&[&proxy.address]).app(&id).await.is_err());
    let there = Server::start(|_| Reply::json(r#"{"app":{"id":"/group/a","tasks":[]}}"#)).await;
    assert_eq!(client(&[&there.address]).app(&id).await.unwrap().app.unwrap().app.id, id);
}

#[tokio::test]
async fn pods_are_found_remembered_and_never_silently_lost() {
    let pods = r#"[{"id":"/p","spec":{"id":"/p","containers":[]},"instances":[]}]"#;
    let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = broken.clone();
    let server = Server::start(move |head| match path_of(head) {
        "/v2/pods::status" if switch.load(std::sync::atomic::Ordering::Relaxed) => {
            Reply::answer("404 Not Found", &["Content-Type: text/html"], HTML)
        }
        "/v2/pods::status" => Reply::json(pods),
        "/v2/pods/::status" => Reply::answer("500 Server Error", &[], br#"{"message":"URI not found: /x"}"#),
        _ => marathon(head),
    })
    .await;
    let client = client(&[&server.address]);
    assert_eq!(client.listing().await.unwrap().pods[0].id.as_str(), "/p");
    assert_eq!(client.listing().await.unwrap().pods.len(), 1);
    assert_eq!(server.requests().len(), 5, "the path is remembered");
    broken.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(client.listing().await.is_err(), "a list without the pods that were there is no list");

    let old = Server::start(marathon).await;
    let client = self::client(&[&old.address]);
    client.listing().await.unwrap();
    client.listing().await.unwrap();
    assert_eq!(old.requests().len(), 4, "that there are no pods is remembered too");
}

#[tokio::test]
async fn the_leader_is_preferred_once_it_is_known() {
    let leader = Server::start(marathon).await;
    let named = format!("X-Marathon-Leader: http://{}", leader.address);
    let follower = Server::start(move |_| Reply::answer("200 OK", &[&named], b"pong")).await;
    let client = client(&[&format!("ann:pw@{}", follower.address)]);
    assert_eq!(client.known_leader(), None);
    client.ping().await.unwrap();
    assert_eq!(client.known_leader().as_deref(), Some(leader.address.as_str()));
    client.ping().await.unwrap();
    assert_eq!((follower.requests().len(), leader.requests().len()), (1, 1));
    assert!(leader.requests()[0].contains("\r\nauthorization: Basic "), "Marathon itself named it");
}

#[tokio::test]
async fn an_unreachable_leader_costs_one_attempt() {
    let gone = refusing_address().await;
    let named = format!("X-Marathon-Leader: http://{gone}");
    let follower = Server::start(move |_| Reply::answer("200 OK", &[&named], b"pong")).await;
    let client = client(&[&follower.address]);
    for _ in 0..3 {
        client.ping().await.unwrap();
    }
    assert_eq!(follower.requests().len(), 3);
}

/// A node that sends everybody who asks for events to `target`, and names `leader` when asked.
async fn redirecting(target: String, leader: Option<String>) -> Server {
    Server::start(move |head| match (path_of(head), &leader) {
        ("/v2/leader", Some(leader)) => Reply::json(&format!("{{\"leader\":\"{leader}\"}}")),
        ("/v2/leader", None) => Reply::answer("404 Not Found", &[], br#"{"message":"There is no leader"}"#),
        _ => {
            let headers = [format!("Location: {target}"), format!("X-Marathon-Leader: {target}")];
            Reply::answer("302 Found", &[&headers[0], &headers[1]], b"")
        }
    })
    .await
}

#[tokio::test]
async fn redirects_are_followed_to_the_leader_with_query_and_credentials() {
    let leader = Server::start(|_| Reply::ThenSilence(STREAM_HEAD.to_vec())).await;
    let node =
        redirecting(format!("http://{}/v2/events", leader.address), Some(leader.address.clone())).await;
    let client = client(&[&format!("ann:pw@{}", node.address)]);
    let filter = EventFilter { types: vec!["status_update_event".to_owned()] };
    client.events(&filter).await.unwrap();
    let head = &leader.requests()[0];
    assert!(
        head.starts_with("GET /v2/events?plan-format=light&event_type=status_update_event HTTP"),
        "{head}"
    );
    assert!(
        head.contains("\r\nauthorization: Basic ") && head.contains("\r\naccept: text/event-stream\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn a_forged_redirect_is_refused_and_gets_no_credentials() {
    let thief = Server::start(marathon).await;
    for leader in [None, Some("10.0.0.5:8080".to_owned())] {
        let node = redirecting(format!("http://{}/v2/apps", thief.address), leader).await;
        let client = client(&[&format!("ann:pw@{}", node.address)]);
        let errors = attempts(client.listing().await.unwrap_err());
        assert!(
            errors.iter().any(|error| matches!(error, AttemptError::ForeignRedirect { .. })),
            "{errors:?}"
        );
    }
    assert_eq!(thief.requests().len(), 0);
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let node = Server::start(|_| Reply::answer("302 Found", &["Location: /again"], b"")).await;
    let errors = attempts(client(&[&node.address]).ping().await.unwrap_err());
    assert!(matches!(errors[0], AttemptError::RedirectLoop { limit: 5 }), "{errors:?}");
    assert_eq!(node.requests().len(), 6);
}

#[tokio::test]
async fn callbacks_exist_or_are_said_not_to() {
    let old = Server::start(|_| Reply::json("{}")).await;
    client(&[&old.address]).subscribe("http://me:31999/v1/queue?a=b").await.unwrap();
    let wanted = "POST /v2/eventSubscriptions?callbackUrl=http%3A%2F%2Fme%3A31999%2Fv1%2Fqueue%3Fa%3Db HTTP";
    assert!(old.requests()[0].starts_with(wanted), "{}", old.requests()[0]);
    let new =
        Server::start(|_| Reply::answer("500 Server Error", &[], br#"{"message":"URI not found"}"#)).await;
    let error = client(&[&new.address]).unsubscribe("http://me/").await.unwrap_err();
    assert!(matches!(error, ClientError::Unsupported { .. }), "{error}");
    let down = refusing_address().await;
    let error = client(&[&down]).subscribe("http://me/").await.unwrap_err();
    assert!(matches!(error, ClientError::NoneAnswered { .. }), "{error}");
}

#[tokio::test]
async fn no_stream_a_page_instead_and_a_forbidden_one() {
    let filter = EventFilter::default();
    let own: &[u8] = br#"{"message":"URI not found: v2/events"}"#;
    for (status, body) in [("404 Not Found", own), ("405 Method Not Allowed", HTML), ("403 Forbidden", HTML)]
    {
        let server = Server::start(move |_| Reply::answer(status, &[], body)).await;
        let error = client(&[&server.address]).events(&filter).await.unwrap_err();
        assert!(matches!(error, ClientError::Unsupported { .. }), "{status}: {error}");
        // One that cannot be asked may well have a stream.
        let down = refusing_address().await;
        let error = client(&[&server.address, &down]).events(&filter).await.unwrap_err();
        assert!(matches!(error, ClientError::NoneAnswered { .. }), "{status}: {error}");
    }
    let proxy = Server::start(|_| Reply::answer("404 Not Found", &["Content-Type: text/html"], HTML)).await;
    let error = client(&[&proxy.address]).events(&filter).await.unwrap_err();
    assert!(matches!(error, ClientError::NoneAnswered { .. }), "a proxy's page: {error}");
    let page = Server::start(|_| Reply::answer("200 OK", &["Content-Type: text/html"], HTML)).await;
    let error = client(&[&page.address]).events(&filter).await.unwrap_err();
    assert!(matches!(error, ClientError::NoneAnswered { .. }), "{error}");
}

#[tokio::test]
async fn small_calls() {
    let server = Server::start(|head| match path_of(head) {
        "/v2/info" => {
            Reply::json(r#"{"name":"marathon","version":"1.8.244","elected":true,"leader":"10.0.0.5:8080"}"#)
        }
        "/v2/leader" => Reply::answer("404 Not Found", &[], br#"{"message":"There is no leader"}"#),
        _ => marathon(head),
    })
    .await;
    let client = client(&[&server.address]);
    assert_eq!(client.info().await.unwrap().version_numbers(), Some((1, 8)));
    assert_eq!(client.leader().await.unwrap(), None);
    let later = listener().await;
    let address = later.local_addr().unwrap().to_string();
    drop(later);
    let client = self::client(&[&address]);
    assert!(client.ping().await.is_err());
    let later = tokio::net::TcpListener::bind(&address).await.unwrap();
    let _server = Server::start_on(later, marathon);
    client.ping().await.unwrap();
}

#[tokio::test]
async fn a_node_that_accepts_and_never_answers_costs_a_listing_the_short_limit() {
    let hanging = Server::start(|_| Reply::ThenSilence(Vec::new())).await;
    let good = Server::start(marathon).await;
    let endpoints = [&hanging, &good].map(|server| Endpoint::parse(&server.address, false).unwrap());
    let mut settings = ClientSettings::new(endpoints.to_vec());
    settings.request_timeout = Duration::from_millis(200);
    settings.listing_timeout = Duration::from_secs(60);
    let client = MarathonClient::new(settings).unwrap();
    let listed = tokio::time::timeout(Duration::from_secs(20), client.listing()).await;
    listed.expect("not a whole listing's limit").unwrap();
}

#[tokio::test]
async fn forbidden_pods_are_unknown_and_apps_whole() {
    let server = Server::start(|head| match path_of(head) {
        path if path.starts_with("/v2/pods") => Reply::answer("403 Forbidden", &[], HTML),
        _ => marathon(head),
    })
    .await;
    let listing = client(&[&server.address]).listing().await.unwrap();
    assert_eq!((listing.apps.len(), listing.pods_unknown, listing.warnings.len()), (1, true, 0));
}

#[tokio::test]
async fn answers_carry_the_time_by_marathons_own_clock() {
    let dated = |date: &'static str| {
        Server::start(move |head| {
            let (status, body) = match path_of(head) {
                path if path.starts_with("/v2/apps?") => ("200 OK", APPS),
                "/v2/apps/a?embed=app.readiness" => ("200 OK", r#"{"app":{"id":"/a"}}"#),
                "/v2/apps/b?embed=app.readiness" => {
                    ("404 Not Found", r#"{"message":"App '/b' does not exist"}"#)
                }
                _ => ("404 Not Found", r#"{"message":"URI not found"}"#),
            };
            Reply::answer(status, &[date, "Content-Type: application/json"], body.as_bytes())
        })
    };
    let (a, b) = (AppId::parse("/a").unwrap(), AppId::parse("/b").unwrap());
    let cases = [
        ("Date: Mon, 05 Jan 2026 10:00:00 GMT", Timestamp::parse("2026-01-05T10:00:00Z")),
        // A clock that was never set is a clock.
        ("Date: Wed, 31 Dec 1975 23:59:59 GMT", Timestamp::parse("1975-12-31T23:59:59Z")),
        ("Date: today", None),
        ("X-No-Date: 1", None),
    ];
    for (header, expected) in cases {
        let server = dated(header).await;
        let client = client(&[&server.address]);
        assert_eq!(client.listing().await.unwrap().as_of, expected, "{header}");
        assert_eq!(client.app(&a).await.unwrap().as_of, expected, "{header}");
        let gone = client.app(&b).await.unwrap();
        assert_eq!((gone.app, gone.as_of), (None, expected), "{header}");
    }
}
