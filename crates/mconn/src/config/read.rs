//! From one text to one value. Each function takes the text alone and answers with what it expected if it does not fit;
//! none of them repeats the text, so that no error can carry a secret.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use mconn_catalog::UnreachablePolicy;
use mconn_model::ModuleName;
use mconn_wire::dcos::DcosCredential;

use super::resolved::{DcosSource, Intake, ModuleConcurrency, Ready};
use super::secret::{Credentials, HttpCredentials, MarathonHost, SecretUrl};

/// What was expected instead.
pub(super) type Expected = String;

/// The longest time that can be set: a year, far from the end of any clock arithmetic.
pub(super) const MAX_MILLIS: u64 = 365 * 24 * 3_600_000;
/// Far above what two cores can do, and small enough for a task each.
const MAX_CONCURRENCY: usize = 1024;

/// A whole number within bounds.
pub(super) fn number<T>(text: &str, min: T, max: T) -> Result<T, Expected>
where
    T: FromStr + PartialOrd + Display + Copy,
{
    match text.trim().parse::<T>() {
        Ok(number) if number >= min && number <= max => Ok(number),
        _ => Err(format!("a whole number from {min} to {max}")),
    }
}

/// Milliseconds.
pub(super) fn millis(text: &str, min: u64) -> Result<Duration, Expected> {
    number(text, min, MAX_MILLIS).map(Duration::from_millis).map_err(|e| format!("{e} (milliseconds)"))
}

/// A share of a whole.
pub(super) fn share(text: &str) -> Result<f64, Expected> {
    match text.trim().parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a number from 0 to 1, such as 0.5".to_owned()),
    }
}

/// Strictly `true` or `false`.
pub(super) fn boolean(text: &str) -> Result<bool, Expected> {
    text.parse().map_err(|_| "true or false".to_owned())
}

/// A name or address under which a node can be reached.
pub(super) fn host(text: &str) -> Result<String, Expected> {
    let unfit = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '?' | '#' | ',');
    if text.is_empty() || text.contains(unfit) {
        return Err("a host name or an address".to_owned());
    }
    Ok(text.to_owned())
}

/// Whether only this machine can be meant.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<IpAddr, Expected> {
    text.trim().parse().map_err(|_| "an IP address such as 0.0.0.0, :: or 127.0.0.1".to_owned())
}

/// Texts between commas, with their blanks; empty ones are left out.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Marathon hosts. Without a port, that of the scheme is meant.
pub(super) fn marathon_hosts(text: &str, tls: bool) -> Result<Vec<MarathonHost>, Expected> {
    let pieces = text.split(',').map(str::trim).filter(|piece| !piece.is_empty());
    pieces.map(|piece| marathon_host(piece, tls)).collect()
}

/// One Marathon host. `tls` is meant where it names no scheme.
pub(super) fn marathon_host(piece: &str, tls: bool) -> Result<MarathonHost, Expected> {
    const EXPECTED: &str = "hosts separated by commas, each [user:password@]host:port, or an address such as \
                            https://host/service/marathon (in which user and password are percent-encoded)";
    let url = [("http://", false), ("https://", true)]
        .into_iter()
        .find_map(|(scheme, tls)| Some((piece.strip_prefix(scheme)?, tls)));
    let (piece, path, tls) = match url {
        Some((rest, tls)) => {
            let (piece, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (piece, path.trim_end_matches('/'), tls)
        }
        None => (piece, "", tls),
    };
    if path.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@')) {
        return Err(EXPECTED.to_owned());
    }
    let (credentials, place) = match piece.rsplit_once('@') {
        Some((credentials, place)) => {
            let credentials = Credentials::split(credentials);
            let credentials = if url.is_some() { credentials.percent_decoded() } else { Some(credentials) };
            (Some(credentials.ok_or(EXPECTED)?), place)
        }
        None => (None, piece),
    };
    let scheme_port = if tls { 443 } else { 80 };
    let (name, port) = if let Some(rest) = place.strip_prefix('[') {
        let (name, behind) = rest.split_once(']').ok_or(EXPECTED)?;
        (name, if behind.is_empty() { Some("") } else { behind.strip_prefix(':') })
    } else {
        place.split_once(':').map_or((place, Some("")), |(name, port)| (name, Some(port)))
    };
    let port = match port {
        Some("") if !place.ends_with(':') => Some(scheme_port),
        Some(port) => port.parse().ok().filter(|port| *port > 0),
        None => None,
    };
    match (host(name), port) {
        (Ok(host), Some(port)) => Ok(MarathonHost { credentials, tls, host, port, path: path.to_owned() }),
        _ => Err(EXPECTED.to_owned()),
    }
}

