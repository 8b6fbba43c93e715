//! What changes in the headers on their way to the leader and back (RFC 9110 section 7.6). Everything else passes.

use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::auth::Credentials;

/// The nodes that have passed a request on, the first one first. Each puts itself to the end, so that the number of
/// names is the number of hops.
pub(super) const PASSED_BY: HeaderName = HeaderName::from_static("x-mconn-via");
/// In answers between nodes: the one that was asked does not lead and has done nothing.
pub(super) const NOT_HANDLED: HeaderName = HeaderName::from_static("x-mconn-not-handled");
/// In answers to clients: `host:port` of the leader that has answered.
const ANSWERED_BY: HeaderName = HeaderName::from_static("x-mconn-leader");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Headers of one connection, whatever `Connection` says.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The nodes that have passed this request on already.
pub(super) fn passed_by(headers: &HeaderMap) -> Vec<&str> {
    let texts = headers.get_all(PASSED_BY).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// The headers of a request as the leader gets them.
pub(super) fn to_leader(
    sent: &HeaderMap,
    version: Version,
    client: IpAddr,
    me: &str,
    credentials: &Credentials,
) -> HeaderMap {
    let mut headers = sent.clone();
    let mut passed_by = passed_by(sent).join(", ");
    strip(&mut headers);
    // The body was read and is sent whole, so its length is known anew, and nobody waits for a "continue".
    headers.remove(CONTENT_LENGTH);
    headers.remove(EXPECT);
    let host = headers.remove(HOST);
    add(&mut headers, VIA, &format!("{} {me}", spoken(version)));
    add(&mut headers, FORWARDED_FOR, &client.to_string());
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(host) = host {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
    if !passed_by.is_empty() {
        passed_by.push_str(", ");
    }
    passed_by.push_str(me);
    set(&mut headers, PASSED_BY, &passed_by);
    if let Some(own) = credentials.for_leader(sent) {
        headers.insert(AUTHORIZATION, own);
    }
    headers
}

/// The headers of an answer as the client gets them.
pub(super) fn to_client(mut headers: HeaderMap, version: Version, me: &str, leader: &str) -> HeaderMap {
    strip(&mut headers);
    add(&mut headers, VIA, &format!("{} {me}", spoken(version)));
    set(&mut headers, ANSWERED_BY, leader);
    headers
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Puts an item to the end of a list.
fn add(headers: &mut HeaderMap, name: HeaderName, item: &str) {
    let mut list: Vec<&[u8]> = headers.get_all(&name).into_iter().map(HeaderValue::as_bytes).collect();
    list.push(item.as_bytes());
    let list = list.join(&b", "[..]);
    if let Ok(list) = HeaderValue::from_maybe_shared(list) {
        headers.insert(name, list);
    }
}

/// Names of nodes come from settings; one that fits into no header is left out.
fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

fn spoken(version: Version) -> &'static str {
    if version == Version::HTTP_10 { "1.0" } else { "1.1" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Basic;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        pairs.collect::<Vec<(HeaderName, HeaderValue)>>().into_iter().collect()
    }

    fn shown(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_belongs_to_a_connection_stays_and_the_way_is_written_down() {
        let sent = headers(&[
            ("Host", "node.example"),
            ("Connection", "close, X-Private"),
            ("X-Private", "mine"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "websocket"),
            ("Proxy-Authorization", "Basic eA=="),
            ("Content-Length", "3"),
            ("Expect", "100-continue"),
            ("Content-Type", "application/json"),
            ("X-Request-Id", "7"),
            ("Via", "1.0 front"),
            ("X-Forwarded-For", "10.0.0.9"),
            ("X-Forwarded-Proto", "https"),
        ]);
        let client = "10.0.0.1".parse().unwrap();
        let passed = to_leader(&sent, Version::HTTP_11, client, "b:1", &Credentials::Off);
        assert_eq!(
            shown(&passed),
            [
                "content-type: application/json",
                "via: 1.0 front, 1.1 b:1",
                "x-forwarded-for: 10.0.0.9, 10.0.0.1",
                "x-forwarded-host: node.example",
                "x-forwarded-proto: https",
                "x-mconn-via: b:1",
                "x-request-id: 7",
            ]
        );
        let again = to_leader(&passed, Version::HTTP_11, client, "c:1", &Credentials::Off);
        assert_eq!(passed_by(&again), ["b:1", "c:1"]);
    }

    #[test]
    fn an_answer_says_who_gave_it() {
        let answer = headers(&[("ETag", "\"1\""), ("Connection", "keep-alive"), ("Content-Length", "2")]);
        assert_eq!(
            shown(&to_client(answer, Version::HTTP_11, "b:1", "a:1")),
            ["content-length: 2", "etag: \"1\"", "via: 1.1 b:1", "x-mconn-leader: a:1"]
        );
    }

    #[test]
    fn names_are_counted_whatever_their_spelling() {
        for (lines, wanted) in [
            (&["a:1,b:1"][..], &["a:1", "b:1"][..]),
            (&["a:1", " b:1 ,, c:1"], &["a:1", "b:1", "c:1"]),
            (&[","], &[]),
            (&[], &[]),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(PASSED_BY, line.parse().unwrap());
            }
            assert_eq!(passed_by(&headers), wanted);
        }
    }

    #[test]
    fn the_clients_credentials_pass_if_they_are_good_and_the_nodes_own_stand_in_else() {
        let own = Credentials::On(Basic::new("me", "hush"));
        let (good, bad) = ("Basic bWU6aHVzaA==", "Basic bWU6bm8=");
        let client = "10.0.0.1".parse().unwrap();
        for (credentials, given, wanted) in [
            (&own, Some(good), Some(good)),
            (&own, Some(bad), Some(good)),
            (&own, None, Some(good)),
            (&Credentials::Off, Some(bad), Some(bad)),
            (&Credentials::Off, None, None),
            (&Credentials::Malformed, None, None),
        ] {
            let sent = given.map_or_else(HeaderMap::new, |given| headers(&[("Authorization", given)]));
            let passed = to_leader(&sent, Version::HTTP_11, client, "b:1", credentials);
            let passed = passed.get(AUTHORIZATION).map(|value| value.to_str().unwrap());
            assert_eq!(passed, wanted, "{given:?}");
        }
    }
}
