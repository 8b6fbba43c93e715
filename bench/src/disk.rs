//! How long the disk takes to make a page durable: the lower bound of everything that waits for a commit.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

use crate::Result;
use crate::figures::percentile;

/// Writes per measurement.
const WRITES: usize = 200;

/// Times of write and fdatasync of 4 KiB, in ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SyncTime {
    /// Half of all are faster.
    pub(crate) p50: f64,
    /// 99 of 100 are faster.
    pub(crate) p99: f64,
}

/// Measures in this directory, over a file that has its length already, as a database's has.
pub(crate) fn sync_time(dir: &Path) -> Result<SyncTime> {
    let mut file: File = tempfile::tempfile_in(dir)?;
    file.write_all(&vec![1; 1024 * 1024])?;
    file.sync_all()?;
    let page = [2_u8; 4096];
    let mut times = Vec::with_capacity(WRITES);
    for number in 0..WRITES as u64 {
        let began = Instant::now();
        file.seek(SeekFrom::Start(number * 37 % 256 * 4096))?;
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(SyncTime { p50: percentile(&times, 0.5), p99: percentile(&times, 0.99) })
}
