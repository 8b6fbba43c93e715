//! A Marathon behind DC/OS: logins, tokens that end, and who never gets one.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mconn_marathon::client::{
    AttemptError, ClientError, ClientSettings, Endpoint, EventFilter, MarathonClient,
};
use mconn_wire::dcos::{DcosCredential, DcosSettings};
use mconn_wire::testing::{Reply, STREAM_HEAD, Server};

const LOGIN: &str = "/acs/api/v1/auth/login";
const TASKS: &str = r#"{"tasks":[{"id":"A","appId":"/dev-app-1","host":"ac3.kiel","ports":[31001]}]}"#;

fn client(login: &Server, endpoints: &[String]) -> MarathonClient {
    let endpoints = endpoints.iter().map(|text| Endpoint::parse(text, false).unwrap()).collect();
    let credential = DcosCredential::parse("ann:hush").unwrap();
    let dcos = Some(DcosSettings { credential, login_endpoint: login.url(LOGIN).parse().unwrap() });
    MarathonClient::new(ClientSettings { dcos, ..ClientSettings::new(endpoints) }).unwrap()
}

fn unauthorized() -> Reply {
    Reply::answer("401 Unauthorized", &["WWW-Authenticate: acsjwt"], b"<html>401</html>")
}

/// Admin Router: logs in, and lets through who has the token that is good now.
async fn admin_router() -> (Server, Arc<Mutex<String>>) {
    let (good, logins) = (Arc::new(Mutex::new("none".to_owned())), AtomicUsize::new(0));
    let shared = good.clone();
    let server = Server::start(move |request| {
        let mut good = shared.lock().unwrap();
        if request.starts_with(&format!("POST {LOGIN} ")) {
            *good = format!("token-{}", logins.fetch_add(1, Ordering::Relaxed));
            return Reply::json(&format!("{{\"token\":\"{good}\"}}"));
        }
        if !request.contains(&format!("\r\nauthorization: token={good}\r\n")) {
            return unauthorized();
        }
        match request.split(' ').nth(1).unwrap_or_default() {
            "/service/marathon/v2/tasks?status=running" => Reply::json(TASKS),
            path if path.starts_with("/service/marathon/v2/events?") => {
                Reply::ThenSilence(STREAM_HEAD.to_vec())
            }
            _ => Reply::answer("404 Not Found", &[], b"<html>404</html>"),
        }
    })
    .await;
    (server, good)
}

fn logins(server: &Server) -> usize {
    server.requests().iter().filter(|request| request.starts_with("POST")).count()
}

fn attempts(error: ClientError) -> Vec<AttemptError> {
    let (ClientError::NoneAnswered { attempts, .. } | ClientError::Unsupported { attempts, .. }) = error;
    attempts.into_iter().map(|attempt| attempt.error).collect()
}

#[tokio::test]
async fn a_login_opens_what_lies_behind_admin_router_and_is_repeated_when_its_token_ends() {
    let (router, good) = admin_router().await;
    let client = client(&router, &[router.url("/service/marathon")]);
    for _ in 0..3 {
        assert_eq!(client.running_tasks().await.unwrap().tasks.len(), 1);
    }
    assert_eq!(logins(&router), 1);

    "ended".clone_into(&mut good.lock().unwrap());
    assert_eq!(client.running_tasks().await.unwrap().tasks.len(), 1, "the caller does not notice");
    assert_eq!(logins(&router), 2);

    let mut stream = client.events(&EventFilter::default()).await.unwrap();
    "ended".clone_into(&mut good.lock().unwrap());
    let silent = tokio::time::timeout(std::time::Duration::from_millis(50), stream.chunk()).await;
    assert!(silent.is_err(), "an open stream outlives its token");
    client.events(&EventFilter::default()).await.unwrap();
    assert_eq!(logins(&router), 3);
}

#[tokio::test]
async fn without_a_login_and_with_one_that_does_not_help_the_reason_is_told() {
    let (router, _) = admin_router().await;
    let endpoint = Endpoint::parse(&router.url("/service/marathon"), false).unwrap();
    let plain = MarathonClient::new(ClientSettings::new(vec![endpoint])).unwrap();
    let error = plain.running_tasks().await.unwrap_err().to_string();
    assert!(error.contains("DC/OS wants a login") && error.contains("MCONN_DCOS_CREDENTIAL"), "{error}");

    let other = Server::start(|_| unauthorized()).await;
    let client = client(&router, &[other.url("/service/marathon")]);
    let before = logins(&router);
    let error = attempts(client.running_tasks().await.unwrap_err());
    assert_eq!(error, [AttemptError::TokenRefused]);
    assert_eq!((other.requests().len(), logins(&router) - before), (2, 2), "one repetition and no more");
    for _ in 0..5 {
        assert_eq!(attempts(client.running_tasks().await.unwrap_err()), [AttemptError::TokenRefused]);
    }
    assert!(logins(&router) - before <= 4, "a place that takes no token does not make us log in each time");
}

#[tokio::test]
async fn a_failed_login_is_told_and_no_request_goes_out_without_token() {
    let refusing = Server::start(|_| Reply::answer("401 Unauthorized", &[], b"{}")).await;
    let (router, _) = admin_router().await;
    let client = client(&refusing, &[router.url("/service/marathon")]);
    let error = client.running_tasks().await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("as ann") && shown.contains("check user and password"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
    assert_eq!(router.requests().len(), 0);
}

#[tokio::test]
async fn a_host_with_its_own_password_gets_that_and_no_token() {
    let own = Server::start(|request| {
        if request.contains("\r\nauthorization: Basic Ym9iOnB3\r\n") {
            Reply::json(TASKS)
        } else {
            unauthorized()
        }
    })
    .await;
    let (router, _) = admin_router().await;
    let client = client(&router, &[own.url("/").replace("//", "//bob:pw@")]);
    assert_eq!(client.running_tasks().await.unwrap().tasks.len(), 1);
    assert_eq!(logins(&router), 0, "no login is made that nobody needs");
}

#[tokio::test]
async fn a_token_follows_a_redirect_to_the_leader_and_to_nobody_else() {
    let (router, _) = admin_router().await;
    let redirecting = |target: String, leader: Option<String>| {
        Server::start(move |request| match (request.starts_with("GET /v2/leader "), &leader) {
            (true, Some(leader)) => Reply::json(&format!("{{\"leader\":\"{leader}\"}}")),
            (true, None) => Reply::answer("404 Not Found", &[], br#"{"message":"There is no leader"}"#),
            // Both headers are forged by the same hand.
            _ => Reply::answer(
                "302 Found",
                &[&format!("Location: {target}"), &format!("X-Marathon-Leader: {target}")],
                b"",
            ),
        })
    };
    let target = Server::start(|_| Reply::json(TASKS)).await;
    let there = target.url("/v2/tasks");
    for leader in [None, Some("10.0.0.5:8080".to_owned())] {
        let node = redirecting(there.clone(), leader).await;
        let errors = attempts(client(&router, &[node.url("")]).running_tasks().await.unwrap_err());
        assert!(
            errors.iter().any(|error| matches!(error, AttemptError::ForeignRedirect { .. })),
            "{errors:?}"
        );
        assert!(node.requests()[0].contains("\r\nauthorization: token=token-"), "{:?}", node.requests());
    }
    assert_eq!(target.requests().len(), 0, "whoever is behind a forged redirect sees nothing");

    let node = redirecting(there, Some(target.address.clone())).await;
    client(&router, &[node.url("")]).running_tasks().await.unwrap();
    assert!(target.requests()[0].contains("\r\nauthorization: token=token-"), "{:?}", target.requests());
}
