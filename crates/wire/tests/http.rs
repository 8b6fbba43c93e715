//! The HTTP client against raw servers that misbehave.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use mconn_wire::http::{Credentials, Fault, HttpClient, HttpError, HttpSettings, Phase, Request, Trust};
use mconn_wire::testing::{self, Reply, STREAM_HEAD, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const SOON: Duration = Duration::from_millis(150);

fn client() -> HttpClient {
    HttpClient::new(&HttpSettings::default()).unwrap()
}

fn get(url: &str) -> Request {
    Request::get(url.parse().unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn any_status_is_an_answer_and_redirects_are_not_followed() {
    let server =
        Server::start(|_| Reply::answer("302 Found", &["Location: http://elsewhere/"], b"moved")).await;
    let response = client().send(get(&server.url("/v2/events?a=b"))).await.unwrap();
    assert_eq!(response.status, 302);
    assert_eq!(response.headers["location"], "http://elsewhere/");
    assert_eq!(&response.body[..], b"moved");
    let head = &server.requests()[0];
    assert!(head.starts_with("GET /v2/events?a=b HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains("\r\naccept: application/json\r\n") && head.contains("\r\naccept-encoding: gzip\r\n")
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn credentials_are_sent_when_given_and_never_taken_from_the_url() {
    let server = Server::start(|_| Reply::json("{}")).await;
    let with_user = format!("http://ann:s3cret@{}/", server.address);
    assert!(!format!("{:?}", get(&with_user)).contains("s3cret"));
    client().send(get(&with_user)).await.unwrap();
    assert!(!server.requests()[0].contains("authorization"));
    let request = Request { credentials: Some(Credentials::new("ann", "s3cret")), ..get(&server.url("/")) };
    assert!(!format!("{request:?}").contains("s3cret"));
    client().send(request).await.unwrap();
    assert!(server.requests()[1].contains("\r\nauthorization: Basic YW5uOnMzY3JldA==\r\n"));
}

#[tokio::test]
async fn a_refused_connection_is_the_networks_fault() {
    let address = testing::refusing_address().await;
    let error = client().send(get(&format!("http://ann:s3cret@{address}/x?secret=1"))).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "{error:?}");
    assert_eq!((error.fault(), error.is_retryable()), (Fault::Network, true));
    let text = format!("{error} {error:?}");
    assert!(text.contains(&format!("http://{address}/x")) && text.contains("refused"), "{text}");
    assert!(!text.contains("s3cret") && !text.contains("secret=1"), "{text}");
}

#[tokio::test]
async fn the_deadline_covers_the_head_and_the_whole_body() {
    let silent = Server::start(|_| Reply::silence()).await;
    let error = client().send(Request { deadline: SOON, ..get(&silent.url("/")) }).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { phase: Phase::Head, .. }), "{error:?}");
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"a\"";
    let stuck = Server::start(|_| Reply::ThenSilence(half.to_vec())).await;
    let error = client().send(Request { deadline: SOON, ..get(&stuck.url("/")) }).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { phase: Phase::Body, .. }), "{error:?}");
}

#[tokio::test]
async fn a_truncated_body_is_an_error_in_every_framing() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n".to_vec();
    let length = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"a\":".to_vec();
    let mut zipped = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n".to_vec();
    let body = gzip(&b"a rather long text ".repeat(100));
    zipped.extend_from_slice(&body[..body.len() - 9]);
    for bytes in [chunked, length, zipped] {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let server = Server::start(move |_| Reply::Bytes(bytes.clone())).await;
        let error = client().send(get(&server.url("/"))).await.unwrap_err();
        assert!(matches!(error, HttpError::Broken { .. }), "{shown}: {error:?}");
        assert_eq!(error.fault(), Fault::Server);
    }
}

#[tokio::test]
async fn the_limit_counts_decompressed_bytes() {
    let bomb = gzip(&vec![b' '; 4_000_000]);
    assert!(bomb.len() < 10_000);
    let server = Server::start(move |_| Reply::answer("200 OK", &["Content-Encoding: gzip"], &bomb)).await;
    let fits = Request { body_limit: 4_000_000, ..get(&server.url("/")) };
    assert_eq!(client().send(fits).await.unwrap().body.len(), 4_000_000);
    let error = client().send(Request { body_limit: 3_999_999, ..get(&server.url("/")) }).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { limit: 3_999_999, .. }), "{error:?}");
    assert!(!error.is_retryable());
    let announced = Server::start(|_| Reply::answer("200 OK", &[], &[b'x'; 100])).await;
    let error = client().send(Request { body_limit: 99, ..get(&announced.url("/")) }).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn a_stream_gives_bytes_as_they_come_and_notices_silence() {
    let (sender, receiver) = mpsc::channel(8);
    let live = std::sync::Mutex::new(Some(receiver));
    let server = Server::start(move |_| Reply::Live(live.lock().unwrap().take().unwrap())).await;
    sender.send(STREAM_HEAD.to_vec()).await.unwrap();
    let mut stream = client().open(get(&server.url("/v2/events"))).await.unwrap();
    assert_eq!(stream.status, 200);
    sender.send(b"one".to_vec()).await.unwrap();
    assert_eq!(&stream.body.chunk().await.unwrap().unwrap()[..], b"one");
    let error = stream.body.chunk_within(SOON).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { phase: Phase::Idle, .. }), "{error:?}");
    sender.send(b"two".to_vec()).await.unwrap();
    assert_eq!(&stream.body.chunk_within(Duration::from_secs(5)).await.unwrap().unwrap()[..], b"two");
    drop(sender);
    assert_eq!(stream.body.chunk().await.unwrap(), None);
    assert!(server.requests()[0].contains("\r\naccept-encoding: identity\r\n"));
}

/// A server with a certificate for localhost, made by a CA of its own. Gives the CA's PEM and the address.
async fn tls_server() -> (String, u16) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let listener = testing::listener().await;
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(socket) = acceptor.accept(socket).await {
                testing::serve(socket, |_| Reply::json("{\"secure\":true}")).await;
            }
        }
    });
    (ca.pem(), port)
}

#[tokio::test]
async fn tls_trusts_an_own_ca_nobody_else_or_anybody() {
    let (pem, port) = tls_server().await;
    let with = |trust| HttpClient::new(&HttpSettings { trust, ..HttpSettings::default() }).unwrap();
    let url = format!("https://localhost:{port}/");

    let own = with(Trust::CaPem(pem.into()));
    assert_eq!(&own.send(get(&url)).await.unwrap().body[..], b"{\"secure\":true}");
    let error = own.send(get(&format!("https://127.0.0.1:{port}/"))).await.unwrap_err();
    assert!(matches!(error, HttpError::Tls { .. }), "wrong name: {error:?}");

    let error = with(Trust::System).send(get(&url)).await.unwrap_err();
    assert!(matches!(error, HttpError::Tls { .. }), "unknown issuer: {error:?}");
    let told = error.to_string();
    assert!(told.contains("not trusted here") && told.contains("check the CA file"), "{told}");
    assert_eq!(error.fault(), Fault::Settings);

    let anybody = with(Trust::Anybody);
    assert_eq!(anybody.send(get(&format!("https://127.0.0.1:{port}/"))).await.unwrap().status, 200);
}

#[tokio::test]
async fn https_to_a_plain_port_says_so() {
    let listener = testing::listener().await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut hello = [0; 5];
        socket.read_exact(&mut hello).await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = client().send(get(&format!("https://{address}/"))).await.unwrap_err();
    assert!(matches!(error, HttpError::Tls { .. }), "{error:?}");
}
