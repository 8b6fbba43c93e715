//! One module's lane: which job may run next.
//!
//! Jobs run in order of arrival; clean-up jobs go in front. Of one task, a job may run only when every earlier one has
//! left the lane, so order per task holds with any concurrency and across retries. A job that waits for its retry does
//! not hold up other tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{TaskEvent, TaskKey};
use mconn_store::Seq;

/// A job's place. Clean-up jobs have negative places, so that they come before events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct JobId(i64);

/// Where a job comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An accepted event.
    Journal(Seq),
    /// A sync.
    Cleanup,
    /// An operator who retries a dead letter.
    DeadLetter(Seq),
}

/// A module's copy of an event.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) event: Arc<TaskEvent>,
    /// Stable id, the same for every delivery and attempt.
    pub(crate) event_id: Arc<str>,
    /// `<taskId>_<taskStatus>`.
    pub(crate) display_id: Arc<str>,
    pub(crate) origin: Origin,
    /// Attempts made so far.
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<Arc<str>>,
    pub(crate) phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits for its turn, or behind an earlier job of its task.
    Waiting,
    /// Runs since then.
    Running { since: Duration },
    /// Waits for its retry.
    Parked { until: Duration },
}

#[derive(Debug, Default)]
pub(crate) struct Lane {
    jobs: BTreeMap<JobId, Job>,
    /// Jobs of a task in order; the first is the only one that may run.
    by_task: HashMap<TaskKey, VecDeque<JobId>>,
    runnable: BTreeSet<JobId>,
    parked: BTreeSet<(Duration, JobId)>,
    running: usize,
    last_place: i64,
    first_place: i64,
}

impl Lane {
    /// Adds a job at the end.
    pub(crate) fn push(&mut self, job: Job) {
        self.last_place += 1;
        self.insert(JobId(self.last_place), job);
    }

    /// Adds jobs in front of all that wait, keeping their own order.
    pub(crate) fn push_front(&mut self, jobs: Vec<Job>) {
        let count = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
        self.first_place -= count;
        for (place, job) in (self.first_place..).zip(jobs) {
            self.insert(JobId(place), job);
        }
    }

    fn insert(&mut self, id: JobId, job: Job) {
        let queue = self.by_task.entry(job.event.task_key()).or_default();
        queue.push_back(id);
        if queue.len() == 1 {
            self.runnable.insert(id);
        }
        self.jobs.insert(id, job);
    }

    /// Takes the next job that may run and marks it as running. It stays in the lane until [`Lane::finish`].
    pub(crate) fn start_next(&mut self, now: Duration) -> Option<(JobId, &Job)> {
        let id = self.runnable.pop_first()?;
        let job = self.jobs.get_mut(&id)?;
        job.phase = Phase::Running { since: now };
        self.running += 1;
        Some((id, job))
    }

