//! The path that we live below: making it, and looking who else may write there.

use std::sync::Arc;

use zookeeper_client as zk;

use super::{Session, access};
use crate::error::{Error, ErrorKind};
use crate::fence::{EPOCH, OURS};

/// Where somebody else's write would do harm. Access lists are not inherited: each node has its own.
const GUARDED: [&str; 6] = ["/", crate::election::LEADER_PATH, OURS, EPOCH, "/mconn/next", "/modules"];

/// Nodes that are named in a warning.
const NAMED: usize = 3;

impl Session {
    /// Creates our path where it is missing, from the root of the ensemble on. Says whether its last node was missing.
    ///
    /// Only the last segment is ours alone: the ones above it may be shared with others who have other credentials.
    pub(crate) async fn create_path(&self) -> Result<bool, Error> {
        let path = self.settings().path();
        if path == "/" {
            return Ok(false);
        }
        let mut created = false;
        for end in path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]) {
            let acls = if end < path.len() { zk::Acls::anyone_all() } else { access(self.settings()) };
            created = self.create_at_root(&path[..end], acls).await?;
        }
        Ok(created)
    }

    /// Looked at first: who may not create below a node is told so even where nothing has to be created.
    async fn create_at_root(&self, node: &str, acls: zk::Acls<'static>) -> Result<bool, Error> {
        let Some(root) = self.lock().as_ref().map(|clients| clients.root.clone()) else {
            return Err(self.root_error(ErrorKind::Closed, node, "the session is closed"));
        };
        let create = |_: Arc<zk::Client>| async move {
            if root.check_stat(node).await?.is_some() {
                return Ok(false);
            }
            match root.create(node, b"", &zk::CreateMode::Persistent.with_acls(acls)).await {
                Ok(_) => Ok(true),
                Err(zk::Error::NodeExists) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.call_raw("create", "", create).await.map_err(|failure| match failure {
            super::Failure::Ours(error) => error,
            super::Failure::Theirs(error) => self.root_error(ErrorKind::of(&error), node, &error.to_string()),
        })
    }

    fn root_error(&self, kind: ErrorKind, node: &str, why: &str) -> Error {
        let hosts = self.settings().host_list();
        Error::new(kind, format!("cannot create {node} at ZooKeeper {hosts}: {why}{}", kind.advice()))
    }

    /// With credentials, what was created without them lets everybody in. Somebody else's path may be so on purpose, so it is
    /// only told: what to tell, if anything.
    ///
    /// # Errors
    /// [`Error`] as classified.
    pub async fn open_to_the_world(&self) -> Result<Option<String>, Error> {
        if self.settings().auth.is_none() {
            return Ok(None);
        }
        let path = self.settings().path();
        // The root of the ensemble is everybody's.
        let nodes = GUARDED.iter().filter(|node| path != "/" || **node != "/");
        let mut open = Vec::new();
        for node in nodes {
            if self.is_open(node).await? {
                open.push(format!("{}{}", path.trim_end_matches('/'), if *node == "/" { "" } else { node }));
            }
        }
        if open.is_empty() {
            return Ok(None);
        }
        let more = open.len().saturating_sub(NAMED);
        open.truncate(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Ok(Some(format!(
            "everybody can write {}{more} at ZooKeeper {}: created without credentials; in zkCli.sh, after \
             addauth digest USER:PASSWORD, restrict all of it with setAcl -R {path} auth::cdrwa, or choose another path",
            open.join(", "),
            self.settings().host_list(),
        )))
    }

    async fn is_open(&self, node: &str) -> Result<bool, Error> {
        let read = |client: Arc<zk::Client>| async move { client.get_acl(node).await };
        match self.call("read the access list of", node, read).await {
            Ok((acls, _)) => Ok(acls.iter().any(|acl| {
                acl.scheme() == "world" && (acl.permission() & writing()) != zk::Permission::NONE
            })),
            // Not there yet: it will be created with our access list. Not allowed to look: then others are not either.
            Err(error) if matches!(error.kind, ErrorKind::NoAuth | ErrorKind::NoNode) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn writing() -> zk::Permission {
    zk::Permission::WRITE | zk::Permission::CREATE | zk::Permission::DELETE | zk::Permission::ADMIN
}
