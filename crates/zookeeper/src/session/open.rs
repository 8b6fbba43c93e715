//! Getting a session.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use zookeeper_client as zk;

use super::{Clients, Inner, Session, States};
use crate::error::{Error, ErrorKind};
use crate::settings::Settings;

/// Between two warnings that there is still no session.
const REMIND: Duration = Duration::from_secs(30);

/// The shortest wait between two attempts.
const MIN_PAUSE: Duration = Duration::from_millis(50);

/// What is asked for at least and at most after an attempt without an answer.
const IMPATIENT: Duration = Duration::from_millis(500);
const PATIENT: Duration = Duration::from_secs(10);

impl Session {
    /// Opens a session, creates what is missing of the path, and tries for as long as the link is the only trouble and nobody
    /// cancels. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Closed` when cancelled; anything else is for the operator to mend.
    pub async fn open(settings: Settings, cancel: &CancellationToken) -> Result<Self, Error> {
        let began = Instant::now();
        let mut reminded: Option<Instant> = None;
        loop {
            let attempt = tokio::select! {
                () = cancel.cancelled() => return Err(cancelled(&settings)),
                attempt = Self::open_once(settings.clone()) => attempt,
            };
            let error = match attempt {
                Ok(session) => return Ok(session),
                Err(error) if error.kind.is_link() || error.kind == ErrorKind::Expired => error,
                Err(error) => return Err(error),
            };
            if reminded.is_none_or(|last| last.elapsed() >= REMIND) {
                reminded = Some(Instant::now());
                let since = began.elapsed().as_secs();
                tracing::warn!(error = %error, seconds = since, "no ZooKeeper session yet; trying on");
            }
            let pause = settings.retry_pause.mul_f64(fastrand::f64()).max(MIN_PAUSE);
            tokio::select! {
                () = cancel.cancelled() => return Err(cancelled(&settings)),
                () = sleep(pause) => {}
            }
        }
    }

    /// One attempt at a session, and the path.
    ///
    /// # Errors
    /// `NotSent` when nobody could be reached in time; else as classified.
    pub async fn open_once(settings: Settings) -> Result<Self, Error> {
        let client = connect(&settings).await?;
        let session = Self::around(settings, client)?;
        session.create_path().await?;
        if let Some(warning) = session.open_to_the_world().await? {
            tracing::warn!("{warning}");
        }
        Ok(session)
    }

    /// One attempt at a session with a path that is there already; creates nothing.
    ///
    /// # Errors
    /// `NoNode` when the path is not there; else as [`Session::open_once`].
    pub async fn visit(settings: Settings) -> Result<Self, Error> {
        let client = connect(&settings).await?;
        let session = Self::around(settings, client)?;
        match session.exists("/").await? {
            Some(_) => Ok(session),
            None => Err(session.error(ErrorKind::NoNode, "visit", "/", "there is no such path")),
        }
    }

    fn around(settings: Settings, client: zk::Client) -> Result<Self, Error> {
        let below = client.clone().chroot(settings.path().to_owned());
        let below = below.map_err(|_| fail(&settings, ErrorKind::Refused, "the path cannot be used"))?;
        Ok(Self {
            inner: Arc::new(Inner {
                states: States(client.state_watcher()),
                id: client.session_id().0,
                timeout: client.session_timeout(),
                settings,
                client: Mutex::new(Some(Clients { root: Arc::new(client), below: Arc::new(below) })),
                closing: CancellationToken::new(),
            }),
        })
    }
}

/// A session at any of the servers, within [`Settings::connect_deadline`].
///
/// Until a server has answered, the library takes the timeout that is asked for as its own patience: the whole attempt may
/// take that long, and each server two fifths of it. A new session has to be committed by the quorum first, so an ensemble
/// whose disks are slow could never answer in time. Whoever got no answer therefore asks for twice as much, up to
/// [`PATIENT`]; the server grants what its own limits allow. The next session begins with the configured timeout again.
async fn connect(settings: &Settings) -> Result<zk::Client, Error> {
    let deadline = Instant::now() + settings.connect_deadline;
    let mut asked = settings.session_timeout;
    loop {
        let began = Instant::now();
        let attempt = timeout_at(deadline, attempt(settings, asked)).await;
        let error = match attempt {
            Ok(Ok(client)) => {
                if asked > settings.session_timeout {
                    let (configured, granted) = (settings.session_timeout, client.session_timeout());
                    tracing::warn!(
                        ?configured,
                        ?asked,
                        ?granted,
                        "ZooKeeper answers too slowly for the configured session timeout: this session was opened by \
                         asking for more; check the disks and the load of the ensemble"
                    );
                }
                return Ok(client);
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let why = format!("no answer within {:?}", settings.connect_deadline);
                return Err(fail(settings, ErrorKind::NotSent, &why));
            }
        };
        let kind = match ErrorKind::of(&error) {
            // Whatever happened, there is no session: nothing can have been changed.
            ErrorKind::Unknown | ErrorKind::Closed | ErrorKind::Expired => ErrorKind::NotSent,
            kind => kind,
        };
        // The library does not tell who was silent from who refused, but refusing takes no time.
        let silent = kind == ErrorKind::NotSent && began.elapsed() >= asked * 3 / 10;
        if !silent || asked >= PATIENT {
            return Err(fail(settings, kind, &error.to_string()));
        }
        asked = (asked * 2).clamp(IMPATIENT, PATIENT);
    }
}

async fn attempt(settings: &Settings, asked: Duration) -> Result<zk::Client, zk::Error> {
    let mut connector = zk::Client::connector().with_session_timeout(asked).with_fail_eagerly();
    if let Some(digest) = &settings.auth {
        connector = connector.with_auth("digest", digest.reveal());
    }
    connector.connect(&settings.shuffled_hosts()).await
}

fn fail(settings: &Settings, kind: ErrorKind, why: &str) -> Error {
    let hosts = settings.host_list();
    Error::new(kind, format!("cannot open a session at ZooKeeper {hosts}: {why}{}", kind.advice()))
}

fn cancelled(settings: &Settings) -> Error {
    Error::new(ErrorKind::Closed, format!("no session at ZooKeeper {}: cancelled", settings.host_list()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::access;

    #[test]
    fn access_follows_the_credentials() {
        let mut settings = Settings::new("a", "/m").unwrap();
        assert_eq!(access(&settings), zk::Acls::anyone_all());
        settings.auth = Some(crate::Digest::parse("me:hush").unwrap());
        assert_eq!(access(&settings), zk::Acls::creator_all());
    }

    #[tokio::test]
    async fn cancelling_ends_the_wait_for_a_session() {
        let mut settings = Settings::new("127.0.0.1:1", "/m").unwrap();
        settings.retry_pause = Duration::from_secs(3600);
        let cancel = CancellationToken::new();
        let opening = Session::open(settings, &cancel);
        let (result, ()) = tokio::join!(opening, async { cancel.cancel() });
        assert_eq!(result.unwrap_err().kind, ErrorKind::Closed);
    }
}