    /// A running job is over for good; the next one of its task may run.
    pub(crate) fn finish(&mut self, id: JobId) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        self.running -= 1;
        let task = job.event.task_key();
        if let Some(queue) = self.by_task.get_mut(&task) {
            debug_assert_eq!(queue.front(), Some(&id), "only the first job of a task runs");
            queue.pop_front();
            match queue.front() {
                Some(next) => {
                    self.runnable.insert(*next);
                }
                None => {
                    self.by_task.remove(&task);
                }
            }
        }
        Some(job)
    }

    /// A running job failed and waits for its retry. Later jobs of its task wait with it.
    pub(crate) fn park(&mut self, id: JobId, until: Duration, error: Arc<str>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.phase = Phase::Parked { until };
            job.attempts += 1;
            job.last_error = Some(error);
            self.running -= 1;
            self.parked.insert((until, id));
        }
    }

    /// Jobs whose retry is due may run again.
    pub(crate) fn unpark(&mut self, now: Duration) {
        while let Some(&(until, id)) = self.parked.first() {
            if until > now {
                break;
            }
            self.parked.pop_first();
            if let Some(job) = self.jobs.get_mut(&id) {
                job.phase = Phase::Waiting;
                self.runnable.insert(id);
            }
        }
    }

    /// When the next retry is due.
    pub(crate) fn next_retry(&self) -> Option<Duration> {
        self.parked.first().map(|(until, _)| *until)
    }

    pub(crate) fn get(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// Jobs that do not run now.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.len() - self.running
    }

    /// Whether anything of this task waits or runs.
    pub(crate) fn has_task(&self, task: &TaskKey) -> bool {
        self.by_task.contains_key(task)
    }

    /// Tasks of which anything waits or runs.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &TaskKey> {
        self.by_task.keys()
    }

    /// Running jobs first, then the rest in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Job> {
        let runs = |job: &&Job| matches!(job.phase, Phase::Running { .. });
        self.jobs.values().filter(runs).chain(self.jobs.values().filter(move |job| !runs(job)))
    }

    /// What holds between any two calls. Called by property tests.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let running = self.jobs.values().filter(|job| matches!(job.phase, Phase::Running { .. })).count();
        assert_eq!(running, self.running, "running jobs are counted");
        assert_eq!(self.by_task.values().map(VecDeque::len).sum::<usize>(), self.jobs.len());
        for (task, queue) in &self.by_task {
            assert!(queue.iter().zip(queue.iter().skip(1)).all(|(a, b)| a < b), "{task}: out of order");
            for (index, id) in queue.iter().enumerate() {
                let job = &self.jobs[id];
                let may_run = index == 0 && job.phase == Phase::Waiting;
                assert_eq!(self.runnable.contains(id), may_run, "{task}: {job:?}");
                assert!(index == 0 || job.phase == Phase::Waiting, "{task}: only the first may have begun");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mconn_model::{AppId, TaskId, TaskStatus};
    use proptest::prelude::*;

    fn job(task: &str, origin: Origin) -> Job {
        let event = TaskEvent {
            source: None,
            task: TaskId::new(task).unwrap(),
            status: TaskStatus::Running,
            app: AppId::parse("/a").unwrap(),
            host: None,
            ports: Vec::new(),
            event_type: None,
            timestamp: None,
        };
        let id: Arc<str> = event.display_id().into();
        Job {
            event: Arc::new(event),
            event_id: id.clone(),
            display_id: id,
            origin,
            attempts: 0,
            last_error: None,
            phase: Phase::Waiting,
        }
    }

    fn next(lane: &mut Lane) -> Option<(JobId, String)> {
        lane.start_next(Duration::ZERO).map(|(id, job)| (id, job.event.task.to_string()))
    }

    #[test]
    fn strictly_in_order_of_arrival_one_at_a_time() {
        let mut lane = Lane::default();
        for task in ["a", "b", "a", "c"] {
            lane.push(job(task, Origin::Journal(Seq(0))));
        }
        let mut order = String::new();
        while let Some((id, task)) = next(&mut lane) {
            order += &task;
            lane.finish(id);
            lane.check();
        }
        assert_eq!(order, "abac");
    }

    #[test]
    fn the_same_task_never_runs_twice_at_once() {
        let mut lane = Lane::default();
        for task in ["a", "a", "b"] {
            lane.push(job(task, Origin::Journal(Seq(0))));
        }
        let (first, _) = next(&mut lane).unwrap();
        assert_eq!(next(&mut lane).unwrap().1, "b", "a second job of a has to wait");
        assert!(next(&mut lane).is_none());
        lane.finish(first);
        assert_eq!(next(&mut lane).unwrap().1, "a");
    }

    #[test]
    fn cleanup_goes_in_front_in_its_own_order() {
        let mut lane = Lane::default();
        lane.push(job("event", Origin::Journal(Seq(0))));
        lane.push_front(vec![job("c1", Origin::Cleanup), job("c2", Origin::Cleanup)]);
        let order: Vec<_> = std::iter::from_fn(|| next(&mut lane).map(|(_, task)| task)).collect();
        assert_eq!(order, ["c1", "c2", "event"]);
    }

    #[test]
    fn a_retry_holds_up_its_own_task_alone() {
        let mut lane = Lane::default();
        for task in ["a", "a", "b"] {
            lane.push(job(task, Origin::Journal(Seq(0))));
        }
        let (failing, _) = next(&mut lane).unwrap();
        lane.park(failing, Duration::from_secs(5), "no".into());
        lane.check();
        let (other, task) = next(&mut lane).unwrap();
        assert_eq!(task, "b");
        lane.finish(other);
        lane.unpark(Duration::from_secs(4));
        assert!(next(&mut lane).is_none());
        lane.unpark(Duration::from_secs(5));
        assert_eq!(next(&mut lane).unwrap().0, failing, "the failed one goes first");
        lane.check();
    }

    proptest! {
        #[test]
        fn order_per_task_holds_whatever_happens(steps in prop::collection::vec((0_u8..5, 0_u8..4), 1..200)) {
            let mut lane = Lane::default();
            let (mut pushed, mut done) = (HashMap::<String, Vec<u64>>::new(), HashMap::<String, Vec<u64>>::new());
            let mut active: Vec<JobId> = Vec::new();
            let mut seq = 0;
            for (step, task) in steps {
                let name = format!("t{task}");
                match step {
                    0 | 1 => {
                        seq += 1;
                        pushed.entry(name.clone()).or_default().push(seq);
                        lane.push(job(&name, Origin::Journal(Seq(seq))));
                    }
                    2 => active.extend(next(&mut lane).map(|(id, _)| id)),
                    3 => {
                        if let Some(id) = active.pop() {
                            let job = lane.finish(id).unwrap();
                            let Origin::Journal(Seq(seq)) = job.origin else { unreachable!() };
                            done.entry(job.event.task.to_string()).or_default().push(seq);
                        }
                    }
                    _ => {
                        if let Some(id) = active.pop() {
                            lane.park(id, Duration::from_secs(u64::from(task)), "x".into());
                        }
                        lane.unpark(Duration::from_secs(2));
                    }
                }
                lane.check();
            }
            for (task, seqs) in done {
                prop_assert_eq!(&pushed[&task][..seqs.len()], &seqs[..], "order of {}", task);
            }
        }
    }
}
