//! What the store remembers of the tree, and what a batch makes of it. Pure: the tree itself is changed elsewhere.
//!
//! Only the leader writes, so the store knows which nodes are there and need not ask: a put is a creation or a change, a removal is
//! a deletion or nothing. If somebody else has been in the tree, ZooKeeper says so and the store looks again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mconn_model::ModuleName;
use mconn_store::{Seq, Write, encode_dead_letter, encode_item, encode_preset};

use super::journal::{self, MAX_BYTES, MAX_ENTRIES, Node};
use super::names;

/// What the store remembers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// Nodes that are there, of those that a batch may want to create, change or delete.
    pub(crate) present: HashSet<String>,
    /// The journal's nodes by their first place.
    pub(crate) journal: BTreeMap<u64, Node>,
    /// Which node an event lies in.
    pub(crate) home: HashMap<u64, u64>,
    /// Greater than every place ever used.
    pub(crate) next_seq: Option<u64>,
}

/// What a batch makes of the tree: final states, so that applying it twice is the same as once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    /// Nodes above others, each after the one above it.
    pub(crate) folders: Vec<String>,
    /// A node's data, or that it is gone.
    pub(crate) nodes: BTreeMap<String, Option<Vec<u8>>>,
    /// The journal's nodes that change, as they are then; `None` for those that go.
    pub(crate) journal: BTreeMap<u64, Option<Node>>,
    /// Greater than every place ever used.
    pub(crate) next_seq: Option<u64>,
}

impl Effect {
    /// Whether it has to do with this node.
    pub(crate) fn touches(&self, path: &str) -> bool {
        self.nodes.contains_key(path) || self.folders.iter().any(|folder| folder == path)
    }

    /// A node that would have more bytes than this, with its name, and how many.
    pub(crate) fn larger_than(&self, max: usize) -> Option<(&str, usize)> {
        let sizes = self.nodes.iter().map(|(path, data)| match data {
            Some(data) => (path.as_str(), path.len() + data.len()),
            None => (path.as_str(), 0),
        });
        sizes.into_iter().find(|(_, size)| *size > max)
    }
}

/// Why a batch cannot be written: this node of the journal cannot be read, and an event should go there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InTheWay(pub(crate) String);

/// The lines of the journal's nodes that a batch writes anew.
pub(crate) type Lines = HashMap<u64, BTreeMap<u64, String>>;

impl Mirror {
    /// The journal's nodes that this batch writes anew because it appends an event that they have already. Their lines must be
    /// read before [`Mirror::effect`].
    pub(crate) fn rewritten(&self, batch: &[Write]) -> BTreeSet<u64> {
        let appended = batch.iter().filter_map(|write| match write {
            Write::Append(entry) => self.home.get(&entry.seq.0).copied(),
            _ => None,
        });
        appended.collect()
    }

    /// What a batch makes of the tree.
    pub(crate) fn effect(&self, batch: &[Write], lines: &Lines) -> Result<Effect, InTheWay> {
        let effect = Effect { next_seq: self.next_seq, ..Effect::default() };
        let mut draft =
            Draft { mirror: self, effect, lines: Lines::new(), new: BTreeMap::new(), in_the_way: None };
        for write in batch {
            draft.apply(write, lines);
        }
        draft.finish()
    }

    /// Remembers that this effect is in the tree.
    pub(crate) fn apply(&mut self, effect: &Effect) {
        self.present.extend(effect.folders.iter().cloned());
        for (path, data) in &effect.nodes {
            if data.is_some() {
                self.present.insert(path.clone());
            } else {
                self.present.remove(path);
            }
        }
        for (first, node) in &effect.journal {
            if let Some(old) = self.journal.remove(first) {
                for place in old.places {
                    self.home.remove(&place);
                }
            }
            if let Some(node) = node {
                self.home.extend(node.places.iter().map(|place| (*place, *first)));
                self.journal.insert(*first, node.clone());
            }
        }
        self.next_seq = effect.next_seq;
    }
}

struct Draft<'a> {
    mirror: &'a Mirror,
    effect: Effect,
    /// Lines of nodes that are written anew.
    lines: Lines,
    /// Events that no node has yet.
    new: BTreeMap<u64, (String, BTreeSet<ModuleName>)>,
    in_the_way: Option<String>,
}

