//! The event-stream framer: bytes in any split become events (spec/marathon.md section 6.2).
//!
//! It does no I/O and keeps no clock. Every line end (`CR LF`, `LF`, `CR`) counts, a `CR` and its `LF` may come in
//! different reads, and a byte-order mark at the beginning is dropped. Comments, `id`, `retry` and unknown fields are
//! skipped: Marathon sends none of them and replays nothing. A blank line without data before it (Marathon's heartbeat)
//! gives no event; that bytes have arrived at all is what the caller's watchdog goes by.

/// The largest event that is accepted by default, in bytes. A deployment event with heavy plans holds the whole tree of
/// groups twice: the largest public cluster's tree is 1.8 MB at 1,000 apps, so this leaves room for 15 times as many.
pub const MAX_EVENT_BYTES: usize = 64 * 1024 * 1024;

/// Capacity that is kept between events; a single huge event shall not hold its memory for ever.
const KEPT_CAPACITY: usize = 1024 * 1024;

/// One event, borrowed from the framer until the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` field's bytes, if there was one. Marathon 0.9 sends none.
    pub name: Option<&'a [u8]>,
    /// The `data:` lines, joined by line feeds.
    pub data: &'a [u8],
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event is larger than the limit. Disconnect and compare everything.
    #[error("an event of the stream is larger than {limit} bytes")]
    EventTooLarge {
        /// The limit that it broke, in bytes.
        limit: usize,
    },
}

/// The framer. Feed it whatever a read gave; it calls back once per complete event.
#[derive(Debug)]
pub struct SseParser {
    limit: usize,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    name: Vec<u8>,
    has_name: bool,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a CR that ended a line: an LF that follows belongs to it.
    after_cr: bool,
    first_line: bool,
    failed: bool,
}

impl Default for SseParser {
    fn default() -> Self {
        Self::new(MAX_EVENT_BYTES)
    }
}

