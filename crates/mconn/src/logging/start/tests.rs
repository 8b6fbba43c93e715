//! Level, queue, flush and cost.

use std::io;
use std::time::Duration;

use super::*;
use crate::logging::Format;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn words(&self) -> String {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let word =
            |line: &str| line.split("] ").nth(2).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
        text.lines().filter_map(word).collect::<Vec<_>>().join(" ")
    }
}

fn options(level: Level, filter: Option<&str>) -> Options {
    Options {
        level,
        format: Format::Classic,
        muted: false,
        development: false,
        colours: false,
        filter: filter.map(str::to_owned),
    }
}

fn log_all() {
    tracing::error!("e");
    tracing::warn!("w");
    tracing::info!(target: "mconn_web::access", "i");
    tracing::debug!(target: "mconn_queue", "d");
    tracing::info!(target: "hyper", "library");
    tracing::warn!(target: "hyper", "trouble");
}

fn check(level: Level, filter: Option<&str>, wanted: &str) {
    let memory = Memory::default();
    let writer = memory.clone();
    let (dispatch, _) = build(&options(level, filter), move || writer.clone(), Clock::system());
    tracing::dispatcher::with_default(&dispatch, log_all);
    assert_eq!(memory.words(), wanted, "{level:?} {filter:?}");
}

#[test]
fn levels_have_the_lines_of_those_before_them() {
    check(Level::Error, None, "e");
    check(Level::Warn, None, "e w trouble");
    check(Level::Info, None, "e w i trouble");
    check(Level::Debug, None, "e w i d trouble");
}

#[test]
fn developers_have_their_own_filter() {
    check(Level::Error, Some("off,mconn_queue=debug"), "d");
    check(Level::Error, Some("info"), "e w i library trouble");
    check(Level::Error, Some(""), "e");
    check(Level::Error, Some("mconn=no such level"), "e");
}

#[test]
fn the_level_changes_while_running() {
    let memory = Memory::default();
    let writer = memory.clone();
    let (dispatch, control) = build(&options(Level::Error, None), move || writer.clone(), Clock::system());
    tracing::dispatcher::with_default(&dispatch, || {
        log_all();
        control.set(Level::Debug);
        log_all();
    });
    assert_eq!(control.get(), Level::Debug);
    assert_eq!(memory.words(), "e e w i d trouble");
}

#[test]
fn a_muted_log_starts_nothing_and_stays_muted() {
    let muted = Options { muted: true, ..options(Level::Debug, None) };
    let first = start(&muted).unwrap();
    first.control.set(Level::Error);
    assert_eq!(first.control.get(), Level::Error);
    assert!(first._flushes_at_end.is_none() && start(&muted).is_ok(), "nothing global was set");
}

/// Takes its time, like a terminal or a full pipe.
struct Slow(Memory);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::thread::sleep(Duration::from_millis(20));
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn dropping_the_guard_writes_what_waits() {
    let memory = Memory::default();
    let (writer, guard) = queued(Slow(memory.clone()));
    let (dispatch, _) = build(&options(Level::Info, None), writer, Clock::system());
    tracing::dispatcher::with_default(&dispatch, || (0..1000).for_each(|i| tracing::info!("{i}")));
    drop(guard);
    let wanted = (0..1000).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(memory.words(), wanted);
}

/// Prints what it measured (`cargo test --release -p mconn cost_of -- --nocapture`). The bound is a tenth of what a release build
/// does, for slow and busy machines.
#[test]
fn cost_of_one_hundred_thousand_lines() {
    const LINES: u32 = 100_000;
    for format in [Format::Classic, Format::Json] {
        let (writer, guard) = queued(io::sink());
        let (dispatch, _) = build(&Options { format, ..options(Level::Info, None) }, writer, Clock::system());
        let start = std::time::Instant::now();
        tracing::dispatcher::with_default(&dispatch, || {
            for i in 0..LINES {
                tracing::info!(
                    context = "Module.Test",
                    tasks = i,
                    "Task \"web.{i}_TASK_RUNNING\" state changed to \"finished\"! Task Queue is now \"{i}\""
                );
            }
        });
        drop(guard);
        let took = start.elapsed();
        println!(
            "{format:?}: {LINES} lines in {took:?}, {:.0} lines/s",
            f64::from(LINES) / took.as_secs_f64()
        );
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}
