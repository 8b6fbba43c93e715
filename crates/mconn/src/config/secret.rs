//! Values with a secret in them, and how texts with secrets are shown. Nothing here prints a password: neither by
//! `Debug` nor by `Display`, and the accessors that reveal one say so in their name.

use std::fmt;

use super::setting::Secrecy;

/// What is shown instead of a secret.
const HIDDEN: &str = "***";

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// Splits at the first colon; without one the password is empty.
    pub(crate) fn split(text: &str) -> Self {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Self { user: user.to_owned(), password: password.to_owned() }
    }

    /// As they are meant in an address, where `%40` stands for `@`. `None` if that makes no text.
    pub(crate) fn percent_decoded(&self) -> Option<Self> {
        let decoded =
            |text| Some(percent_encoding::percent_decode_str(text).decode_utf8().ok()?.into_owned());
        Some(Self { user: decoded(&self.user)?, password: decoded(&self.password)? })
    }

    /// The user, which is not to be shown either.
    pub(crate) fn reveal_user(&self) -> &str {
        &self.user
    }

    /// The password.
    pub(crate) fn reveal_password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// `MCONN_CREDENTIALS`, as spec/mconn.md section 7 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HttpCredentials {
    /// Not set, or empty: no client is asked.
    Off,
    /// Not exactly one colon: no client is asked either, but each request logs a warning.
    Malformed,
    /// Clients must give these. An empty user or password never passes.
    On(Credentials),
}

/// One Marathon: where it is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct MarathonHost {
    /// For Basic authentication.
    pub(crate) credentials: Option<Credentials>,
    /// https.
    pub(crate) tls: bool,
    /// Name or address, without brackets.
    pub(crate) host: String,
    /// The port; without one, that of the scheme.
    pub(crate) port: u16,
    /// What stands before Marathon's own paths: empty, or such as `/service/marathon` behind Admin Router.
    pub(crate) path: String,
}

impl MarathonHost {
    /// `host:port`, for messages and as the name of this source.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Its address, without credentials.
    pub(crate) fn url(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    /// The address of the machine alone.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl fmt::Display for MarathonHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.credentials.is_some() {
            write!(f, "{HIDDEN}:{HIDDEN}@")?;
        }
        write!(f, "{}{}", self.authority(), self.path)
    }
}

impl fmt::Debug for MarathonHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address that may carry a user, a password or a token in its query.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretUrl(url::Url);

impl SecretUrl {
    pub(crate) fn new(url: url::Url) -> Self {
        Self(url)
    }

    /// The address with whatever secret it carries.
    pub(crate) fn reveal(&self) -> &url::Url {
        &self.0
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_address(self.0.as_str()))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text as it may be shown.
pub(crate) fn mask(secrecy: Secrecy, text: &str) -> String {
    match secrecy {
        Secrecy::Open => text.to_owned(),
        Secrecy::Whole if text.is_empty() => String::new(),
        Secrecy::Whole => HIDDEN.to_owned(),
        Secrecy::HostList => text.split(',').map(mask_host).collect::<Vec<_>>().join(","),
        Secrecy::Clusters => super::clusters::mask(text),
        Secrecy::Address => mask_address(text),
    }
}

/// A piece that is no host may be half of a password with a comma in it, so it is hidden whole.
pub(super) fn mask_host(piece: &str) -> String {
    let scheme = ["http://", "https://"].into_iter().find(|scheme| piece.trim_start().starts_with(scheme));
    let (scheme, piece) = scheme.map_or(("", piece), |scheme| (scheme, &piece.trim_start()[scheme.len()..]));
    let (head, place) = piece.rsplit_once('@').map_or(("", piece), |(_, place)| ("***:***@", place));
    let (host, path) = match place.find('/') {
        Some(slash) if !scheme.is_empty() => place.split_at(slash),
        _ => (place, ""),
    };
    let plain_path = path.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '~'));
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ' ');
    let is_host = match host.rsplit_once(':') {
        Some((name, port)) => {
            let name_fits = name.chars().all(|c| plain(c) || (c == ':' && name.starts_with('[')));
            name_fits && port.trim_end().chars().all(|c| c.is_ascii_digit())
        }
        None => host.chars().all(plain),
    };
    format!("{scheme}{head}{}", if is_host && plain_path { place } else { HIDDEN })
}

fn mask_address(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let Ok(url) = url::Url::parse(text) else { return HIDDEN.to_owned() };
    let Some(host) = url.host_str() else { return HIDDEN.to_owned() };
    let user = if url.username().is_empty() && url.password().is_none() { "" } else { "***:***@" };
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let query = if url.query().is_some() || url.fragment().is_some() { "?***" } else { "" };
    format!("{}://{user}{host}{port}{}{query}", url.scheme(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;

    #[test]
    fn hosts_keep_name_and_port_and_lose_the_rest() {
        let cases = [
            ("leader.mesos:8080", "leader.mesos:8080"),
            ("u:hush@a:1, b:2,u:hush@c:3", "***:***@a:1, b:2,***:***@c:3"),
            ("u:hush@with@at@a:1", "***:***@a:1"),
            ("u:hu,sh@a:1", "***,***:***@a:1"),
            ("[::1]:8080", "[::1]:8080"),
            ("http://u:hush@a:1", "http://***:***@a:1"),
            (
                "https://m/service/marathon,https://u:hush@m:8443/marathon/",
                "https://m/service/marathon,https://***:***@m:8443/marathon/",
            ),
            ("https://u:hu/sh@m/marathon", "https://***:***@m/marathon"),
            ("https://u:hush", "https://***"),
            ("https://m/marathon?token=hush", "https://***"),
            ("u:hush", "***"),
            ("", ""),
        ];
        for (given, wanted) in cases {
            assert_eq!(mask(Secrecy::HostList, given), wanted, "{given}");
        }
    }

    #[test]
    fn addresses_keep_scheme_host_port_and_path() {
        let cases = [
            ("http://n:1/v1/queue", "http://n:1/v1/queue"),
            ("http://u:hush@n:1/v1/queue?token=hush", "http://***:***@n:1/v1/queue?***"),
            ("u:hush@n", "***"),
            ("", ""),
        ];
        for (given, wanted) in cases {
            assert_eq!(mask(Secrecy::Address, given), wanted, "{given}");
        }
    }

    #[test]
    fn neither_debug_nor_display_shows_a_password() {
        let host = read::marathon_hosts("http://me:hush@[::1]/m", false).unwrap().remove(0);
        assert_eq!(format!("{host} {host:?}"), "***:***@[::1]:80/m ***:***@[::1]:80/m");
        assert_eq!(host.url(), "http://[::1]:80/m");
        assert_eq!(format!("{:?}", HttpCredentials::On(Credentials::split("me:hush"))), "On(***)");
        let url = SecretUrl::new(url::Url::parse("http://me:hush@n/q").unwrap());
        assert_eq!(format!("{url} {url:?}"), "http://***:***@n/q http://***:***@n/q");
    }
}
