//! What leaders wrote, out of ZooKeeper's transaction logs: who claimed which epoch, under which epoch each write was made and by
//! whose session, and every event that was put into the journal. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::txn_log::{Op, Txn};

/// A node began to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The number of the leadership.
    pub epoch: i32,
    /// The session that claimed it.
    pub session: i64,
    /// `host:port` of the node.
    pub node: String,
}

/// A write of a leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its place in the order of all transactions.
    pub zxid: i64,
    /// The epoch that it was made under; `None` if it checked none.
    pub epoch: Option<i32>,
    /// The epoch that it was at that moment.
    pub current: i32,
    /// Whose write it is.
    pub session: i64,
    /// The first node that it changed.
    pub path: String,
}

/// An event in the journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its place.
    pub place: u64,
    /// Its task.
    pub task: String,
    /// The task's new state.
    pub status: String,
    /// The number that its sender gave it; an event that a sync has made up has none.
    pub number: Option<u64>,
}

/// What was done to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is there since, or is another.
    Put,
    /// It is not there since.
    Removed,
}

/// All that was written below one path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Leaderships, in order.
    pub claims: Vec<Claim>,
    /// Writes of leaders, in order.
    pub writes: Vec<Write>,
    /// Events, by their places.
    pub journal: BTreeSet<Entry>,
    /// What was done to each task's item, in order: made or written again, or removed. Two changes in one transaction are one.
    pub items: BTreeMap<String, Vec<Change>>,
    /// Transactions that ZooKeeper has refused.
    pub refused: usize,
    /// Lines of the journal that cannot be read.
    pub unreadable: Vec<String>,
}

impl Written {
    /// Reads transactions; `namespace` is the path that the nodes share, without a slash at its end.
    #[must_use]
    pub fn of(txns: &[Txn], namespace: &str) -> Self {
        let epoch_path = format!("{namespace}/mconn/epoch");
        let items = format!("{namespace}/modules/Test/inventory/");
        let below = format!("{namespace}/");
        let line_of_members = format!("{namespace}/leader");
        let ground = [line_of_members.as_str(), &format!("{namespace}/mconn"), &epoch_path];
        let mut written = Self::default();
        let mut current = 0;
        for txn in txns {
            if txn.ops.iter().any(|op| matches!(op, Op::Refused { .. })) {
                written.refused += 1;
                continue;
            }
            let mut changed = txn.ops.iter().filter_map(change).filter(|(path, _)| path.starts_with(&below));
            if let Some(Op::Set { data, version, .. }) =
                txn.ops.iter().find(|op| matches!(op, Op::Set { path, .. } if *path == epoch_path))
            {
                current = *version;
                written.claims.push(Claim { epoch: *version, session: txn.session, node: node(data) });
                continue;
            }
            // Members come and go, and the ground is laid, before anybody leads.
            let is_leaders = |path: &str| !path.starts_with(&line_of_members) && !ground.contains(&path);
            let Some((path, _)) = changed.find(|(path, _)| is_leaders(path)) else { continue };
            let epoch = match txn.ops.first() {
                Some(Op::Check { path, version }) if *path == epoch_path => Some(*version),
                _ => None,
            };
            let write = Write { zxid: txn.zxid, epoch, current, session: txn.session, path: path.to_owned() };
            written.writes.push(write);
            for (path, data) in txn.ops.iter().filter_map(change) {
                if path.starts_with(&format!("{namespace}/mconn/journal/")) {
                    written.read_journal(data.unwrap_or_default());
                }
                if let Some(task) = path.strip_prefix(&items) {
                    let change = if data.is_some() { Change::Put } else { Change::Removed };
                    written.items.entry(task.to_owned()).or_default().push(change);
                }
            }
        }
        written
    }

    fn read_journal(&mut self, data: &[u8]) {
        let text = String::from_utf8_lossy(data);
        for line in text.lines().skip(1) {
            match entry(line) {
                // A node that is written again has the same lines.
                Some(entry) => _ = self.journal.insert(entry),
                None => self.unreadable.push(line.to_owned()),
            }
        }
    }