/// What to log in to DC/OS with, or nothing.
pub(super) fn dcos_credential(text: &str) -> Result<Option<DcosSource>, Expected> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(path) = text.strip_prefix("file://") {
        let path = PathBuf::from(path);
        return if path.is_absolute() {
            Ok(Some(DcosSource::File(path)))
        } else {
            Err("file:///path".to_owned())
        };
    }
    // Its error says what is wrong without a word of the text.
    let credential = DcosCredential::parse(text).map_err(|error| {
        format!("a service account of DC/OS in JSON, file:///path of it, or user:password ({error})")
    })?;
    Ok(Some(DcosSource::Inline(credential)))
}

/// `MCONN_CREDENTIALS`: exactly one colon switches on.
pub(super) fn credentials(text: &str) -> HttpCredentials {
    match text.matches(':').count() {
        _ if text.is_empty() => HttpCredentials::Off,
        1 => HttpCredentials::On(Credentials::split(text)),
        _ => HttpCredentials::Malformed,
    }
}

/// An address to be called at, or none.
pub(super) fn callback_url(text: &str) -> Result<Option<SecretUrl>, Expected> {
    web_address(text, "an address such as http://host:port/v1/queue, or nothing")
}

/// An address to log in at, or none.
pub(super) fn login_endpoint(text: &str) -> Result<Option<SecretUrl>, Expected> {
    web_address(text, "an address such as https://host/acs/api/v1/auth/login, or nothing")
}

fn web_address(text: &str, expected: &str) -> Result<Option<SecretUrl>, Expected> {
    if text.is_empty() {
        return Ok(None);
    }
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(Some(SecretUrl::new(url)))
        }
        _ => Err(expected.to_owned()),
    }
}

/// Where events come from.
pub(super) fn intake(text: &str) -> Result<Intake, Expected> {
    match text {
        "both" => Ok(Intake::Both),
        "stream" => Ok(Intake::Stream),
        "callback" => Ok(Intake::Callback),
        _ => Err("both, stream or callback".to_owned()),
    }
}

/// Which sources must have been read.
pub(super) fn ready(text: &str) -> Result<Ready, Expected> {
    match text {
        "all" => Ok(Ready::All),
        "any" => Ok(Ready::Any),
        "none" => Ok(Ready::None),
        _ => Err("all, any or none".to_owned()),
    }
}

/// What becomes of unreachable tasks.
pub(super) fn unreachable(text: &str) -> Result<UnreachablePolicy, Expected> {
    match text {
        "drain" => Ok(UnreachablePolicy::Drain),
        "remove" => Ok(UnreachablePolicy::Remove),
        "keep" => Ok(UnreachablePolicy::Keep),
        _ => Err("drain, remove or keep".to_owned()),
    }
}

/// A number for all modules, `Module=N` for single ones, or both, separated by commas.
pub(super) fn concurrency(text: &str) -> Result<ModuleConcurrency, Expected> {
    let expected = || format!("a number from 1 to {MAX_CONCURRENCY}, or Module=number, separated by commas");
    let count = |text: &str| {
        let number = number(text, 1, MAX_CONCURRENCY).ok().and_then(NonZeroUsize::new);
        number.ok_or_else(expected)
    };
    let mut all = None;
    let mut by_module = BTreeMap::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let twice = match item.split_once('=') {
            Some((name, number)) => {
                let name = ModuleName::new(name.trim()).map_err(|_| expected())?;
                by_module.insert(name, count(number)?).is_some()
            }
            None => all.replace(count(item)?).is_some(),
        };
        if twice {
            return Err(format!("{}, each once", expected()));
        }
    }
    if all.is_none() && by_module.is_empty() {
        return Err(expected());
    }
    Ok(ModuleConcurrency { all: all.unwrap_or(NonZeroUsize::MIN), by_module })
}

