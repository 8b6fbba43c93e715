//! A tree as it will be: a batch that is committed and not in place yet lies over what is there.

use std::collections::{BTreeMap, BTreeSet};

use super::staged::Part;

/// What a committed batch makes of the tree.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    nodes: BTreeMap<String, Option<Vec<u8>>>,
}

impl Overlay {
    pub(crate) fn of(parts: Vec<Part>) -> Self {
        Self { nodes: parts.into_iter().flatten().collect() }
    }

    /// Changes the names of a node's children to what they will be.
    pub(crate) fn children(&self, folder: &str, names: &mut BTreeSet<String>) {
        let start = format!("{}/", folder.trim_end_matches('/'));
        let below = self.nodes.range(start.clone()..).take_while(|(path, _)| path.starts_with(&start));
        for (path, data) in below {
            let name = &path[start.len()..];
            // Folders are in the batch themselves, or there already.
            if name.contains('/') {
                continue;
            }
            if data.is_some() {
                names.insert(name.to_owned());
            } else {
                names.remove(name);
            }
        }
    }

    /// A node's data, if the batch makes it.
    pub(crate) fn data(&self, path: &str) -> Option<&[u8]> {
        self.nodes.get(path)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_come_and_go() {
        let node =
            |path: &str, data: Option<&str>| (path.to_owned(), data.map(|data| data.as_bytes().to_vec()));
        let overlay = Overlay::of(vec![
            vec![node("/a", Some("")), node("/a/new", Some("1")), node("/a/gone", None)],
            vec![node("/a/new/below", Some("2")), node("/a-b", Some("3")), node("/a/none", None)],
        ]);
        let mut names: BTreeSet<String> = ["gone".to_owned(), "old".to_owned()].into();
        overlay.children("/a", &mut names);
        assert_eq!(names, ["new".to_owned(), "old".to_owned()].into());
        let mut top = BTreeSet::new();
        overlay.children("/", &mut top);
        assert_eq!(top, ["a".to_owned(), "a-b".to_owned()].into());
        assert_eq!(overlay.data("/a/new"), Some(&b"1"[..]));
        assert_eq!((overlay.data("/a/gone"), overlay.data("/a/old")), (None, None));
    }
}
