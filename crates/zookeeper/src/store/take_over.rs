//! What the owner of an epoch does with the tree before anything else: finish what was begun, mend what is out of place, read
//! everything. All of it can be repeated, and each change carries the check of the epoch.

use mconn_store::{Contents, SCHEMA_VERSION, Seq, StoreError, StoreErrorKind};
use serde::{Deserialize, Serialize};

use super::engine::{ATTEMPTS, Verdict};
use super::errors::{from_read, is_deposed, over};
use super::overlay::Overlay;
use super::read::{self, Misplaced, Tree};
use super::{Next, State, ZookeeperStore, names};
use crate::error::ErrorKind;
use crate::fence::EPOCH;
use crate::session::{Change, Session};

/// Nodes that are removed with one transaction.
const REMOVE_AT_ONCE: usize = 500;

/// How often somebody else may put something below a node while it is being removed.
const REMOVE_ATTEMPTS: usize = 8;

#[derive(Serialize, Deserialize)]
struct Schema {
    v: u32,
}

impl ZookeeperStore {
    /// Makes the tree ours and reads it.
    pub(super) async fn take_over(&self) -> Result<(Contents, State), StoreError> {
        self.check_epoch().await?;
        self.ensure_base().await?;
        self.check_schema().await?;
        let (next, next_version) = self.settle().await?;
        let tree = read::tree(&self.session, &Overlay::default()).await?;
        let Tree { mut contents, mut mirror, misplaced, old_queue, stray_marks } = tree;
        for record in misplaced {
            let present = mirror.present.contains(&record.to);
            if self.move_home(&record, present).await? {
                mirror.present.remove(&record.from);
                mirror.present.insert(record.to);
            }
        }
        if !stray_marks.is_empty() {
            tracing::info!(count = stray_marks.len(), "removing marks of events that are gone");
            for path in &stray_marks {
                mirror.present.remove(path);
            }
            self.remove_all(stray_marks).await?;
        }
        if !old_queue.is_empty() {
            tracing::info!(count = old_queue.len(), "removing what the original left in its queues");
            self.remove_all(old_queue).await?;
        }
        mirror.next_seq = mirror.next_seq.max(next.next);
        contents.next_seq = mirror.next_seq.map(Seq);
        // What was read is nobody else's, then.
        self.check_epoch().await?;
        Ok((contents, State { mirror, next_version }))
    }

    /// Finishes what is committed and removes what is not.
    async fn settle(&self) -> Result<(Next, i32), StoreError> {
        for _ in 0..ATTEMPTS {
            let (next, version) = self.next().await?;
            let version = self.finish(&next, version).await?;
            let next = Next { staged: None, ..next };
            if let Some(version) = self.remove_uncommitted(&next, version).await? {
                return Ok((next, version));
            }
        }
        let text = format!("{} at ZooKeeper {} changes all the time", names::NEXT, self.place());
        Err(StoreError::new(StoreErrorKind::Unknown, text))
    }

    /// So that a node that was deposed long ago is told so before it reads a tree that others change.
    async fn check_epoch(&self) -> Result<(), StoreError> {
        self.session.sync(EPOCH).await.map_err(|error| from_read(&error))?;
        match read::get(&self.session, EPOCH).await? {
            Some((_, stat)) if stat.version == self.fence.epoch() => Ok(()),
            _ => Err(self.deposed(false)),
        }
    }

    /// Creates what is always there.
    pub(super) async fn ensure_base(&self) -> Result<(), StoreError> {
        let looked =
            read::present(&self.session, names::BASE.iter().map(|path| (*path).to_owned()).collect()).await?;
        for path in names::BASE {
            if looked.iter().any(|(looked, there)| looked == path && !there) {
                self.create_fenced(path, Vec::new()).await?;
            }
        }
        Ok(())
    }

    async fn check_schema(&self) -> Result<(), StoreError> {
        if schema(&self.session).await?.is_some() {
            return Ok(());
        }
        let schema = serde_json::to_vec(&Schema { v: SCHEMA_VERSION }).unwrap_or_default();
        self.create_fenced(names::SCHEMA, schema).await
    }

    async fn next(&self) -> Result<(Next, i32), StoreError> {
        if let Some(found) = next(&self.session).await? {
            return Ok(found);
        }
        let data = serde_json::to_vec(&Next { v: 1, ..Next::default() }).unwrap_or_default();
        self.create_fenced(names::NEXT, data).await?;
        Ok((Next::default(), 0))
    }

