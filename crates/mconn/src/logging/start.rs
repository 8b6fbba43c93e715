//! Putting it together: level, layer and writer; the handle that changes the level; the guard that flushes at exit.

use std::io::{BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Dispatch;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, reload};

use super::clock::Clock;
use super::lines::Lines;
use super::options::{Level, Options};

/// Lines waiting for standard output; beyond them whoever logs waits. At 150 bytes a line these are below 5 MB.
const WAITING_LINES: usize = 32_768;
/// Bytes in one write to standard output while lines keep coming; an idle log is written at once.
const WRITE_BYTES: usize = 64 * 1024;

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    /// It is for the whole process.
    #[error("logging has been started before")]
    StartedBefore,
}

/// Logging while it is kept. Dropping it writes what still waits (for a second at most, if nobody reads).
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub(crate) struct Logging {
    /// Changes the level.
    pub(crate) control: LevelControl,
    _flushes_at_end: Option<WorkerGuard>,
}

/// Changes the level while running. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LevelControl {
    reload: Option<reload::Handle<EnvFilter, Registry>>,
    level: Arc<Mutex<Level>>,
}

impl LevelControl {
    /// The level that was set last.
    pub(crate) fn get(&self) -> Level {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the next event on. A muted log stays muted. A developers' filter gives way.
    pub(crate) fn set(&self, level: Level) {
        let mut current = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        *current = level;
        if let Some(reload) = &self.reload {
            // Fails only when the subscriber is gone, and the log with it.
            let _ = reload.reload(EnvFilter::new(level.directives()));
        }
    }
}

/// Starts the log of this process on standard output.
///
/// # Errors
/// When a log has been started before.
pub(crate) fn start(options: &Options) -> Result<Logging, LoggingError> {
    if options.muted {
        let control = LevelControl { reload: None, level: Arc::new(Mutex::new(options.level)) };
        return Ok(Logging { control, _flushes_at_end: None });
    }
    let (writer, guard) = queued(std::io::stdout());
    let (dispatch, control) = build(options, writer, Clock::system());
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| LoggingError::StartedBefore)?;
    let logging = Logging { control, _flushes_at_end: Some(guard) };
    if let Some(filter) = &options.filter
        && let Err(error) = EnvFilter::builder().parse(filter)
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "RUST_LOG cannot be read and has no effect");
    }
    Ok(logging)
}

/// A queue in front of a slow writer. It never loses a line.
fn queued(out: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .lossy(false)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log")
        .finish(BufWriter::with_capacity(WRITE_BYTES, out))
}

/// Level and layer, without touching the process.
fn build<W>(options: &Options, writer: W, clock: Clock) -> (Dispatch, LevelControl)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let chosen = options.filter.as_deref().filter(|text| !text.is_empty());
    let filter = chosen
        .and_then(|text| EnvFilter::builder().parse(text).ok())
        .unwrap_or_else(|| EnvFilter::new(options.level.directives()));
    let (filter, reload) = reload::Layer::new(filter);
    let lines = Lines {
        writer,
        clock,
        format: options.format,
        colours: options.colours,
        development: options.development,
    };
    let dispatch = Dispatch::new(Registry::default().with(filter).with(lines));
    (dispatch, LevelControl { reload: Some(reload), level: Arc::new(Mutex::new(options.level)) })
}

#[cfg(test)]
mod tests;
