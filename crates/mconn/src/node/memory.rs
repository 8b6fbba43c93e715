//! What the catalog remembers of tasks, kept beside the store. It is each node's own: every node follows Marathon.

use mconn_catalog::{MemoryFile, MemoryFileError, Remembered};
use mconn_model::SourceId;
use tracing::{info, warn};

use crate::config::{self, Config};

/// Where memory is kept, and what was kept; nothing for a node that keeps nothing at all. Memory that cannot be read is
/// put aside and said, and is no reason not to start: it is missed only while Marathon does not know its tasks' health.
pub(super) fn open(config: &Config) -> (Option<MemoryFile>, Vec<(SourceId, Remembered)>) {
    let (config::Store::Embedded { data_dir } | config::Store::ZooKeeper { data_dir, .. }) = &config.store
    else {
        return (None, Vec::new());
    };
    // Where the store is elsewhere, nobody has made the folder. What is wrong with it shows when the file is read.
    if let Err(error) = std::fs::create_dir_all(data_dir) {
        warn!(context = "App", "Cannot create {}: {error}", data_dir.display());
    }
    let file = MemoryFile::new(data_dir.join("task-memory"));
    match file.load() {
        Ok(kept) => {
            if !kept.is_empty() {
                info!(context = "App", "The health of {} tasks is remembered", kept.len());
            }
            (Some(file), kept)
        }
        Err(error) => {
            let done = match error {
                MemoryFileError::Damaged { .. } => match file.put_aside() {
                    Ok(aside) => format!("it is now {}", aside.display()),
                    Err(error) => format!("it cannot be renamed ({error}) and will be replaced"),
                },
                MemoryFileError::Io { .. } => "it will be replaced if it can be".to_owned(),
            };
            warn!(context = "App", "Nothing is remembered of the tasks' health: {error}; {done}");
            (Some(file), Vec::new())
        }
    }
}
