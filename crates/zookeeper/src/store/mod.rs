//! The store of several nodes. All may read it, and one may write: the one whose epoch is the newest.
//!
//! A batch is one transaction: the check of the epoch, the next place with the number of the batch (under the version that was
//! seen last), and the changes. So a batch that is still on its way when a later one has been written can never arrive, and a batch
//! whose answer was lost is sent again until it is certain. Larger batches go through `staged`.

mod engine;
mod errors;
mod journal;
pub(crate) mod large;
mod mirror;
pub(crate) mod names;
pub(crate) mod overlay;
pub(crate) mod read;
mod staged;
pub(crate) mod take_over;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use mconn_store::{BoxFuture, Contents, Seq, Store, StoreError, StoreErrorKind, Write};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::fence::Fence;
use crate::session::Session;
use mirror::Mirror;

/// The store of one leader, for one epoch and one session.
#[derive(Debug)]
pub struct ZookeeperStore {
    session: Session,
    fence: Fence,
    /// One call at a time.
    turn: Semaphore,
    /// What is remembered between calls. A call takes it out and puts it back when it knows how the tree is; a call that was
    /// dropped half-way does not, and the next one reads the tree.
    state: Mutex<Option<State>>,
    /// Set once this node must not write any more.
    over: OnceLock<StoreError>,
    /// Makes the numbers of batches unlike those of every other store.
    nonce: u64,
    batches: AtomicU64,
    #[cfg(feature = "testing")]
    steps: std::sync::atomic::AtomicI64,
    #[cfg(feature = "testing")]
    hook: Mutex<Option<crate::testing::Hook>>,
}

/// What is remembered between calls.
#[derive(Debug)]
struct State {
    mirror: Mirror,
    /// Version of the node with the next place.
    next_version: i32,
}

/// The data of the node with the next place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Next {
    v: u32,
    /// Greater than every place ever used.
    pub(crate) next: Option<u64>,
    /// The last batch.
    batch: Option<String>,
    /// That batch is committed but not in place yet: the number of its parts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) staged: Option<usize>,
}

impl ZookeeperStore {
    /// The store as the owner of this epoch writes it. Opens nothing: [`Store::load`] does.
    #[must_use]
    pub fn new(session: Session, fence: Fence) -> Self {
        Self {
            session,
            fence,
            turn: Semaphore::new(1),
            state: Mutex::new(None),
            over: OnceLock::new(),
            nonce: fastrand::u64(..),
            batches: AtomicU64::new(0),
            #[cfg(feature = "testing")]
            steps: std::sync::atomic::AtomicI64::new(i64::MAX),
            #[cfg(feature = "testing")]
            hook: Mutex::default(),
        }
    }

    /// From now on only so many transactions are sent; then it is as if the process had ended. For tests of what the next leader
    /// finds.
    #[cfg(feature = "testing")]
    pub fn stop_after(&self, transactions: i64) {
        self.steps.store(transactions, Ordering::SeqCst);
    }

    /// Whether more transactions were wanted than [`ZookeeperStore::stop_after`] allowed.
    #[cfg(feature = "testing")]
    pub fn was_stopped(&self) -> bool {
        self.steps.load(Ordering::SeqCst) < 0
    }

    /// Before the transaction after so many more, this is done once. For tests of trouble in the middle.
    #[cfg(feature = "testing")]
    pub fn before_step(&self, transactions: usize, what: impl FnOnce() + Send + 'static) {
        let mut hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
        *hook = Some(crate::testing::Hook::new(transactions, what));
    }

    /// Whether that transaction has not come yet.
    #[cfg(feature = "testing")]
    pub fn awaits_step(&self) -> bool {
        self.hook.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    #[cfg(feature = "testing")]
    fn step(&self) {
        let mut hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
        *hook = hook.take().and_then(crate::testing::Hook::step);
    }

    async fn load_now(&self) -> Result<Contents, StoreError> {
        let _turn = self.turn().await?;
        let (contents, state) = self.take_over().await.map_err(|error| self.remember(error))?;
        *self.lock() = Some(state);
        Ok(contents)
    }

    /// A commit after which no place below `next` will be used.
    pub(crate) async fn commit_above(&self, batch: Vec<Write>, next: Option<Seq>) -> Result<(), StoreError> {
        let _turn = self.turn().await?;
        if batch.is_empty() && next.is_none() {
            return Ok(());
        }
        let mut state = self.lock().take();
        let result = self.write(&mut state, &batch, next).await.map_err(|error| self.remember(error));
        *self.lock() = state;
        result
    }

    /// Removes nodes that no batch writes, with everything below them.
    pub(crate) async fn remove_folders(&self, paths: &[String]) -> Result<(), StoreError> {
        let _turn = self.turn().await?;
        // What is remembered has them yet.
        drop(self.lock().take());
        self.remove_all(paths.to_vec()).await.map_err(|error| self.remember(error))
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, StoreError> {
        let turn = self.turn.acquire().await;
        if let Some(error) = self.over.get() {
            return Err(error.clone());
        }
        // Nobody closes it.
        turn.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error.to_string()))
    }

    /// Being deposed is for good.
    fn remember(&self, error: StoreError) -> StoreError {
        if error.kind == StoreErrorKind::Deposed {
            let later = format!("this node does not lead any more: {}", self.location());
            let _ = self.over.set(StoreError::new(StoreErrorKind::Deposed, later));
        }
        error
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other batch has or will have.
    fn batch_number(&self) -> String {
        let count = self.batches.fetch_add(1, Ordering::Relaxed);
        format!("{}-{:016x}-{count}", self.fence.epoch(), self.nonce)
    }
}

impl Store for ZookeeperStore {
    fn load(&self) -> BoxFuture<'_, Result<Contents, StoreError>> {
        Box::pin(self.load_now())
    }

    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.commit_above(batch, None))
    }

    fn location(&self) -> String {
        format!("ZooKeeper {}", self.session.settings().place())
    }

    fn record_limit(&self) -> Option<usize> {
        Some(engine::MAX_RECORD)
    }
}