    /// Places that two different events have had.
    #[must_use]
    pub fn places_used_twice(&self) -> BTreeSet<u64> {
        let mut seen = BTreeSet::new();
        self.journal.iter().filter(|entry| !seen.insert(entry.place)).map(|entry| entry.place).collect()
    }
}

/// A change of a node and the node's new data.
fn change(op: &Op) -> Option<(&str, Option<&[u8]>)> {
    match op {
        Op::Create { path, data } | Op::Set { path, data, .. } => Some((path, Some(data))),
        Op::Delete { path } => Some((path, None)),
        Op::Check { .. } | Op::Refused { .. } => None,
    }
}

fn node(data: &[u8]) -> String {
    let data: Value = serde_json::from_slice(data).unwrap_or_default();
    let server = &data["serverdata"];
    format!("{}:{}", server["ip"].as_str().unwrap_or("?"), server["port"].as_str().unwrap_or("?"))
}

fn entry(line: &str) -> Option<Entry> {
    let (place, json) = line.split_once(' ')?;
    let json: Value = serde_json::from_str(json).ok()?;
    let task = &json["task"];
    Some(Entry {
        place: place.parse().ok()?,
        task: task["taskId"].as_str()?.to_owned(),
        status: task["taskStatus"].as_str()?.to_owned(),
        number: task["timestamp"].as_u64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txn(zxid: i64, session: i64, ops: Vec<Op>) -> Txn {
        Txn { zxid, session, time: 0, ops }
    }

    fn check(version: i32) -> Op {
        Op::Check { path: "/ns/mconn/epoch".into(), version }
    }

    fn create(path: &str, data: &str) -> Op {
        Op::Create { path: path.into(), data: data.as_bytes().to_vec() }
    }

    fn claim(version: i32) -> Op {
        let data = br#"{"serverdata":{"ip":"h","port":"1"}}"#.to_vec();
        Op::Set { path: "/ns/mconn/epoch".into(), data, version }
    }

    #[test]
    fn writes_are_told_from_what_anybody_does() {
        let line = r#"7 {"v":1,"task":{"taskId":"t","taskStatus":"TASK_RUNNING","timestamp":12}}"#;
        let written = Written::of(
            &[
                txn(
                    1,
                    9,
                    vec![create("/ns", ""), create("/ns/mconn", ""), create("/ns/leader/member_1", "")],
                ),
                txn(2, 9, vec![claim(1)]),
                txn(3, 9, vec![check(1), create("/ns/mconn/journal/7", &format!("{{\"v\":1}}\n{line}\n"))]),
                txn(4, 8, vec![Op::Refused { code: -103 }]),
                txn(5, 8, vec![Op::Delete { path: "/ns/modules/Test/inventory/t".into() }]),
                txn(6, 8, vec![create("/other/place", "")]),
                txn(7, 9, vec![check(1), create("/ns/modules/Test/inventory/u", "{}")]),
            ],
            "/ns",
        );
        assert_eq!(written.claims, [Claim { epoch: 1, session: 9, node: "h:1".into() }]);
        let writes: Vec<_> = written.writes.iter().map(|w| (w.zxid, w.epoch, w.current, w.session)).collect();
        assert_eq!(writes, [(3, Some(1), 1, 9), (5, None, 1, 8), (7, Some(1), 1, 9)]);
        assert_eq!((written.refused, written.unreadable.len()), (1, 0));
        let items = BTreeMap::from([("t".into(), vec![Change::Removed]), ("u".into(), vec![Change::Put])]);
        assert_eq!(written.items, items);
        let entry = Entry { place: 7, task: "t".into(), status: "TASK_RUNNING".into(), number: Some(12) };
        assert_eq!(written.journal, BTreeSet::from([entry.clone()]));
        assert!(written.places_used_twice().is_empty());
        let other = Entry { number: Some(13), ..entry.clone() };
        let twice = Written { journal: BTreeSet::from([entry, other]), ..written };
        assert_eq!(twice.places_used_twice(), BTreeSet::from([7]));
    }
}
