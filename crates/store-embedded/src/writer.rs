//! The thread that owns the database.
//!
//! Why a thread of its own and not `spawn_blocking`: a commit blocks for a sync (0.1 to 10 ms), and there is never more
//! than one at a time. The thread owns the database outright, so there is no lock, order is the order of the channel,
//! and encoding happens off the runtime as well. A hand-over costs two wake-ups either way, some 20 us, which is small
//! against the sync even for batches of 1 and nothing for batches of 1,024.

use std::thread::{self, JoinHandle};

use mconn_store::{Contents, StoreError, Write};
use tokio::sync::{mpsc, oneshot};

use crate::engine::Engine;
use crate::files::DirLock;

/// Jobs that wait. The caller makes one call after the other, so one commit and one load are all there can be; more
/// callers wait for a place.
const JOBS_MAX: usize = 4;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the thread is asked to do. A caller that has gone away in the meantime does not undo it.
pub(crate) enum Job {
    Commit(Vec<Write>, Reply<()>),
    Load(Reply<Contents>),
    Close(Reply<()>),
}

/// Starts the thread; it ends after a `Close`, or when the sender is dropped.
pub(crate) fn spawn(
    engine: Engine,
    lock: Option<DirLock>,
) -> std::io::Result<(mpsc::Sender<Job>, JoinHandle<()>)> {
    let (sender, jobs) = mpsc::channel(JOBS_MAX);
    let thread = thread::Builder::new().name("mconn-store".into()).spawn(move || work(engine, lock, jobs))?;
    Ok((sender, thread))
}

fn work(mut engine: Engine, lock: Option<DirLock>, mut jobs: mpsc::Receiver<Job>) {
    let mut closing = None;
    while let Some(job) = jobs.blocking_recv() {
        match job {
            // Nobody may be waiting for a reply any more; that is the caller's decision.
            Job::Commit(batch, reply) => drop(reply.send(engine.commit(&batch))),
            Job::Load(reply) => drop(reply.send(engine.load())),
            Job::Close(reply) => {
                closing = Some(reply);
                break;
            }
        }
    }
    jobs.close();
    let closed = engine.close();
    if let Err(error) = &closed {
        tracing::warn!(error = %error, "the store was not closed in good order; the next start will recover it");
    }
    // Whoever waits for the reply may open the same directory next.
    drop(engine);
    drop(lock);
    if let Some(reply) = closing {
        drop(reply.send(closed));
    }
}
