//! Reading the tree of an original MConn, and filling a store of ours. Reading changes nothing, so it can be tried while the
//! original runs.

use std::sync::Arc;

use mconn_store::{Contents, Store as _, StoreError, StoreErrorKind, Write};

use crate::error::{Error, ErrorKind};
use crate::session::Session;
use crate::settings::Settings;
use crate::store::{ZookeeperStore, read};

/// What a tree of the original holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Original {
    /// Its presets and inventories. What could not be read is in `skipped`.
    pub contents: Contents,
    /// Events that waited in its queues. It kept their state and not their content, so a sync has to make up for them.
    pub waiting: usize,
    /// Nodes that run there, as the election has them. Import when there is none, or what changes later is missing.
    pub members: usize,
    /// Whether mconn itself has written in this tree since.
    pub is_ours: bool,
}

/// Reads the tree of an original MConn (or ours) at this place. Creates nothing.
///
/// # Errors
/// When the place cannot be reached or read, or holds no such tree.
pub async fn read_original(settings: Settings) -> Result<Original, StoreError> {
    let place = settings.place();
    find_original(settings).await?.ok_or_else(|| {
        let text =
            format!("there is no MConn tree at ZooKeeper {place}: check hosts and path (MCONN_ZK_PATH)");
        StoreError::new(StoreErrorKind::Unavailable, text)
    })
}

/// The same where there may be none.
///
/// # Errors
/// When the place cannot be reached or read.
pub async fn find_original(settings: Settings) -> Result<Option<Original>, StoreError> {
    let session = match Session::visit(settings).await {
        Ok(session) => session,
        Err(Error { kind: ErrorKind::NoNode, .. }) => return Ok(None),
        Err(error) => return Err(StoreError::new(StoreErrorKind::Unavailable, error.message)),
    };
    let found = read_tree(&session).await;
    session.close(session.settings().call_deadline).await;
    found
}

async fn read_tree(session: &Session) -> Result<Option<Original>, StoreError> {
    let names = read::list(session, "/").await?;
    // A node without modules has a place in the line only, and is to be seen.
    if !names.iter().any(|name| name == "modules" || name == "leader") {
        return Ok(None);
    }
    let members = read::list(session, "/leader").await?.len();
    let tree = read::tree(session).await?;
    Ok(Some(Original {
        contents: tree.contents,
        waiting: tree.old_queue.len(),
        members,
        is_ours: names.iter().any(|name| name == "mconn"),
    }))
}

impl ZookeeperStore {
    /// Fills the store with these contents, all or nothing. With `replace`, what was in it before is gone afterwards (records
    /// that cannot be read stay); the next place never goes back.
    ///
    /// # Errors
    /// `Unavailable` when there is something in the store and `replace` was not given; else as for a commit.
    pub async fn import(&self, contents: &Contents, replace: bool) -> Result<(), StoreError> {
        let present = self.load().await?;
        let empty = Contents { next_seq: present.next_seq, ..Contents::default() };
        if !replace && present != empty {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!(
                    "the store at {} is not empty ({} presets, {} items, {} events, {} dead letters, {} unreadable records): \
                     export it first, then import with --replace, or use another path",
                    self.location(),
                    present.presets.len(),
                    present.items.len(),
                    present.journal.len(),
                    present.dead_letters.len(),
                    present.skipped.len()
                ),
            ));
        }
        let batch: Vec<Write> = removals(&present).chain(writes(contents)).collect();
        self.commit_above(batch, contents.next_seq).await
    }
}

fn removals(contents: &Contents) -> impl Iterator<Item = Write> {
    let presets =
        contents.presets.iter().map(|p| Write::RemovePreset { module: p.module.clone(), app: p.app.clone() });
    let items = contents
        .items
        .iter()
        .map(|(module, item)| Write::RemoveItem { module: module.clone(), key: item.key.clone() });
    let journal = contents.journal.iter().map(|entry| Write::Forget(entry.seq));
    let letters = contents
        .dead_letters
        .iter()
        .map(|letter| Write::RemoveDeadLetter { module: letter.module.clone(), seq: letter.seq });
    presets.chain(items).chain(journal).chain(letters)
}

fn writes(contents: &Contents) -> impl Iterator<Item = Write> {
    let presets = contents.presets.iter().map(|preset| Write::PutPreset(Arc::clone(preset)));
    let items = contents
        .items
        .iter()
        .map(|(module, item)| Write::PutItem { module: module.clone(), item: Arc::clone(item) });
    let journal = contents.journal.iter().map(|entry| Write::Append(Arc::clone(entry)));
    let through =
        contents.through.iter().map(|(seq, module)| Write::Through { seq: *seq, module: module.clone() });
    let letters = contents.dead_letters.iter().map(|letter| Write::PutDeadLetter(Arc::clone(letter)));
    presets.chain(items).chain(journal).chain(through).chain(letters)
}
