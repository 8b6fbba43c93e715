//! Small documents: `/v2/info`, `/v2/leader`, and the text of errors (spec/marathon.md sections 1.2 and 2.7).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::lenient::{Flag, Object, Text};
use super::{JsonError, parse_object};

/// The longest part of an error's text that is passed on, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// What `/v2/info` says about a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// Marathon's version, e.g. `1.8.244`.
    pub version: Option<String>,
    /// Whether the answering node leads.
    pub elected: Option<bool>,
    /// `host:port` of the leader, if there is one.
    pub leader: Option<String>,
    /// The framework id in Mesos.
    pub framework: Option<String>,
    /// Whether http callbacks are switched on (1.4 and earlier alone).
    pub callbacks: bool,
}

impl Info {
    /// The version as numbers, as far as they are numbers.
    #[must_use]
    pub fn version_numbers(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.as_deref()?.split('.');
        let (major, minor) = (parts.next()?, parts.next()?);
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        Some((digits(major).parse().ok()?, digits(minor).parse().ok()?))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct InfoDto<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    elected: Flag,
    #[serde(borrow)]
    leader: Text<'a>,
    #[serde(borrow)]
    framework_id: Text<'a>,
    #[serde(borrow, rename = "event_subscriber")]
    event_subscriber: Object<SubscriberDto<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SubscriberDto<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

/// Decodes `GET /v2/info`.
///
/// # Errors
/// [`JsonError`] when it has neither a name nor a version.
pub fn info(body: &[u8]) -> Result<Info, JsonError> {
    const WANTED: &str = "information about a Marathon";
    let dto: InfoDto<'_> = parse_object(body, WANTED)?;
    if dto.name.get().is_none() && dto.version.get().is_none() {
        let reason = "it has neither \"name\" nor \"version\"".to_owned();
        return Err(JsonError::Unexpected { wanted: WANTED, reason });
    }
    let owned = |text: &Text<'_>| text.get().map(str::to_owned);
    Ok(Info {
        version: owned(&dto.version),
        elected: dto.elected.0,
        leader: owned(&dto.leader),
        framework: owned(&dto.framework_id),
        callbacks: dto.event_subscriber.0.is_some_and(|dto| dto.kind.get() == Some("http_callback")),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LeaderDto<'a> {
    #[serde(borrow)]
    leader: Text<'a>,
}

/// Decodes `GET /v2/leader`, giving `host:port`.
///
/// # Errors
/// [`JsonError`] when it names no leader.
pub fn leader(body: &[u8]) -> Result<String, JsonError> {
    const WANTED: &str = "a leader";
    let dto: LeaderDto<'_> = parse_object(body, WANTED)?;
    let missing = || JsonError::Unexpected { wanted: WANTED, reason: "it names none".to_owned() };
    dto.leader.get().map(str::to_owned).ok_or_else(missing)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MessageDto<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

/// The `message` of an error in Marathon's own form, shortened and on one line. `None` for HTML pages and anything else
/// that did not come from Marathon itself.
#[must_use]
pub fn error_message(body: &[u8]) -> Option<String> {
    let dto: MessageDto<'_> = serde_json::from_slice(body).ok()?;
    let raw = dto.message?.get();
    let message: String = serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned());
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    Some(message.chars().take(MAX_MESSAGE_CHARS).map(clean).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_documents() {
        let old = info(br#"{"name":"marathon","version":"0.8.2","elected":true,"leader":null,"event_subscriber":{"type":"http_callback"}}"#);
        let old = old.unwrap();
        assert_eq!((old.version_numbers(), old.callbacks, old.leader), (Some((0, 8)), true, None));
        assert!(info(b"{}").is_err());
        assert_eq!(leader(br#"{"leader":"10.0.0.5:8080"}"#).unwrap(), "10.0.0.5:8080");
        assert!(leader(br#"{"message":"There is no leader"}"#).is_err());
        assert_eq!(error_message(br#"{"message":"a\nb"}"#).as_deref(), Some("a b"));
        assert_eq!(error_message(b"<html>405</html>"), None);
    }
}
