//! A steady stream of numbered events to all nodes. Each sender tells the story of one task after the other and sends the next
//! event of a task only after the one before was acknowledged, so that nothing but the nodes can change their order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::history::{Outcome, Status, Step};
use crate::{PATIENCE, status_update};

/// The app of all tasks.
pub const APP: &str = "/posted";

/// Senders at a time.
const SENDERS: u64 = 6;

/// Numbers of one sender; events of two are never the same.
const NUMBERS: u64 = 1_000_000_000;

/// Longer than a node takes for any answer, so that a request that is given up belongs to a node that is gone.
const DEADLINE: Duration = Duration::from_secs(20);

/// Between two events of a sender: two cores also run three nodes and three servers.
const PACE: Duration = Duration::from_millis(25);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(30);

/// What was sent and answered, by task.
pub type Sent = BTreeMap<String, Vec<Step>>;

/// Acknowledged events, as they are counted while senders send.
#[derive(Debug, Default)]
pub struct Progress {
    by_node: Vec<AtomicU64>,
}

impl Progress {
    /// How many each node has acknowledged so far.
    #[must_use]
    pub fn by_node(&self) -> Vec<u64> {
        self.by_node.iter().map(|count| count.load(Ordering::SeqCst)).collect()
    }
}

/// Running senders. They end with this value.
#[derive(Debug)]
pub struct Senders {
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
    tasks: JoinSet<Sent>,
}

impl Senders {
    /// Starts them. `round` makes their tasks different from those of other rounds, `seed` what they draw.
    #[must_use]
    pub fn start(nodes: &[SocketAddr], round: u64, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Progress { by_node: nodes.iter().map(|_| AtomicU64::new(0)).collect() };
        let progress = Arc::new(progress);
        let mut tasks = JoinSet::new();
        for sender in 0..SENDERS {
            let sender = Sender {
                nodes: nodes.to_vec(),
                first: (round * SENDERS + sender) * NUMBERS,
                rng: fastrand::Rng::with_seed(seed ^ (sender << 32)),
                stop: stop.clone(),
                progress: progress.clone(),
            };
            tasks.spawn(sender.run());
        }
        Self { stop, progress, tasks }
    }

    /// What was acknowledged so far.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Lets each of them end the story that it is at, and gives what they have sent.
    ///
    /// # Panics
    /// If an event is not accepted by any node within [`PATIENCE`].
    pub async fn stop(mut self) -> Sent {
        self.stop.store(true, Ordering::SeqCst);
        let mut sent = Sent::new();
        while let Some(part) = self.tasks.join_next().await {
            sent.extend(part.expect("a sender does not panic"));
        }
        sent
    }
}

struct Sender {
    nodes: Vec<SocketAddr>,
    first: u64,
    rng: fastrand::Rng,
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
}

impl Sender {
    async fn run(mut self) -> Sent {
        let mut sent = Sent::new();
        let mut number = self.first;
        while !self.stop.load(Ordering::SeqCst) {
            let task = format!("t{number}");
            let mut steps = Vec::new();
            // Most end, so that the inventory stays small; some come back.
            let story = match self.rng.u8(..10) {
                0..3 => &[Status::Running][..],
                3..9 => &[Status::Running, Status::Killed],
                _ => &[Status::Running, Status::Killed, Status::Running],
            };
            for status in story {
                steps.push(self.tell(&task, *status, number).await);
                number += 1;
                sleep(PACE).await;
            }
            sent.insert(task, steps);
        }
        sent
    }

    /// Sends an event to one node after the other until one accepts it.
    async fn tell(&mut self, task: &str, status: Status, number: u64) -> Step {
        let mut step = Step { number, status, attempts: Vec::new() };
        let event = event(task, status, number);
        let began = Instant::now();
        loop {
            let node = self.rng.usize(..self.nodes.len());
            let outcome = post(self.nodes[node], &event).await;
            step.attempts.push(outcome);
            if outcome == Outcome::Accepted {
                self.progress.by_node[node].fetch_add(1, Ordering::SeqCst);
                return step;
            }
            let attempts = &step.attempts;
            assert!(began.elapsed() < PATIENCE, "event {number} was not accepted: {attempts:?}");
            sleep(PAUSE).await;
        }
    }
}

/// An event with a number as its time stamp, by which it is known.
#[must_use]
pub fn event(task: &str, status: Status, number: u64) -> Value {
    let mut event = status_update(task, status.as_str(), APP);
    event["timestamp"] = number.into();
    event
}

/// Posts an event over a connection of its own.
pub async fn post(node: SocketAddr, event: &Value) -> Outcome {
    let Ok(Ok(mut stream)) = timeout(DEADLINE, TcpStream::connect(node)).await else {
        return Outcome::NotSent;
    };
    match timeout(DEADLINE, exchange(&mut stream, &event.to_string())).await {
        Ok(Ok(answer)) => judge(&answer),
        Ok(Err(_)) | Err(_) => Outcome::Unclear,
    }
}

async fn exchange(stream: &mut TcpStream, body: &str) -> std::io::Result<String> {
    let head = format!(
        "POST /v1/queue HTTP/1.1\r\nHost: mconn\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// What a whole answer says, or what was there of it.
fn judge(answer: &str) -> Outcome {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return Outcome::Unclear };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    if length.is_some_and(|length| body.len() < length) {
        return Outcome::Unclear;
    }
    // The body of a chunked answer stands between its sizes.
    let json = body.find('{').zip(body.rfind('}')).and_then(|(from, to)| body.get(from..=to));
    let json: Option<Value> = json.and_then(|json| serde_json::from_str(json).ok());
    match (head.get(9..12), json) {
        (Some("200"), Some(json)) if json["taskId"].is_string() => Outcome::Accepted,
        (Some(_), Some(_)) => Outcome::Refused,
        _ => Outcome::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_with_a_task_id_is_an_acknowledgement() {
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"taskId\":\"t\"}";
        assert_eq!(judge(ok), Outcome::Accepted);
        assert_eq!(judge(&ok.replace("taskId", "status")), Outcome::Refused);
        assert_eq!(judge(&ok.replace("200 OK", "503 x")), Outcome::Refused);
        for end in 0..ok.len() {
            assert_eq!(judge(&ok[..end]), Outcome::Unclear, "{end}");
        }
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n{\"taskId\":\"t\"}\r\n0\r\n\r\n";
        assert_eq!(judge(chunked), Outcome::Accepted);
    }
}
