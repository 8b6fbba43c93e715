//! A login's token that can be sent and compared, but not shown.

use std::fmt;

use http::HeaderValue;

/// An authentication token of DC/OS (spec/marathon.md section 9). `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// From the text that a login answered with; `None` if it cannot stand in a header.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then_some(Self(text))
    }

    /// The text, which must go nowhere but to whom it is meant for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The `Authorization` header as Admin Router wants it, marked as sensitive so that no log of a library shows it.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        // Graphic ASCII is always a valid header value.
        let mut value = HeaderValue::try_from(format!("token={}", self.0))
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_it_and_nothing_breaks_the_header() {
        let token = Token::new("aaa.bbb.ccc").unwrap();
        assert_eq!(token.header().to_str().unwrap(), "token=aaa.bbb.ccc");
        assert!(!format!("{token:?} {:?}", token.header()).contains("bbb"));
        for text in ["", "a b", "a\r\nX-Evil: 1", "ä"] {
            assert_eq!(Token::new(text), None, "{text}");
        }
    }
}
