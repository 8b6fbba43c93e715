//! Writing a batch.

use std::collections::{BTreeSet, HashSet};

use mconn_store::{Seq, StoreError, StoreErrorKind, Write};
use tokio::time::Instant;

use super::errors::{deposed, from_read, is_deposed, over};
use super::journal;
use super::mirror::{Effect, InTheWay, Lines, Mirror};
use super::{Next, State, ZookeeperStore, names, read};
use crate::error::{Error, ErrorKind};
use crate::session::{Change, Done};

/// Bytes of one transaction. ZooKeeper takes 1 MiB (jute.maxbuffer), and its own records of a transaction are somewhat larger.
pub(super) const MAX_TRANSACTION: usize = 512 * 1024;

/// Bytes of one node with its name. ZooKeeper takes 1 MiB for the whole request; this leaves room for access lists and what a staged
/// part adds.
const MAX_NODE: usize = 960 * 1024;

/// Bytes of one record, with its own name: what the store promises to take. Folders, and a line's place, come on top.
pub(super) const MAX_RECORD: usize = MAX_NODE - 4 * 1024;

/// How often the tree is looked at again because somebody else has been in it.
pub(super) const ATTEMPTS: usize = 8;

/// The version of the node with the next place.
const NEXT_VERSION: u32 = 1;

/// What became of a transaction.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is in the tree; the node with the next place has this version.
    Landed(i32),
    /// It is certain to be in the tree before anything else is read or written.
    Committed,
    /// A batch that we know nothing of has been written in this epoch: one of ours that was given up.
    Moved,
    /// Somebody else has been in the tree, at this node.
    Foreign(String, ErrorKind),
    /// ZooKeeper does not let us write at this node; nothing is in the tree.
    Refused(String, Error),
    /// As the caller must know it; what was written for it before may still lie in the tree.
    Unclean(StoreError),
    /// As the caller must know it.
    Failed(StoreError),
}

