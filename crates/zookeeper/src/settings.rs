//! Where ZooKeeper is, and how patient we are with it.

use std::fmt;
use std::time::Duration;

/// Port of a host that names none.
const DEFAULT_PORT: u16 = 2181;

/// More hosts than any ensemble has: a list longer than this is a mistake.
const MAX_HOSTS: usize = 64;

/// One server of the ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: String,
    port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// A user and a password for ZooKeeper's `digest` scheme. Neither `Debug` nor `Display` shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest(String);

impl Digest {
    /// Reads `user:password`; the first colon splits.
    ///
    /// # Errors
    /// When a part is missing. The message does not show what was given.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        match text.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => Ok(Self(text.to_owned())),
            _ => Err(SettingsError("the ZooKeeper credentials must be user:password".to_owned())),
        }
    }

    /// What goes over the wire.
    pub(crate) fn reveal(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a setting makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

/// Where ZooKeeper is, and how patient we are with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The ensemble. List all of them: with one host alone its restart costs the client up to twice its absence.
    pub hosts: Vec<Host>,
    /// Our part of the tree: `/` or a path such as `/infra/mconn`, without a slash at its end.
    pub(crate) path: String,
    /// What we ask for, one second at least; the server may raise or lower it to its own limits.
    pub session_timeout: Duration,
    /// How long one attempt at a session may take.
    pub connect_deadline: Duration,
    /// How long one call may take, waiting for a lost connection included.
    pub call_deadline: Duration,
    /// Upper bound of the random wait between two attempts at a session.
    pub retry_pause: Duration,
    /// Who we are. With it, what we create can be read and written by the same user only.
    pub auth: Option<Digest>,
}

impl Settings {
    /// With defaults for all but hosts (comma-separated `host[:port]`) and path.
    ///
    /// # Errors
    /// When hosts or path cannot be read.
    pub fn new(hosts: &str, path: &str) -> Result<Self, SettingsError> {
        Ok(Self {
            hosts: parse_hosts(hosts)?,
            path: parse_path(path)?,
            session_timeout: Duration::from_secs(10),
            connect_deadline: Duration::from_secs(10),
            call_deadline: Duration::from_secs(10),
            retry_pause: Duration::from_secs(3),
            auth: None,
        })
    }

    /// With defaults for all but the place, as ZooKeeper's own tools write it: `host:port,host:port/path`.
    ///
    /// # Errors
    /// When it cannot be read, or names no path.
    pub fn at(place: &str) -> Result<Self, SettingsError> {
        let Some(slash) = place.find('/') else {
            let text = format!("\"{place}\" names no path: expected host:port,host:port/path");
            return Err(SettingsError(text));
        };
        let (hosts, path) = place.split_at(slash);
        Self::new(hosts, path)
    }

    /// Our part of the tree.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `host:port,host:port/path`, as ZooKeeper's own tools write it. No secrets.
    #[must_use]
    pub fn place(&self) -> String {
        let path = if self.path == "/" { "" } else { &self.path };
        format!("{}{path}", self.host_list())
    }

    /// `host:port,host:port`.
    #[must_use]
    pub fn host_list(&self) -> String {
        self.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// The hosts in an order of chance, so that the clients of an ensemble spread over its servers.
    pub(crate) fn shuffled_hosts(&self) -> String {
        let mut hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        fastrand::shuffle(&mut hosts);
        hosts.join(",")
    }
}

fn parse_hosts(text: &str) -> Result<Vec<Host>, SettingsError> {
    let mut hosts = Vec::new();
    for piece in text.split(',').map(str::trim).filter(|piece| !piece.is_empty()) {
        let host = parse_host(piece).ok_or_else(|| {
            SettingsError(format!("\"{piece}\" is no ZooKeeper host: expected host or host:port"))
        })?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    match hosts.len() {
        0 => Err(SettingsError("no ZooKeeper host is given: expected host:port,host:port".to_owned())),
        1..=MAX_HOSTS => Ok(hosts),
        n => Err(SettingsError(format!("{n} ZooKeeper hosts are given, at most {MAX_HOSTS} make sense"))),
    }
}

fn parse_host(text: &str) -> Option<Host> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']')?;
            let port = if rest.is_empty() { "" } else { rest.strip_prefix(':')? };
            (name, port)
        }
        None => text.rsplit_once(':').unwrap_or((text, "")),
    };
    let bracketed = text.starts_with('[');
    let fits = |c: char| {
        c.is_alphanumeric() || matches!(c, '.' | '-' | '_') || (bracketed && matches!(c, ':' | '%'))
    };
    if name.is_empty() || !name.chars().all(fits) {
        return None;
    }
    let port = if port.is_empty() { DEFAULT_PORT } else { port.parse().ok().filter(|port| *port != 0)? };
    Some(Host { name: name.to_owned(), port })
}

