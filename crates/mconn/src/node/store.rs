//! The store of a node that works alone.

use std::sync::Arc;

use mconn_store::{MemoryStore, Store};
use mconn_store_embedded::{EmbeddedStore, OpenOptions};
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
