//! The event stream on its way from Marathon to us: frames as bytes, late, split, twice or not at all.

use std::time::Duration;

use mconn_marathon::event::decode_event;
use mconn_marathon::follow::Input;
use mconn_sim::cluster::{Command, Event};
use mconn_wire::sse::SseParser;

use super::weather::Mail;
use super::world::{Item, World};

/// A stream from the attempt to open it to its end.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) number: u64,
    parser: SseParser,
    /// Marathon writes to it.
    pub(super) attached: bool,
    /// We read from it.
    pub(super) open: bool,
    /// Nothing arrives any more, and nobody says so.
    silent: bool,
    /// When bytes arrived last, or it was opened.
    pub(super) last_byte: Duration,
    /// When it was opened.
    pub(super) opened: Duration,
    /// When the last bytes in order arrive.
    in_order: Duration,
    /// A frame has begun and not ended.
    within_frame: bool,
}

/// Bytes on their way.
#[derive(Debug)]
pub(super) struct Chunk {
    stream: u64,
    bytes: Vec<u8>,
    /// The event that they complete, and whether it is a copy or out of order.
    completes: Option<(usize, bool)>,
}

/// How long an attempt to open a stream may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(10);

impl World {
    /// The follower opens a stream.
    pub(super) fn open_stream(&mut self) {
        self.streams += 1;
        let number = self.streams;
        let way = self.weather.latency(&mut self.rng);
        self.stream = Some(Stream {
            number,
            parser: SseParser::new(self.follow.event_limit),
            attached: false,
            open: false,
            silent: false,
            last_byte: self.now,
            opened: self.now,
            in_order: self.now,
            within_frame: false,
        });
        self.plan(way, Item::StreamAsked(number));
    }

    pub(super) fn stream_asked(&mut self, number: u64) {
        if self.stream.as_ref().is_none_or(|stream| stream.number != number) {
            return;
        }
        let way = self.weather.latency(&mut self.rng);
        if self.now < self.away_until || self.weather.refuses_stream(&mut self.rng) {
            self.coverage.note("stream refused");
            let hangs = self.rng.u8(..4) == 0;
            return self.plan(if hangs { OPEN_TIMEOUT } else { way }, Item::StreamFails(number, false));
        }
        if self.weather.has_no_stream(&mut self.rng) {
            self.coverage.note("stream impossible");
            return self.plan(way, Item::StreamFails(number, true));
        }
        if let Some(stream) = &mut self.stream {
            stream.attached = true;
            stream.in_order = self.now + way;
        }
        self.plan(way, Item::StreamOpens(number));
        self.plan(HEARTBEAT, Item::Heartbeat(number));
        self.command(Command::StreamAttached { remote: "10.0.0.9".into() });
    }

    pub(super) fn stream_fails(&mut self, number: u64, impossible: bool) {
        if self.take_stream(number) {
            self.truth.hinder(self.now);
            self.feed(Input::StreamFailed { reason: "the stream was refused".into(), impossible });
        }
    }

