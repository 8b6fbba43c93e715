//! Reading the tree. Changes nothing: what is not as it should be is listed, for the caller to mend or to leave alone.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use mconn_model::{AppId, InventoryItem, ModuleName, Preset};
use mconn_store::{
    Contents, DeadLetter, JournalEntry, Seq, StoreError, decode_dead_letter, decode_item, decode_preset,
};

use super::errors::from_read;
use super::journal::{self, Node};
use super::mirror::Mirror;
use super::names;
use super::overlay::Overlay;
use crate::error::{Error, ErrorKind};
use crate::session::{Found, Session, Stat};

/// Single reads on their way at the same time. Measured: 64 make five times as many reads a second as one.
const PARALLEL: usize = 64;

/// Nodes that are asked for with one request: of the first ones, whose size nobody knows yet, and at most.
const MANY: (usize, usize) = (16, 500);

/// Bytes of names in one request; ZooKeeper takes 1 MiB.
const MAX_NAMES: usize = 256 * 1024;

/// Bytes that an answer should have.
const ANSWER: usize = 1024 * 1024;

/// Requests for many nodes on their way at the same time: one is made ready while another is read.
const REQUESTS: usize = 4;

/// So many nodes below one are looked for one by one; of more, the list of all is read.
const SINGLY: usize = 64;

/// How often a read is tried when the link is in trouble. Each waits for the link as long as a call may.
const ATTEMPTS: usize = 3;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) contents: Contents,
    pub(crate) mirror: Mirror,
    /// Nodes with a record under another name than it should have, and their right place.
    pub(crate) misplaced: Vec<Misplaced>,
    /// What the original left in its queues (spec/mconn.md section 5.7): to be removed.
    pub(crate) old_queue: Vec<String>,
    /// Marks of journal nodes that are gone: to be removed.
    pub(crate) stray_marks: Vec<String>,
}

/// A record in the wrong place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misplaced {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) data: Vec<u8>,
}

/// Reads everything below the session's path, as it will be when what is committed is in place.
///
/// The journal comes first. Should somebody write meanwhile, an event is in the journal that was read, or what came of it was in the
/// tree before the rest is read: it may seem to wait once more, and is never missing.
pub(crate) async fn tree(session: &Session, overlay: &Overlay) -> Result<Tree, StoreError> {
    let mut reading =
        Reading { session, overlay, tree: Tree::default(), presets: BTreeMap::new(), items: BTreeMap::new() };
    reading.journal().await?;
    reading.dead_letters().await?;
    for name in reading.list(names::MODULES).await? {
        reading.module(&name).await?;
    }
    Ok(reading.finish())
}

/// The children of a node, sorted; none of a node that is not there.
pub(crate) async fn list(session: &Session, path: &str) -> Result<Vec<String>, StoreError> {
    let mut names = match patiently(|| session.children(path)).await {
        Err(error) if error.kind == ErrorKind::NoNode => Vec::new(),
        names => names.map_err(|error| from_read(&error))?,
    };
    names.sort_unstable();
    Ok(names)
}

/// A node's data, if it is there.
pub(crate) async fn get(session: &Session, path: &str) -> Result<Option<(Vec<u8>, Stat)>, StoreError> {
    match patiently(|| session.get(path)).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == ErrorKind::NoNode => Ok(None),
        Err(error) => Err(from_read(&error)),
    }
}