impl ZookeeperStore {
    /// Writes a batch. The state is gone afterwards if it is not certain how the tree is.
    pub(super) async fn write(
        &self,
        state: &mut Option<State>,
        batch: &[Write],
        next: Option<Seq>,
    ) -> Result<(), StoreError> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let mut now = match state.take() {
                Some(state) => state,
                None => self.take_over().await?.1,
            };
            let effect = match self.lines(&now.mirror, batch).await {
                Ok(lines) => self.effect(&now.mirror, batch, &lines).map(|effect| (lines, effect)),
                Err(error) => Err(error),
            };
            let (lines, effect) = match effect {
                Ok((lines, effect)) => {
                    (lines, Effect { next_seq: effect.next_seq.max(next.map(|next| next.0)), ..effect })
                }
                Err(error) => {
                    *state = Some(now);
                    return Err(error);
                }
            };
            match self.put(&mut now, &effect).await {
                Verdict::Landed(version) => {
                    now.next_version = version;
                    now.mirror.apply(&effect);
                    *state = Some(now);
                    return Ok(());
                }
                // In these three cases the state is not put back: whoever comes next reads the tree.
                Verdict::Committed => return Ok(()),
                Verdict::Unclean(error) => return Err(error),
                Verdict::Moved => last = "a batch that was given up has arrived".to_owned(),
                Verdict::Foreign(path, kind) => {
                    last = format!("somebody else has changed {path}");
                    tracing::warn!(
                        path,
                        ?kind,
                        "somebody else has changed mconn's part of ZooKeeper; looking again"
                    );
                    self.look_again(&mut now.mirror, &effect, &path, kind).await?;
                    *state = Some(now);
                }
                Verdict::Refused(path, error) => {
                    let write = culprit(&now.mirror, batch, &lines, |effect| effect.touches(&path));
                    *state = Some(now);
                    let kind =
                        write.map_or(StoreErrorKind::Unavailable, |write| StoreErrorKind::Refused { write });
                    return Err(StoreError::new(kind, error.message));
                }
                Verdict::Failed(error) => {
                    // Otherwise it may arrive yet, and the next call reads the tree.
                    if error.kind == StoreErrorKind::Unavailable {
                        *state = Some(now);
                    }
                    return Err(error);
                }
            }
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "{last}, {ATTEMPTS} times in a row, in {}: nobody but mconn may write there",
                self.place()
            ),
        ))
    }

    /// The lines of the journal's nodes that the batch writes anew.
    async fn lines(&self, mirror: &Mirror, batch: &[Write]) -> Result<Lines, StoreError> {
        let mut lines = Lines::new();
        for first in mirror.rewritten(batch) {
            let data = read::get(&self.session, &names::journal(first)).await?;
            lines.insert(first, data.map(|(data, _)| journal::decode(&data).lines).unwrap_or_default());
        }
        Ok(lines)
    }

    fn effect(&self, mirror: &Mirror, batch: &[Write], lines: &Lines) -> Result<Effect, StoreError> {
        let effect = mirror.effect(batch, lines).map_err(|InTheWay(path)| {
            let text = format!(
                "an event belongs into {path} at {}, which cannot be read: move that node away",
                self.place()
            );
            StoreError::new(StoreErrorKind::Corrupt, text)
        })?;
        let Some((path, size)) = effect.larger_than(MAX_NODE) else { return Ok(effect) };
        let write = culprit(mirror, batch, lines, |effect| effect.larger_than(MAX_NODE).is_some());
        let kind = write.map_or(StoreErrorKind::Unavailable, |write| StoreErrorKind::Refused { write });
        let shown: String = path.chars().take(200).collect();
        let text = format!(
            "{shown} would have {size} bytes with its name, and ZooKeeper takes {MAX_NODE} in one node: keep less in one record"
        );
        Err(StoreError::new(kind, text))
    }

    async fn put(&self, state: &mut State, effect: &Effect) -> Verdict {
        let next =
            Next { v: NEXT_VERSION, next: effect.next_seq, batch: Some(self.batch_number()), staged: None };
        let changes = changes(&state.mirror.present, effect);
        if self.size(&changes) <= MAX_TRANSACTION {
            return self.decide(state.next_version, &next, changes).await;
        }
        self.put_large(state, effect, next).await
    }

    /// Sends the one transaction that decides about a batch, until it is certain what became of it.
    pub(super) async fn decide(&self, version: i32, next: &Next, changes: Vec<Change>) -> Verdict {
        let mut transaction = vec![self.fence.check()];
        // Cannot fail: numbers and names only.
        transaction.extend(set_next(version, &serde_json::to_vec(next).unwrap_or_default()));
        // The last answer of those before has the version.
        let own = transaction.len();
        transaction.extend(changes);
        // An expired session is known as such by then.
        let deadline = Instant::now() + self.session.timeout() * 3 / 2;
        let mut lost = false;
        loop {
            let error = match self.multi(&transaction).await {
                Ok(done) => match done.get(own - 1) {
                    Some(Done::Set { version }) => return Verdict::Landed(*version),
                    _ => return Verdict::Moved,
                },
                Err(error) => error,
            };
            match (error.index, error.kind) {
                (Some(0), ErrorKind::BadVersion | ErrorKind::NoNode) => {
                    return Verdict::Failed(self.deposed(lost));
                }
                (Some(1), ErrorKind::NoNode) => return Verdict::Moved,
                (Some(1), ErrorKind::BadVersion) => return self.whose(next).await,
                (Some(at), ErrorKind::NoNode | ErrorKind::NodeExists | ErrorKind::NotEmpty) if !lost => {
                    let path = transaction.get(at).map_or("", Change::path);
                    return Verdict::Foreign(path.to_owned(), error.kind);
                }
                (Some(at), ErrorKind::NoAuth | ErrorKind::Refused) if at >= own && !lost => {
                    let path = transaction.get(at).map_or("", Change::path);
                    return Verdict::Refused(path.to_owned(), error);
                }
                (_, kind) if kind.ends_session() => return Verdict::Failed(over(&error, lost)),
                (_, ErrorKind::Unknown) => lost = true,
                // Waiting for the link again, if something may be on its way.
                (_, ErrorKind::NotSent) if lost => {}
                _ => {
                    let kind = if lost { StoreErrorKind::Unknown } else { StoreErrorKind::Unavailable };
                    return Verdict::Failed(StoreError::new(kind, error.message));
                }
            }
            if Instant::now() >= deadline {
                let text = format!("{}; the batch may or may not be stored", error.message);
                return Verdict::Failed(StoreError::new(StoreErrorKind::Unknown, text));
            }
        }
    }

    /// The node with the next place has moved on: by this very batch, whose answer was lost, or by another.
    async fn whose(&self, next: &Next) -> Verdict {
        match read::get(&self.session, names::NEXT).await {
            Ok(Some((data, stat)))
                if serde_json::from_slice::<Next>(&data).is_ok_and(|found| found == *next) =>
            {
                Verdict::Landed(stat.version)
            }
            Ok(_) => Verdict::Moved,
            Err(error) if error.kind == StoreErrorKind::Deposed => Verdict::Failed(error),
            Err(error) => Verdict::Failed(StoreError::new(StoreErrorKind::Unknown, error.message)),
        }
    }

    /// Corrects what is remembered of the nodes that a batch wants to change.
    async fn look_again(
        &self,
        mirror: &mut Mirror,
        effect: &Effect,
        path: &str,
        kind: ErrorKind,
    ) -> Result<(), StoreError> {
        if kind == ErrorKind::NotEmpty {
            self.remove_below(path).await?;
        }
        self.ensure_base().await?;
        let mut paths: BTreeSet<String> = effect.folders.iter().cloned().collect();
        for path in effect.nodes.keys() {
            let folders = path.match_indices('/').map(|(at, _)| at).skip(1).map(|at| path[..at].to_owned());
            paths.extend(folders);
            paths.insert(path.clone());
        }
        for (path, there) in read::present(&self.session, paths).await? {
            if there {
                mirror.present.insert(path);
            } else {
                mirror.present.remove(&path);
            }
        }
        Ok(())
    }

    /// One transaction.
    pub(super) async fn multi(&self, changes: &[Change]) -> Result<Vec<Done>, Error> {
        #[cfg(feature = "testing")]
        self.step();
        #[cfg(feature = "testing")]
        if self.steps.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) <= 0 {
            return Err(Error::new(ErrorKind::Expired, "stopped by the test"));
        }
        self.session.multi(changes).await
    }

    /// Creates a node if this node still leads. Finding it there is no error.
    pub(super) async fn create_fenced(&self, path: &str, data: Vec<u8>) -> Result<(), StoreError> {
        let transaction = [self.fence.check(), Change::Create { path: path.to_owned(), data }];
        self.fenced(&transaction, &[ErrorKind::NodeExists]).await
    }

    /// A transaction that may be repeated, if this node still leads. The first change is the check; an error of these kinds at
    /// another means that it is done already.
    pub(super) async fn fenced(&self, transaction: &[Change], done: &[ErrorKind]) -> Result<(), StoreError> {
        match self.repeated(transaction).await {
            Err(error) if is_deposed(&error) => Err(self.deposed(false)),
            Err(error) if error.index.is_some() && done.contains(&error.kind) => Ok(()),
            result => result.map_err(|error| from_read(&error)),
        }
    }

    /// The same with the error as it is, but for trouble of the link that passes.
    pub(super) async fn repeated(&self, transaction: &[Change]) -> Result<(), Error> {
        let mut attempts = 0;
        loop {
            match self.multi(transaction).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind.is_link() && attempts < ATTEMPTS => attempts += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes everything below a node of ours that somebody else has put there.
    pub(super) async fn remove_below(&self, path: &str) -> Result<(), StoreError> {
        let mut open = vec![path.to_owned()];
        let mut found = Vec::new();
        while let Some(path) = open.pop() {
            for name in read::list(&self.session, &path).await? {
                let below = format!("{path}/{name}");
                found.push(below.clone());
                open.push(below);
            }
        }
        // The lowest first.
        found.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
        for path in found {
            let transaction = [self.fence.check(), Change::Delete { path, version: None }];
            self.fenced(&transaction, &[ErrorKind::NoNode, ErrorKind::NotEmpty]).await?;
        }
        Ok(())
    }

    pub(super) fn size(&self, changes: &[Change]) -> usize {
        let root = self.session.settings().path().len();
        changes.iter().map(|change| change.bytes() + root).sum()
    }

    pub(super) fn deposed(&self, may_be_stored: bool) -> StoreError {
        deposed(self.fence.epoch(), &self.place(), may_be_stored)
    }

    pub(super) fn place(&self) -> String {
        self.session.settings().place()
    }
}

/// Replaces the data of the node with the next place. ZooKeeper counts versions with 32 bits, through the negative ones, and takes -1 for
/// "any": no node of ours may have it, or it would protect nothing. Some 100 days of 500 commits a second lead there.
fn set_next(version: i32, data: &[u8]) -> Vec<Change> {
    let set = |version| Change::Set { path: names::NEXT.to_owned(), data: data.to_vec(), version };
    match version {
        -2 => vec![set(Some(-2)), set(None)],
        version => vec![set(Some(version))],
    }
}

/// The write with which it becomes so, of a batch of which it is so.
fn culprit(
    mirror: &Mirror,
    batch: &[Write],
    lines: &Lines,
    is_so: impl Fn(&Effect) -> bool,
) -> Option<usize> {
    let with = |count: usize| mirror.effect(&batch[..count], lines).is_ok_and(|effect| is_so(&effect));
    if !with(batch.len()) {
        return None;
    }
    let (mut without, mut enough) = (0, batch.len());
    while enough - without > 1 {
        let middle = without.midpoint(enough);
        if with(middle) {
            enough = middle;
        } else {
            without = middle;
        }
    }
    enough.checked_sub(1)
}

fn changes(present: &HashSet<String>, effect: &Effect) -> Vec<Change> {
    let folders = effect.folders.iter().map(|path| Change::Create { path: path.clone(), data: Vec::new() });
    let nodes = effect.nodes.iter().filter_map(|(path, data)| change(present, path, data.as_deref()));
    folders.chain(nodes).collect()
}

/// What makes a node as it should be.
pub(super) fn change(present: &HashSet<String>, path: &str, data: Option<&[u8]>) -> Option<Change> {
    let path = path.to_owned();
    match (data, present.contains(&path)) {
        (Some(data), true) => Some(Change::Set { path, data: data.to_vec(), version: None }),
        (Some(data), false) => Some(Change::Create { path, data: data.to_vec() }),
        (None, true) => Some(Change::Delete { path, version: None }),
        (None, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_version_of_the_next_place_means_any() {
        let versions = |version| {
            let changes = set_next(version, b"{}");
            let versions = changes.iter().map(|change| match change {
                Change::Set { version, .. } => *version,
                other => panic!("{other:?}"),
            });
            versions.collect::<Vec<_>>()
        };
        assert_eq!(versions(5), [Some(5)]);
        assert_eq!(versions(i32::MAX), [Some(i32::MAX)]);
        // From -2 over -1 to 0 at once.
        assert_eq!(versions(-2), [Some(-2), None]);
    }

    #[test]
    fn the_culprit_is_found_wherever_it_is() {
        let remove = |key: String| {
            let module = mconn_model::ModuleName::new("Test").unwrap();
            Write::RemoveItem { module, key: key.into() }
        };
        let batch: Vec<Write> = (0..50).map(|i| remove(format!("i{i}"))).collect();
        let mirror = Mirror::default();
        let find = |key: usize| {
            let path = format!("/modules/Test/inventory/i{key}");
            culprit(&mirror, &batch, &Lines::new(), |effect| effect.touches(&path))
        };
        for key in 0..50 {
            assert_eq!(find(key), Some(key));
        }
        assert_eq!(find(50), None);
    }
}
