//! A session with an ensemble: an adapter round `zookeeper-client` that keeps our rules for what the library does.
//!
//! 1. *Expiry is told late*, after the successor may already be elected. Who leads stops at [`State::Disconnected`], and every
//!    write of a leader carries the check of its epoch.
//! 2. *Calls wait while there is no connection*, and what waits is sent later even if nobody waits for it any more. Here every
//!    call has a deadline, and without connection nothing is handed to the library ([`ErrorKind::NotSent`]).
//! 3. *Errors of the link come in several forms.* [`ErrorKind`] names what certainly changed nothing; all else is
//!    [`ErrorKind::Unknown`], and the caller finds out by reading back.
//! 4. *Waits between attempts double without a limit.* All hosts are given, and the age of a lost connection is logged.
//! 5. *Persistent watches can miss events across a reconnection.* We use one-shot watches only, which ZooKeeper sets again and
//!    compares when the connection is back.
//! 6. *What is asked for as the session timeout is also the patience of the first connection.* Who gets no answer asks for more
//!    (`open`).
//! 7. *Connected is not in touch with the quorum.* A server answers pings by itself for as long as `syncLimit` after it has lost
//!    the ensemble, which lets the session expire meanwhile. Who leads proves it again and again ([`crate::election`]).
//!
//! Paths given to a [`Session`] begin with a slash and are below [`Settings::path`].

mod ground;
mod many;
mod open;
mod types;

pub(crate) use many::Found;
pub use types::{Change, Done, Stat, State, States, Watch};

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use zookeeper_client as zk;

use crate::error::{Error, ErrorKind};
use crate::settings::Settings;

/// A session. Clones are the same session.
#[derive(Debug, Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// Gone once closed. When the last copy goes, the library ends the session at the servers.
    client: Mutex<Option<Clients>>,
    /// Ends the calls that are under way: each holds a copy.
    closing: CancellationToken,
    states: States,
    id: i64,
    timeout: Duration,
}

/// The same session with two views of the tree.
#[derive(Debug)]
struct Clients {
    /// All of it: for the path of ours, should it be gone.
    root: Arc<zk::Client>,
    /// From [`Settings::path`] on.
    below: Arc<zk::Client>,
}