    /// Parts of batches that were never committed. The committed one is in place and removed by now.
    /// Gives the version of the node with the next place then, or nothing if another batch was committed meanwhile.
    async fn remove_uncommitted(&self, next: &Next, version: i32) -> Result<Option<i32>, StoreError> {
        let left = read::list(&self.session, names::STAGED).await?;
        if left.is_empty() {
            return Ok(Some(version));
        }
        // The commitment of one of them may be on its way yet, from a call that was given up. Under the new version it comes too
        // late, whatever its way.
        let version = match self.decide(version, next, Vec::new()).await {
            Verdict::Landed(version) => version,
            Verdict::Failed(error) | Verdict::Unclean(error) => return Err(error),
            Verdict::Moved | Verdict::Committed | Verdict::Foreign(..) | Verdict::Refused(..) => {
                return Ok(None);
            }
        };
        for batch in left {
            tracing::info!(batch, "removing a large batch that was never committed");
            self.remove_all(vec![format!("{}/{batch}", names::STAGED)]).await?;
        }
        Ok(Some(version))
    }

    /// Whether it is where it belongs now.
    async fn move_home(&self, record: &Misplaced, present: bool) -> Result<bool, StoreError> {
        tracing::info!(from = record.from, to = record.to, "moving a record to its right name");
        let mut transaction = vec![self.fence.check()];
        if !present {
            transaction.push(Change::Create { path: record.to.clone(), data: record.data.clone() });
        }
        transaction.push(Change::Delete { path: record.from.clone(), version: None });
        match self.repeated(&transaction).await {
            Ok(()) => Ok(true),
            Err(error) if is_deposed(&error) => Err(self.deposed(false)),
            Err(error) if error.index.is_none() => Err(from_read(&error)),
            // Done already by an attempt whose answer was lost.
            Err(error) if matches!(error.kind, ErrorKind::NodeExists | ErrorKind::NoNode) => Ok(true),
            Err(error) => {
                tracing::warn!(from = record.from, %error, "a record under a wrong name is left where it is");
                Ok(false)
            }
        }
    }

    /// Removes nodes, and what is below them.
    pub(super) async fn remove_all(&self, mut paths: Vec<String>) -> Result<(), StoreError> {
        let mut attempts = 0;
        while !paths.is_empty() {
            let many = paths.len().saturating_sub(REMOVE_AT_ONCE);
            let mut transaction = vec![self.fence.check()];
            transaction.extend(
                paths[many..].iter().map(|path| Change::Delete { path: path.clone(), version: None }),
            );
            match self.multi(&transaction).await {
                Ok(_) => paths.truncate(many),
                Err(error) if is_deposed(&error) => return Err(self.deposed(false)),
                Err(error) if error.kind.ends_session() => return Err(over(&error, false)),
                Err(error) => match (error.index, error.kind) {
                    (Some(at), ErrorKind::NoNode) => drop(paths.remove(many + at - 1)),
                    (Some(at), ErrorKind::NotEmpty) if attempts < REMOVE_ATTEMPTS + paths.len() => {
                        attempts += 1;
                        self.remove_below(&paths[many + at - 1].clone()).await?;
                    }
                    (None, kind) if kind.is_link() && attempts < REMOVE_ATTEMPTS => attempts += 1,
                    _ => return Err(from_read(&error)),
                },
            }
        }
        Ok(())
    }
}

/// The version of a tree of ours, if it says one.
///
/// # Errors
/// When it is newer than this mconn, or cannot be read.
pub(crate) async fn schema(session: &Session) -> Result<Option<u32>, StoreError> {
    let place = format!("{} at ZooKeeper {}", names::SCHEMA, session.settings().place());
    let Some((data, _)) = read::get(session, names::SCHEMA).await? else { return Ok(None) };
    match serde_json::from_slice::<Schema>(&data) {
        Ok(Schema { v }) if v > SCHEMA_VERSION => Err(StoreError::new(
            StoreErrorKind::TooNew,
            format!("{place} says version {v}, this mconn reads up to {SCHEMA_VERSION}: use a newer mconn"),
        )),
        // Version 1 is the first there is.
        Ok(Schema { v: v @ 1.. }) => Ok(Some(v)),
        _ => Err(corrupt(&place, &data)),
    }
}

/// The node with the next place and its version, if it is there.
pub(crate) async fn next(session: &Session) -> Result<Option<(Next, i32)>, StoreError> {
    let place = format!("{} at ZooKeeper {}", names::NEXT, session.settings().place());
    let Some((data, stat)) = read::get(session, names::NEXT).await? else { return Ok(None) };
    let next = serde_json::from_slice(&data).map_err(|_| corrupt(&place, &data))?;
    Ok(Some((next, stat.version)))
}

fn corrupt(place: &str, data: &[u8]) -> StoreError {
    let text: String = String::from_utf8_lossy(data).chars().take(200).collect();
    StoreError::new(
        StoreErrorKind::Corrupt,
        format!(
            "{place} cannot be read: it says {text:?}; restore the tree from an export, or use another path"
        ),
    )
}
