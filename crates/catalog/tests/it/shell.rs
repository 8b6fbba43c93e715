//! The async part: publishing, backpressure, ends. Time is paused, so nothing here waits for real.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mconn_catalog::{CatalogHandle, CatalogTask, Ended, Fetch, MemoryFile, Settings, Signal, Why, Wiring};
use mconn_model::*;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::*;

struct Running {
    handle: CatalogHandle,
    task: JoinHandle<Ended>,
    cancel: CancellationToken,
    observations: mpsc::Sender<(SourceId, Vec<Observation>)>,
    fetches: mpsc::Receiver<Fetch>,
    events: mpsc::Receiver<Vec<TaskEvent>>,
    signals: mpsc::Receiver<Signal>,
}

fn run(settings: Settings) -> Running {
    run_with_memory(settings, None)
}

fn run_with_memory(settings: Settings, memory: Option<MemoryFile>) -> Running {
    let (mut task, handle) = CatalogTask::new(settings, [source("m")], fastrand::Rng::with_seed(1));
    let (observations, observed) = mpsc::channel(4);
    let (fetch, fetches) = mpsc::channel(1);
    let (event, events) = mpsc::channel(1);
    let (signal, signals) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    task.restore(memory.iter().flat_map(|file| file.load().unwrap()));
    let wiring = Wiring {
        observations: observed,
        fetches: BTreeMap::from([(source("m"), fetch)]),
        task_events: Some(event),
        signals: Some(signal),
        memory,
    };
    let task = tokio::spawn(task.run(wiring, cancel.clone()));
    Running { handle, task, cancel, observations, fetches, events, signals }
}

impl Running {
    async fn see(&self, observations: Vec<Observation>) {
        self.observations.send((source("m"), observations)).await.unwrap();
    }

    async fn list(&self, apps: Vec<AppListing>) {
        let listing = Box::new(Listing { apps, ..Listing::default() });
        self.see(vec![Observation::Attached, Observation::Listing { listing, requested_at_event: 0 }]).await;
    }

    async fn until(&self, what: impl FnMut(&Arc<Snapshot>) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.handle.subscribe();
        tokio::time::timeout(Duration::from_secs(5), snapshots.wait_for(what)).await.unwrap().unwrap().clone()
    }
}

