//! Which changes `mconn watch` shows.

use serde_json::Value;

use crate::cli::WatchArgs;

/// All of its parts must fit; an empty part fits everything.
#[derive(Debug)]
pub(super) struct Filter {
    apps: Vec<String>,
    sources: Vec<String>,
    verdicts: Vec<String>,
    rules: Vec<String>,
}

impl Filter {
    pub(super) fn new(args: &WatchArgs) -> Self {
        Self {
            apps: args.apps.iter().map(|pattern| rooted(pattern)).collect(),
            sources: args.sources.clone(),
            verdicts: args.verdicts.iter().map(|verdict| verdict.replace('-', " ")).collect(),
            rules: args.rules.clone(),
        }
    }

    /// Whether a change is to be shown.
    pub(super) fn fits(&self, change: &Value) -> bool {
        let is_one = |wanted: &[String], given: &Value| wanted.iter().any(|wanted| given == wanted.as_str());
        let either = |wanted: &[String], name: &str| {
            wanted.is_empty()
                || is_one(wanted, &change["before"][name])
                || is_one(wanted, &change["after"][name])
        };
        let app = change["app"].as_str().unwrap_or_default();
        (self.apps.is_empty() || self.apps.iter().any(|pattern| app_fits(pattern, app)))
            && (self.sources.is_empty() || is_one(&self.sources, &change["source"]))
            && either(&self.verdicts, "verdict")
            && either(&self.rules, "rule")
    }
}

/// Ids begin with a slash; people leave it out.
fn rooted(pattern: &str) -> String {
    if pattern.starts_with(['/', '*']) { pattern.to_owned() } else { format!("/{pattern}") }
}

/// With `*` or `?` the whole id has to fit; else it is the id of an app, or of a group above it.
fn app_fits(pattern: &str, app: &str) -> bool {
    if pattern.contains(['*', '?']) {
        return glob(pattern.as_bytes(), app.as_bytes());
    }
    let group = pattern.trim_end_matches('/');
    app.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `*` is any text, `?` one byte. Goes back to the last `*` alone, so the time is at most the product of the lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_are_ids_groups_or_globs() {
        for (pattern, app, wanted) in [
            ("/shop", "/shop", true),
            ("shop", "/shop/cart", true),
            ("/shop/", "/shop/cart", true),
            ("/shop", "/shopping", false),
            ("/", "/shop", true),
            ("*cart", "/shop/cart", true),
            ("/shop/*", "/shop", false),
            ("/*/c?rt", "/shop/cart", true),
            ("/s*p*/cart", "/shop/a/cart", true),
            ("/s*p*/card", "/shop/a/cart", false),
            ("*a*a*a*b", "/aaaaaaaaaaaa", false),
        ] {
            assert_eq!(app_fits(&rooted(pattern), app), wanted, "{pattern} {app}");
        }
    }

    #[test]
    fn all_parts_must_fit_and_either_side_counts() {
        let change = json!({"app": "/shop/cart", "source": "m", "before": {"verdict": "not ready", "rule": "unhealthy"},
                            "after": {"verdict": "routable", "rule": "healthy"}});
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (sources, verdicts, rules, wanted) in [
            (&[][..], &[][..], &[][..], true),
            (&["m", "n"], &["not ready"], &["healthy"], true),
            (&["n"], &[], &[], false),
            (&[], &["draining"], &[], false),
            (&[], &["routable"], &["killing"], false),
        ] {
            let filter = Filter {
                apps: Vec::new(),
                sources: texts(sources),
                verdicts: texts(verdicts),
                rules: texts(rules),
            };
            assert_eq!(filter.fits(&change), wanted, "{filter:?}");
        }
    }
}
