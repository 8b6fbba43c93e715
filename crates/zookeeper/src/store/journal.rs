//! The journal's nodes: one holds the events that were accepted with one batch, or a part of them. What becomes of them later
//! stands in a second, small node beside it, so that the events themselves are written once.
//!
//! ```text
//! journal/<first place>   {"v":1}                        marks/<first place>   {"v":1,"forgotten":[[0,2]],"through":{"Test":[[3,3]]}}
//!                         17 {...}                                             (ranges of offsets from the first place)
//!                         18 {...}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mconn_model::ModuleName;
use mconn_store::{JournalEntry, Seq, decode_journal_entry, encode_journal_entry};
use serde::{Deserialize, Serialize};

/// The version that is written.
const VERSION: u32 = 1;

/// Events in one node. Marks are rewritten whole, and at worst every second event is forgotten: 250 ranges of some
/// 10 bytes and as many for each module.
pub(crate) const MAX_ENTRIES: usize = 500;

/// Bytes of one node, unless one event alone is larger: far below what ZooKeeper takes, so that several fit into one batch.
pub(crate) const MAX_BYTES: usize = 128 * 1024;

/// One node's events, and what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// The places of its events.
    pub(crate) places: BTreeSet<u64>,
    /// Those that have left the journal.
    pub(crate) forgotten: BTreeSet<u64>,
    /// Modules that are through with those that have not.
    pub(crate) through: BTreeMap<u64, BTreeSet<ModuleName>>,
    /// It has something that cannot be read: it stays.
    pub(crate) held: bool,
}

impl Node {
    /// Whether nothing in it is needed any more.
    pub(crate) fn is_spent(&self) -> bool {
        !self.held && self.forgotten.len() == self.places.len()
    }

    /// Whether an event is in the journal.
    pub(crate) fn has(&self, place: u64) -> bool {
        self.places.contains(&place) && !self.forgotten.contains(&place)
    }
}

/// An event as its line.
pub(crate) fn line(entry: &JournalEntry) -> String {
    // JSON of ours has no line ends, and is always UTF-8.
    format!("{} {}\n", entry.seq, String::from_utf8_lossy(&encode_journal_entry(entry)))
}

/// The data of a node with these lines.
pub(crate) fn encode<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut data = format!("{{\"v\":{VERSION}}}\n");
    lines.for_each(|line| data.push_str(line));
    data.into_bytes()
}

#[derive(Serialize, Deserialize)]
struct Header {
    v: u32,
}

/// What a node's data say.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) entries: Vec<Arc<JournalEntry>>,
    /// The lines as they were, by place.
    pub(crate) lines: BTreeMap<u64, String>,
    /// What could not be read, in words.
    pub(crate) unreadable: Vec<String>,
    /// The greatest place that is named, readable or not.
    pub(crate) last: Option<u64>,
}

/// Reads a node's data. A line that cannot be read costs that line.
pub(crate) fn decode(data: &[u8]) -> Decoded {
    let mut decoded = Decoded::default();
    let Ok(text) = std::str::from_utf8(data) else {
        decoded.unreadable.push("it is no UTF-8".to_owned());
        return decoded;
    };
    let mut lines = text.split_inclusive('\n');
    match lines.next().map(serde_json::from_str::<Header>) {
        Some(Ok(header)) if header.v <= VERSION => {}
        Some(Ok(header)) => {
            decoded.unreadable.push(format!("version {} is newer than this mconn", header.v));
            return decoded;
        }
        _ => {
            decoded.unreadable.push("its first line is no header".to_owned());
            return decoded;
        }
    }
    for (number, line) in lines.enumerate() {
        let place = line.split_once(' ').and_then(|(place, json)| Some((place.parse::<u64>().ok()?, json)));
        let Some((place, json)) = place else {
            decoded.unreadable.push(format!("line {}: no place", number + 2));
            continue;
        };
        decoded.last = decoded.last.max(Some(place));
        match decode_journal_entry(Seq(place), json.trim_end().as_bytes()) {
            Ok(entry) => {
                decoded.entries.push(Arc::new(entry));
                decoded.lines.insert(place, line.to_owned());
            }
            Err(error) => decoded.unreadable.push(format!("line {}: {error}", number + 2)),
        }
    }
    decoded
}

type Ranges = Vec<(u64, u64)>;

#[derive(Serialize, Deserialize)]
struct Marks {
    v: u32,
    #[serde(default)]
    forgotten: Ranges,
    #[serde(default)]
    through: BTreeMap<String, Ranges>,
}

/// The data of a node's marks; `None` when there is nothing to say.
pub(crate) fn encode_marks(first: u64, node: &Node) -> Option<Vec<u8>> {
    if node.forgotten.is_empty() && node.through.is_empty() {
        return None;
    }
    let mut through: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (place, modules) in &node.through {
        for module in modules {
            through.entry(module.as_str().to_owned()).or_default().push(*place);
        }
    }
    let marks = Marks {
        v: VERSION,
        forgotten: ranges(first, node.forgotten.iter().copied()),
        through: through
            .into_iter()
            .map(|(module, places)| (module, ranges(first, places.into_iter())))
            .collect(),
    };
    // Numbers and names only: this cannot fail.
    Some(serde_json::to_vec(&marks).unwrap_or_default())
}