impl Draft<'_> {
    fn apply(&mut self, write: &Write, lines: &Lines) {
        match write {
            Write::PutPreset(preset) => {
                self.module_folders(&preset.module);
                self.put(names::preset(&preset.module, &preset.app), encode_preset(preset));
            }
            Write::RemovePreset { module, app } => self.remove(names::preset(module, app)),
            Write::PutItem { module, item } => {
                self.module_folders(module);
                self.put(names::item(module, &item.key), encode_item(item));
            }
            Write::RemoveItem { module, key } => self.remove(names::item(module, key)),
            Write::PutDeadLetter(letter) => {
                self.used(letter.seq);
                self.folder(format!("{}/{}", names::DEAD, letter.module));
                self.put(names::dead_letter(&letter.module, letter.seq), encode_dead_letter(letter));
            }
            Write::RemoveDeadLetter { module, seq } => self.remove(names::dead_letter(module, *seq)),
            Write::Append(entry) => {
                self.used(entry.seq);
                let (place, line) = (entry.seq.0, journal::line(entry));
                match self.mirror.home.get(&place) {
                    Some(first) => {
                        // Its unreadable lines are not in our hands.
                        if self.mirror.journal.get(first).is_some_and(|node| node.held) {
                            self.in_the_way.get_or_insert_with(|| names::journal(*first));
                        }
                        let of_node = self.lines.entry(*first);
                        of_node
                            .or_insert_with(|| lines.get(first).cloned().unwrap_or_default())
                            .insert(place, line);
                        self.touch(*first).forgotten.remove(&place);
                    }
                    None => self.new.entry(place).or_default().0 = line,
                }
            }
            Write::Through { seq, module } => {
                if let Some((_, through)) = self.new.get_mut(&seq.0) {
                    through.insert(module.clone());
                } else if let Some(node) = self.in_journal(*seq) {
                    node.through.entry(seq.0).or_default().insert(module.clone());
                }
            }
            Write::Forget(seq) => {
                if self.new.remove(&seq.0).is_none()
                    && let Some(node) = self.in_journal(*seq)
                {
                    node.forgotten.insert(seq.0);
                    node.through.remove(&seq.0);
                }
            }
        }
    }

    fn put(&mut self, path: String, data: Vec<u8>) {
        self.effect.nodes.insert(path, Some(data));
    }

    fn remove(&mut self, path: String) {
        self.effect.nodes.insert(path, None);
    }

    fn used(&mut self, seq: Seq) {
        self.effect.next_seq = self.effect.next_seq.max(Some(seq.next().0));
    }

    fn folder(&mut self, path: String) {
        if !self.mirror.present.contains(&path) && !self.effect.folders.contains(&path) {
            self.effect.folders.push(path);
        }
    }

    fn module_folders(&mut self, module: &ModuleName) {
        self.folder(format!("{}/{module}", names::MODULES));
        for folder in [names::PRESETS, names::INVENTORY, names::QUEUE] {
            self.folder(names::module_folder(module, folder));
        }
    }

    /// A journal's node, to be changed.
    fn touch(&mut self, first: u64) -> &mut Node {
        let old = self.mirror.journal.get(&first);
        let node = self.effect.journal.entry(first).or_insert_with(|| Some(old.cloned().unwrap_or_default()));
        node.get_or_insert_default()
    }

    /// The node of an event that is in the journal, to be changed.
    fn in_journal(&mut self, seq: Seq) -> Option<&mut Node> {
        let first = *self.mirror.home.get(&seq.0)?;
        let node = self.touch(first);
        node.has(seq.0).then_some(node)
    }

    fn finish(mut self) -> Result<Effect, InTheWay> {
        for (first, lines) in std::mem::take(&mut self.lines) {
            self.put(names::journal(first), journal::encode(lines.values().map(String::as_str)));
        }
        let touched: Vec<u64> = self.effect.journal.keys().copied().collect();
        for first in touched {
            let node = self.touch(first).clone();
            if node.is_spent() {
                self.effect.journal.insert(first, None);
                self.remove(names::journal(first));
                self.remove(names::marks(first));
            } else {
                self.effect.nodes.insert(names::marks(first), journal::encode_marks(first, &node));
            }
        }
        self.append();
        match self.in_the_way {
            Some(path) => Err(InTheWay(path)),
            None => Ok(self.effect),
        }
    }

    /// Puts the new events into new nodes.
    fn append(&mut self) {
        let mut new = std::mem::take(&mut self.new).into_iter().peekable();
        while let Some(&(first, _)) = new.peek() {
            let (mut node, mut lines, mut bytes) = (Node::default(), Vec::new(), 0);
            while let Some((place, (line, through))) = new.next_if(|(_, (line, _))| {
                node.places.is_empty() || (node.places.len() < MAX_ENTRIES && bytes + line.len() <= MAX_BYTES)
            }) {
                bytes += line.len();
                lines.push(line);
                node.places.insert(place);
                if !through.is_empty() {
                    node.through.insert(place, through);
                }
            }
            let path = names::journal(first);
            if self.mirror.present.contains(&path) {
                self.in_the_way.get_or_insert_with(|| path.clone());
            }
            self.put(path, journal::encode(lines.iter().map(String::as_str)));
            self.effect.nodes.insert(names::marks(first), journal::encode_marks(first, &node));
            self.effect.journal.insert(first, Some(node));
        }
    }
}
