//! The store of a node that works alone.

use std::sync::Arc;

use mconn_store::{MemoryStore, Store};
use mconn_store_embedded::{EmbeddedStore, FILE_NAME, OpenOptions};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::commands::store::store_report;
use crate::config::{self, Config};
use crate::report::Report;

/// Where the state lives.
pub(super) enum OpenStore {
    Embedded(Arc<EmbeddedStore>),
    Memory(Arc<MemoryStore>),
}

impl OpenStore {
    pub(super) fn as_store(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded(store) => store.clone(),
            Self::Memory(store) => store.clone(),
        }
    }

    pub(super) fn close_when(
        &self,
        token: CancellationToken,
    ) -> impl Future<Output = Result<(), String>> + Send + 'static {
        let embedded = match self {
            Self::Embedded(store) => Some(store.clone()),
            Self::Memory(_) => None,
        };
        async move {
            token.cancelled().await;
            match embedded {
                Some(store) => store.close().await.map_err(|error| error.message),
                None => Ok(()),
            }
        }
    }
}

/// A store of this node alone that nobody would look into any more, because hosts of ZooKeeper are set: earlier versions
/// did not use them. Whoever says `MCONN_STORE=zookeeper` has decided.
pub(crate) fn left_behind(config: &Config) -> Option<Report> {
    let config::Store::ZooKeeper { settings, data_dir, derived: true } = &config.store else { return None };
    if !data_dir.join(FILE_NAME).exists() {
        return None;
    }
    let (dir, place) = (data_dir.display(), settings.place());
    Some(
        Report::could_not_run(format!(
            "MCONN_ZK_HOSTS is set, so state is kept in ZooKeeper {place}; but {dir} has a store with presets, inventories \
             and waiting events of this node, which nobody would look into any more"
        ))
        .hint(format!(
            "to take it along: mconn store export --data-dir {dir} > state.json && mconn store import state.json \
             --to-zookeeper {place}, then start with MCONN_STORE=zookeeper. To leave it behind: MCONN_STORE=zookeeper. To \
             go on alone: MCONN_STORE=embedded"
        )),
    )
}

pub(super) async fn open(config: &Config) -> Result<OpenStore, Report> {
    match &config.store {
        config::Store::Memory => {
            warn!(
                context = "App",
                "The store is memory (MCONN_STORE): everything is gone when this node ends"
            );
            Ok(OpenStore::Memory(Arc::default()))
        }
        config::Store::ZooKeeper { .. } => {
            Err(Report::could_not_run("a node that works alone has no store in ZooKeeper"))
        }
        config::Store::Embedded { data_dir } => {
            let dir = data_dir.clone();
            let opened =
                tokio::task::spawn_blocking(move || EmbeddedStore::open(&dir, OpenOptions::default())).await;
            let opened =
                opened.map_err(|error| Report::could_not_run("opening the store failed").because(&error))?;
            let store = opened.map_err(|error| store_report(&error))?;
            info!(context = "App", "The store is \"{}\"", store.location());
            Ok(OpenStore::Embedded(Arc::new(store)))
        }
    }
}
