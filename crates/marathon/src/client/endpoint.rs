//! One address of a Marathon, with the credentials that belong to it.

use std::fmt;

use mconn_wire::http::{Credentials, ShownUrl};
use url::Url;

use crate::percent;

/// Why a text is no address of a Marathon. The text itself is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not `[user:password@]host:port` and no URL.
    #[error("this is neither [user:password@]host:port nor a URL: {reason}")]
    Malformed {
        /// The parser's words.
        reason: String,
    },
    /// Something else than HTTP.
    #[error("Marathon is reached by http or https, not by {scheme}")]
    Scheme {
        /// What was given.
        scheme: String,
    },
    /// A URL with a query or a fragment, which would have to go somewhere.
    #[error("an address of a Marathon has no query and no fragment")]
    Extra,
}

/// Where a Marathon is reached. `Display` and `Debug` never show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Without credentials; the path ends with a slash.
    base: Url,
    credentials: Option<Credentials>,
}

impl Endpoint {
    /// Reads `[user:password@]host:port` (https if `tls`), or a full URL with an optional path prefix, such as
    /// `https://master/service/marathon`. In the short form the last `@` and the first `:` before it split, so that
    /// passwords may hold both; in a URL they are percent-encoded.
    ///
    /// # Errors
    /// [`EndpointError`], which never quotes the text.
    pub fn parse(text: &str, tls: bool) -> Result<Self, EndpointError> {
        let text = text.trim();
        let malformed = |error: url::ParseError| EndpointError::Malformed { reason: error.to_string() };
        if text.contains("://") {
            return Self::of_url(Url::parse(text).map_err(malformed)?);
        }
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, text),
        };
        let scheme = if tls { "https" } else { "http" };
        let plain = Self::of_url(Url::parse(&format!("{scheme}://{host}")).map_err(malformed)?)?;
        let without_colon =
            || EndpointError::Malformed { reason: "there is no colon before the @".to_owned() };
        let credentials = user.map(|user| Credentials::parse(user).ok_or_else(without_colon)).transpose()?;
        Ok(Self { credentials, ..plain })
    }

    fn of_url(mut url: Url) -> Result<Self, EndpointError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme { scheme: url.scheme().to_owned() });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(EndpointError::Extra);
        }
        let credentials = (!url.username().is_empty()).then(|| {
            let decoded = |text: &str| percent::decode(text).unwrap_or_else(|| text.to_owned());
            Credentials::new(decoded(url.username()), decoded(url.password().unwrap_or_default()))
        });
        // Neither fails for http and https, which always have a host.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self { base: url, credentials })
    }

    /// The same address with other credentials.
    #[must_use]
    pub fn with_credentials(self, credentials: Option<Credentials>) -> Self {
        Self { credentials, ..self }
    }

    /// The credentials, if it has any.
    #[must_use]
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// The URL of a path below it; `path` has no leading slash and is already encoded.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{}{path}", self.base.path()));
        url.set_query(query);
        url
    }

    /// The address without credentials; its path ends with a slash.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Whether it is Marathon's own address and not a path of some proxy.
    pub(crate) fn is_plain(&self) -> bool {
        self.base.path() == "/"
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = ShownUrl::new(&self.base).to_string();
        f.write_str(shown.strip_suffix('/').unwrap_or(&shown))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self}, credentials: {:?})", self.credentials)
    }
}

/// Host and port of a URL: what makes two URLs the same place.
pub(super) fn authority(url: &Url) -> Option<(String, u16)> {
    Some((url.host_str()?.to_ascii_lowercase(), url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_and_urls() {
        let cases = [
            ("leader.mesos:8080", false, "http://leader.mesos:8080", None),
            ("leader.mesos:8080", true, "https://leader.mesos:8080", None),
            ("ann:p@ss:w/rd#1@[::1]:8080", false, "http://[::1]:8080", Some(("ann", "ann:p@ss:w/rd#1"))),
            ("https://m/service/marathon", false, "https://m/service/marathon", None),
            ("http://ann:p%40ss@m:80/", true, "http://m", Some(("ann", "ann:p@ss"))),
        ];
        for (text, tls, shown, user) in cases {
            let endpoint = Endpoint::parse(text, tls).unwrap();
            assert_eq!(endpoint.to_string(), shown, "{text}");
            let wanted = user.map(|(_, pair)| Credentials::parse(pair).unwrap());
            assert_eq!(endpoint.credentials(), wanted.as_ref(), "{text}");
            assert!(!format!("{endpoint:?}").contains("ss"), "{endpoint:?}");
        }
        let prefixed = Endpoint::parse("https://m/service/marathon/", false).unwrap();
        assert_eq!(prefixed.url("v2/apps?a=b").as_str(), "https://m/service/marathon/v2/apps?a=b");
    }

    #[test]
    fn refusals_do_not_quote_the_password() {
        for text in
            ["", "ann-s3cret@host:8080", "ftp://ann:s3cret@host", "http://ann:s3cret@h/?x=1", "ann:s3cret@:x"]
        {
            let error = Endpoint::parse(text, false).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