/// Which of these nodes are there.
pub(crate) async fn present(
    session: &Session,
    paths: BTreeSet<String>,
) -> Result<Vec<(String, bool)>, StoreError> {
    let mut by_folder: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in paths {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        by_folder.entry(folder.to_owned()).or_default().push(path);
    }
    let (mut looked, mut singly) = (Vec::new(), Vec::new());
    for (folder, mut paths) in by_folder {
        if paths.len() <= SINGLY {
            singly.append(&mut paths);
            continue;
        }
        // One need not be allowed to list a node to look at those below it.
        let Ok(there) = list(session, &folder).await else {
            singly.append(&mut paths);
            continue;
        };
        let there: HashSet<String> = there.into_iter().collect();
        looked.extend(paths.into_iter().map(|path| {
            let is_there = there.contains(&path[folder.len() + 1..]);
            (path, is_there)
        }));
    }
    let looks = stream::iter(singly).map(|path| async move {
        let stat = patiently(|| session.exists(&path)).await.map_err(|error| from_read(&error))?;
        Ok::<_, StoreError>((path, stat.is_some()))
    });
    let singly: Vec<_> = looks.buffer_unordered(PARALLEL).try_collect().await?;
    looked.extend(singly);
    Ok(looked)
}

/// The data of these nodes, in order. As many are asked for with one request as make an answer of some [`ANSWER`] bytes, going by those
/// before.
async fn get_all(session: &Session, paths: &[String]) -> Result<Vec<Found>, StoreError> {
    let root = session.settings().path().len();
    let mut found: Vec<Found> = Vec::with_capacity(paths.len());
    let mut count = MANY.0;
    while found.len() < paths.len() {
        let mut wave = Vec::new();
        let mut rest = &paths[found.len()..];
        while wave.len() < REQUESTS && !rest.is_empty() {
            let mut bytes = 0;
            let fits = |path: &&String| {
                bytes += path.len() + root;
                bytes <= MAX_NAMES
            };
            let taken = rest.iter().take(count).take_while(fits).count().max(1);
            wave.push(rest[..taken].to_vec());
            rest = &rest[taken..];
        }
        let reads = stream::iter(wave).map(|paths| get_some(session, paths));
        let answers: Vec<Vec<Found>> =
            reads.buffered(REQUESTS).try_collect().await.map_err(|error| from_read(&error))?;
        let size = |found: &Found| found.as_ref().map_or(0, |(data, _)| data.len());
        // The largest answer tells how many the next one may hold: nodes with neighbouring names are alike.
        let fit = |answer: &Vec<Found>| {
            let node = (answer.iter().map(size).sum::<usize>() / answer.len().max(1)).max(1);
            (ANSWER / node).clamp(1, MANY.1)
        };
        count = answers.iter().map(fit).min().unwrap_or(MANY.0);
        found.extend(answers.into_iter().flatten());
    }
    Ok(found)
}

/// With one request, or one by one where the server does not know how.
async fn get_some(session: &Session, paths: Vec<String>) -> Result<Vec<Found>, Error> {
    match patiently(|| session.get_many(&paths)).await {
        Err(error) if error.kind == ErrorKind::Refused => {
            let reads = stream::iter(paths).map(|path| async move {
                match patiently(|| session.get(&path)).await {
                    Err(error) if error.kind.ends_session() || error.kind.is_link() => Err(error),
                    found => Ok(found),
                }
            });
            reads.buffered(PARALLEL).try_collect().await
        }
        found => found,
    }
}

