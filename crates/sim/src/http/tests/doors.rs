//! Who gets in: HTTPS and DC/OS.

use super::{Got, Listener, ask, get, post, start, web, within};
use crate::dcos::testing::{PUBLIC_KEY, proof};
use crate::{DcosOptions, DcosScheme, Sim, SimOptions, TlsOptions};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

async fn connect(sim: &Sim, ca: &str, name: &'static str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("a certificate")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(sim.addr()).await?;
    let name = ServerName::try_from(name).expect("a name");
    within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

async fn read_until(stream: &mut TlsStream<TcpStream>, text: &str) -> String {
    let mut seen = Vec::new();
    within(async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            assert_ne!(
                stream.read_buf(&mut seen).await.expect("reads"),
                0,
                "{}",
                String::from_utf8_lossy(&seen)
            );
        }
    })
    .await;
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test]
async fn https_with_an_authority_that_was_made_up() {
    let options = SimOptions { tls: Some(TlsOptions::Generated), nodes: 2, ..SimOptions::immediate() };
    let sim = start(SimOptions { heartbeat: Duration::from_millis(5), ..options }).await;
    assert!(sim.url().starts_with("https://127.0.0.1:"));
    let ca = sim.ca_pem().expect("an authority").to_owned();
    for name in ["localhost", "127.0.0.1"] {
        let mut stream = connect(&sim, &ca, name).await.expect("a handshake");
        stream.write_all(b"GET /v2/info HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("writes");
        let text = read_until(&mut stream, "zookeeper_config").await;
        assert!(text.contains(&format!("X-Marathon-Leader: https://{}", sim.addr())), "{text}");
        stream
            .write_all(b"GET /v2/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
            .await
            .expect("writes");
        read_until(&mut stream, "event_stream_attached").await;
        read_until(&mut stream, "\r\n\r\n").await;
    }
    let other = start(SimOptions { tls: Some(TlsOptions::Generated), ..SimOptions::immediate() }).await;
    assert!(connect(&sim, other.ca_pem().expect("an authority"), "localhost").await.is_err());
    assert!(connect(&sim, &ca, "elsewhere").await.is_err());
    // Plain HTTP gets nowhere.
    let mut plain = TcpStream::connect(sim.addr()).await.expect("connects");
    plain.write_all(b"GET /ping HTTP/1.1\r\n\r\n").await.expect("writes");
    let mut bytes = Vec::new();
    let _ = within(plain.read_to_end(&mut bytes)).await;
    assert!(!bytes.starts_with(b"HTTP"));
    within(sim.shutdown()).await;
}

async fn dcos(lifetime: u64, scheme: DcosScheme) -> Sim {
    let dcos = DcosOptions {
        users: BTreeMap::from([("ann".to_owned(), "s3cret".to_owned())]),
        accounts: BTreeMap::from([("sa".to_owned(), PUBLIC_KEY.to_owned())]),
        token_lifetime: Duration::from_secs(lifetime),
        scheme,
    };
    start(SimOptions { dcos: Some(dcos), initial_apps: vec![web()], ..SimOptions::immediate() }).await
}

const LOGIN: &str = "/acs/api/v1/auth/login";

async fn log_in(sim: &Sim, body: Value) -> String {
    let answer = post(sim, LOGIN, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.json()["token"].as_str().expect("a token").to_owned();
    assert!(
        answer
            .header("Set-Cookie")
            .is_some_and(|cookie| cookie.starts_with(&format!("dcos-acs-auth-cookie={token};")))
    );
    token
}

async fn as_user(sim: &Sim) -> String {
    log_in(sim, json!({"uid": "ann", "password": "s3cret"})).await
}

async fn with_token(sim: &Sim, path: &str, token: &str) -> Got {
    ask(sim, "GET", path, &format!("Authorization: token={token}\r\n"), "").await
}

#[tokio::test]
async fn without_a_token_nobody_gets_in() {
    for (scheme, name) in [(DcosScheme::Acs, "acsjwt"), (DcosScheme::Oauth, "oauthjwt")] {
        let sim = dcos(30, scheme).await;
        for path in ["/v2/apps", "/service/marathon/v2/apps", "/ping", "/v2/events", "/simulated"] {
            let refused = get(&sim, path).await;
            assert_eq!((refused.status, refused.header("WWW-Authenticate")), (401, Some(name)), "{path}");
        }
        let token = as_user(&sim).await;
        for header in
            [format!("Bearer {token}"), token.clone(), "token=".to_owned(), format!("token={token}x")]
        {
            let headers = format!("Authorization: {header}\r\n");
            assert_eq!(ask(&sim, "GET", "/v2/apps", &headers, "").await.status, 401, "{header}");
        }
        assert_eq!(get(&sim, "/sim/state").await.status, 200);
        assert_eq!(get(&sim, LOGIN).await.status, 405);
    }
}

#[tokio::test]
async fn a_token_opens_all_paths() {
    let sim = dcos(30, DcosScheme::Acs).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let header = json!({"alg": "RS256", "typ": "JWT"});
    let proof = proof(&header, &json!({"uid": "sa", "exp": now + 60}));
    for token in [as_user(&sim).await, log_in(&sim, json!({"uid": "sa", "token": proof})).await] {
        for mount in ["", "/marathon", "/service/marathon"] {
            let apps = with_token(&sim, &format!("{mount}/v2/apps"), &token).await;
            assert_eq!(apps.json()["apps"][0]["id"], "/shop/web");
        }
        let cookie = format!("Cookie: a=b; dcos-acs-auth-cookie={token}; c=d\r\n");
        assert_eq!(ask(&sim, "GET", "/service/marathon/ping", &cookie, "").await.text(), "pong");
        assert_eq!(with_token(&sim, "/service/marathonx/v2/apps", &token).await.status, 500);
    }
    for (body, status) in [
        (json!({"uid": "ann", "password": "wrong"}), 401),
        (json!({"uid": "sa", "token": "a.b.c"}), 401),
        (json!({"uid": "ann"}), 400),
        (json!([]), 400),
    ] {
        assert_eq!(post(&sim, LOGIN, body.clone()).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn tokens_end_and_open_streams_do_not() {
    let sim = dcos(30, DcosScheme::Acs).await;
    let token = as_user(&sim).await;
    let mut stream = TcpStream::connect(sim.addr()).await.expect("connects");
    let text = format!(
        "GET /service/marathon/v2/events HTTP/1.1\r\nAccept: text/event-stream\r\nAuthorization: token={token}\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).await.expect("writes");
    let mut events = Listener { stream, seen: Vec::new() };
    events.until("event_stream_attached").await;
    assert_eq!(post(&sim, "/sim/tokens/expire", json!({})).await.status, 200);
    assert_eq!(with_token(&sim, "/v2/apps", &token).await.status, 401);
    sim.handle().emit(json!({"eventType": "mine"})).await;
    events.until("event: mine").await;
    let token = as_user(&sim).await;
    assert_eq!(with_token(&sim, "/v2/apps", &token).await.status, 200);
    // And by themselves.
    let sim = dcos(1, DcosScheme::Acs).await;
    let token = as_user(&sim).await;
    within(async {
        while with_token(&sim, "/v2/apps", &token).await.status != 401 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let open = start(SimOptions::immediate()).await;
    assert_eq!(post(&open, "/sim/tokens/expire", json!({})).await.status, 422);
}

#[tokio::test]
async fn what_cannot_be_used_is_told_at_the_start() {
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let accounts = BTreeMap::from([("sa".to_owned(), "nothing".to_owned())]);
    let dcos = Some(DcosOptions { accounts, ..DcosOptions::default() });
    let error = Sim::start(SimOptions { dcos, ..SimOptions::immediate() }, at).await.expect_err("refused");
    assert!(error.to_string().contains("public key of sa"), "{error}");
    let tls = Some(TlsOptions::Pem { certificates: String::new(), key: String::new() });
    let error = Sim::start(SimOptions { tls, ..SimOptions::immediate() }, at).await.expect_err("refused");
    assert!(error.to_string().contains("TLS"), "{error}");
}
