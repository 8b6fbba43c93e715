//! Basic authentication (spec/mconn.md section 7).

use std::fmt;
use std::net::IpAddr;

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use subtle::{Choice, ConstantTimeEq};

use crate::problem::Cause;

/// Who may come in. The binary makes it from `MCONN_CREDENTIALS`.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Everybody.
    #[default]
    Off,
    /// Everybody, because the setting has not exactly one colon. Each request logs a warning.
    Malformed,
    /// Who gives these.
    On(Basic),
}

/// A user and a password. `Debug` hides both.
#[derive(Clone)]
pub struct Basic {
    user: Box<[u8]>,
    password: Box<[u8]>,
}

impl Basic {
    /// An empty user or password is allowed here, and never passes.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.as_bytes().into(), password: password.as_bytes().into() }
    }

    /// As a request has it, and hidden in logs.
    fn header(&self) -> Option<HeaderValue> {
        let pair = [&self.user[..], b":", &self.password[..]].concat();
        let mut header = HeaderValue::try_from(format!("Basic {}", BASE64.encode(pair))).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// Whether these are the ones. Takes the same time whatever is given.
    fn accepts(&self, user: &[u8], password: &[u8]) -> bool {
        let filled = !self.user.is_empty() && !self.password.is_empty();
        let same = same(&self.user, user) & same(&self.password, password);
        filled && bool::from(same)
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Compares in a time that depends on the length of the wanted text alone.
fn same(wanted: &[u8], given: &[u8]) -> Choice {
    let mut padded = vec![0; wanted.len()];
    let shared = wanted.len().min(given.len());
    padded[..shared].copy_from_slice(&given[..shared]);
    padded.ct_eq(wanted) & wanted.len().ct_eq(&given.len())
}

impl Credentials {
    /// What this node shows the leader in place of what the client has shown; `None` if that is good enough, or nothing
    /// is needed. All nodes have the same credentials.
    pub(crate) fn for_leader(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let Self::On(basic) = self else { return None };
        (!passes(basic, headers)).then(|| basic.header()).flatten()
    }

    /// Whether a request may be answered. The path counts exactly as it was sent.
    pub(crate) fn admit(&self, method: &Method, path: &str, headers: &HeaderMap, client: IpAddr) -> bool {
        match self {
            Self::Off => true,
            Self::Malformed => {
                tracing::warn!(
                    context = "Middlewares",
                    "\"MCONN_CREDENTIALS\" has an invalid formatting and basic-auth has been disabled!"
                );
                true
            }
            Self::On(basic) => {
                let open = path == "/v1/ping" || (method == Method::POST && path == "/v1/queue");
                let admitted = open || passes(basic, headers);
                if !admitted {
                    tracing::warn!(
                        context = "Middlewares",
                        "Client \"{client}\" tried to connect with wrong credentials!"
                    );
                }
                admitted
            }
        }
    }
}

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn passes(basic: &Basic, headers: &HeaderMap) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, token)) = given.and_then(|text| text.trim().split_once(' ')) else { return false };
    if !scheme.eq_ignore_ascii_case("basic") {
        return false;
    }
    let Ok(decoded) = BASE64.decode(token.trim()) else { return false };
    let Some(colon) = decoded.iter().position(|byte| *byte == b':') else { return false };
    basic.accepts(&decoded[..colon], &decoded[colon + 1..])
}

/// The answer to everybody else.
pub(crate) fn unauthorised() -> Response {
    let mut response = (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    let headers = response.headers_mut();
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Authorization Required\""));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.extensions_mut().insert(Cause::Unauthorised);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(text).unwrap());
        headers
    }

    #[test]
    fn only_the_right_pair_passes() {
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let basic = Basic::new("admin", "s3cret");
        let cases = [
            (format!("Basic {}", encode("admin:s3cret")), true),
            (format!("basic {}", encode("admin:s3cret")), true),
            (format!("Basic {}", encode("admin:s3cret").trim_end_matches('=')), true),
            (format!("Basic {}", encode("admin:s3cre")), false),
            (format!("Basic {}", encode("admin:s3cret2")), false),
            (format!("Basic {}", encode("admi:s3cret")), false),
            (format!("Basic {}", encode("admin:")), false),
            (format!("Basic {}", encode(":")), false),
            (format!("Basic {}", encode("admin")), false),
            (format!("Bearer {}", encode("admin:s3cret")), false),
            ("Basic ???".to_owned(), false),
            ("Basic".to_owned(), false),
        ];
        for (given, wanted) in cases {
            assert_eq!(passes(&basic, &header(&given)), wanted, "{given}");
        }
    }

    #[test]
    fn empty_credentials_never_pass() {
        for (user, password) in [("", "x"), ("x", ""), ("", "")] {
            let basic = Basic::new(user, password);
            assert!(!basic.accepts(user.as_bytes(), password.as_bytes()), "{user}:{password}");
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        assert_eq!(format!("{:?}", Credentials::On(Basic::new("me", "hush"))), "On(***)");
    }
}
