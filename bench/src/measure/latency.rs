//! Time from sending an event to seeing it finished on `/v1/events`, at a fixed rate.
//!
//! The rate does not wait for answers: each event has its moment, and its time counts from that moment even if it was
//! sent late. Threads of their own send, because an async timer knows whole milliseconds only.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use mconn_wire::sse::SseParser;
use serde::Deserialize;

use crate::event::{task_id, write_post};
use crate::figures::{Sample, percentile, sample};
use crate::node::{Node, Place};
use crate::{Result, disk, within};

const APP: &str = "/bench";
/// Events a second.
const RATE: u64 = 1_000;
/// How long.
const SECONDS: u64 = 20;
/// Events whose times are not counted: the first second.
const WARM_UP: u64 = RATE;
/// Connections that take turns: each has 8 ms for an answer before it is late.
const CONNECTIONS: u64 = 8;
/// How long a sender waits for an answer.
const ANSWER: Duration = Duration::from_secs(10);

pub(crate) async fn measure(place: &Place) -> Result<Vec<Sample>> {
    let dir = place.directory()?;
    let before = disk::sync_time(dir.path())?;
    let node = Node::start(place, dir.path(), &[]).await?;
    node.preset(APP, true).await?;
    let mut stream = node.api.stream("/v1/events?types=queue").await?;

    let total = RATE * SECONDS;
    // Late enough for all threads to be there.
    let start = Instant::now() + Duration::from_millis(200);
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|sender| {
            let addr = node.addr;
            thread::spawn(move || send(addr, sender, total, start))
        })
        .collect();
    let mut times = Vec::new();
    let mut seen = 0;
    let mut parser = SseParser::default();
    let limit = Duration::from_secs(SECONDS + 60);
    within(limit, "all events are seen finished", async {
        while seen < total {
            let Some(bytes) = stream.chunk().await? else {
                return Err("the node has ended the stream".into());
            };
            let now = Instant::now();
            let mut trouble = None;
            parser.feed(&bytes, |event| match finished(event.name, event.data) {
                Ok(Some(number)) => {
                    seen += 1;
                    if number >= WARM_UP {
                        times.push(ms(now.saturating_duration_since(due(start, number))));
                    }
                }
                Ok(None) => {}
                Err(error) => trouble = Some(error),
            })?;
            trouble.map_or(Ok(()), Err)?;
        }
        Ok(())
    })
    .await?;
    let mut answers = Vec::new();
    for sender in senders {
        answers.extend(sender.join().map_err(|_| "a sender panicked")??);
    }
    let after = disk::sync_time(dir.path())?;
    times.sort_by(f64::total_cmp);
    answers.sort_by(f64::total_cmp);
    Ok(vec![
        sample("latency.p50", percentile(&times, 0.5)),
        sample("latency.p99", percentile(&times, 0.99)),
        sample("latency.max", percentile(&times, 1.0)),
        sample("latency.answer_p50", percentile(&answers, 0.5)),
        sample("latency.answer_p99", percentile(&answers, 0.99)),
        sample("latency.sync_p50", f64::midpoint(before.p50, after.p50)),
        sample("latency.sync_p99", before.p99.max(after.p99)),
    ])
}

/// An event's moment.
fn due(start: Instant, number: u64) -> Instant {
    start + Duration::from_micros(number * 1_000_000 / RATE)
}

/// Sends each of this sender's events at its moment; gives the times of the answers in ms.
fn send(addr: SocketAddr, sender: u64, total: u64, start: Instant) -> Result<Vec<f64>> {
    let mut socket = TcpStream::connect(addr)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER))?;
    let (mut request, mut answer) = (Vec::with_capacity(1024), [0; 4096]);
    let mut times = Vec::new();
    let mut number = sender;
    while number < total {
        request.clear();
        write_post(&mut request, APP, &task_id(APP, number), "TASK_RUNNING", number);
        let due = due(start, number);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        socket.write_all(&request)?;
        // The answer is some 200 bytes and is written at once.
        let length = socket.read(&mut answer)?;
        if !answer[..length].starts_with(b"HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&answer[..length]).into());
        }
        if number >= WARM_UP {
            times.push(ms(due.elapsed()));
        }
        number += CONNECTIONS;
    }
    Ok(times)
}

#[derive(Deserialize)]
struct Told<'a> {
    what: &'a str,
    id: Option<&'a str>,
    state: Option<&'a str>,
}

/// The number of the event that this live event says is finished.
fn finished(name: Option<&[u8]>, data: &[u8]) -> Result<Option<u64>> {
    if name == Some(b"lagged") {
        return Err("the harness was too slow for the live events".into());
    }
    let told: Told<'_> = serde_json::from_slice(data)?;
    if (told.what, told.state) != ("ended", Some("finished")) {
        return Ok(None);
    }
    let number = told.id.and_then(|id| id.strip_suffix("_TASK_RUNNING")?.rsplit('-').next());
    Ok(Some(number.ok_or("a live event has another id than was sent")?.parse()?))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found_again() {
        let id = task_id(APP, 77);
        let data = format!(r#"{{"what":"ended","id":"{id}_TASK_RUNNING","state":"finished","waiting":0}}"#);
        assert_eq!(finished(Some(b"queue"), data.as_bytes()).unwrap(), Some(77));
        assert_eq!(finished(None, br#"{"what":"removed","id":"x","waiting":0}"#).unwrap(), None);
        assert!(finished(Some(b"lagged"), br#"{"missed":1}"#).is_err());
    }
}
