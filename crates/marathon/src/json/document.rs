//! Whole documents: lists of apps, single apps, tasks, pods (spec/marathon.md sections 2.1, 2.2, 2.4).

use mconn_model::{AppListing, AppTask, Listing, Pod};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::app::decode_app;
use super::lenient::RawList;
use super::pod::decode_pod;
use super::task::{Naming, decode_task, tasks_of};
use super::{JsonError, Notes, Parsed, parse, parse_object};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AppsDto<'a> {
    #[serde(borrow)]
    apps: RawList<'a>,
    #[serde(borrow, rename = "*")]
    below: RawList<'a>,
}

fn is_array(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// Decodes a list of apps: `{"apps":[..]}`, `{"*":[..]}` or a bare array. Its `pods` stay empty.
///
/// # Errors
/// [`JsonError`] when the syntax is broken or there is no array: that is no empty list.
pub fn listing(body: &[u8]) -> Result<Listing, JsonError> {
    const WANTED: &str = "a list of apps";
    let list = if is_array(body) {
        RawList(Some(parse(body, WANTED)?))
    } else {
        let dto: AppsDto<'_> = parse_object(body, WANTED)?;
        if dto.apps.0.is_some() { dto.apps } else { dto.below }
    };
    if list.0.is_none() {
        return Err(JsonError::Unexpected { wanted: WANTED, reason: "it has no array \"apps\"".to_owned() });
    }
    let mut notes = Notes::default();
    let apps = notes.each("apps", &list, |raw, place, notes| decode_app(raw, "", place, notes));
    Ok(Listing { apps, warnings: notes.into_warnings(), ..Listing::default() })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OneAppDto<'a> {
    #[serde(borrow)]
    app: Option<&'a RawValue>,
}

/// Decodes one app: `{"app":..}` or a bare definition.
///
/// # Errors
/// [`JsonError`] when the syntax is broken or there is no usable id.
pub fn app(body: &[u8]) -> Result<Parsed<AppListing>, JsonError> {
    const WANTED: &str = "an app";
    let dto: OneAppDto<'_> = parse_object(body, WANTED)?;
    let text = std::str::from_utf8(body).map_err(|error| JsonError::Syntax { reason: error.to_string() })?;
    let mut notes = Notes::default();
    let raw = dto.app.map_or(text, RawValue::get);
    match decode_app(raw, "", "app", &mut notes) {
        Ok(listing) => Ok(notes.done(listing)),
        Err(reason) => Err(JsonError::Unexpected { wanted: WANTED, reason }),
    }
}

/// Decodes `{"tasks":[..]}`, the answer of `/v2/tasks` and `/v2/apps/{id}/tasks`.
///
/// # Errors
/// [`JsonError`] when the syntax is broken or there is no array `tasks`.
pub fn tasks(body: &[u8]) -> Result<Parsed<Vec<AppTask>>, JsonError> {
    let mut notes = Notes::default();
    let tasks = notes.each("tasks", &tasks_of(body)?, |raw, place, notes| {
        decode_task(raw, None, Naming::Unknown, place, notes)
    });
    Ok(notes.done(tasks))
}

/// Decodes pods: an array of statuses or definitions, or a single one of either.
///
/// # Errors
/// [`JsonError`] when the syntax is broken or a single one has no usable id.
pub fn pods(body: &[u8]) -> Result<Parsed<Vec<Pod>>, JsonError> {
    const WANTED: &str = "a list of pods";
    let mut notes = Notes::default();
    if is_array(body) {
        let list = RawList(Some(parse(body, WANTED)?));
        let pods = notes.each("pods", &list, |raw, place, notes| decode_pod(raw, "", place, notes));
        return Ok(notes.done(pods));
    }
    let raw: &RawValue = parse(body, WANTED)?;
    match decode_pod(raw.get(), "", "pod", &mut notes) {
        Ok(pod) => Ok(notes.done(vec![pod])),
        Err(reason) => Err(JsonError::Unexpected { wanted: WANTED, reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_array_is_no_empty_list() {
        for body in
            ["{}", "{\"apps\":null}", "{\"message\":\"x\"}", "\"apps\"", "<html>", "", "{\"apps\":[{\"id\":"]
        {
            assert!(listing(body.as_bytes()).is_err(), "{body}");
            assert!(pods(body.as_bytes()).is_err(), "{body}");
        }
        for body in ["{\"apps\":[]}", "{\"*\":[]}", "[]"] {
            assert_eq!(listing(body.as_bytes()).unwrap(), Listing::default(), "{body}");
        }
    }

    #[test]
    fn one_bad_app_never_hides_the_others() {
        let listing =
            listing(br#"{"apps":[{"id":"/a"},{"id":5e400},{"id":"/b"},null,{"id":"/../c"}]}"#).unwrap();
        let ids: Vec<_> = listing.apps.iter().map(|listing| listing.app.id.as_str()).collect();
        assert_eq!(ids, ["/a", "/b"]);
        assert_eq!(listing.warnings.len(), 3, "{:?}", listing.warnings);
    }

    #[test]
    fn an_app_in_an_envelope_and_bare() {
        assert_eq!(app(br#"{"app":{"id":"/a"}}"#).unwrap(), app(br#" {"id":"/a"} "#).unwrap());
        assert!(app(br#"{"message":"App '/a' does not exist"}"#).is_err());
    }
}
