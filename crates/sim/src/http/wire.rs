//! HTTP/1.1 as far as a Marathon speaks it.
//!
//! Our own, because the event stream has to be a body that only the end of the connection ends, with each heartbeat
//! byte in a packet of its own, and because faults cut answers in the middle. Server crates rightly prevent both.

use bytes::{Buf, Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{error::Elapsed, sleep, timeout};

/// The longest request head.
const HEAD_MAX: usize = 64 * 1024;
/// The most header lines.
const HEADERS_MAX: usize = 100;
/// The longest request body.
pub(crate) const BODY_MAX: usize = 16 * 1024 * 1024;
/// An idle connection is closed after this time, as by the real one.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// How long a body or an answer may take.
const TRANSFER_TIME: Duration = Duration::from_secs(60);
/// The same for one that is slow on purpose.
const SLOW_TIME: Duration = Duration::from_secs(600);

/// A request with its whole body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path as sent.
    pub(crate) path: String,
    /// What follows the question mark, as sent.
    pub(crate) raw_query: String,
    /// The decoded parameters, in order.
    pub(crate) query: Vec<(String, String)>,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) keep_alive: bool,
    /// The client's address.
    pub(crate) client_ip: String,
}

impl Request {
    /// All values of a header.
    pub(crate) fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(crate) fn params<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is `true` or not; there but empty is `true`, absent is `default`.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        self.param(name).map_or(default, |value| value.is_empty() || value.eq_ignore_ascii_case("true"))
    }

    /// Whether some `Accept` header names the type.
    pub(crate) fn accepts(&self, media_type: &str) -> bool {
        let named = |part: &str| {
            part.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(media_type))
        };
        self.header("accept").any(|value| value.split(',').any(named))
    }

    /// Whether the client can read gzip.
    pub(crate) fn accepts_gzip(&self) -> bool {
        let wanted = |part: &str| {
            let mut pieces = part.split(';').map(str::trim);
            let named = pieces.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            named && !pieces.any(|piece| matches!(piece, "q=0" | "q=0.0"))
        };
        self.header("accept-encoding").any(|value| value.split(',').any(wanted))
    }
}

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response {
        Response { status, content_type, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }
}

/// Why there is no request.
#[derive(Debug)]
pub(crate) enum NoRequest {
    /// The connection is over: nothing more can be said.
    Over,
    /// The client has to be told why.
    Refused(u16, &'static str),
}

impl From<std::io::Error> for NoRequest {
    fn from(_: std::io::Error) -> Self {
        NoRequest::Over
    }
}

/// Reads one request. `buffer` keeps what was read beyond it.
pub(crate) async fn read_request<S>(stream: &mut S, buffer: &mut BytesMut) -> Result<Request, NoRequest>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut request, length) =
        timeout(IDLE_TIME, read_head(stream, buffer)).await.map_err(|_| NoRequest::Over)??;
    if request.header("expect").any(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let body = async {
        match length {
            Length::Known(length) => read_exactly(stream, buffer, length).await,
            Length::Chunked => read_chunks(stream, buffer).await,
        }
    };
    request.body = timeout(TRANSFER_TIME, body).await.map_err(|_| NoRequest::Over)??;
    Ok(request)
}

enum Length {
    Known(usize),
    Chunked,
}

async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
) -> Result<(Request, Length), NoRequest> {
    loop {
        if let Some((request, length, used)) = parse_head(buffer)? {
            buffer.advance(used);
            return Ok((request, length));
        }
        if buffer.len() > HEAD_MAX {
            return Err(NoRequest::Refused(431, "Request Header Fields Too Large"));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(NoRequest::Over);
        }
    }
}

