//! Writing a batch that is larger than one transaction may be (see [`staged`]).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mconn_store::{StoreError, StoreErrorKind};

use super::engine::{ATTEMPTS, MAX_TRANSACTION, Verdict, change};
use super::errors::{from_read, is_deposed, over};
use super::mirror::Effect;
use super::staged::{self, Part};
use super::{Next, State, ZookeeperStore, names, read};
use crate::error::ErrorKind;
use crate::session::{self, Change, Session};

/// Bytes of one staged part.
const MAX_PART: usize = 384 * 1024;

/// What a staged batch needs.
struct Stage {
    folder: String,
    parts: Vec<Part>,
}

impl ZookeeperStore {
    pub(super) async fn put_large(&self, state: &State, effect: &Effect, mut next: Next) -> Verdict {
        let folders = effect.folders.iter().map(|path| (path.clone(), Some(Vec::new())));
        let nodes =
            effect.nodes.iter().filter(|(path, data)| data.is_some() || state.mirror.present.contains(*path));
        let nodes = nodes.map(|(path, data)| (path.clone(), data.clone()));
        let stage = Stage {
            folder: folder(next.batch.as_deref().unwrap_or_default()),
            parts: staged::split(folders.chain(nodes), MAX_PART),
        };
        if let Err(error) = self.stage(&stage).await {
            return self.unstage(&stage, error).await;
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
            Verdict::Failed(error) => self.unstage(&stage, error).await,
            verdict => verdict,
        }
    }

    /// Writes the parts of a batch that is not committed yet.
    async fn stage(&self, stage: &Stage) -> Result<(), StoreError> {
        let create = [self.fence.check(), Change::Create { path: stage.folder.clone(), data: Vec::new() }];
        match self.repeated(&create).await {
            Err(error) if error.kind == ErrorKind::NoNode && !is_deposed(&error) => {
                // Somebody has removed what is always there.
                self.ensure_base().await?;
                self.create_fenced(&stage.folder, Vec::new()).await?;
            }
            Err(error) if is_deposed(&error) => return Err(self.deposed(false)),
            Err(error) if error.index.is_none() || error.kind != ErrorKind::NodeExists => {
                return Err(from_read(&error));
            }
            _ => {}
        }
        for (number, part) in stage.parts.iter().enumerate() {
            self.create_fenced(&part_path(&stage.folder, number), staged::encode(part)).await?;
        }
        Ok(())
    }

    /// Removes the parts of a batch that could not be committed, so that they do not lie there until the next leader comes.
    async fn unstage(&self, stage: &Stage, error: StoreError) -> Verdict {
        // Otherwise it is over, or the batch may yet be committed.
        if error.kind != StoreErrorKind::Unavailable {
            return Verdict::Failed(error);
        }
        // A link in trouble would only hold up the answer.
        if self.session.state() == session::State::Connected
            && self.remove_all(vec![stage.folder.clone()]).await.is_ok()
        {
            return Verdict::Failed(error);
        }
        Verdict::Unclean(error)
    }

    /// Puts a committed batch in place and removes its parts; gives the version of the node with the next place then.
    async fn put_in_place(&self, stage: &Stage, version: i32, next: &Next) -> Result<i32, StoreError> {
        let placed = self.place_parts(stage, version, next).await;
        placed.map_err(|error| match error.kind {
            StoreErrorKind::Deposed => error,
            kind => StoreError::new(
                kind,
                format!("batch {} is committed and not in place yet: {}", stage.folder, error.message),
            ),
        })
    }

    async fn place_parts(&self, stage: &Stage, version: i32, next: &Next) -> Result<i32, StoreError> {
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
        let mut verdict = self.decide(version, &done, remove).await;
        if let Verdict::Foreign(path, kind) = verdict {
            // Somebody has been among the parts, which nobody needs any more.
            tracing::warn!(path, ?kind, "somebody else has changed the parts of a large batch");
            verdict = self.decide(version, &done, Vec::new()).await;
            if matches!(verdict, Verdict::Landed(_)) {
                self.remove_all(vec![stage.folder.clone()]).await?;
            }
        }
        match verdict {
            Verdict::Landed(version) => Ok(version),
            Verdict::Failed(error) | Verdict::Unclean(error) => Err(error),
            Verdict::Refused(_, error) => Err(StoreError::new(StoreErrorKind::Unknown, error.message)),
            Verdict::Committed | Verdict::Moved | Verdict::Foreign(..) => {
                let text = format!("somebody else has changed {} at {}", names::NEXT, self.place());
                Err(StoreError::new(StoreErrorKind::Unknown, text))
            }
        }
    }

