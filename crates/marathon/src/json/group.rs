//! Groups: a tree of apps and pods (spec/marathon.md section 2.3).

use mconn_model::Listing;
use serde::Deserialize;

use super::app::decode_app;
use super::lenient::{RawList, Text};
use super::pod::decode_pod;
use super::{JsonError, Notes, object, parse_object};

/// How deep groups may be nested. Ids in the public data go to six; each level costs a stack frame here.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GroupDto<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    apps: RawList<'a>,
    #[serde(borrow)]
    pods: RawList<'a>,
    #[serde(borrow)]
    groups: RawList<'a>,
}

/// Decodes a bare group with everything below it. Relative ids are made absolute.
///
/// # Errors
/// [`JsonError`] when the syntax is broken or it has neither `apps` nor `groups`.
pub fn group(body: &[u8]) -> Result<Listing, JsonError> {
    const WANTED: &str = "a group";
    let root: GroupDto<'_> = parse_object(body, WANTED)?;
    if root.apps.0.is_none() && root.groups.0.is_none() && root.pods.0.is_none() {
        let reason = "it has none of \"apps\", \"groups\" and \"pods\"".to_owned();
        return Err(JsonError::Unexpected { wanted: WANTED, reason });
    }
    let (mut listing, mut notes) = (Listing::default(), Notes::default());
    descend(&root, "", 0, "group", &mut listing, &mut notes);
    listing.warnings = notes.into_warnings();
    Ok(listing)
}

fn descend(
    dto: &GroupDto<'_>,
    base: &str,
    depth: usize,
    place: &str,
    listing: &mut Listing,
    notes: &mut Notes,
) {
    let id = match dto.id.get() {
        Some(id) if id.starts_with('/') => id.to_owned(),
        Some(id) => format!("{}/{id}", base.strip_suffix('/').unwrap_or(base)),
        None => base.to_owned(),
    };
    let apps = format!("{place}.apps");
    listing.apps.extend(notes.each(&apps, &dto.apps, |raw, place, notes| decode_app(raw, &id, place, notes)));
    let pods = format!("{place}.pods");
    listing.pods.extend(notes.each(&pods, &dto.pods, |raw, place, notes| decode_pod(raw, &id, place, notes)));
    for (index, raw) in dto.groups.iter().enumerate() {
        let place = format!("{place}.groups[{index}]");
        match object::<GroupDto<'_>>(raw) {
            Ok(_) if depth == MAX_DEPTH => notes.warn(&place, "groups are nested too deep"),
            Ok(inner) => descend(&inner, &id, depth + 1, &place, listing, notes),
            Err(reason) => notes.warn(&place, reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_ids_and_broken_groups() {
        let body =
            br#"{"id":"/","apps":[{"id":"top"}],"groups":[7,{"id":"g","apps":[{"id":"a"},{"id":"/g/b"}],
            "groups":[{"id":"/g/h","apps":[{"id":"c"}],"pods":[{"id":"p","containers":[]}]}]}]}"#;
        let listing = group(body).unwrap();
        let ids: Vec<_> = listing.apps.iter().map(|listing| listing.app.id.as_str()).collect();
        assert_eq!(ids, ["/top", "/g/a", "/g/b", "/g/h/c"]);
        assert_eq!(listing.pods[0].id.as_str(), "/g/h/p");
        assert_eq!(listing.warnings.len(), 1);
        assert_eq!(listing.warnings[0].place, "group.groups[0]");
        assert!(group(b"{\"message\":\"no\"}").is_err());
    }
}