fn parse_path(text: &str) -> Result<String, SettingsError> {
    let wrong = |why: &str| SettingsError(format!("\"{text}\" is no ZooKeeper path: {why}"));
    let Some(rest) = text.strip_prefix('/') else { return Err(wrong("it must begin with a slash")) };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Ok("/".to_owned());
    }
    for segment in rest.split('/') {
        match segment {
            "" => return Err(wrong("it has an empty segment")),
            "." | ".." => return Err(wrong("it must not have the segments . and ..")),
            _ if !segment.chars().all(is_node_char) => {
                return Err(wrong("it has characters that ZooKeeper forbids"));
            }
            _ => {}
        }
    }
    if rest == "zookeeper" || rest.starts_with("zookeeper/") {
        return Err(wrong("/zookeeper belongs to ZooKeeper itself"));
    }
    Ok(format!("/{rest}"))
}

/// Whether ZooKeeper takes this character in a node's name. A slash ends the name.
pub(crate) fn is_node_char(c: char) -> bool {
    let forbidden = matches!(
        u32::from(c),
        0x0000..=0x001f | 0x007f..=0x009f | 0xd800..=0xf8ff | 0xfff0..=0xffff
    );
    !forbidden && c != '/'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_paths_are_read() {
        let settings = Settings::new(" a:1, b ,[::1]:3,a:1,", "/infra/mconn/").unwrap();
        assert_eq!(settings.place(), "a:1,b:2181,[::1]:3/infra/mconn");
        assert_eq!(Settings::new("a", "/").unwrap().place(), "a:2181");
        assert_eq!(Settings::at("a:1,[::1]/infra/mconn").unwrap().place(), "a:1,[::1]:2181/infra/mconn");
        assert_eq!(
            Settings::at("a:1").unwrap_err().to_string(),
            "\"a:1\" names no path: expected host:port,host:port/path"
        );
        let mut shuffled: Vec<String> = settings.shuffled_hosts().split(',').map(str::to_owned).collect();
        shuffled.sort();
        assert_eq!(shuffled, ["[::1]:3", "a:1", "b:2181"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let cases = [
            ("", "/m", "no ZooKeeper host is given: expected host:port,host:port"),
            ("a:x", "/m", "\"a:x\" is no ZooKeeper host: expected host or host:port"),
            ("a:0", "/m", "\"a:0\" is no ZooKeeper host: expected host or host:port"),
            ("u:p@a:1", "/m", "\"u:p@a:1\" is no ZooKeeper host: expected host or host:port"),
            ("a", "m", "\"m\" is no ZooKeeper path: it must begin with a slash"),
            ("a", "/m//n", "\"/m//n\" is no ZooKeeper path: it has an empty segment"),
            ("a", "/m/..", "\"/m/..\" is no ZooKeeper path: it must not have the segments . and .."),
            (
                "a",
                "/zookeeper/x",
                "\"/zookeeper/x\" is no ZooKeeper path: /zookeeper belongs to ZooKeeper itself",
            ),
        ];
        for (hosts, path, wanted) in cases {
            assert_eq!(Settings::new(hosts, path).unwrap_err().to_string(), wanted);
        }
    }

    #[test]
    fn nothing_shows_the_password() {
        let mut settings = Settings::new("a", "/m").unwrap();
        settings.auth = Some(Digest::parse("someone:hu:sh").unwrap());
        let shown = format!("{settings:?} {} {}", settings.place(), settings.auth.as_ref().unwrap());
        assert!(!shown.contains("hu:sh") && !shown.contains("someone"), "{shown}");
        for wrong in ["hush", ":hush", "hush:"] {
            assert!(!Digest::parse(wrong).unwrap_err().to_string().contains("hush"));
        }
    }
}