fn event(n: usize) -> Observation {
    Observation::Event(status("/web", &format!("web.{n:05}"), TaskStatus::Running))
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn readers_see_the_newest_snapshot() {
    let running = run(Settings::default());
    let early = running.handle.wait_until_complete(SECOND).await.unwrap_err();
    assert_eq!(early.to_string(), "never read completely: m");
    running.list(vec![listed(app("/web"), vec![task("/web", "web.1")])]).await;
    let snapshot = running.handle.wait_until_complete(SECOND).await.unwrap();
    assert_eq!(snapshot.apps.len(), 1);
    running.cancel.cancel();
    assert_eq!(running.task.await.unwrap(), Ended::Cancelled);
    assert!(running.handle.wait_until_complete(SECOND).await.is_ok(), "the last state stays readable");
}

#[tokio::test(start_paused = true)]
async fn an_events_effect_is_published_before_the_event_is_handed_on() {
    let mut running = run(Settings::default());
    running.list(Vec::new()).await;
    running.see((0..3).map(event).collect()).await;
    let batch = running.events.recv().await.unwrap();
    assert_eq!(batch.len(), 3);
    let entry = running.handle.current().apps.values().next().cloned().unwrap();
    assert_eq!(entry.tasks.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_stops_the_intake_but_not_the_snapshots() {
    let mut running = run(Settings { edge_backlog: 2000, ..Settings::default() });
    running.list(Vec::new()).await;
    // Nobody takes task events: the level path goes on until the backlog is full.
    let mut sent = 0;
    while let Ok(sent_one) =
        tokio::time::timeout(SECOND, running.see((sent..sent + 100).map(event).collect())).await
    {
        let () = sent_one;
        sent += 100;
        assert!(sent < 10_000, "the intake never stops");
    }
    assert!(sent >= 2000, "{sent}");
    let folded = running.until(|s| s.apps.values().any(|entry| entry.tasks.len() >= 2000)).await;
    assert!(folded.apps.len() == 1);
    // The queue recovers: every event arrives, in order, once.
    let mut got = Vec::new();
    while got.len() < sent {
        got.extend(tokio::time::timeout(SECOND, running.events.recv()).await.unwrap().unwrap());
    }
    let order: Vec<_> = got.iter().map(|event| event.task.to_string()).collect();
    assert_eq!(order, (0..sent).map(|n| format!("web.{n:05}")).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_takes_nothing_for_long_costs_events_and_not_snapshots() {
    let settings = Settings { edge_backlog: 1000, edge_patience: SECOND * 5, ..Settings::default() };
    let mut running = run(settings);
    running.list(Vec::new()).await;
    for n in 0..100 {
        running.see((n * 100..(n + 1) * 100).map(event).collect()).await;
    }
    running.until(|s| s.apps.values().any(|entry| entry.tasks.len() == 10_000)).await;
    // The queue recovers, and sync is told that it missed something.
    let first = running.events.recv().await.unwrap();
    assert!(!first.is_empty());
    let signal = tokio::time::timeout(SECOND * 10, running.signals.recv()).await.unwrap().unwrap();
    assert_eq!(signal, Signal::Resync { source: source("m"), why: Why::EventsMissed });
    running.see(vec![event(10_000)]).await;
    let mut last = None;
    while last.as_deref() != Some("web.10000") {
        let batch = tokio::time::timeout(SECOND, running.events.recv()).await.unwrap().unwrap();
        last = batch.last().map(|event| event.task.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_finds_its_channel_full_is_made_later() {
    let mut running = run(Settings::default());
    let apps = ["/a", "/b", "/c"];
    running.list(apps.iter().map(|id| listed(app(id), Vec::new())).collect()).await;
    let touch = |id: &&str| Observation::Event(deployment(DeploymentPhase::StepEnded, &[id]));
    running.see(apps.iter().map(touch).collect()).await;
    tokio::time::sleep(SECOND).await;
    let mut asked = Vec::new();
    for _ in apps {
        asked.push(tokio::time::timeout(SECOND, running.fetches.recv()).await.unwrap().unwrap());
    }
    asked.sort();
    assert_eq!(asked, apps.map(|id| Fetch::App(source("m"), app_id(id))));
}

#[tokio::test(start_paused = true)]
async fn sync_is_told_of_the_newest_leader() {
    let mut running = run(Settings::default());
    let leaders = ["a", "b", "c", "d"];
    running.see(leaders.map(|leader| Observation::LeaderChanged { leader: leader.into() }).into()).await;
    let mut last = None;
    while let Ok(Some(Signal::LeaderChanged { leader, .. })) =
        tokio::time::timeout(SECOND, running.signals.recv()).await
    {
        last = Some(leader.to_string());
    }
    assert_eq!(last.as_deref(), Some("d"));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_sources_is_the_end_after_the_last_event_was_taken() {
    let mut running = run(Settings::default());
    running.see((0..700).map(event).collect()).await;
    drop(running.observations);
    let (mut events, mut batches) = (0, 0);
    while let Some(batch) = running.events.recv().await {
        events += batch.len();
        batches += 1;
    }
    assert_eq!((events, batches), (700, 2));
    assert_eq!(running.task.await.unwrap(), Ended::SourcesGone);
}

#[tokio::test(start_paused = true)]
async fn the_level_path_outlives_queue_and_followers() {
    let Running { handle, task, cancel, observations, fetches, events, signals } = run(Settings::default());
    drop((fetches, events, signals));
    let leader = Observation::LeaderChanged { leader: "x".into() };
    for n in 0..5 {
        observations.send((source("m"), vec![event(n), leader.clone()])).await.unwrap();
        tokio::time::sleep(SECOND).await;
    }
    let entry = handle.current().apps.values().next().cloned().unwrap();
    assert_eq!(entry.tasks.len(), 5);
    cancel.cancel();
    assert_eq!(task.await.unwrap(), Ended::Cancelled);
}

#[tokio::test]
async fn memory_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let file = MemoryFile::new(dir.path().join("task-memory"));
    let listing = |results: &[bool]| {
        vec![listed(checked("/web", 1), vec![with_health(task("/web", "web.1"), results)])]
    };
    let rule = |snapshot: &Snapshot| snapshot.apps.values().next().map(|app| app.tasks[0].verdict.rule);
    let first = run_with_memory(Settings::default(), Some(file.clone()));
    first.list(listing(&[true])).await;
    first.until(|snapshot| rule(snapshot) == Some(Rule::Healthy)).await;
    first.cancel.cancel();
    first.task.await.unwrap();

    // Marathon has another leader, which has forgotten the results.
    let second = run_with_memory(Settings::default(), Some(file));
    second.list(listing(&[])).await;
    second.until(|snapshot| rule(snapshot) == Some(Rule::RememberedHealthy)).await;
    second.cancel.cancel();
    second.task.await.unwrap();
}