impl SseParser {
    /// A framer that accepts events of up to `limit` bytes (name, data and the line under way together).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            name: Vec::new(),
            has_name: false,
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            first_line: true,
            failed: false,
        }
    }

    /// Takes the next bytes and calls `on_event` for each event that they complete.
    ///
    /// # Errors
    /// [`SseError`] when an event breaks the limit. The framer stays failed: the position in the stream is lost.
    pub fn feed(&mut self, bytes: &[u8], mut on_event: impl FnMut(Event<'_>)) -> Result<(), SseError> {
        if self.failed {
            return Err(SseError::EventTooLarge { limit: self.limit });
        }
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, tail) = rest.split_at(end);
            rest = &tail[1..];
            if tail[0] == b'\r' {
                match rest.split_first() {
                    Some((b'\n', after)) => rest = after,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            self.check_room(line.len())?;
            if self.line.is_empty() {
                self.take_line(line, &mut on_event);
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_line(&whole, &mut on_event);
                whole.clear();
                self.line = whole;
                self.line.shrink_to(KEPT_CAPACITY);
            }
        }
        self.check_room(rest.len())?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    fn check_room(&mut self, more: usize) -> Result<(), SseError> {
        let used = self.line.len() + self.data.len() + self.name.len();
        if used.saturating_add(more) > self.limit {
            self.failed = true;
            self.line = Vec::new();
            self.data = Vec::new();
            return Err(SseError::EventTooLarge { limit: self.limit });
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], on_event: &mut impl FnMut(Event<'_>)) {
        let line = if std::mem::take(&mut self.first_line) {
            line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            self.dispatch(on_event);
            return;
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match field {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.has_name = true;
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            _ => {} // comments (empty field name), id, retry, and fields of other standards
        }
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(Event<'_>)) {
        if self.has_data {
            on_event(Event { name: self.has_name.then_some(&self.name[..]), data: &self.data });
        }
        self.name.clear();
        self.data.clear();
        self.data.shrink_to(KEPT_CAPACITY);
        self.has_name = false;
        self.has_data = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (Option<String>, String);

    fn collect(limit: usize, pieces: &[&[u8]]) -> Result<Vec<Owned>, SseError> {
        let mut parser = SseParser::new(limit);
        let mut out = Vec::new();
        for piece in pieces {
            parser.feed(piece, |event| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                out.push((event.name.map(text), text(event.data)));
            })?;
        }
        Ok(out)
    }

    #[track_caller]
    fn check(stream: &str, wanted: &[(Option<&str>, &str)]) {
        let wanted: Vec<Owned> =
            wanted.iter().map(|(name, data)| (name.map(str::to_owned), (*data).to_owned())).collect();
        assert_eq!(
            collect(MAX_EVENT_BYTES, &[stream.as_bytes()]).unwrap(),
            wanted,
            "in one piece: {stream:?}"
        );
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(collect(MAX_EVENT_BYTES, &bytes).unwrap(), wanted, "byte by byte: {stream:?}");
    }

    #[test]
    fn frames_of_marathon() {
        check("event: a_event\r\ndata: {\"x\":1}\r\n\r\n", &[(Some("a_event"), "{\"x\":1}")]);
        check("data: 0.9 has no names\n\n", &[(None, "0.9 has no names")]);
        check("\r\n\r\n\r\nevent: a\r\ndata: b\r\n\r\n\r\n", &[(Some("a"), "b")]);
    }

    #[test]
    fn every_line_end_and_a_byte_order_mark() {
        let wanted = &[(Some("a"), "1"), (Some("b"), "2")][..];
        for end in ["\r\n", "\n", "\r"] {
            let text = format!("\u{FEFF}event:a{end}data:1{end}{end}event: b{end}data: 2{end}{end}");
            check(&text, wanted);
        }
        check("event: a\rdata: 1\n\revent: b\r\ndata: 2\r\n\n", wanted);
    }

    #[test]
    fn fields_that_mean_nothing_here_are_skipped() {
        check(
            ": comment\nid: 7\nretry: 10\nfoo: bar\ndata: x\ndata\ndata:  y\nevent: e\n\n",
            &[(Some("e"), "x\n\n y")],
        );
        check("event: lonely\n\ndata: next\n\n", &[(None, "next")]);
        check("data: the end is missing\n", &[]);
    }

    #[test]
    fn an_event_over_the_limit_is_an_error_that_stays() {
        let fits = b"data: 12345\n\n";
        assert_eq!(collect(11, &[fits]).unwrap().len(), 1);
        let error = SseError::EventTooLarge { limit: 10 };
        assert_eq!(collect(10, &[fits]), Err(error));
        let bytes: Vec<&[u8]> = fits.chunks(1).collect();
        assert_eq!(collect(10, &bytes), Err(error));
        let mut parser = SseParser::new(4);
        assert_eq!(parser.feed(b"aaaaaaaa", |_| ()), Err(SseError::EventTooLarge { limit: 4 }));
        assert!(parser.feed(b"\n", |_| ()).is_err(), "the position is lost");
        let many = "data: 1\n".repeat(100);
        assert!(collect(50, &[many.as_bytes()]).is_err(), "many short lines count together");
    }

    #[test]
    fn small_events_for_ever_never_hit_the_limit() {
        let stream = "event: e\r\ndata: 12345\r\n\r\n\r\n".repeat(1000);
        assert_eq!(collect(20, &[stream.as_bytes()]).unwrap().len(), 1000);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "event: e", "event:", "data: x", "data:y", "data", ": c", "id: 1", "x", "\r\n", "\n", "\r",
                    "\u{FEFF}", "\r\n\r\n", "ä",
                ]),
                0..40,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream = parts.concat().into_bytes();
            let whole = collect(MAX_EVENT_BYTES, &[&stream]).unwrap();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            at.extend([0, stream.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(collect(MAX_EVENT_BYTES, &pieces).unwrap(), whole);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = collect(64, &[&bytes]);
        }
    }
}