/// The head at the start of `bytes` and its length, once it is complete.
fn parse_head(bytes: &[u8]) -> Result<Option<(Request, Length, usize)>, NoRequest> {
    const BAD: NoRequest = NoRequest::Refused(400, "Bad Request");
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let used = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(NoRequest::Refused(431, "Request Header Fields Too Large"));
        }
        Err(_) => return Err(BAD),
    };
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else { return Err(BAD) };
    // A proxy may have sent the absolute form.
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        raw_query: query.to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        ..Request::default()
    };
    for header in parsed.headers.iter() {
        let value = String::from_utf8_lossy(header.value).into_owned();
        request.headers.push((header.name.to_ascii_lowercase(), value));
    }
    let says = |word: &str| {
        request
            .header("connection")
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    request.keep_alive = if parsed.version == Some(1) { !says("close") } else { says("keep-alive") };
    let chunked =
        request.header("transfer-encoding").any(|value| value.to_ascii_lowercase().contains("chunked"));
    let length = match request.header("content-length").next() {
        _ if chunked => Length::Chunked,
        None => Length::Known(0),
        Some(text) => match text.trim().parse::<usize>() {
            Ok(length) if length <= BODY_MAX => Length::Known(length),
            Ok(_) => return Err(NoRequest::Refused(413, "Payload Too Large")),
            Err(_) => return Err(BAD),
        },
    };
    Ok(Some((request, length, used)))
}

async fn fill<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    length: usize,
) -> Result<(), NoRequest> {
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(NoRequest::Over);
        }
    }
    Ok(())
}

async fn read_exactly<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    length: usize,
) -> Result<Bytes, NoRequest> {
    fill(stream, buffer, length).await?;
    Ok(buffer.split_to(length).freeze())
}

async fn read_line<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> Result<Bytes, NoRequest> {
    loop {
        if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
            let line = buffer.split_to(end).freeze();
            buffer.advance(2);
            return Ok(line);
        }
        if buffer.len() > HEAD_MAX {
            return Err(NoRequest::Refused(400, "Bad Request"));
        }
        fill(stream, buffer, buffer.len() + 1).await?;
    }
}

async fn read_chunks<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
) -> Result<Bytes, NoRequest> {
    const BAD: NoRequest = NoRequest::Refused(400, "Bad Request");
    let mut body = BytesMut::new();
    loop {
        let line = read_line(stream, buffer).await?;
        let text = std::str::from_utf8(&line).map_err(|_| BAD)?;
        let size = text.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| BAD)?;
        if size > BODY_MAX - body.len() {
            return Err(NoRequest::Refused(413, "Payload Too Large"));
        }
        if size == 0 {
            // Trailers, which nobody here needs, up to the empty line.
            while !read_line(stream, buffer).await?.is_empty() {}
            return Ok(body.freeze());
        }
        body.extend_from_slice(&read_exactly(stream, buffer, size).await?);
        if !read_line(stream, buffer).await?.is_empty() {
            return Err(BAD);
        }
    }
}

/// The status line and the headers, up to and with the empty line.
pub(crate) fn head(status: u16, headers: &[(&str, String)]) -> String {
    let mut text = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in headers {
        text.push_str(name);
        text.push_str(": ");
        // A value out of a request must not become a header line of its own.
        text.extend(value.chars().filter(|char| !char.is_control()));
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) keep_alive: bool,
    /// It answers HEAD: a length, but no body.
    pub(crate) head_only: bool,
    /// Blanks that follow the body.
    pub(crate) pad: u64,
    /// Only so many percent of all that are sent.
    pub(crate) keep_percent: Option<u8>,
    pub(crate) bytes_per_second: Option<u64>,
}

impl Manner {
    /// An answer after which the connection ends.
    pub(crate) const LAST: Manner =
        Manner { keep_alive: false, head_only: false, pad: 0, keep_percent: None, bytes_per_second: None };
}

