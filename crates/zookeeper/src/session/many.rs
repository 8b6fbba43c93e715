//! Several nodes with one request: what is read node by node waits for the network each time.

use std::sync::Arc;

use zookeeper_client as zk;

use super::{Session, Stat};
use crate::error::Error;

/// A node's data, or why it cannot be read.
pub(crate) type Found = Result<(Vec<u8>, Stat), Error>;

impl Session {
    /// Reads these nodes with one request, in order. The caller bounds how many. Servers before ZooKeeper 3.6 refuse it
    /// ([`crate::ErrorKind::Refused`]).
    ///
    /// # Errors
    /// [`Error`] as classified, when the request as a whole fails.
    pub(crate) async fn get_many(&self, paths: &[String]) -> Result<Vec<Found>, Error> {
        let first = paths.first().map_or("/", String::as_str);
        let what = "read several nodes from";
        let read = |client: Arc<zk::Client>| async move {
            let mut reader = client.new_multi_reader();
            for path in paths {
                reader.add_get_data(path)?;
            }
            reader.commit().await
        };
        let results = self.call(what, first, read).await?;
        if results.len() != paths.len() {
            let text = format!("{} answers to {} reads", results.len(), paths.len());
            return Err(self.describe(what, first, &zk::Error::UnexpectedError(text)));
        }
        let found = results.into_iter().zip(paths).map(|(result, path)| match result {
            zk::MultiReadResult::Data { data, stat } => Ok((data, Stat::of(&stat))),
            zk::MultiReadResult::Error { err } => Err(self.describe("read", path, &err)),
            _ => Err(self.describe(
                "read",
                path,
                &zk::Error::UnexpectedError("another kind of answer".to_owned()),
            )),
        });
        Ok(found.collect())
    }
}
