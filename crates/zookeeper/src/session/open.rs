//! Getting a session.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use zookeeper_client as zk;

use super::{Inner, Session, States};
use crate::error::{Error, ErrorKind};
use crate::settings::Settings;

/// Between two warnings that there is still no session.
const REMIND: Duration = Duration::from_secs(30);

/// The shortest wait between two attempts.
const MIN_PAUSE: Duration = Duration::from_millis(50);

/// The shortest session that is asked for. The client gives a host two fifths of it to answer, and all hosts together the whole of
/// it: with a quarter of a second, as deployments of the original have it, a busy server would never be reached. A server's own
/// least is more than this, as it comes.
const LEAST_SESSION: Duration = Duration::from_secs(1);

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
        if settings.path() != "/" {
            Self::at_root(&settings, client.clone()).create_all(settings.path()).await?;
        }
        let session = Self::below(settings, client)?;
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
        let session = Self::below(settings, client)?;
        match session.exists("/").await? {
            Some(_) => Ok(session),
            None => Err(session.error(ErrorKind::NoNode, "visit", "/", "there is no such path")),
        }
    }

    /// The same connection with the root of the ensemble as its path.
    fn at_root(settings: &Settings, client: zk::Client) -> Self {
        Self::around(Settings { path: "/".to_owned(), ..settings.clone() }, client)
    }

    fn below(settings: Settings, client: zk::Client) -> Result<Self, Error> {
        let client = client.chroot(settings.path().to_owned());
        let client = client.map_err(|_| fail(&settings, ErrorKind::Refused, "the path cannot be used"))?;
        Ok(Self::around(settings, client))
    }

    fn around(settings: Settings, client: zk::Client) -> Self {
        Self {
            inner: Arc::new(Inner {
                states: States(client.state_watcher()),
                id: client.session_id().0,
                timeout: client.session_timeout(),
                settings,
                client: Mutex::new(Some(Arc::new(client))),
            }),
        }
    }

    /// With credentials, a path that was created without them lets everybody in. Somebody else's path may be so on purpose,
    /// so it is only told.
    async fn open_to_the_world(&self) -> Result<Option<String>, Error> {
        if self.settings().auth.is_none() || self.settings().path() == "/" {
            return Ok(None);
        }
        let path = "/";
        let acls = self
            .call("read the access list of", path, |client| async move { client.get_acl(path).await })
            .await;
        let open = match acls {
            Ok((acls, _)) => acls
                .iter()
                .any(|acl| acl.scheme() == "world" && (acl.permission() & writing()) != zk::Permission::NONE),
            // Not allowed to look: then others are not either.
            Err(error) if error.kind == ErrorKind::NoAuth => false,
            Err(error) => return Err(error),
        };
        let place = self.settings().place();
        Ok(open.then(|| {
            format!(
                "{place} can be written by everybody: it was created without credentials; restrict it with setAcl, \
                 or choose another path"
            )
        }))
    }
}

fn writing() -> zk::Permission {
    zk::Permission::WRITE | zk::Permission::CREATE | zk::Permission::DELETE | zk::Permission::ADMIN
}

async fn connect(settings: &Settings) -> Result<zk::Client, Error> {
    let session_timeout = settings.session_timeout.max(LEAST_SESSION);
    let mut connector = zk::Client::connector().with_session_timeout(session_timeout).with_fail_eagerly();
    if let Some(digest) = &settings.auth {
        connector = connector.with_auth("digest", digest.reveal());
    }
    match timeout(settings.connect_deadline, connector.connect(&settings.shuffled_hosts())).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => {
            let kind = match ErrorKind::of(&error) {
                // Whatever happened, there is no session: nothing can have been changed.
                ErrorKind::Unknown | ErrorKind::Closed | ErrorKind::Expired => ErrorKind::NotSent,
                kind => kind,
            };
            let answer_within = session_timeout * 2 / 5;
            let why = if kind.is_link() {
                format!("{error} within {answer_within:?} each, two fifths of MCONN_ZK_SESSION_TIMEOUT")
            } else {
                error.to_string()
            };
            Err(fail(settings, kind, &why))
        }
        Err(_) => {
            let why = format!("no answer within {:?}", settings.connect_deadline);
            Err(fail(settings, ErrorKind::NotSent, &why))
        }
    }
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
