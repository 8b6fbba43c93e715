//! What is to be written next, and what has to be taken back if that fails.
//!
//! One batch is on its way at a time; everything that arrives meanwhile shares the next one (group commit). A batch has
//! two kinds of writes. *Requests* (an event, a preset) belong to somebody who waits for an answer: if the batch fails
//! they are taken back and answered with an error. *Results* (a finished run, an inventory item) have happened already:
//! if the batch fails they go into the next one, for as long as it takes. Only what the store says it will never take is left
//! out, or nothing would be written any more.

use std::sync::Arc;
use std::time::Duration;

use mconn_model::{AppId, ModuleName, Preset};
use mconn_store::{JournalEntry, Write};

/// Number of a batch. Batches are committed in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BatchNo(u64);

impl BatchNo {
    /// The first batch of a process. What was loaded counts as committed with it.
    pub(crate) const FIRST: Self = Self(0);
}

/// How to take a request back.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Event(Arc<JournalEntry>),
    Preset { module: ModuleName, app: AppId, before: Option<Arc<Preset>> },
}

#[derive(Debug, Default)]
struct Batch {
    requests: Vec<Request>,
    events: usize,
    request_writes: Vec<Write>,
    results: Vec<Write>,
}

impl Batch {
    /// Results first: among them is what takes a failed batch back, and that must not undo what was asked for since.
    fn writes(&self) -> Vec<Write> {
        self.results.iter().chain(&self.request_writes).cloned().collect()
    }
}

/// What the store will not take, and how to go on without it.
#[derive(Debug)]
pub(crate) enum TakenOut {
    /// A result. The batch under way is to be sent again like this, and keeps its number.
    Result(Write, Vec<Write>),
    /// A request: somebody waits for it, and the whole batch is to be taken back.
    Request(Write),
    /// There is no such write in the batch.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    open: Batch,
    in_flight: Option<Batch>,
    open_no: BatchNo,
    /// Failures in a row, and when the next attempt is due.
    trouble: Option<(u32, Duration)>,
}

/// Pause after the first failed commit; doubles up to [`TROUBLE_MAX`].
const TROUBLE_BASE: Duration = Duration::from_millis(100);
/// Longest pause between attempts to commit.
const TROUBLE_MAX: Duration = Duration::from_secs(5);

impl Outbox {
    pub(crate) fn new() -> Self {
        Self { open: Batch::default(), in_flight: None, open_no: BatchNo(1), trouble: None }
    }

    /// Adds a request; it is answered when the returned batch is committed or has failed.
    pub(crate) fn request(&mut self, write: Write, request: Request) -> BatchNo {
        self.open.events += usize::from(matches!(request, Request::Event(_)));
        self.open.request_writes.push(write);
        self.open.requests.push(request);
        self.open_no
    }

    /// Adds something that has happened.
    pub(crate) fn result(&mut self, write: Write) {
        self.open.results.push(write);
    }

    /// Number of the batch that collects now.
    pub(crate) fn open_no(&self) -> BatchNo {
        self.open_no
    }

    /// Whether that batch is durable.
    pub(crate) fn is_committed(&self, no: BatchNo) -> bool {
        no < self.open_no && !(self.in_flight.is_some() && no.0 + 1 == self.open_no.0)
    }

    /// The next batch, if none is on its way and the store is not being left alone.
    pub(crate) fn take(&mut self, now: Duration) -> Option<(BatchNo, Vec<Write>)> {
        let empty = self.open.request_writes.is_empty() && self.open.results.is_empty();
        if empty || self.in_flight.is_some() || self.trouble.is_some_and(|(_, until)| now < until) {
            return None;
        }
        let batch = std::mem::take(&mut self.open);
        let writes = batch.writes();
        self.in_flight = Some(batch);
        let no = self.open_no;
        self.open_no = BatchNo(no.0 + 1);
        Some((no, writes))
    }

    /// The batch on its way is durable. Gives its requests in order, and whether the store had been in trouble.
    pub(crate) fn committed(&mut self) -> (Vec<Request>, bool) {
        let requests = self.in_flight.take().map(|batch| batch.requests).unwrap_or_default();
        (requests, self.trouble.take().is_some())
    }

    /// The batch on its way failed. Its requests are taken back as in [`Outbox::take_back`]; `undo` has the writes that make the
    /// store agree, should the failed batch have reached it after all. Returns the requests and the pause before the next
    /// attempt.
    pub(crate) fn failed(
        &mut self,
        now: Duration,
        undo: impl Fn(&Request) -> Write,
    ) -> (Vec<Request>, Duration) {
        let requests = self.take_back(|request| Some(undo(request)));
        let failures = self.trouble.map_or(0, |(failures, _)| failures);
        let pause = TROUBLE_MAX.min(TROUBLE_BASE * 2_u32.saturating_pow(failures));
        self.trouble = Some((failures + 1, now + pause));
        (requests, pause)
    }

    /// The store will never take this write of the batch on its way, and has taken nothing of it.
    pub(crate) fn take_out(&mut self, write: usize) -> TakenOut {
        let Some(batch) = &mut self.in_flight else { return TakenOut::Nothing };
        if write < batch.results.len() {
            return TakenOut::Result(batch.results.remove(write), batch.writes());
        }
        match batch.request_writes.get(write - batch.results.len()) {
            Some(request) => TakenOut::Request(request.clone()),
            None => TakenOut::Nothing,
        }
    }

    /// Takes back all requests of the batch on its way and of the open one, newest first: later ones may build on earlier ones.
    /// Results go into the next batch, behind what `undo` gives.
    pub(crate) fn take_back(&mut self, undo: impl Fn(&Request) -> Option<Write>) -> Vec<Request> {
        let failed = self.in_flight.take().unwrap_or_default();
        let open = std::mem::take(&mut self.open);
        // Undone newest first, so that of several changes of one preset the oldest state is what remains.
        let mut results: Vec<Write> = failed.requests.iter().rev().filter_map(undo).collect();
        results.extend(failed.results);
        results.extend(open.results);
        self.open.results = results;
        self.open_no = BatchNo(self.open_no.0 + 1);
        let mut requests = failed.requests;
        requests.extend(open.requests);
        requests.reverse();
        requests
    }

    /// Requests are refused while the store is being left alone.
    pub(crate) fn refuses(&self, now: Duration) -> bool {
        self.trouble.is_some_and(|(_, until)| now < until)
    }

    /// No failure since the last success.
    pub(crate) fn is_well(&self) -> bool {
        self.trouble.is_none()
    }

    /// When the store is to be tried again, if there is something to write.
    pub(crate) fn next_attempt(&self) -> Option<Duration> {
        let waiting = !(self.open.request_writes.is_empty() && self.open.results.is_empty());
        self.trouble.filter(|_| waiting && self.in_flight.is_none()).map(|(_, until)| until)
    }

    /// Nothing is on its way and nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.is_none() && self.open.request_writes.is_empty() && self.open.results.is_empty()
    }

    /// Number of events that are accepted but not durable yet.
    pub(crate) fn undecided(&self) -> usize {
        self.open.events + self.in_flight.as_ref().map_or(0, |batch| batch.events)
    }

    /// Events that are accepted but not durable yet.
    pub(crate) fn undecided_events(&self) -> impl Iterator<Item = &Arc<JournalEntry>> {
        let all =
            self.in_flight.iter().chain(std::iter::once(&self.open)).flat_map(|batch| batch.requests.iter());
        all.filter_map(|request| match request {
            Request::Event(entry) => Some(entry),
            Request::Preset { .. } => None,
        })
    }
}
