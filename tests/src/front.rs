//! What stands in front of a Marathon in a real cluster: TLS with a certificate of an own authority, and Admin Router of
//! DC/OS, which wants logins. It passes bytes on to a simulated Marathon, one request a connection.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

const LOGIN: &str = "/acs/api/v1/auth/login";
const PREFIX: &str = "/service/marathon";

/// The front of a Marathon. Its certificate is for `localhost` alone. Ends when it is dropped.
#[derive(Debug)]
pub struct Front {
    /// Where it listens.
    pub port: u16,
    /// The authority's certificate, as PEM.
    pub authority: String,
    shared: Arc<Shared>,
    cut: watch::Sender<u64>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    marathon: String,
    /// Admin Router: whoever has no token is sent away.
    dcos: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    logins: Vec<Value>,
    good: Option<String>,
    refused: usize,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    /// TLS in front of the Marathon at this `host:port`.
    ///
    /// # Panics
    /// If no port can be had.
    pub async fn tls(marathon: &str) -> Self {
        Self::start(marathon, false).await
    }

    /// Admin Router in front of it: Marathon is at `/service/marathon`, and needs the token of a login.
    ///
    /// # Panics
    /// If no port can be had.
    pub async fn dcos(marathon: &str) -> Self {
        Self::start(marathon, true).await
    }

    async fn start(marathon: &str, dcos: bool) -> Self {
        let (authority, acceptor) = certified();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared { marathon: marathon.to_owned(), dcos, state: Mutex::default() });
        let (cut, _) = watch::channel(0);
        let (for_all, cuts) = (shared.clone(), cut.clone());
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (shared, acceptor, mut cut) = (for_all.clone(), acceptor.clone(), cuts.subscribe());
                tokio::spawn(async move {
                    // A client that does not trust the certificate goes away during the handshake.
                    let Ok(socket) = acceptor.accept(socket).await else { return };
                    tokio::select! {
                        () = pass_on(socket, &shared) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { port, authority, shared, cut, task }
    }

    /// Writes the authority's certificate to a file in `dir`, and gives its path.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn ca_file(&self, dir: &Path) -> PathBuf {
        let path = dir.join("ca.pem");
        std::fs::write(&path, &self.authority).expect("a file");
        path
    }

    /// From now on no token is good that was given before.
    pub fn revoke(&self) {
        self.shared.state().good = None;
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// The bodies of all logins so far.
    #[must_use]
    pub fn logins(&self) -> Vec<Value> {
        self.shared.state().logins.clone()
    }

    /// How many requests were sent away for want of a good token.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.shared.state().refused
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static COUNT: AtomicUsize = AtomicUsize::new(1);

/// The PEM of a fresh authority, and a server that it vouches for as `localhost`.
fn certified() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    // Authorities of the same name would be told apart by their keys alone, which is another kind of error.
    let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, &ca).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider's versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("the key of the certificate");
    (ca.pem(), TlsAcceptor::from(Arc::new(config)))
}

/// Errors mean that one of both sides is gone.
async fn pass_on(mut client: TlsStream<TcpStream>, shared: &Shared) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let answer = if shared.dcos && head.starts_with(&format!("POST {LOGIN} ")) {
        log_in(&mut client, &head, shared).await
    } else if shared.dcos && !shared.lets_in(&head) {
        answer("401 Unauthorized", "WWW-Authenticate: acsjwt\r\n", "<html>401 Authorization Required</html>")
    } else {
        return forward(client, &head, shared).await;
    };
    let _ = client.write_all(answer.as_bytes()).await;
    let _ = client.shutdown().await;
}

async fn forward(mut client: TlsStream<TcpStream>, head: &str, shared: &Shared) {
    let Ok(mut marathon) = TcpStream::connect(&shared.marathon).await else { return };
    // One request a connection, so that each of them is looked at.
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let head = if shared.dcos { head.replacen(PREFIX, "", 1) } else { head };
    if marathon.write_all(head.as_bytes()).await.is_ok() {
        let _ = copy_bidirectional(&mut client, &mut marathon).await;
    }
}

async fn log_in(client: &mut TlsStream<TcpStream>, head: &str, shared: &Shared) -> String {
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    let read = client.read_exact(&mut body).await.is_ok();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let known =
        body["uid"] == "sa" && body["token"].as_str().is_some_and(|proof| proof.matches('.').count() == 2);
    if !read || !known {
        return answer("401 Unauthorized", "", r#"{"title":"Unauthorized","description":"invalid login"}"#);
    }
    let mut state = shared.state();
    state.logins.push(body);
    let token = format!("login-{}", state.logins.len());
    state.good = Some(token.clone());
    answer("200 OK", "Content-Type: application/json\r\n", &json!({"token": token}).to_string())
}

impl Shared {
    fn lets_in(&self, head: &str) -> bool {
        let mut state = self.state();
        let wanted = state.good.as_ref().map(|token| format!("\r\nauthorization: token={token}\r\n"));
        let good =
            wanted.is_some_and(|wanted| head.contains(&wanted)) && head.contains(&format!(" {PREFIX}/"));
        state.refused += usize::from(!good);
        good
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}")
}
