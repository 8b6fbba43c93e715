//! Writing a batch.

use std::collections::{BTreeSet, HashSet};

use mconn_store::{Seq, StoreError, StoreErrorKind, Write};
use tokio::time::Instant;

use super::errors::{deposed, from_read, over};
use super::journal;
use super::mirror::{Effect, InTheWay, Lines, Mirror};
use super::staged::{self, Part};
use super::{Next, State, ZookeeperStore, names, read};
use crate::error::{Error, ErrorKind};
use crate::session::{Change, Done};

/// Bytes of one transaction. ZooKeeper takes 1 MiB (jute.maxbuffer), and its own records of a transaction are somewhat larger.
const MAX_TRANSACTION: usize = 512 * 1024;

/// Bytes of one staged part.
const MAX_PART: usize = 384 * 1024;

/// Bytes of one node. ZooKeeper takes 1 MiB for the whole request; this leaves room for names and access lists.
const MAX_NODE: usize = 960 * 1024;

/// How often the tree is looked at again because somebody else has been in it.
const ATTEMPTS: usize = 8;

/// The version of the node with the next place.
const NEXT_VERSION: u32 = 1;

/// What became of a transaction.
#[derive(Debug)]
enum Verdict {
    /// It is in the tree; the node with the next place has this version.
    Landed(i32),
    /// It is certain to be in the tree before anything else is read or written.
    Committed,
    /// A batch that we know nothing of has been written in this epoch: one of ours that was given up.
    Moved,
    /// Somebody else has been in the tree, at this node.
    Foreign(String, ErrorKind),
    /// As the caller must know it.
    Failed(StoreError),
}

