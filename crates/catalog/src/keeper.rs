//! Keeps memory on disk while the catalog runs: one write at a time, aside, and not more often than it should.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::catalog::Catalog;
use crate::memory_file::{MemoryFile, encode};

/// The last write may hold up the end of the process for so long.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Who keeps memory.
#[derive(Debug)]
pub(crate) struct Keeper {
    texts: mpsc::Sender<String>,
    writer: JoinHandle<()>,
    every: Duration,
    /// Something is not on disk yet.
    changed: bool,
    /// Not before then.
    next: Duration,
}

impl Keeper {
    pub(crate) fn new(file: MemoryFile, every: Duration) -> Self {
        let (texts, received) = mpsc::channel(1);
        let writer = tokio::spawn(write(file, received));
        Self { texts, writer, every, changed: false, next: every }
    }

    /// Has memory written if it changed and it is time; when to be called again.
    pub(crate) fn turn(&mut self, catalog: &mut Catalog, now: Duration) -> Option<Duration> {
        self.changed |= catalog.take_memory_changed();
        if !self.changed {
            return None;
        }
        if now < self.next {
            return Some(self.next);
        }
        self.next = now + self.every;
        let Ok(room) = self.texts.try_reserve() else {
            // The disk is slow; what is written next is newer then.
            return Some(self.next);
        };
        room.send(encode(catalog.remembered()));
        self.changed = false;
        None
    }

    /// Has the newest memory written, and waits for it.
    pub(crate) async fn finish(mut self, catalog: &mut Catalog) {
        self.changed |= catalog.take_memory_changed();
        let last = async {
            if self.changed {
                // The writer ends only when we let go of it.
                let _ = self.texts.send(encode(catalog.remembered())).await;
            }
            drop(self.texts);
            (&mut self.writer).await
        };
        match tokio::time::timeout(LAST_WRITE, last).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the writer of the task memory failed"),
            Err(_) => {
                self.writer.abort();
                tracing::warn!(
                    "the task memory was not written within {LAST_WRITE:?}: the disk does not answer"
                );
            }
        }
    }
}

async fn write(file: MemoryFile, mut texts: mpsc::Receiver<String>) {
    let mut failing = false;
    while let Some(text) = texts.recv().await {
        let (file, path) = (file.clone(), file.path().to_owned());
        let written = tokio::task::spawn_blocking(move || file.save(&text)).await;
        let error = match written {
            Ok(Ok(())) => {
                failing = false;
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if !std::mem::replace(&mut failing, true) {
            let path = path.display();
            tracing::error!(
                "{path} cannot be written ({error}): after a restart the health of tasks is known only when Marathon \
                 tells it"
            );
        }
    }
}