/// A ZooKeeper path with a slash in front and none behind; the root stays `/`.
pub(super) fn namespace(text: &str) -> Result<String, Expected> {
    let segments: Vec<&str> = text.split('/').filter(|s| !s.is_empty()).collect();
    if text.chars().any(char::is_control) || segments.iter().any(|s| matches!(*s, "." | "..")) {
        return Err("a path such as /mconn, without . and .. in it".to_owned());
    }
    Ok(format!("/{}", segments.join("/")))
}

/// A text as one name in a file system: letters, digits, `.`, `-` and `_` stay, all else becomes `%XX`, so that two texts
/// never share a name. Empty and dotted names, which mean something to a file system, are escaped as well.
pub(super) fn file_name(text: &str) -> String {
    use std::fmt::Write as _;
    if text.is_empty() {
        return "%".to_owned();
    }
    let dotted = matches!(text, "." | "..");
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && !dotted) {
            name.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marathon_hosts_are_read_with_all_their_parts() {
        let cases: &[(&str, bool, Option<&str>)] = &[
            ("leader.mesos:8080", false, Some("leader.mesos:8080")),
            ("a:1, u:p@b:2 ,", false, Some("a:1|u/p@b:2")),
            ("u:p:q@x@b:2", false, Some("u/p:q@x@b:2")),
            ("u@b:2", false, Some("u/@b:2")),
            ("a,[::1]", false, Some("a:80|[::1]:80")),
            ("a,[::1]:2", true, Some("a:443|[::1]:2")),
            ("", false, Some("")),
            ("a:", false, None),
            ("a:0", false, None),
            ("a:b", false, None),
            ("::1:8080", false, None),
            ("[::1", false, None),
            (":8080", false, None),
            ("a:1/path", false, None),
            ("http://a:1", true, Some("a:1")),
            ("https://m/service/marathon/,b", false, Some("m:443/service/marathon|b:80")),
            ("https://u:p%40x@m:8443/marathon", false, Some("u/p@x@m:8443/marathon")),
            ("https://u:p%zz@m", false, Some("u/p%zz@m:443")),
            ("https://u:%ff@m", false, None),
            ("https://u:p/x@m", false, None),
            ("https://m/marathon?a=b", false, None),
            ("ftp://m", false, None),
        ];
        for (text, tls, wanted) in cases {
            let got = marathon_hosts(text, *tls).ok().map(|hosts| {
                let place = |h: &MarathonHost| format!("{}{}", h.authority(), h.path);
                let plain = hosts.iter().map(|h| match &h.credentials {
                    Some(c) => format!("{}/{}@{}", c.reveal_user(), c.reveal_password(), place(h)),
                    None => place(h),
                });
                plain.collect::<Vec<_>>().join("|")
            });
            assert_eq!(got.as_deref(), *wanted, "{text}");
        }
    }

    #[test]
    fn credentials_need_exactly_one_colon() {
        assert_eq!(credentials(""), HttpCredentials::Off);
        assert_eq!(credentials("admin"), HttpCredentials::Malformed);
        assert_eq!(credentials("a:b:c"), HttpCredentials::Malformed);
        assert_eq!(credentials("a:b"), HttpCredentials::On(Credentials::split("a:b")));
        assert_eq!(credentials(":"), HttpCredentials::On(Credentials::split(":")));
    }

    #[test]
    fn concurrency_is_for_all_or_by_module() {
        let of = |text: &str| {
            concurrency(text).ok().map(|c| {
                let name = |n| c.of(&ModuleName::new(n).unwrap()).get();
                (name("Test"), name("HelloWorld"), name("Other"))
            })
        };
        assert_eq!(of("3"), Some((3, 3, 3)));
        assert_eq!(of("Test=4, HelloWorld=2"), Some((4, 2, 1)));
        assert_eq!(of("2,Test=4"), Some((4, 2, 2)));
        for bad in ["", "0", "Test=0", "Test=", "=3", "1,2", "Test=1,Test=2", "many", "1025"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn file_names_are_plain_and_never_shared() {
        let cases = [
            ("infra/mconn", "infra%2Fmconn"),
            ("a%2Fb", "a%252Fb"),
            ("..", "%2E%2E"),
            ("", "%"),
            ("::1", "%3A%3A1"),
        ];
        for (text, wanted) in cases {
            assert_eq!(file_name(text), wanted);
        }
    }
}
