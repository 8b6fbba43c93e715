//! Ids of apps and groups: absolute paths.

use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// The longest id. Marathon's ids are bounded by ZooKeeper's node names, far below this.
const LENGTH_MAX: usize = 2048;
/// The most segments; readers of the tree of groups recurse.
const DEPTH_MAX: usize = 64;

/// An absolute path such as `/shop/cart`; the root group is `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(Arc<str>);

impl PathId {
    /// The root group.
    #[must_use]
    pub fn root() -> PathId {
        PathId("/".into())
    }

    /// Takes what a client wrote: missing, doubled and trailing slashes are forgiven.
    #[must_use]
    pub fn lenient(text: &str) -> PathId {
        let mut path = String::with_capacity(text.len() + 1);
        for segment in text.split('/').filter(|segment| !segment.is_empty()) {
            path.push('/');
            path.push_str(segment);
        }
        if path.is_empty() { PathId::root() } else { PathId(path.into()) }
    }

    /// `text` as seen from this group: an absolute id stays, a relative one goes below.
    #[must_use]
    pub fn resolve(&self, text: &str) -> PathId {
        if text.starts_with('/') { PathId::lenient(text) } else { PathId::lenient(&format!("{self}/{text}")) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// The group this lies in; the root lies in itself.
    #[must_use]
    pub fn parent(&self) -> PathId {
        match self.0.rfind('/') {
            Some(at) if at > 0 => PathId(self.0[..at].into()),
            _ => PathId::root(),
        }
    }

    /// Whether this lies somewhere below `group`.
    #[must_use]
    pub fn is_below(&self, group: &PathId) -> bool {
        if group.is_root() {
            return !self.is_root();
        }
        self.0.strip_prefix(&*group.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The groups this lies in, outermost first, without the root.
    #[must_use]
    pub fn ancestors(&self) -> Vec<PathId> {
        let mut found: Vec<PathId> = Vec::new();
        let mut group = self.parent();
        while !group.is_root() {
            found.push(group.clone());
            group = group.parent();
        }
        found.reverse();
        found
    }

    /// How task ids and the text table write it: `shop_cart`.
    #[must_use]
    pub fn flat(&self) -> String {
        self.0.trim_start_matches('/').replace('/', "_")
    }

    /// Why this cannot be an app's or a group's id.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        if self.is_root() {
            return Some("must not be empty");
        }
        if self.0.len() > LENGTH_MAX || self.0.matches('/').count() > DEPTH_MAX {
            return Some("is too long");
        }
        let legal = self.0[1..].split('/').all(|segment| segment.split('.').all(legal_label));
        (!legal).then_some(
            "must fully match regular expression \
             '^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$'",
        )
    }
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
fn legal_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = label.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            inner(first) && inner(last) && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
        }
        _ => false,
    }
}

impl fmt::Display for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for PathId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_forgiven_and_relations_hold() {
        let cart = PathId::lenient("//shop//cart/");
        assert_eq!(cart.as_str(), "/shop/cart");
        assert_eq!(cart.parent().as_str(), "/shop");
        assert_eq!(cart.flat(), "shop_cart");
        assert!(cart.is_below(&PathId::lenient("shop")));
        assert!(!cart.is_below(&PathId::lenient("sho")));
        assert_eq!(PathId::lenient("a/b/c").ancestors(), vec![PathId::lenient("a"), PathId::lenient("a/b")]);
    }

    #[test]
    fn illegal_ids_are_told() {
        for bad in ["/", "/Shop", "/a_b", "/-a", "/a./b"] {
            assert!(PathId::lenient(bad).fault().is_some(), "{bad}");
        }
        for good in ["/a", "/a-b/c.d", "/0"] {
            assert!(PathId::lenient(good).fault().is_none(), "{good}");
        }
    }
}