/// What a staged batch needs.
struct Stage {
    folder: String,
    parts: Vec<Part>,
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
            let effect = match self.effect(&now.mirror, batch).await {
                Ok(effect) => Effect { next_seq: effect.next_seq.max(next.map(|next| next.0)), ..effect },
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
                // In these two cases the state is not put back: whoever comes next reads the tree.
                Verdict::Committed => return Ok(()),
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

    async fn effect(&self, mirror: &Mirror, batch: &[Write]) -> Result<Effect, StoreError> {
        let mut lines = Lines::new();
        for first in mirror.rewritten(batch) {
            let data = read::get(&self.session, &names::journal(first)).await?;
            lines.insert(first, data.map(|(data, _)| journal::decode(&data).lines).unwrap_or_default());
        }
        let effect = mirror.effect(batch, &lines).map_err(|InTheWay(path)| {
            let text = format!(
                "an event belongs into {path} at {}, which cannot be read: move that node away",
                self.place()
            );
            StoreError::new(StoreErrorKind::Corrupt, text)
        })?;
        let large = effect.nodes.iter().find_map(|(path, data)| {
            let size = data.as_ref()?.len();
            (size > MAX_NODE).then_some((path, size))
        });
        if let Some((path, size)) = large {
            let text = format!(
                "{path} would have {size} bytes, and ZooKeeper takes {MAX_NODE} in one node: keep less in one record"
            );
            return Err(StoreError::new(StoreErrorKind::Unavailable, text));
        }
        Ok(effect)
    }

    async fn put(&self, state: &mut State, effect: &Effect) -> Verdict {
        let mut next =
            Next { v: NEXT_VERSION, next: effect.next_seq, batch: Some(self.batch_number()), staged: None };
        let changes = changes(&state.mirror.present, effect);
        if self.size(&changes) <= MAX_TRANSACTION {
            return self.decide(state.next_version, &next, changes).await;
        }
        let folders = effect.folders.iter().map(|path| (path.clone(), Some(Vec::new())));
        let nodes =
            effect.nodes.iter().filter(|(path, data)| data.is_some() || state.mirror.present.contains(*path));
        let nodes = nodes.map(|(path, data)| (path.clone(), data.clone()));
        let stage = Stage {
            folder: format!("{}/{}", names::STAGED, next.batch.as_deref().unwrap_or_default()),
            parts: staged::split(folders.chain(nodes), MAX_PART),
        };
        if let Err(error) = self.stage(&stage).await {
            return Verdict::Failed(error);
        }
        next.staged = Some(stage.parts.len());
        match self.decide(state.next_version, &next, Vec::new()).await {
            Verdict::Landed(version) => match self.put_in_place(&stage, version, &next).await {
                Ok(version) => Verdict::Landed(version),
                // It is committed, so whoever asked for it gets it. The rest is done before anything else is written: by us,
                // or by whoever leads next.
                Err(error) => {
                    tracing::warn!(%error, "a large batch is committed and will be put in place later");
                    Verdict::Committed
                }
            },
            verdict => verdict,
        }
    }

    /// Writes the parts of a batch that is not committed yet.
    async fn stage(&self, stage: &Stage) -> Result<(), StoreError> {
        self.create_fenced(&stage.folder, Vec::new()).await?;
        for (number, part) in stage.parts.iter().enumerate() {
            self.create_fenced(&part_path(&stage.folder, number), staged::encode(part)).await?;
        }
        Ok(())
    }

    /// Puts a committed batch in place and removes its parts; gives the version of the node with the next place then.
    async fn put_in_place(&self, stage: &Stage, version: i32, next: &Next) -> Result<i32, StoreError> {
        // A copy of one of these transactions that arrives late finds another version and changes nothing.
        let guard = || vec![self.fence.check(), Change::Check { path: names::NEXT.to_owned(), version }];
        for part in &stage.parts {
            self.put_part(part, &guard).await?;
        }
        let done = Next { staged: None, ..next.clone() };
        let mut remove: Vec<Change> = (0..stage.parts.len())
            .map(|number| Change::Delete { path: part_path(&stage.folder, number), version: None })
            .collect();
        remove.push(Change::Delete { path: stage.folder.clone(), version: None });
        match self.decide(version, &done, remove).await {
            Verdict::Landed(version) => Ok(version),
            Verdict::Failed(error) => Err(error),
            Verdict::Committed | Verdict::Moved | Verdict::Foreign(..) => {
                let text = format!("somebody else has changed {} at {}", stage.folder, self.place());
                Err(StoreError::new(StoreErrorKind::Unknown, text))
            }
        }
    }

    async fn put_part(&self, part: &Part, guard: &impl Fn() -> Vec<Change>) -> Result<(), StoreError> {
        let mut rest = part.as_slice();
        let mut attempts = 0;
        while !rest.is_empty() {
            let paths: BTreeSet<String> = rest.iter().map(|(path, _)| path.clone()).collect();
            let looked = read::present(&self.session, paths).await?;
            let present: HashSet<String> =
                looked.into_iter().filter(|(_, there)| *there).map(|(path, _)| path).collect();
            while !rest.is_empty() {
                let (mut transaction, mut taken) = (guard(), 0);
                for (path, data) in rest {
                    let change = change(&present, path, data.as_deref());
                    if taken > 0
                        && self.size(&transaction) + change.as_ref().map_or(0, Change::bytes)
                            > MAX_TRANSACTION
                    {
                        break;
                    }
                    transaction.extend(change);
                    taken += 1;
                }
                match self.multi(&transaction).await {
                    Ok(_) => rest = &rest[taken..],
                    Err(error) if error.index == Some(0) => return Err(self.deposed(false)),
                    Err(error) if error.kind.ends_session() => return Err(over(&error, true)),
                    // Done already by an attempt whose answer was lost, or by somebody else: look again.
                    Err(error) if attempts < ATTEMPTS && error.index != Some(1) => {
                        attempts += 1;
                        if let Some(Change::Delete { path, .. }) =
                            error.index.and_then(|at| transaction.get(at))
                            && error.kind == ErrorKind::NotEmpty
                        {
                            self.remove_below(path).await?;
                        }
                        break;
                    }
                    Err(error) => return Err(StoreError::new(StoreErrorKind::Unknown, error.message)),
                }
            }
        }
        Ok(())
    }

    /// Finishes a committed batch that another call or another leader has left behind; gives the version then.
    pub(super) async fn finish(&self, next: &Next, version: i32) -> Result<i32, StoreError> {
        let (Some(batch), Some(count)) = (&next.batch, next.staged) else { return Ok(version) };
        let folder = format!("{}/{batch}", names::STAGED);
        let mut parts = Vec::new();
        for number in 0..count {
            let path = part_path(&folder, number);
            let data = read::get(&self.session, &path).await?;
            let part = data.and_then(|(data, _)| staged::decode(&data));
            parts.push(part.ok_or_else(|| {
                let text = format!(
                    "batch {batch} is committed and its part {path} is gone or cannot be read: the tree at {} is not whole; \
                     restore it from a backup, or remove \"staged\" from {} to go on without that batch",
                    self.place(),
                    names::NEXT
                );
                StoreError::new(StoreErrorKind::Corrupt, text)
            })?);
        }
        tracing::info!(batch, parts = count, "putting in place a large batch that was committed before");
        self.put_in_place(&Stage { folder, parts }, version, next).await
    }

    /// Sends the one transaction that decides about a batch, until it is certain what became of it.
    async fn decide(&self, version: i32, next: &Next, changes: Vec<Change>) -> Verdict {
        // Cannot fail: numbers and names only.
        let data = serde_json::to_vec(next).unwrap_or_default();
        let mut transaction = vec![
            self.fence.check(),
            Change::Set { path: names::NEXT.to_owned(), data, version: Some(version) },
        ];
        transaction.extend(changes);
        // An expired session is known as such by then.
        let deadline = Instant::now() + self.session.timeout() * 3 / 2;
        let mut lost = false;
        loop {
            let error = match self.multi(&transaction).await {
                Ok(done) => match done.get(1) {
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
        let mut attempts = 0;
        loop {
            match self.multi(transaction).await {
                Ok(_) => return Ok(()),
                Err(error) if error.index == Some(0) => return Err(self.deposed(false)),
                Err(error) if error.index.is_some() && done.contains(&error.kind) => return Ok(()),
                Err(error) if error.kind.is_link() && attempts < ATTEMPTS => attempts += 1,
                Err(error) => return Err(from_read(&error)),
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

    fn size(&self, changes: &[Change]) -> usize {
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

pub(super) fn part_path(folder: &str, number: usize) -> String {
    format!("{folder}/{number:06}")
}

fn changes(present: &HashSet<String>, effect: &Effect) -> Vec<Change> {
    let folders = effect.folders.iter().map(|path| Change::Create { path: path.clone(), data: Vec::new() });
    let nodes = effect.nodes.iter().filter_map(|(path, data)| change(present, path, data.as_deref()));
    folders.chain(nodes).collect()
}

/// What makes a node as it should be.
fn change(present: &HashSet<String>, path: &str, data: Option<&[u8]>) -> Option<Change> {
    let path = path.to_owned();
    match (data, present.contains(&path)) {
        (Some(data), true) => Some(Change::Set { path, data: data.to_vec(), version: None }),
        (Some(data), false) => Some(Change::Create { path, data: data.to_vec() }),
        (None, true) => Some(Change::Delete { path, version: None }),
        (None, false) => None,
    }
}