/// Adds the marks to a node's events.
///
/// # Errors
/// In words, when they cannot be read; the node is then without marks, so that its events are handled again.
pub(crate) fn decode_marks(first: u64, data: &[u8], node: &mut Node) -> Result<(), String> {
    let marks: Marks = serde_json::from_slice(data).map_err(|error| error.to_string())?;
    if marks.v > VERSION {
        return Err(format!("version {} is newer than this mconn", marks.v));
    }
    let expand = |ranges: &Ranges| -> Vec<u64> {
        // A set's `range` panics when the end is before the beginning, which foreign data may say.
        let sane = ranges.iter().filter(|(from, to)| from <= to);
        let bounds = sane.map(|(from, to)| first.saturating_add(*from)..=first.saturating_add(*to));
        bounds.flat_map(|bounds| node.places.range(bounds).copied()).collect()
    };
    let forgotten: BTreeSet<u64> = expand(&marks.forgotten).into_iter().collect();
    let mut through: BTreeMap<u64, BTreeSet<ModuleName>> = BTreeMap::new();
    for (name, ranges) in &marks.through {
        let module = ModuleName::new(name).map_err(|error| error.to_string())?;
        for place in expand(ranges).into_iter().filter(|place| !forgotten.contains(place)) {
            through.entry(place).or_default().insert(module.clone());
        }
    }
    node.forgotten = forgotten;
    node.through = through;
    Ok(())
}

fn ranges(first: u64, places: impl Iterator<Item = u64>) -> Ranges {
    let mut ranges: Ranges = Vec::new();
    for place in places {
        let offset = place.saturating_sub(first);
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == offset => *to = offset,
            _ => ranges.push((offset, offset)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn module(name: &str) -> ModuleName {
        ModuleName::new(name).unwrap()
    }

    #[test]
    fn a_broken_line_costs_that_line() {
        let good = r#"7 {"v":1,"at":1,"owed":["Test"],"task":{"taskId":"t","taskStatus":"TASK_RUNNING","appId":"/a"}}"#;
        let text = format!("{{\"v\":1}}\n{good}\nx y\n9 {{}}\n");
        let decoded = decode(text.as_bytes());
        assert_eq!(decoded.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [Seq(7)]);
        assert_eq!(decoded.unreadable.len(), 2, "{:?}", decoded.unreadable);
        assert_eq!(decoded.last, Some(9));
        for whole in ["", "{\"v\":2}\n1 {}\n", "no\n", "{\"state\":\"new\"}"] {
            assert_eq!(decode(whole.as_bytes()).unreadable.len(), 1, "{whole}");
        }
        assert_eq!(decode(b"\xff").unreadable, ["it is no UTF-8"]);
    }

    #[test]
    fn marks_have_one_form() {
        let mut node = Node { places: (10..20).collect(), ..Node::default() };
        assert_eq!(encode_marks(10, &node), None);
        node.forgotten = [10, 11, 15].into();
        node.through.insert(12, [module("A"), module("B")].into());
        node.through.insert(13, [module("A")].into());
        let text = String::from_utf8(encode_marks(10, &node).unwrap()).unwrap();
        assert_eq!(text, r#"{"v":1,"forgotten":[[0,1],[5,5]],"through":{"A":[[2,3]],"B":[[2,2]]}}"#);
    }

    #[test]
    fn foreign_marks_do_no_harm() {
        for text in ["x", r#"{"v":2}"#, r#"{"v":1,"through":{"no name":[[0,1]]}}"#] {
            let mut node = Node { places: [1, 2].into(), ..Node::default() };
            assert!(decode_marks(1, text.as_bytes(), &mut node).is_err(), "{text}");
            assert!(node.has(1) && node.has(2));
        }
        let mut node = Node { places: [1, 2].into(), ..Node::default() };
        let far = r#"{"v":1,"forgotten":[[5,2],[0,18446744073709551615]]}"#;
        decode_marks(1, far.as_bytes(), &mut node).unwrap();
        assert!(node.is_spent());
    }

    proptest! {
        #[test]
        fn marks_come_back(
            first in 0_u64..1_000_000,
            forgotten in proptest::collection::btree_set(0_u64..50, 0..50),
            through in proptest::collection::btree_map(0_u64..50, proptest::collection::btree_set("[A-C]", 1..3), 0..20),
        ) {
            let places: BTreeSet<u64> = (first..first + 50).collect();
            let mut node = Node { places: places.clone(), ..Node::default() };
            node.forgotten = forgotten.iter().map(|offset| first + offset).collect();
            for (offset, modules) in &through {
                if !forgotten.contains(offset) {
                    node.through.insert(first + offset, modules.iter().map(|name| module(name)).collect());
                }
            }
            let mut read = Node { places, ..Node::default() };
            if let Some(data) = encode_marks(first, &node) {
                decode_marks(first, &data, &mut read).unwrap();
            }
            prop_assert_eq!(read, node);
        }
    }
}