    pub(super) fn stream_opens(&mut self, number: u64) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.number == number) else { return };
        stream.open = true;
        (stream.opened, stream.last_byte) = (self.now, self.now);
        self.say_leader();
        self.feed(Input::StreamOpened);
    }

    /// Marathon, or what lies between, ends the stream.
    pub(super) fn stream_ends(&mut self, number: u64) {
        if self.stream.as_ref().is_some_and(|stream| stream.number == number && stream.within_frame) {
            self.coverage.note("stream broken within a frame");
        }
        // One that ends before its head has arrived was never opened.
        let open = self.stream.as_ref().is_some_and(|stream| stream.open);
        if self.take_stream(number) {
            self.truth.hinder(self.now);
            let reason = "the stream has ended".to_owned();
            self.feed(if open {
                Input::StreamEnded { reason }
            } else {
                Input::StreamFailed { reason, impossible: false }
            });
        }
    }

    fn take_stream(&mut self, number: u64) -> bool {
        self.stream.take_if(|stream| stream.number == number).is_some()
    }

    /// The follower drops it.
    pub(super) fn close_stream(&mut self) {
        self.truth.hinder(self.now);
        self.stream = None;
    }

    /// It breaks, perhaps within a frame, or goes silent.
    pub(super) fn break_stream(&mut self, silently: bool) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.attached && !stream.silent) else {
            return;
        };
        let number = stream.number;
        if silently {
            stream.silent = true;
            self.coverage.note("stream silent");
            self.log("the stream goes silent");
        } else {
            stream.attached = false;
            // What is on its way may be lost with it.
            let under_way = stream.in_order.saturating_sub(self.now).mul_f64(self.rng.f64());
            self.coverage.note("stream broken");
            self.log("the stream breaks");
            self.plan(under_way + Duration::from_millis(1), Item::StreamEnds(number));
        }
        if self.is_scaling_down() {
            self.coverage.note("stream lost while scaling down");
        }
    }

    pub(super) fn heartbeat(&mut self, number: u64) {
        let alive = |stream: &&mut Stream| stream.number == number && stream.attached;
        if self.stream.as_mut().filter(alive).is_none() {
            return;
        }
        // Marathon flushes the two bytes separately.
        for byte in [b"\r", b"\n"] {
            self.send_bytes(byte.to_vec(), None);
        }
        self.plan(HEARTBEAT, Item::Heartbeat(number));
    }

    /// Marathon writes an event to the stream, if there is one.
    pub(super) fn send_event(&mut self, event: &Event, number: usize) {
        let Some(stream) = self.stream.as_ref().filter(|stream| stream.attached) else { return };
        let id = stream.number;
        let frame = format!("event: {}\r\ndata: {}\r\n\r\n", event.event_type, event.body).into_bytes();
        match self.weather.mail(&mut self.rng) {
            Mail::Normal => self.send_frame(frame, number),
            Mail::Dropped => {
                self.coverage.note("event dropped");
                if event.body.contains("TASK_KILLING") {
                    self.coverage.note("KILLING dropped");
                }
                if self.truth.is_last_hint(number) {
                    self.coverage.note("last hint dropped");
                }
                self.trace(|| format!("    dropped #{number}"));
            }
            Mail::Twice => {
                self.coverage.note("event duplicated");
                self.send_frame(frame.clone(), number);
                let late = Duration::from_millis(self.rng.u64(0..500)) + self.way_in_order();
                self.plan(
                    late,
                    Item::Bytes(Chunk { stream: id, bytes: frame, completes: Some((number, true)) }),
                );
            }
            Mail::Late(by) => {
                self.coverage.note("event delayed past others");
                let late = by + self.way_in_order();
                self.plan(
                    late,
                    Item::Bytes(Chunk { stream: id, bytes: frame, completes: Some((number, true)) }),
                );
            }
        }
    }

    /// How long what is sent now takes if nothing overtakes anything.
    fn way_in_order(&mut self) -> Duration {
        let way = self.weather.latency(&mut self.rng);
        let Some(stream) = &mut self.stream else { return way };
        stream.in_order = stream.in_order.max(self.now + way);
        stream.in_order - self.now
    }

    fn send_frame(&mut self, mut frame: Vec<u8>, number: usize) {
        if self.weather.splits(&mut self.rng) {
            self.coverage.note("frame split");
            // An event is whole with the CR of its blank line, so that the last LF alone would complete nothing.
            let rest = frame.split_off(self.rng.usize(1..frame.len() - 1));
            self.send_bytes(frame, None);
            frame = rest;
        }
        self.send_bytes(frame, Some((number, false)));
    }

    fn send_bytes(&mut self, bytes: Vec<u8>, completes: Option<(usize, bool)>) {
        let way = self.way_in_order();
        let Some(stream) = &self.stream else { return };
        let chunk = Chunk { stream: stream.number, bytes, completes };
        self.plan(way, Item::Bytes(chunk));
    }

    /// Bytes arrive, if the stream is still there.
    pub(super) fn receive(&mut self, chunk: Chunk) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.number == chunk.stream) else {
            return;
        };
        if stream.silent || !stream.open {
            return;
        }
        stream.last_byte = self.now;
        // A frame that is out of order must not fall into the middle of another one.
        if chunk.completes.is_some_and(|(_, twisted)| twisted) && stream.within_frame {
            let again = Duration::from_millis(1);
            return self.plan(again, Item::Bytes(chunk));
        }
        stream.within_frame = chunk.completes.is_none() && !matches!(&*chunk.bytes, b"\r" | b"\n");
        let (mut events, mut unreadable) = (Vec::new(), None);
        let fed = stream.parser.feed(&chunk.bytes, |event| match decode_event(event.name, event.data) {
            Ok(event) => events.push(event),
            Err(error) => unreadable = Some(error.to_string()),
        });
        assert!(fed.is_ok() && unreadable.is_none(), "{fed:?} {unreadable:?}");
        let expected = usize::from(chunk.completes.is_some());
        assert_eq!(
            events.len(),
            expected,
            "a frame is one event: {:?}",
            String::from_utf8_lossy(&chunk.bytes)
        );
        if let Some((number, twisted)) = chunk.completes {
            self.delivered(number, twisted);
        }
        self.feed(Input::Received(events));
    }
}