impl Session {
    /// What it was opened with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The session's number at the servers: the owner of its ephemeral nodes.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.inner.id
    }

    /// The session timeout that the server has granted.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// Its states from now on.
    #[must_use]
    pub fn states(&self) -> States {
        let mut states = self.inner.states.clone();
        // What has been so far is no change.
        states.0.state();
        states
    }

    /// How it is now.
    #[must_use]
    pub fn state(&self) -> State {
        if self.lock().is_none() { State::Closed } else { self.inner.states.now() }
    }

    /// Ends the session at the servers, so that its ephemeral nodes go at once, and waits until they have confirmed it or the
    /// deadline is over. Calls of other clones that are under way or still to come fail with `Closed`.
    pub async fn close(&self, deadline: Duration) {
        let mut states = self.states();
        // A call that hangs holds the session open.
        self.inner.closing.cancel();
        drop(self.lock().take());
        let closed =
            async { while !states.settled().await.is_final() && !states.changed().await.is_final() {} };
        if tokio::time::timeout(deadline, closed).await.is_err() {
            tracing::warn!(
                place = self.settings().place(),
                "the ZooKeeper session could not be closed in time; it ends at its timeout"
            );
        }
    }

    /// Creates a persistent node.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn create(&self, path: &str, data: &[u8]) -> Result<(), Error> {
        let options = zk::CreateMode::Persistent.with_acls(access(self.settings()));
        self.call("create", path, |client| async move { client.create(path, data, &options).await }).await?;
        Ok(())
    }

    /// Creates a persistent node and those above it, where they are missing.
    ///
    /// # Errors
    /// [`Error`] as classified. Finding them there is none.
    pub async fn create_all(&self, path: &str) -> Result<(), Error> {
        for end in path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]) {
            let node = &path[..end];
            // Looked at first: who may not create below a node is told so even where nothing has to be created.
            if self.exists(node).await?.is_none() {
                match self.create(node, b"").await {
                    Err(error) if error.kind != ErrorKind::NodeExists => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Creates an ephemeral node whose name ends with the number that the server gives, and gives its name (without the
    /// path). If the answer is lost, the parent's children tell whether it is there: there is never a second one.
    ///
    /// # Errors
    /// [`Error`] as classified; `Unknown` only if the link stays away for the whole deadline.
    pub async fn create_member(&self, parent: &str, prefix: &str, data: &[u8]) -> Result<String, Error> {
        let deadline = Instant::now() + self.settings().call_deadline;
        let stem = format!("{parent}/{prefix}");
        let path = stem.as_str();
        loop {
            let options = zk::CreateMode::EphemeralSequential.with_acls(access(self.settings()));
            let create = |client: Arc<zk::Client>| async move { client.create(path, data, &options).await };
            let error = match self.call("create", path, create).await {
                Ok((_, number)) => return Ok(format!("{prefix}{number}")),
                Err(error) => error,
            };
            if error.kind != ErrorKind::Unknown || Instant::now() >= deadline {
                return Err(error);
            }
            self.sync(parent).await?;
            if let Some(name) = self.own_children(parent, prefix).await?.into_iter().next() {
                return Ok(name);
            }
        }
    }

    /// The names of the children that begin with `prefix` and belong to this session, in order.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn own_children(&self, parent: &str, prefix: &str) -> Result<Vec<String>, Error> {
        let mut own = Vec::new();
        for name in self.children(parent).await? {
            let stat = match name.starts_with(prefix) {
                true => self.exists(&format!("{parent}/{name}")).await?,
                false => None,
            };
            if stat.is_some_and(|stat| stat.owner == self.id()) {
                own.push(name);
            }
        }
        own.sort();
        Ok(own)
    }

    /// Reads a node.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), Error> {
        let (data, stat) =
            self.call("read", path, |client| async move { client.get_data(path).await }).await?;
        Ok((data, Stat::of(&stat)))
    }

    /// Reads a node and watches for the next change of it.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn get_and_watch(&self, path: &str) -> Result<(Vec<u8>, Stat, Watch), Error> {
        let get = |client: Arc<zk::Client>| async move { client.get_and_watch_data(path).await };
        let (data, stat, watch) = self.call("read", path, get).await?;
        Ok((data, Stat::of(&stat), Watch(watch)))
    }

    /// Looks whether a node is there.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn exists(&self, path: &str) -> Result<Option<Stat>, Error> {
        let stat = self.call("look at", path, |client| async move { client.check_stat(path).await }).await?;
        Ok(stat.as_ref().map(Stat::of))
    }

    /// Looks whether a node is there and watches for its creation, change or end.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn exists_and_watch(&self, path: &str) -> Result<(Option<Stat>, Watch), Error> {
        let look = |client: Arc<zk::Client>| async move { client.check_and_watch_stat(path).await };
        let (stat, watch) = self.call("look at", path, look).await?;
        Ok((stat.as_ref().map(Stat::of), Watch(watch)))
    }

    /// The names of a node's children, in no order.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        self.call("list", path, |client| async move { client.list_children(path).await }).await
    }

    /// The names of a node's children, in no order, and a watch for the next child that comes or goes.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn children_and_watch(&self, path: &str) -> Result<(Vec<String>, Watch), Error> {
        let list = |client: Arc<zk::Client>| async move { client.list_and_watch_children(path).await };
        let (names, watch) = self.call("list", path, list).await?;
        Ok((names, Watch(watch)))
    }

    /// Replaces a node's data, and gives its new version.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<i32, Error> {
        let set = |client: Arc<zk::Client>| async move { client.set_data(path, data, version).await };
        Ok(self.call("write", path, set).await?.version)
    }

    /// Deletes a node.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        self.call("delete", path, |client| async move { client.delete(path, version).await }).await
    }

    /// Waits until the server that we talk to knows everything that the ensemble has confirmed so far, so that what is read
    /// next is not old.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn sync(&self, path: &str) -> Result<(), Error> {
        self.call("sync", path, |client| async move { client.sync(path).await }).await
    }

    /// Does all of these or none.
    ///
    /// # Errors
    /// [`Error`] as classified; its `index` names the change that was refused.
    pub async fn multi(&self, changes: &[Change]) -> Result<Vec<Done>, Error> {
        let first = changes.first().map_or("/", Change::path);
        let commit = |client: Arc<zk::Client>| async move {
            let options = zk::CreateMode::Persistent.with_acls(access(self.settings()));
            let mut writer = client.new_multi_writer();
            for (index, change) in changes.iter().enumerate() {
                let added = match change {
                    Change::Check { path, version } => writer.add_check_version(path, *version),
                    Change::Create { path, data } => writer.add_create(path, data, &options),
                    Change::Set { path, data, version } => writer.add_set_data(path, data, *version),
                    Change::Delete { path, version } => writer.add_delete(path, *version),
                };
                added.map_err(|source| zk::MultiWriteError::OperationFailed { index, source })?;
            }
            let results = writer.commit().await?;
            Ok(results
                .iter()
                .map(|result| match result {
                    zk::MultiWriteResult::SetData { stat } => Done::Set { version: stat.version },
                    _ => Done::Done,
                })
                .collect())
        };
        self.call_raw("change several nodes from", first, commit).await.map_err(|failure| match failure {
            Failure::Ours(error) => error,
            Failure::Theirs(zk::MultiWriteError::RequestFailed { source }) => {
                self.describe("change several nodes from", first, &source)
            }
            Failure::Theirs(zk::MultiWriteError::OperationFailed { index, source }) => {
                let path = changes.get(index).map_or("/", Change::path);
                let error = self.describe("change", path, &source);
                // An answer that names a change is a refusal of all of them, whatever it says.
                let kind = if error.kind == ErrorKind::Unknown { ErrorKind::Refused } else { error.kind };
                Error { index: Some(index), kind, ..error }
            }
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Clients>> {
        self.inner.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call with our rules: only with a connection, and with a deadline.
    async fn call<T, F>(
        &self,
        what: &str,
        path: &str,
        call: impl FnOnce(Arc<zk::Client>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, zk::Error>>,
    {
        self.call_raw(what, path, call).await.map_err(|failure| match failure {
            Failure::Ours(error) => error,
            Failure::Theirs(error) => self.describe(what, path, &error),
        })
    }

    async fn call_raw<T, E, F>(
        &self,
        what: &str,
        path: &str,
        call: impl FnOnce(Arc<zk::Client>) -> F,
    ) -> Result<T, Failure<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let given = self.settings().call_deadline;
        let deadline = Instant::now() + given;
        let fail = |kind, why: &str| Failure::Ours(self.error(kind, what, path, why));
        match timeout_at(deadline, self.states().settled()).await {
            Err(_) => return Err(fail(ErrorKind::NotSent, &format!("no connection for {given:?}"))),
            Ok(State::Expired) => return Err(fail(ErrorKind::Expired, "the session has expired")),
            Ok(State::AuthFailed) => return Err(fail(ErrorKind::AuthFailed, "the credentials are refused")),
            Ok(State::Closed) => return Err(fail(ErrorKind::Closed, "the session is closed")),
            Ok(State::Connected | State::Disconnected) => {}
        }
        let closed = "the session is closed";
        let Some(client) = self.lock().as_ref().map(|clients| clients.below.clone()) else {
            return Err(fail(ErrorKind::Closed, closed));
        };
        let closing = self.inner.closing.run_until_cancelled(timeout_at(deadline, call(client)));
        let Some(done) = closing.await else { return Err(fail(ErrorKind::Closed, closed)) };
        match done {
            Err(_) => Err(fail(ErrorKind::Unknown, &format!("no answer within {given:?}"))),
            Ok(result) => result.map_err(Failure::Theirs),
        }
    }

    fn describe(&self, what: &str, path: &str, error: &zk::Error) -> Error {
        self.error(ErrorKind::of(error), what, path, &error.to_string())
    }

    fn error(&self, kind: ErrorKind, what: &str, path: &str, why: &str) -> Error {
        let root = Some(self.settings().path()).filter(|root| *root != "/").unwrap_or_default();
        let hosts = self.settings().host_list();
        Error::new(kind, format!("cannot {what} {root}{path} at ZooKeeper {hosts}: {why}{}", kind.advice()))
    }
}

enum Failure<E> {
    Ours(Error),
    Theirs(E),
}

/// Who may use what we create.
fn access(settings: &Settings) -> zk::Acls<'static> {
    if settings.auth.is_some() { zk::Acls::creator_all() } else { zk::Acls::anyone_all() }
}
