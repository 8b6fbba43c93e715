//! What the owner of an epoch does with the tree before anything else: finish what was begun, mend what is out of place, read
//! everything. All of it can be repeated, and each change carries the check of the epoch.

use mconn_store::{Contents, SCHEMA_VERSION, Seq, StoreError, StoreErrorKind};
use serde::{Deserialize, Serialize};

use super::errors::{from_read, over};
use super::read::{self, Misplaced, Tree};
use super::{Next, State, ZookeeperStore, names};
use crate::error::ErrorKind;
use crate::fence::EPOCH;
use crate::session::Change;

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
        let (next, version) = self.next().await?;
        let next_version = self.finish(&next, version).await?;
        self.remove_uncommitted().await?;
        let Tree { mut contents, mut mirror, misplaced, old_queue } = read::tree(&self.session).await?;
        for record in misplaced {
            let present = mirror.present.contains(&record.to);
            self.move_home(&record, present).await?;
            mirror.present.remove(&record.from);
            mirror.present.insert(record.to);
        }
        if !old_queue.is_empty() {
            tracing::info!(count = old_queue.len(), "removing what the original left in its queues");
            self.remove_all(old_queue).await?;
        }
        mirror.next_seq = mirror.next_seq.max(next.next);
        contents.next_seq = mirror.next_seq.map(Seq);
        Ok((contents, State { mirror, next_version }))
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
        let place = format!("{} at ZooKeeper {}", names::SCHEMA, self.place());
        match read::get(&self.session, names::SCHEMA).await? {
            None => {
                let schema = serde_json::to_vec(&Schema { v: SCHEMA_VERSION }).unwrap_or_default();
                self.create_fenced(names::SCHEMA, schema).await
            }
            Some((data, _)) => match serde_json::from_slice::<Schema>(&data) {
                Ok(Schema { v }) if v > SCHEMA_VERSION => Err(StoreError::new(
                    StoreErrorKind::TooNew,
                    format!(
                        "{place} says version {v}, this mconn reads up to {SCHEMA_VERSION}: use a newer mconn"
                    ),
                )),
                // Version 1 is the first there is.
                Ok(Schema { v: 1.. }) => Ok(()),
                _ => Err(corrupt(&place, &data)),
            },
        }
    }

    async fn next(&self) -> Result<(Next, i32), StoreError> {
        let place = format!("{} at ZooKeeper {}", names::NEXT, self.place());
        if let Some((data, stat)) = read::get(&self.session, names::NEXT).await? {
            let next: Next = serde_json::from_slice(&data).map_err(|_| corrupt(&place, &data))?;
            return Ok((next, stat.version));
        }
        let data = serde_json::to_vec(&Next { v: 1, ..Next::default() }).unwrap_or_default();
        self.create_fenced(names::NEXT, data).await?;
        Ok((Next::default(), 0))
    }

    /// Parts of batches that were never committed. The committed one is in place and removed by now.
    async fn remove_uncommitted(&self) -> Result<(), StoreError> {
        for batch in read::list(&self.session, names::STAGED).await? {
            tracing::info!(batch, "removing a large batch that was never committed");
            self.remove_all(vec![format!("{}/{batch}", names::STAGED)]).await?;
        }
        Ok(())
    }

    async fn move_home(&self, record: &Misplaced, present: bool) -> Result<(), StoreError> {
        tracing::info!(from = record.from, to = record.to, "moving a record to its right name");
        let mut transaction = vec![self.fence.check()];
        if !present {
            transaction.push(Change::Create { path: record.to.clone(), data: record.data.clone() });
        }
        transaction.push(Change::Delete { path: record.from.clone(), version: None });
        self.fenced(&transaction, &[ErrorKind::NodeExists, ErrorKind::NoNode]).await
    }

    /// Removes nodes, and what is below them.
    async fn remove_all(&self, mut paths: Vec<String>) -> Result<(), StoreError> {
        let mut attempts = 0;
        while !paths.is_empty() {
            let many = paths.len().saturating_sub(REMOVE_AT_ONCE);
            let mut transaction = vec![self.fence.check()];
            transaction.extend(
                paths[many..].iter().map(|path| Change::Delete { path: path.clone(), version: None }),
            );
            match self.multi(&transaction).await {
                Ok(_) => paths.truncate(many),
                Err(error) if error.index == Some(0) => return Err(self.deposed(false)),
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

fn corrupt(place: &str, data: &[u8]) -> StoreError {
    let text: String = String::from_utf8_lossy(data).chars().take(200).collect();
    StoreError::new(
        StoreErrorKind::Corrupt,
        format!(
            "{place} cannot be read: it says {text:?}; restore the tree from an export, or use another path"
        ),
    )
}
