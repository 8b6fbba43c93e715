//! Events per second for batches of several sizes: each batch is appended, and an equal number of old events forgotten.
//!
//! `cargo run --release -p mconn-store-embedded --example throughput [DIR]`

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use mconn_model::{AppId, EventTimestamp, TaskEvent, TaskId, TaskStatus, Timestamp};
use mconn_store::{JournalEntry, Seq, Store, Write};
use mconn_store_embedded::{EmbeddedStore, OpenOptions};

type AnyError = Box<dyn std::error::Error>;

fn append(seq: u64) -> Result<Write, AnyError> {
    let event = TaskEvent {
        source: None,
        task: TaskId::new(&format!("group_app.0f1e2d3c-4b5a-6978-8796-{seq:012}"))?,
        status: TaskStatus::Running,
        app: AppId::parse("/group/app")?,
        host: Some("agent-0017.cluster.example".into()),
        ports: vec![31_000, 31_001],
        event_type: Some("status_update_event".into()),
        timestamp: Some(EventTimestamp::Text("2026-05-25T15:12:24.140Z".into())),
    };
    let accepted_at = Timestamp::from_millis(1_779_721_944_140);
    Ok(Write::Append(Arc::new(JournalEntry {
        seq: Seq(seq),
        accepted_at,
        event: Arc::new(event),
        owed: [].into(),
    })))
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    println!("{:>6} {:>12} {:>10} {:>10}", "batch", "events/s", "p50 ms", "p99 ms");
    for size in [1_u64, 16, 64, 256, 1024] {
        let dir = base.join(format!("mconn-throughput-{}-{size}", std::process::id()));
        let store = EmbeddedStore::open(&dir, OpenOptions::default())?;
        let kept = 10_000;
        store.commit((0..kept).map(append).collect::<Result<_, _>>()?).await?;
        let (mut next, mut times) = (kept, Vec::new());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) {
            let mut batch = (next..next + size).map(append).collect::<Result<Vec<_>, _>>()?;
            batch.extend((next - kept..next - kept + size).map(|seq| Write::Forget(Seq(seq))));
            let began = Instant::now();
            store.commit(batch).await?;
            times.push(began.elapsed());
            next += size;
        }
        let rate = (next - kept) as f64 / start.elapsed().as_secs_f64();
        times.sort();
        let ms = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
        println!("{size:>6} {rate:>12.0} {:>10.2} {:>10.2}", ms(50), ms(99));
        store.close().await?;
        if size == 1024 {
            let (bytes, began) = (std::fs::metadata(store.location())?.len(), Instant::now());
            let store = EmbeddedStore::open(&dir, OpenOptions::default())?;
            let opened = began.elapsed();
            let events = store.load().await?.journal.len();
            println!(
                "{events} events in {bytes} bytes: opened in {opened:.1?}, loaded after {:.1?}",
                began.elapsed()
            );
        }
        std::fs::remove_dir_all(&dir)?;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")) {
        println!("{line}");
    }
    Ok(())
}
