//! What went wrong with a request, whose fault it is, and whether trying again makes sense.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rustls::CertificateError;
use url::Url;

/// Who has to act so that it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The other side answers wrongly or not in time.
    Server,
    /// The way there: names, routes, ports, a process that is down.
    Network,
    /// Our own configuration.
    Settings,
}

/// What a request waited for when its time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A connection (TCP and TLS).
    Connect,
    /// Status and headers.
    Head,
    /// The rest of a body.
    Body,
    /// Any byte of a stream.
    Idle,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "a connection",
            Self::Head => "an answer",
            Self::Body => "the whole body",
            Self::Idle => "any byte of the stream",
        })
    }
}

/// A URL as errors and logs show it: scheme, host, port and path; no user, password or query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownUrl(String);

impl ShownUrl {
    /// Leaves out what must not be shown.
    #[must_use]
    pub fn new(url: &Url) -> Self {
        let mut shown = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        if let Some(port) = url.port() {
            shown.push_str(&format!(":{port}"));
        }
        shown.push_str(url.path());
        Self(shown)
    }
}

impl fmt::Display for ShownUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there is no (whole) answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No TCP connection.
    #[error("cannot connect to {url}: {reason}; is it up, and reachable from here?")]
    Connect {
        /// Where to.
        url: ShownUrl,
        /// What the system says.
        reason: String,
    },
    /// No TLS connection.
    #[error(
        "no TLS connection to {url}: {reason}; check the CA file, the host name, or whether it is https at all"
    )]
    Tls {
        /// Where to.
        url: ShownUrl,
        /// What TLS says.
        reason: String,
    },
    /// Time is up.
    #[error("waited {after:?} for {phase} of {url}")]
    Timeout {
        /// Where to.
        url: ShownUrl,
        /// What was waited for.
        phase: Phase,
        /// How long.
        after: Duration,
    },
    /// The connection broke, the body ended early, or it was no HTTP.
    #[error("the answer of {url} broke off: {reason}")]
    Broken {
        /// Where from.
        url: ShownUrl,
        /// What happened.
        reason: String,
    },
    /// More than the limit.
    #[error("the answer of {url} is larger than {limit} bytes; raise the limit if that is right")]
    TooLarge {
        /// Where from.
        url: ShownUrl,
        /// The limit in bytes, after decompression.
        limit: usize,
    },
    /// The request itself makes no sense.
    #[error("cannot send a request to {url}: {reason}")]
    Unsendable {
        /// Where to.
        url: ShownUrl,
        /// Why.
        reason: String,
    },
}

impl HttpError {
    /// Who has to act.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Connect { .. } => Fault::Network,
            Self::Timeout { phase: Phase::Connect, .. } => Fault::Network,
            Self::Timeout { .. } | Self::Broken { .. } => Fault::Server,
            Self::Tls { .. } | Self::TooLarge { .. } | Self::Unsendable { .. } => Fault::Settings,
        }
    }

    /// Whether the same request may work a moment later without anybody changing a setting.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.fault() != Fault::Settings
    }

    /// The URL that was asked.
    #[must_use]
    pub fn url(&self) -> &ShownUrl {
        match self {
            Self::Connect { url, .. }
            | Self::Tls { url, .. }
            | Self::Timeout { url, .. }
            | Self::Broken { url, .. }
            | Self::TooLarge { url, .. }
            | Self::Unsendable { url, .. } => url,
        }
    }
}

/// Why a client cannot be built. All of it is a matter of settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The CA file cannot be read.
    #[error("cannot read the CA file {path}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The CA file or text holds no usable certificate.
    #[error("no usable certificate in {place}: {reason}")]
    Certificates {
        /// The file, or `the given text`.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The system has no certificates.
    #[error("the system has no usable certificates ({reason}); give a CA file")]
    NoSystemRoots {
        /// What was found instead.
        reason: String,
    },
    /// TLS or HTTP client refuse the settings.
    #[error("cannot set up the HTTP client: {reason}")]
    Client {
        /// Why.
        reason: String,
    },
}

/// All causes of an error in one line, without repeating those that already quote the next one.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        next = error.source();
    }
    text
}

/// Like [`chain`], but without reqwest's own first line, which quotes the whole URL.
fn causes(error: &reqwest::Error) -> String {
    error.source().map_or_else(|| "no reason was given".to_owned(), chain)
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An io::Error hides the error that it was made from; its source() is that error's source.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| find::<T>(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What TLS says, in words that an operator can act on.
fn of_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate comes from an authority that is not trusted here (UnknownIssuer)".to_owned()
        }
        // Two authorities with the same name and different keys.
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            "its certificate was not signed by the authority that is trusted here (BadSignature)".to_owned()
        }
        other => other.to_string(),
    }
}

pub(super) fn of_send(error: &reqwest::Error, url: ShownUrl, connect_timeout: Duration) -> HttpError {
    if let Some(tls) = find::<rustls::Error>(error) {
        HttpError::Tls { url, reason: of_tls(tls) }
    } else if error.is_timeout() {
        HttpError::Timeout { url, phase: Phase::Connect, after: connect_timeout }
    } else if error.is_connect() {
        HttpError::Connect { url, reason: causes(error) }
    } else if error.is_builder() {
        HttpError::Unsendable { url, reason: causes(error) }
    } else {
        HttpError::Broken { url, reason: causes(error) }
    }
}

pub(super) fn of_body(error: &reqwest::Error, url: &ShownUrl) -> HttpError {
    HttpError::Broken { url: url.clone(), reason: causes(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_no_secrets() {
        let url = Url::parse("http://ann:s3cret@marathon.mesos:8080/v2/apps?token=t0ken#x").unwrap();
        assert_eq!(ShownUrl::new(&url).to_string(), "http://marathon.mesos:8080/v2/apps");
        let url = Url::parse("https://[::1]/v2/apps").unwrap();
        assert_eq!(ShownUrl::new(&url).to_string(), "https://[::1]/v2/apps");
    }
}
