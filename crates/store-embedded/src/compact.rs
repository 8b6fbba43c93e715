//! Giving back space.
//!
//! redb reuses freed pages and cuts free ones off the end of the file, but a page in use near the end keeps the file
//! large for ever, for instance after a night with a hundred thousand queued events. So a file that is large and mostly
//! free is compacted when it is opened, the one moment when nobody waits for a commit.
//!
//! The question is cheap: the size alone settles it for nearly every start; only for a large file are the pages in use
//! counted, and in one that is worth compacting those are few.

use std::path::Path;

use mconn_store::StoreError;
use redb::Database;

use crate::OpenOptions;
use crate::engine::Engine;
use crate::error::Failure;

/// Compacted when the file is more than this many times the size of what is in use.
const WASTE_FACTOR: u64 = 4;

/// Compacts if it is worth it. A failure is logged and otherwise harmless: compaction is a series of transactions.
pub(crate) fn if_worthwhile(engine: &mut Engine, file: &Path, options: OpenOptions) {
    match try_compact(engine, file, options) {
        Ok(Some((before, after))) => {
            tracing::info!(file = %file.display(), before, after, "compacted the store");
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(error = %error, "the store could not be compacted"),
    }
}

fn try_compact(
    engine: &mut Engine,
    file: &Path,
    options: OpenOptions,
) -> Result<Option<(u64, u64)>, StoreError> {
    let size = || std::fs::metadata(file).map(|metadata| metadata.len());
    let before = size().unwrap_or_default();
    if before <= options.compact_above_bytes {
        return Ok(None);
    }
    engine.with_db(|db| {
        if before <= used(db)?.saturating_mul(WASTE_FACTOR) {
            return Ok(None);
        }
        db.compact()?;
        Ok(Some((before, size().unwrap_or_default())))
    })
}

/// Bytes in pages that are not free.
fn used(db: &Database) -> Result<u64, Failure> {
    let txn = db.begin_write()?;
    let stats = txn.stats()?;
    txn.abort()?;
    Ok(stats.allocated_pages() * stats.page_size() as u64)
}
