//! The catalog alone, in this process: one status update, a whole comparison, a new snapshot.

use std::time::{Duration, Instant};

use mconn_catalog::{Catalog, Settings};
use mconn_model::{
    AppListing, ClusterEvent, Listing, Observation, SourceId, StatusUpdate, TaskEvent, TaskId, TaskStatus,
    Timestamp,
};

use crate::Result;
use crate::figures::{Sample, percentile, sample};

/// Status updates that are folded: new tasks that start, and tasks that end.
const UPDATES: usize = 20_000;
/// A snapshot after so many updates, as in life: one in 20 ms.
const PER_SNAPSHOT: usize = 100;

/// Folds a listing, the same listing as it was fetched a second time, and updates. Gives the time of the second
/// comparison as well.
pub(crate) fn measure(first: Listing, second: Listing) -> Result<(Duration, Vec<Sample>)> {
    let source = SourceId::new("marathon")?;
    let mut rng = fastrand::Rng::with_seed(1);
    let mut catalog = Catalog::new(Settings::default(), Timestamp::from_millis(0), [source.clone()]);
    let start = Instant::now();
    let listing = |listing| Observation::Listing { listing: Box::new(listing), requested_at_event: 0 };
    let updates = updates(&first.apps, &mut rng)?;
    catalog.apply(&source, Observation::Attached, start.elapsed(), &mut rng);
    catalog.apply(&source, listing(first), start.elapsed(), &mut rng);
    catalog.publish(start.elapsed());

    let began = Instant::now();
    catalog.apply(&source, listing(second), start.elapsed(), &mut rng);
    let folded = began.elapsed();

    let (mut folds, mut snapshots) = (Vec::with_capacity(UPDATES), Vec::new());
    for (number, update) in updates.into_iter().enumerate() {
        let observation = Observation::Event(ClusterEvent::Status(update));
        let began = Instant::now();
        let effects = catalog.apply(&source, observation, start.elapsed(), &mut rng);
        folds.push(began.elapsed().as_secs_f64() * 1e6);
        if effects.task_events.is_empty() {
            return Err("an update came to nothing, so it was not measured".into());
        }
        if number % PER_SNAPSHOT == 0 {
            let began = Instant::now();
            let old = catalog.publish(start.elapsed());
            snapshots.push(began.elapsed().as_secs_f64() * 1e3);
            // Readers hold the newest one while the next is made.
            std::hint::black_box(old);
        }
    }
    folds.sort_by(f64::total_cmp);
    snapshots.sort_by(f64::total_cmp);
    let samples = vec![
        sample("catalog.fold_listing", folded.as_secs_f64() * 1e3),
        sample("catalog.update_p50", percentile(&folds, 0.5)),
        sample("catalog.update_p99", percentile(&folds, 0.99)),
        sample("catalog.publish", percentile(&snapshots, 0.5)),
    ];
    Ok((folded, samples))
}

/// Every other update ends a task that runs, the others start a new one of the same app.
fn updates(apps: &[AppListing], rng: &mut fastrand::Rng) -> Result<Vec<StatusUpdate>> {
    let mut running: Vec<_> =
        apps.iter().flat_map(|app| app.tasks.iter().map(|task| (&app.app.id, task))).collect();
    if running.len() < UPDATES {
        return Err(format!("only {} tasks are listed", running.len()).into());
    }
    rng.shuffle(&mut running);
    let mut updates = Vec::with_capacity(UPDATES);
    for (number, (app, task)) in running.into_iter().take(UPDATES).enumerate() {
        let (task, status) = match number % 2 {
            0 => (task.id.clone(), TaskStatus::Killed),
            _ => (TaskId::new(&format!("{}x", task.id))?, TaskStatus::Running),
        };
        let event = TaskEvent {
            source: None,
            task,
            status,
            app: app.clone(),
            host: Some("agent-1".into()),
            ports: vec![31_004],
            event_type: Some("status_update_event".into()),
            timestamp: None,
        };
        updates.push(StatusUpdate {
            event,
            agent: None,
            addresses: Vec::new(),
            version: None,
            message: None,
        });
    }
    Ok(updates)
}
