//! Reading a tree without being its leader, filling a store of ours, and dropping a module's part of it. Reading changes nothing, so it
//! can be done while nodes run, the original's or ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mconn_model::ModuleName;
use mconn_store::{Contents, Seq, Store as _, StoreError, StoreErrorKind, Write};

use crate::error::{Error, ErrorKind};
use crate::fence::OURS;
use crate::session::Session;
use crate::settings::Settings;
use crate::store::overlay::Overlay;
use crate::store::{ZookeeperStore, large, names, read, take_over};

/// How often the tree is read again because somebody has written meanwhile. A busy leader writes all the time.
const READS: usize = 3;

/// What a tree holds, of an original MConn or of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Original {
    /// Everything. Of an original, that is its presets and inventories. What could not be read is in `skipped`.
    pub contents: Contents,
    /// Events that waited in the original's queues. It kept their state and not their content, so a sync has to make up for them.
    pub waiting: usize,
    /// Nodes that run there, as the election has them. Import when there is none, or what changes later is missing.
    pub members: usize,
    /// Whether mconn itself has written in this tree.
    pub is_ours: bool,
    /// Version of our layout, if the tree says one.
    pub schema: Option<u32>,
    /// A large batch is committed and not in place yet. It is in `contents` as if it were.
    pub unfinished: bool,
    /// Somebody wrote all the time while it was read. No event is missing that was accepted before; some may be in the journal that are
    /// done, and are then handled once more.
    pub changing: bool,
}

/// Reads the tree of an original MConn (or ours) at this place. Creates nothing.
///
/// # Errors
/// When the place cannot be reached or read, or holds no such tree, or was written by a newer mconn.
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
/// When the place cannot be reached or read, or was written by a newer mconn.
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
    let mut attempt = 1;
    loop {
        match read_once(session).await {
            Ok(Some(found)) if found.changing && attempt < READS => {}
            // Parts that are missing may just have been put in place.
            Err(error) if error.kind == StoreErrorKind::Corrupt && attempt < READS => {}
            found => return found,
        }
        attempt += 1;
    }
}

async fn read_once(session: &Session) -> Result<Option<Original>, StoreError> {
    // The server that we talk to may be behind.
    session.sync("/").await.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error.message))?;
    let found = read::list(session, "/").await?;
    let is_ours = found.iter().any(|name| Some(name.as_str()) == OURS.strip_prefix('/'));
    // A node without modules has a place in the line only, and is to be seen.
    if !is_ours && !found.iter().any(|name| name == "modules" || name == "leader") {
        return Ok(None);
    }
    let schema = take_over::schema(session).await?;
    let next = take_over::next(session).await?;
    let (version, next) = next.map(|(next, version)| (version, next)).unzip();
    let next = next.unwrap_or_default();
    let overlay = Overlay::of(large::committed(session, &next).await?);
    let members = read::list(session, "/leader").await?.len();
    let mut tree = read::tree(session, &overlay).await?;
    // Places are never used twice, even when nothing is left of them.
    tree.contents.next_seq = tree.contents.next_seq.max(next.next.map(Seq));
    let after = take_over::next(session).await?;
    Ok(Some(Original {
        contents: tree.contents,
        waiting: tree.old_queue.len(),
        members,
        is_ours,
        schema,
        unfinished: next.staged.is_some(),
        changing: after.map(|(_, version)| version) != version,
    }))
}

/// What was dropped of a module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Its presets.
    pub presets: usize,
    /// Its inventory.
    pub items: usize,
    /// Its dead letters.
    pub dead_letters: usize,
    /// Events that it was owed and has no claim to any more.
    pub owed: usize,
    /// Of them, those that nobody else was owed, and that are gone.
    pub events: usize,
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

    /// Drops everything of a module that will not be loaded again, all or nothing; its folders go with it, and what could not be read
    /// in them. Events that it is owed count as handled by it.
    ///
    /// # Errors
    /// As for a commit.
    pub async fn drop_module(&self, module: &ModuleName) -> Result<Dropped, StoreError> {
        let contents = self.load().await?;
        let (batch, dropped) = drops(&contents, module);
        self.commit_above(batch, None).await?;
        self.remove_folders(&[format!("{}/{module}", names::MODULES), format!("{}/{module}", names::DEAD)])
            .await?;
        Ok(dropped)
    }
}

fn drops(contents: &Contents, module: &ModuleName) -> (Vec<Write>, Dropped) {
    let of_module = Contents {
        presets: contents.presets.iter().filter(|preset| preset.module == *module).cloned().collect(),
        items: contents.items.iter().filter(|(name, _)| name == module).cloned().collect(),
        dead_letters: contents
            .dead_letters
            .iter()
            .filter(|letter| letter.module == *module)
            .cloned()
            .collect(),
        ..Contents::default()
    };
    let mut batch: Vec<Write> = removals(&of_module).collect();
    let mut through: BTreeMap<Seq, BTreeSet<&ModuleName>> = BTreeMap::new();
    for (seq, name) in &contents.through {
        through.entry(*seq).or_default().insert(name);
    }
    let mut dropped = Dropped {
        presets: of_module.presets.len(),
        items: of_module.items.len(),
        dead_letters: of_module.dead_letters.len(),
        ..Dropped::default()
    };
    for entry in &contents.journal {
        let through = through.remove(&entry.seq).unwrap_or_default();
        if !entry.owed.contains(module) || through.contains(module) {
            continue;
        }
        dropped.owed += 1;
        if entry.owed.iter().all(|name| name == module || through.contains(name)) {
            dropped.events += 1;
            batch.push(Write::Forget(entry.seq));
        } else {
            batch.push(Write::Through { seq: entry.seq, module: module.clone() });
        }
    }
    (batch, dropped)
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
