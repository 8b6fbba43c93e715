//! Which route a path means (spec/mconn.md section 3): fixed parts without regard to case, one trailing slash ignored,
//! percent-escapes decoded. The router behind it sees the one spelling it knows.

use std::collections::HashMap;

use http::Method;
use percent_encoding::percent_decode_str;
use utoipa::openapi::{HttpMethod, OpenApi};

/// Below these paths everything is one app id, slashes or not.
const APPS: [&str; 2] = ["/v1/catalog/{app}", "/v1/explain/{app}"];

/// A percent-escape that is none, or that hides bytes which are no UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokenEscape;

/// A method and a path that something is served for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: String,
}

/// A path that is known, for at least one method.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: usize,
    /// The spelling that the router knows, if it is another one.
    pub(crate) rewritten: Option<String>,
}

#[derive(Debug)]
struct Pattern {
    parts: Vec<Part>,
    is_app: bool,
    /// By [`slot`].
    operations: [Option<usize>; 4],
}

#[derive(Debug)]
enum Part {
    Fixed(String),
    Any,
}

/// All routes, from their description.
#[derive(Debug)]
pub(crate) struct Paths {
    patterns: Vec<Pattern>,
    exact: HashMap<String, usize>,
    operations: Vec<Operation>,
}

fn slot(method: &Method) -> Option<usize> {
    match *method {
        Method::GET | Method::HEAD => Some(0),
        Method::POST => Some(1),
        Method::PUT => Some(2),
        Method::DELETE => Some(3),
        _ => None,
    }
}

impl Paths {
    pub(crate) fn new(document: &OpenApi) -> Self {
        let mut paths = Self { patterns: Vec::new(), exact: HashMap::new(), operations: Vec::new() };
        for (path, item) in &document.paths.paths {
            let methods = [
                (HttpMethod::Get, "GET", item.get.is_some()),
                (HttpMethod::Post, "POST", item.post.is_some()),
                (HttpMethod::Put, "PUT", item.put.is_some()),
                (HttpMethod::Delete, "DELETE", item.delete.is_some()),
            ];
            let mut operations = [None; 4];
            for (slot, (_, method, served)) in methods.into_iter().enumerate() {
                if served {
                    operations[slot] = Some(paths.operations.len());
                    paths.operations.push(Operation { method, path: path.clone() });
                }
            }
            let parts = path
                .split('/')
                .skip(1)
                .map(|part| if part.starts_with('{') { Part::Any } else { Part::Fixed(part.to_owned()) });
            let parts: Vec<Part> = parts.collect();
            if parts.iter().all(|part| matches!(part, Part::Fixed(_))) {
                paths.exact.insert(path.clone(), paths.patterns.len());
            }
            paths.patterns.push(Pattern { parts, is_app: APPS.contains(&path.as_str()), operations });
        }
        paths
    }

    /// Everything that is served, in the order of the numbers that [`Paths::operation`] gives.
    pub(crate) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The number of what this method does on a path that was found.
    pub(crate) fn operation(&self, found: &Found, method: &Method) -> Option<usize> {
        self.patterns[found.path].operations[slot(method)?]
    }

    /// Finds the route of a path as it was sent.
    pub(crate) fn find(&self, sent: &str) -> Result<Option<Found>, BrokenEscape> {
        if let Some(&path) = self.exact.get(sent) {
            return Ok(Some(Found { path, rewritten: None }));
        }
        check_escapes(sent)?;
        let bare = sent.strip_suffix('/').unwrap_or(sent);
        let Some(bare) = bare.strip_prefix('/') else { return Ok(None) };
        let parts: Vec<&str> = bare.split('/').collect();
        let found = self.patterns.iter().enumerate().find_map(|(path, pattern)| {
            let rewritten = pattern.rewrite(&parts)?;
            Some(Found { path, rewritten: Some(rewritten) })
        });
        Ok(found)
    }
}

impl Pattern {
    /// The path in the router's spelling, if it fits.
    fn rewrite(&self, sent: &[&str]) -> Option<String> {
        let fits = if self.is_app { sent.len() >= self.parts.len() } else { sent.len() == self.parts.len() };
        if !fits {
            return None;
        }
        let mut out = String::new();
        for (index, part) in self.parts.iter().enumerate() {
            out.push('/');
            match part {
                Part::Fixed(name) => {
                    let given = percent_decode_str(sent[index]).decode_utf8().ok()?;
                    if !given.eq_ignore_ascii_case(name) {
                        return None;
                    }
                    out.push_str(name);
                }
                Part::Any if self.is_app => out.push_str(&sent[index..].join("%2F")),
                Part::Any if sent[index].is_empty() => return None,
                Part::Any => out.push_str(sent[index]),
            }
        }
        Some(out)
    }
}

fn check_escapes(path: &str) -> Result<(), BrokenEscape> {
    let bytes = path.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let hex = |offset: usize| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        if !hex(1) || !hex(2) {
            return Err(BrokenEscape);
        }
    }
    percent_decode_str(path).decode_utf8().map(|_| ()).map_err(|_| BrokenEscape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_path() {
        let paths = Paths::new(&crate::openapi());
        let cases = [
            ("/v1/queue", Ok(Some("/v1/queue"))),
            ("/V1/Queue/", Ok(Some("/v1/queue"))),
            ("/v1/%71ueue", Ok(Some("/v1/queue"))),
            ("/v1/queue//", Ok(None)),
            ("/v1/module/LIST/Test/", Ok(Some("/v1/module/list/Test"))),
            ("/v1/module/list/a%20b", Ok(Some("/v1/module/list/a%20b"))),
            ("/v1/module/list//", Ok(None)),
            ("/v1/catalog/%2Fgroup%2Fapp", Ok(Some("/v1/catalog/%2Fgroup%2Fapp"))),
            ("/v1/catalog/group/app", Ok(Some("/v1/catalog/group%2Fapp"))),
            ("/v1/catalog//group/app", Ok(Some("/v1/catalog/%2Fgroup%2Fapp"))),
            ("/v1/Explain/group/app/", Ok(Some("/v1/explain/group%2Fapp"))),
            ("/v1/explain", Ok(Some("/v1/explain"))),
            ("/v1/module/list/%", Err(BrokenEscape)),
            ("/v1/module/list/%zz", Err(BrokenEscape)),
            ("/v1/module/list/%ff", Err(BrokenEscape)),
            ("/", Ok(None)),
            ("*", Ok(None)),
            ("/v1", Ok(None)),
        ];
        for (sent, wanted) in cases {
            let found = paths.find(sent);
            let spelled =
                found.map(|found| found.map(|found| found.rewritten.unwrap_or_else(|| sent.to_owned())));
            assert_eq!(spelled.as_ref().map(Option::as_deref), wanted.as_ref().map(|w| *w), "{sent}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_found_or_not_and_found_again(sent in "/(v1|V1|%76%31|[a-z%/.]{0,4})(/[A-Za-z0-9%/.]{0,12}){0,4}") {
            let paths = Paths::new(&crate::openapi());
            if let Ok(Some(Found { path, rewritten: Some(spelled) })) = paths.find(&sent) {
                let again = paths.find(&spelled).unwrap().unwrap();
                proptest::prop_assert_eq!(again.path, path);
                proptest::prop_assert!(again.rewritten.is_none_or(|again| again == spelled));
            }
        }
    }
}
