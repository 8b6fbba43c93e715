//! One server that all tests share while any of them runs; each has its own part of the tree.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use mconn_zookeeper::testing::{Ensemble, Options};
use mconn_zookeeper::{Digest, Session, Settings};
use tokio_util::sync::CancellationToken;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The shared server, with sessions from one second up. Nobody may stop it.
pub(crate) fn shared() -> Arc<Ensemble> {
    static SHARED: Mutex<Weak<Ensemble>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let ensemble = Arc::new(Ensemble::start(&quick(1)));
        *shared = Arc::downgrade(&ensemble);
        ensemble
    })
}

/// Sessions from one second up.
pub(crate) fn quick(servers: usize) -> Options {
    Options { servers, tick: Duration::from_millis(500), ..Options::default() }
}

/// A path that no other test has.
pub(crate) fn fresh_path() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("/test-{}/infra/mconn", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn settings(ensemble: &Ensemble, path: &str) -> Settings {
    let mut settings = Settings::new(&ensemble.hosts(), path).expect("settings");
    settings.retry_pause = Duration::from_millis(200);
    settings
}

pub(crate) fn with_auth(mut settings: Settings, user: &str) -> Settings {
    settings.auth = Some(Digest::parse(user).expect("user:password"));
    settings
}

pub(crate) async fn open(settings: Settings) -> Session {
    Session::open(settings, &CancellationToken::new()).await.expect("a session")
}

/// Waits for this, but not for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes soon")
}