async fn patiently<T, F: Future<Output = Result<T, Error>>>(read: impl Fn() -> F) -> Result<T, Error> {
    let mut attempt = 1;
    loop {
        match read().await {
            Err(error) if error.kind.is_link() && attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

struct Reading<'a> {
    session: &'a Session,
    overlay: &'a Overlay,
    tree: Tree,
    presets: BTreeMap<(ModuleName, AppId), Arc<Preset>>,
    items: BTreeMap<(ModuleName, Arc<str>), Arc<InventoryItem>>,
}

impl Reading<'_> {
    fn skip(&mut self, path: &str, why: &str) {
        self.tree.contents.skipped.push(format!("{path}: {why}"));
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let mut names = list(self.session, folder).await?.into_iter().collect();
        self.overlay.children(folder, &mut names);
        Ok(names.into_iter().collect())
    }

    /// The children of a node with their data, in order. What goes away while we read is left out; what we may not read is
    /// skipped, but known to be there.
    async fn read_all(&mut self, folder: &str) -> Result<Vec<(String, String, Vec<u8>)>, StoreError> {
        let names = self.list(folder).await?;
        let path = |name: &String| format!("{folder}/{name}");
        let overlay = self.overlay;
        let below: Vec<String> = names.iter().map(path).filter(|path| overlay.data(path).is_none()).collect();
        let mut found = get_all(self.session, &below).await?.into_iter();
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let path = path(&name);
            if let Some(data) = overlay.data(&path) {
                all.push((name, path, data.to_vec()));
                continue;
            }
            let data = match found.next() {
                Some(Ok((data, _))) => data,
                Some(Err(error)) if error.kind == ErrorKind::NoAuth => {
                    self.skip(&path, &error.message);
                    self.tree.mirror.present.insert(path);
                    if folder != names::MARKS && !folder.starts_with(names::MODULES) {
                        self.used(names::parse_place(&name));
                    }
                    continue;
                }
                Some(Err(error)) if error.kind != ErrorKind::NoNode => return Err(from_read(&error)),
                Some(Err(_)) | None => continue,
            };
            all.push((name, path, data));
        }
        Ok(all)
    }

    async fn module(&mut self, name: &str) -> Result<(), StoreError> {
        let path = format!("{}/{name}", names::MODULES);
        let module = match ModuleName::new(name) {
            Ok(module) => module,
            Err(error) => {
                self.skip(&path, &error.to_string());
                return Ok(());
            }
        };
        let folders = self.list(&path).await?;
        self.tree.mirror.present.insert(path.clone());
        self.tree.mirror.present.extend(folders.iter().map(|folder| format!("{path}/{folder}")));
        self.presets(&module).await?;
        self.items(&module).await?;
        let queue = names::module_folder(&module, names::QUEUE);
        let left = self.list(&queue).await?;
        self.tree.old_queue.extend(left.into_iter().map(|name| format!("{queue}/{name}")));
        Ok(())
    }

    async fn presets(&mut self, module: &ModuleName) -> Result<(), StoreError> {
        let mut misplaced = Vec::new();
        for (_, path, data) in self.read_all(&names::module_folder(module, names::PRESETS)).await? {
            self.tree.mirror.present.insert(path.clone());
            match decode_preset(&data) {
                Ok(preset) if preset.module != *module => {
                    self.skip(&path, &format!("it says that it belongs to module {}", preset.module));
                }
                Ok(preset) if names::preset(module, &preset.app) == path => {
                    self.presets.insert((module.clone(), preset.app.clone()), Arc::new(preset));
                }
                Ok(preset) => misplaced.push((path, preset, data)),
                Err(error) => self.skip(&path, &error.to_string()),
            }
        }
        // The original named nodes by the first part of the app id alone; the id inside is the truth. One that has its right
        // name is newer.
        for (from, preset, data) in misplaced {
            let to = names::preset(module, &preset.app);
            self.presets.entry((module.clone(), preset.app.clone())).or_insert_with(|| Arc::new(preset));
            self.tree.misplaced.push(Misplaced { from, to, data });
        }
        Ok(())
    }

    async fn items(&mut self, module: &ModuleName) -> Result<(), StoreError> {
        for (name, path, data) in self.read_all(&names::module_folder(module, names::INVENTORY)).await? {
            self.tree.mirror.present.insert(path.clone());
            let key = names::decode(&name);
            match decode_item(&key, &data) {
                Ok(item) => {
                    let to = names::item(module, &key);
                    let right = to == path;
                    let place = (module.clone(), item.key.clone());
                    if right || !self.items.contains_key(&place) {
                        self.items.insert(place, Arc::new(item));
                    }
                    if !right {
                        self.tree.misplaced.push(Misplaced { from: path, to, data });
                    }
                }
                Err(error) => self.skip(&path, &error.to_string()),
            }
        }
        Ok(())
    }

    async fn journal(&mut self) -> Result<(), StoreError> {
        let mut marks: BTreeMap<u64, (String, Vec<u8>)> = BTreeMap::new();
        for (name, path, data) in self.read_all(names::MARKS).await? {
            self.tree.mirror.present.insert(path.clone());
            match names::parse_place(&name) {
                Some(first) => drop(marks.insert(first, (path, data))),
                None => self.skip(&path, "its name is no place"),
            }
        }
        let mut entries: BTreeMap<Seq, Arc<JournalEntry>> = BTreeMap::new();
        let mut through: BTreeSet<(Seq, ModuleName)> = BTreeSet::new();
        for (name, path, data) in self.read_all(names::JOURNAL).await? {
            self.tree.mirror.present.insert(path.clone());
            let Some(first) = names::parse_place(&name) else {
                self.skip(&path, "its name is no place");
                continue;
            };
            let decoded = journal::decode(&data);
            for why in &decoded.unreadable {
                self.skip(&path, why);
            }
            self.used(decoded.last.max(Some(first)));
            let places = decoded.entries.iter().map(|entry| entry.seq.0).collect();
            let mut node = Node { places, held: !decoded.unreadable.is_empty(), ..Node::default() };
            if let Some((path, data)) = marks.remove(&first)
                && let Err(why) = journal::decode_marks(first, &data, &mut node)
            {
                self.skip(&path, &format!("{why}; the events of {name} are handled again"));
            }
            through.extend(
                node.through
                    .iter()
                    .flat_map(|(place, of)| of.iter().map(|module| (Seq(*place), module.clone()))),
            );
            let there = decoded.entries.into_iter().filter(|entry| node.has(entry.seq.0));
            entries.extend(there.map(|entry| (entry.seq, entry)));
            self.tree.mirror.home.extend(node.places.iter().map(|place| (*place, first)));
            self.tree.mirror.journal.insert(first, node);
        }
        let present = &self.tree.mirror.present;
        let stray = marks.into_iter().filter(|(first, _)| !present.contains(&names::journal(*first)));
        self.tree.stray_marks = stray.map(|(_, (path, _))| path).collect();
        self.tree.contents.journal = entries.into_values().collect();
        self.tree.contents.through = through.into_iter().collect();
        Ok(())
    }

    async fn dead_letters(&mut self) -> Result<(), StoreError> {
        let mut letters: BTreeMap<(ModuleName, Seq), Arc<DeadLetter>> = BTreeMap::new();
        for name in self.list(names::DEAD).await? {
            let folder = format!("{}/{name}", names::DEAD);
            self.tree.mirror.present.insert(folder.clone());
            for (name, path, data) in self.read_all(&folder).await? {
                self.tree.mirror.present.insert(path.clone());
                let module = folder.rsplit('/').next().and_then(|name| ModuleName::new(name).ok());
                let (Some(module), Some(place)) = (module, names::parse_place(&name)) else {
                    self.skip(&path, "its name is no place of a module");
                    continue;
                };
                self.used(Some(place));
                match decode_dead_letter(module.clone(), Seq(place), &data) {
                    Ok(letter) => drop(letters.insert((module, Seq(place)), Arc::new(letter))),
                    Err(error) => self.skip(&path, &error.to_string()),
                }
            }
        }
        self.tree.contents.dead_letters = letters.into_values().collect();
        Ok(())
    }

    /// A place that must never be used again.
    fn used(&mut self, place: Option<u64>) {
        let next = place.map(|place| place.saturating_add(1));
        self.tree.mirror.next_seq = self.tree.mirror.next_seq.max(next);
    }

    fn finish(mut self) -> Tree {
        self.tree.contents.presets = self.presets.into_values().collect();
        self.tree.contents.items = self.items.into_iter().map(|((module, _), item)| (module, item)).collect();
        self.tree.contents.next_seq = self.tree.mirror.next_seq.map(Seq);
        self.tree
    }
}