/// Writes an answer.
pub(crate) async fn write_response<S: AsyncWrite + Unpin>(
    stream: &mut S,
    response: Response,
    manner: Manner,
) -> std::io::Result<()> {
    let total = response.body.len() as u64 + manner.pad;
    let mut headers: Vec<(&str, String)> = response.headers;
    if total > 0 {
        headers.push(("Content-Type", response.content_type.to_owned()));
    }
    if response.status != 204 {
        headers.push(("Content-Length", total.to_string()));
    }
    if !manner.keep_alive {
        headers.push(("Connection", "close".to_owned()));
    }
    let head = head(response.status, &headers);
    let sent = match manner.keep_percent {
        _ if manner.head_only => 0,
        Some(percent) => total / 100 * u64::from(percent) + total % 100 * u64::from(percent) / 100,
        None => total,
    };
    let body = &response.body[..usize::try_from(sent).unwrap_or(usize::MAX).min(response.body.len())];
    let pad = sent - body.len() as u64;
    if let Some(rate) = manner.bytes_per_second {
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        return timeout(SLOW_TIME, write_slowly(stream, body, pad, rate)).await.unwrap_or_else(late);
    }
    let written = async {
        // One packet for small answers.
        if body.len() < 16 * 1024 {
            stream.write_all(&[head.as_bytes(), body].concat()).await?;
        } else {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body).await?;
        }
        write_blanks(stream, pad).await?;
        stream.flush().await
    };
    timeout(TRANSFER_TIME, written).await.unwrap_or_else(late)
}

fn late(_: Elapsed) -> std::io::Result<()> {
    Err(std::io::ErrorKind::TimedOut.into())
}

async fn write_blanks<S: AsyncWrite + Unpin>(stream: &mut S, mut count: u64) -> std::io::Result<()> {
    const BLANKS: [u8; 16 * 1024] = [b' '; 16 * 1024];
    while count > 0 {
        let part = &BLANKS[..usize::try_from(count).unwrap_or(usize::MAX).min(BLANKS.len())];
        stream.write_all(part).await?;
        count -= part.len() as u64;
    }
    Ok(())
}

/// Some bytes, a pause, some bytes, ...; at most twenty times a second.
async fn write_slowly<S: AsyncWrite + Unpin>(
    stream: &mut S,
    body: &[u8],
    pad: u64,
    rate: u64,
) -> std::io::Result<()> {
    let step = usize::try_from(rate / 20).unwrap_or(usize::MAX).max(1);
    let pause = |bytes: usize| Duration::from_secs_f64(bytes as f64 / rate as f64);
    for part in body.chunks(step) {
        stream.write_all(part).await?;
        stream.flush().await?;
        sleep(pause(part.len())).await;
    }
    let mut left = pad;
    while left > 0 {
        let part = left.min(step as u64);
        write_blanks(stream, part).await?;
        stream.flush().await?;
        sleep(pause(usize::try_from(part).unwrap_or(step))).await;
        left -= part;
    }
    Ok(())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        409 => "Conflict",
        413 => "Payload Too Large",
        422 => "Unprocessable Entity",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Result<Request, u16> {
        let mut stream = tokio::io::join(text.as_bytes(), tokio::io::sink());
        read_request(&mut stream, &mut BytesMut::new()).await.map_err(|error| match error {
            NoRequest::Over => 0,
            NoRequest::Refused(status, _) => status,
        })
    }

    #[tokio::test]
    async fn heads_and_bodies() {
        let request = read("GET /a%20b?x=1&x=2&f HTTP/1.1\r\nAccept: text/plain;q=1, */*\r\n\r\n")
            .await
            .expect("valid");
        assert_eq!(request.path, "/a%20b");
        assert_eq!(request.params("x").collect::<Vec<_>>(), ["1", "2"]);
        assert!(request.flag("f", false) && request.keep_alive && request.accepts("text/plain"));
        let request = read("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi").await.expect("valid");
        assert_eq!((&request.body[..], request.keep_alive), (&b"hi"[..], false));
        let chunked =
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n";
        assert_eq!(&read(chunked).await.expect("valid").body[..], b"abcd");
    }

    #[tokio::test]
    async fn odd_requests_are_refused_not_feared() {
        for (text, status) in [
            ("", 0),
            ("nonsense\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 413),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", 0),
        ] {
            assert_eq!(read(text).await.err(), Some(status), "{text}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
        assert_eq!(read(&many).await.err(), Some(431));
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(HEAD_MAX + 10_000));
        assert_eq!(read(&long).await.err(), Some(431));
    }

    #[test]
    fn values_cannot_split_headers() {
        assert_eq!(head(200, &[("A", "b\r\nC: d".into())]), "HTTP/1.1 200 OK\r\nA: bC: d\r\n\r\n");
    }
}