    async fn put_part(&self, part: &Part, guard: &impl Fn() -> Vec<Change>) -> Result<(), StoreError> {
        let mut rest = part.as_slice();
        let mut left_out: HashSet<String> = HashSet::new();
        let mut attempts = 0;
        while !rest.is_empty() {
            let paths: BTreeSet<String> = rest.iter().map(|(path, _)| path.clone()).collect();
            let looked = read::present(&self.session, paths).await?;
            let present: HashSet<String> =
                looked.into_iter().filter(|(_, there)| *there).map(|(path, _)| path).collect();
            while !rest.is_empty() {
                let (transaction, taken) = self.piece(rest, &present, &left_out, guard());
                let Err(error) = self.multi(&transaction).await else {
                    rest = &rest[taken..];
                    attempts = 0;
                    continue;
                };
                if is_deposed(&error) {
                    return Err(self.deposed(false));
                }
                if error.kind.ends_session() {
                    return Err(over(&error, true));
                }
                let change = error.index.filter(|at| *at > 1).and_then(|at| transaction.get(at));
                match (change.map(Change::path), error.kind) {
                    // Of what others can make again or a sync repairs. Nothing of ours may get lost like this.
                    (Some(path), ErrorKind::NoAuth | ErrorKind::Refused)
                        if path.starts_with(names::MODULES) =>
                    {
                        tracing::error!(path, %error, "a change of a committed batch is refused by ZooKeeper and left out");
                        left_out.insert(path.to_owned());
                    }
                    // Done already by an attempt whose answer was lost, or by somebody else: look again.
                    _ if attempts < ATTEMPTS && error.index != Some(1) => {
                        attempts += 1;
                        match (change, error.kind) {
                            (Some(Change::Delete { path, .. }), ErrorKind::NotEmpty) => {
                                self.remove_below(path).await?;
                            }
                            (Some(_), ErrorKind::NoNode) => self.ensure_above(rest, guard).await?,
                            _ => {}
                        }
                    }
                    _ => return Err(StoreError::new(StoreErrorKind::Unknown, error.message)),
                }
                break;
            }
        }
        Ok(())
    }

    /// As much of a part as goes into one transaction, and how many of its nodes that are.
    fn piece(
        &self,
        rest: &[(String, Option<Vec<u8>>)],
        present: &HashSet<String>,
        left_out: &HashSet<String>,
        mut transaction: Vec<Change>,
    ) -> (Vec<Change>, usize) {
        let mut size = self.size(&transaction);
        for (taken, (path, data)) in rest.iter().enumerate() {
            let change = change(present, path, data.as_deref()).filter(|_| !left_out.contains(path));
            size += change.as_ref().map_or(0, |change| self.size(std::slice::from_ref(change)));
            if taken > 0 && size > MAX_TRANSACTION {
                return (transaction, taken);
            }
            transaction.extend(change);
        }
        (transaction, rest.len())
    }

    /// Creates what is missing above these nodes: somebody else may have removed a whole folder.
    async fn ensure_above(
        &self,
        nodes: &[(String, Option<Vec<u8>>)],
        guard: &impl Fn() -> Vec<Change>,
    ) -> Result<(), StoreError> {
        let above = |path: &str| -> Vec<String> {
            path.match_indices('/').skip(1).map(|(at, _)| path[..at].to_owned()).collect()
        };
        let folders =
            nodes.iter().filter(|(_, data)| data.is_some()).flat_map(|(path, _)| above(path)).collect();
        // In order: each after the one above it.
        let looked: BTreeMap<String, bool> =
            read::present(&self.session, folders).await?.into_iter().collect();
        for path in looked.into_iter().filter(|(_, there)| !there).map(|(path, _)| path) {
            tracing::warn!(path, "somebody else has removed a folder of mconn; creating it again");
            let mut transaction = guard();
            transaction.push(Change::Create { path, data: Vec::new() });
            self.fenced(&transaction, &[ErrorKind::NodeExists]).await?;
        }
        Ok(())
    }

    /// Finishes a committed batch that another call or another leader has left behind; gives the version then.
    pub(super) async fn finish(&self, next: &Next, version: i32) -> Result<i32, StoreError> {
        let (Some(batch), Some(_)) = (&next.batch, next.staged) else { return Ok(version) };
        let parts = committed(&self.session, next).await?;
        tracing::info!(
            batch,
            parts = parts.len(),
            "putting in place a large batch that was committed before"
        );
        self.put_in_place(&Stage { folder: folder(batch), parts }, version, next).await
    }
}

/// The parts of the batch that is committed and not in place yet; none if there is no such batch.
pub(crate) async fn committed(session: &Session, next: &Next) -> Result<Vec<Part>, StoreError> {
    let (Some(batch), Some(count)) = (&next.batch, next.staged) else { return Ok(Vec::new()) };
    let mut parts = Vec::new();
    for number in 0..count {
        let path = part_path(&folder(batch), number);
        let data = read::get(session, &path).await?;
        let part = data.and_then(|(data, _)| staged::decode(&data));
        parts.push(part.ok_or_else(|| {
            let text = format!(
                "batch {batch} is committed and its part {path} is gone or cannot be read: the tree at {} is not whole; \
                 restore it from a backup, or remove \"staged\" from {} to go on without that batch",
                session.settings().place(),
                names::NEXT
            );
            StoreError::new(StoreErrorKind::Corrupt, text)
        })?);
    }
    Ok(parts)
}

fn folder(batch: &str) -> String {
    format!("{}/{batch}", names::STAGED)
}

fn part_path(folder: &str, number: usize) -> String {
    format!("{folder}/{number:06}")
}
