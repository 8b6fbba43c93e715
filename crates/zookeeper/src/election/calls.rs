//! The machine's calls, as calls of the session.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use mconn_leadership::{Answer, Call, Epoch, EpochNode, MemberName, Seen, SessionId};
use mconn_model::Timestamp;
use tokio::time::timeout;

use super::data::{Identity, read_leader, read_member};
use super::{EPOCH_PATH, LEADER_PATH};
use crate::fence;
use crate::session::{Change, Done, Session, Watch};
use crate::{Error, ErrorKind};

/// More members than any cluster has. If there are more, those in the middle of the line are not read: the first ones decide,
/// and our own are among the last.
const MAX_MEMBERS: usize = 128;

/// Members that are read at a time.
const READS: usize = 16;

/// Any version, in a check: only whether the node is there.
const ANY_VERSION: i32 = -1;

/// A watch that came with an answer.
#[derive(Debug)]
pub(super) enum Armed {
    Nothing,
    Epoch(Watch),
    Member(MemberName, Watch),
}

/// What bounds a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) deadline: Duration,
    /// The highest epoch that was seen.
    pub(super) known: Option<Epoch>,
}

/// Carries out one call within its deadline.
pub(super) async fn carry_out(
    session: Session,
    identity: Identity,
    call: Call,
    now: Timestamp,
    limits: Limits,
) -> (Answer, Armed) {
    let deadline = limits.deadline;
    let done = timeout(deadline, answer(&session, &identity, &call, now)).await;
    match done {
        Ok(Ok(answered)) => answered,
        Ok(Err(error)) => {
            if error.kind == ErrorKind::NoNode {
                // Somebody has removed what we stand on. The call is repeated afterwards.
                let why = match timeout(deadline, lay_ground(&session, limits.known)).await {
                    Ok(Err(error)) => error.message,
                    Ok(Ok(())) | Err(_) => error.message,
                };
                return (Answer::Failed { why }, Armed::Nothing);
            }
            (Answer::Failed { why: error.message }, Armed::Nothing)
        }
        Err(_) => (Answer::Failed { why: format!("no answer within {deadline:?}") }, Armed::Nothing),
    }
}

/// Creates the nodes that an election needs, from the root of the ensemble on. `known` is the highest epoch that this process
/// has seen.
pub(super) async fn lay_ground(session: &Session, known: Option<Epoch>) -> Result<(), Error> {
    if session.create_path().await? && known.is_some() {
        let place = session.settings().place();
        tracing::error!(
            context = "ZookeeperHandler",
            "{place} was deleted while this node ran, and with it everything that mconn had stored; created again, empty"
        );
    }
    session.create_all(LEADER_PATH).await?;
    fence::lay_ground(session, known.map(|epoch| epoch.0)).await
}

async fn answer(
    session: &Session,
    identity: &Identity,
    call: &Call,
    now: Timestamp,
) -> Result<(Answer, Armed), Error> {
    let answer = match call {
        Call::List => Answer::Listed(list(session).await?),
        Call::ReadEpoch => {
            let (data, stat, watch) = session.get_and_watch(EPOCH_PATH).await?;
            let node = EpochNode { epoch: Epoch(stat.version), leader: read_leader(&data) };
            return Ok((Answer::Epoch(node), Armed::Epoch(watch)));
        }
        Call::Watch(name) => {
            let (stat, watch) = session.exists_and_watch(&path(*name)).await?;
            let armed = if stat.is_some() { Armed::Member(*name, watch) } else { Armed::Nothing };
            return Ok((Answer::Watching { present: stat.is_some() }, armed));
        }
        Call::Create => create(session, identity).await?,
        Call::Delete(name) => match session.delete(&path(*name), None).await {
            Err(error) if error.kind != ErrorKind::NoNode => return Err(error),
            _ => Answer::Deleted,
        },
        Call::Claim { member, seen } => claim(session, identity, *member, *seen, now).await?,
        Call::Prove { member, epoch } => prove(session, *member, *epoch).await?,
    };
    Ok((answer, Armed::Nothing))
}

fn path(name: MemberName) -> String {
    format!("{LEADER_PATH}/{name}")
}

async fn create(session: &Session, identity: &Identity) -> Result<Answer, Error> {
    let name = session.create_member(LEADER_PATH, MemberName::PREFIX, &identity.member()).await?;
    Ok(match MemberName::parse(&name) {
        Some(name) => Answer::Created(name),
        None => Answer::Failed { why: format!("ZooKeeper has made \"{name}\", which is no member's name") },
    })
}

/// The epoch is ours if, in one transaction, our member is there and the epoch is the one that we have seen.
async fn claim(
    session: &Session,
    identity: &Identity,
    member: MemberName,
    seen: Epoch,
    now: Timestamp,
) -> Result<Answer, Error> {
    let data = identity.leader(member, now);
    let changes = [
        Change::Check { path: path(member), version: ANY_VERSION },
        Change::Set { path: EPOCH_PATH.to_owned(), data, version: Some(seen.0) },
    ];
    match session.multi(&changes).await {
        Ok(done) => Ok(match done.last() {
            Some(Done::Set { version }) => Answer::Claimed(Epoch(*version)),
            _ => Answer::Failed { why: "ZooKeeper does not say which epoch it is".to_owned() },
        }),
        Err(error) if matches!(error.kind, ErrorKind::BadVersion | ErrorKind::NoNode) => Ok(Answer::Refused),
        Err(error) => Err(error),
    }
}

/// Changes nothing, and yet is a transaction: only a leader of ZooKeeper with its quorum can commit it, for a session that
/// lives. A `sync` would not do: the leader answers it without asking its quorum (3.8), for as long as it has not noticed
/// that it has lost it. And a write to the member's own node would wake the one that watches it.
async fn prove(session: &Session, member: MemberName, epoch: Epoch) -> Result<Answer, Error> {
    let changes = [
        Change::Check { path: path(member), version: ANY_VERSION },
        Change::Check { path: EPOCH_PATH.to_owned(), version: epoch.0 },
    ];
    match session.multi(&changes).await {
        Ok(_) => Ok(Answer::Proved),
        Err(error) if matches!(error.kind, ErrorKind::BadVersion | ErrorKind::NoNode) => Ok(Answer::Refused),
        Err(error) => Err(error),
    }
}

async fn list(session: &Session) -> Result<Vec<Seen>, Error> {
    // Without it, a server that lags behind could hide our own member, and we would make a second one.
    session.sync(LEADER_PATH).await?;
    let children = session.children(LEADER_PATH).await?;
    let mut names: Vec<_> = children.iter().filter_map(|name| MemberName::parse(name)).collect();
    names.sort_unstable();
    if names.len() > MAX_MEMBERS {
        names.drain(MAX_MEMBERS / 2..names.len() - MAX_MEMBERS / 2);
    }
    let reads = names.into_iter().map(|name| read(session, name));
    let read: Vec<_> = stream::iter(reads).buffered(READS).collect().await;
    read.into_iter().filter_map(Result::transpose).collect()
}

/// A member; `None` if it has gone meanwhile.
async fn read(session: &Session, name: MemberName) -> Result<Option<Seen>, Error> {
    match session.get(&path(name)).await {
        Ok((data, stat)) => {
            let data = read_member(&data);
            let session = (stat.owner != 0).then_some(SessionId(stat.owner));
            let (node, address, version) = (data.node, data.address, data.version);
            Ok(Some(Seen { name, session, node, address, version }))
        }
        Err(error) if error.kind == ErrorKind::NoNode => Ok(None),
        Err(error) => Err(error),
    }
}
