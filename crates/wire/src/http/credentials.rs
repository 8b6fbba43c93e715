//! A user and a password that can be sent and compared, but not shown.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// Credentials for basic authentication. `Debug` and `Display` never show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// From a user (which cannot contain a colon, RFC 7617) and a password (which can).
    #[must_use]
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into() }
    }

    /// Reads `user:password`; the first colon splits (spec/marathon.md section 9). `None` without colon.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.split_once(':').map(|(user, password)| Self::new(user, password))
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The `Authorization` header, marked as sensitive so that no log of a library shows it.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let encoded = STANDARD.encode(format!("{}:{}", self.user, self.password));
        // Base64 is always a valid header value; an empty one would only lead to a 401.
        let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.user)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_colon_splits_and_nothing_shows_the_password() {
        let credentials = Credentials::parse("ann:s3:cret").unwrap();
        assert_eq!(credentials.user(), "ann");
        for text in
            [format!("{credentials}"), format!("{credentials:?}"), format!("{:?}", credentials.header())]
        {
            assert!(!text.contains("cret"), "{text}");
        }
        assert_eq!(credentials.header().to_str().unwrap(), "Basic YW5uOnMzOmNyZXQ=");
        assert_eq!(Credentials::parse("nocolon"), None);
    }
}
