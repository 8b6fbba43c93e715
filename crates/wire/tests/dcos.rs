//! Logging in to DC/OS against endpoints that answer, refuse, lie or are down.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mconn_wire::dcos::{DcosCredential, DcosLogin, DcosSettings, LoginError};
use mconn_wire::http::{Fault, HttpClient, HttpSettings};
use mconn_wire::testing::{Reply, SERVICE_ACCOUNT_KEY, Server, refusing_address};

/// Ends an hour after [`DATE`].
const TOKEN: &str = "a.eyJleHAiOjE3Njc2MTA4MDB9.b";
const DATE: &str = "Date: Mon, 05 Jan 2026 10:00:00 GMT";

fn login(credential: &str, address: &str) -> DcosLogin {
    let credential = DcosCredential::parse(credential).unwrap();
    let login_endpoint = format!("http://{address}/acs/api/v1/auth/login").parse().unwrap();
    let http = HttpClient::new(&HttpSettings::default()).unwrap();
    DcosLogin::new(http, DcosSettings { credential, login_endpoint })
}

fn account() -> String {
    let key = SERVICE_ACCOUNT_KEY.replace('\n', "\\n");
    format!(r#"{{"scheme":"RS256","uid":"sa","private_key":"{key}"}}"#)
}

#[tokio::test]
async fn many_who_wait_share_one_login() {
    let server =
        Server::start(|_| Reply::answer("200 OK", &[DATE], format!(r#"{{"token":"{TOKEN}"}}"#).as_bytes()))
            .await;
    let login = login(&account(), &server.address);
    let all: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let login = login.clone();
                async move { login.token().await }
            })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap().unwrap().reveal(), TOKEN);
    }
    login.token().await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].starts_with("POST /acs/api/v1/auth/login HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].to_ascii_lowercase().contains("content-type: application/json"), "{requests:?}");
    assert!(requests[0].contains(r#""uid":"sa""#) && requests[0].contains(r#""token":"ey"#), "{requests:?}");
    assert!(!requests[0].contains("PRIVATE KEY"), "the key stays here");
}

#[tokio::test]
async fn a_refused_token_is_replaced() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        Reply::json(&format!(r#"{{"token":"token-{number}"}}"#))
    })
    .await;
    let login = login("ann:hush", &server.address);
    let first = login.token().await.unwrap();
    assert_eq!(login.token().await.unwrap(), first);
    login.refused(&first);
    let second = login.token().await.unwrap();
    assert_eq!(second.reveal(), "token-1");
    login.refused(&first);
    assert_eq!(login.token().await.unwrap(), second, "nobody complained about this one");
    assert!(server.requests()[0].ends_with(r#"{"password":"hush","uid":"ann"}"#), "{:?}", server.requests());
}

#[tokio::test]
async fn refusals_say_what_to_do_and_are_not_hammered() {
    let unauthorized =
        r#"{"title":"Unauthorized","description":"Invalid\r\nJWT","code":"ERR_INVALID_CREDENTIALS"}"#;
    let cases = [
        (
            account(),
            "401 Unauthorized",
            Some(DATE),
            unauthorized,
            "401 (InvalidJWT); this machine's clock is",
            Fault::Settings,
        ),
        (account(), "401 Unauthorized", None, unauthorized, "public key belongs", Fault::Settings),
        (
            "ann:hush".to_owned(),
            "401 Unauthorized",
            Some(DATE),
            "{}",
            "check user and password",
            Fault::Settings,
        ),
        (
            "ann:hush".to_owned(),
            "301 Moved Permanently",
            None,
            "",
            "check the login endpoint",
            Fault::Settings,
        ),
        ("ann:hush".to_owned(), "503 Unavailable", None, "<html>", "tried again", Fault::Server),
        ("ann:hush".to_owned(), "200 OK", None, "<html>", "is it a login endpoint?", Fault::Server),
        (
            "ann:hush".to_owned(),
            "200 OK",
            None,
            r#"{"token":"a\nb"}"#,
            "is it a login endpoint?",
            Fault::Server,
        ),
    ];
    for (credential, status, date, body, part, fault) in cases {
        let server = Server::start(move |_| Reply::answer(status, date.as_slice(), body.as_bytes())).await;
        let login = login(&credential, &server.address);
        let error = login.token().await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(part) && !shown.contains("hush") && !shown.contains("MII"), "{shown}");
        assert_eq!(error.fault(), fault, "{shown}");
        let again = login.token().await.unwrap_err();
        assert!(
            matches!(&again, LoginError::Paused { last, wait } if **last == error && *wait <= Duration::from_secs(1))
        );
        assert!(again.to_string().ends_with("(tried again in 1 s)"), "{again}");
        assert_eq!(server.requests().len(), 1, "{part}");
    }
}

#[tokio::test]
async fn a_dead_endpoint_is_named() {
    let address = refusing_address().await;
    let error = login("ann:hush", &address).token().await.unwrap_err().to_string();
    assert!(error.contains("no login to DC/OS: cannot connect to") && error.contains(&address), "{error}");
}
