//! Where a record lies. Names are the original's where it had one (spec/mconn.md section 9); what ZooKeeper does not take in a
//! name is percent-encoded, and so is the percent sign, so that two keys never meet in one name.

use std::fmt::Write as _;

use mconn_model::{AppId, ModuleName};
use mconn_store::Seq;

use crate::settings::is_node_char;

pub(crate) const MODULES: &str = "/modules";
pub(crate) const SCHEMA: &str = "/mconn/schema";
pub(crate) const NEXT: &str = "/mconn/next";
pub(crate) const JOURNAL: &str = "/mconn/journal";
pub(crate) const MARKS: &str = "/mconn/marks";
pub(crate) const DEAD: &str = "/mconn/dead";
pub(crate) const STAGED: &str = "/mconn/staged";

/// Nodes that are always there, each after the one above it.
pub(crate) const BASE: [&str; 6] = ["/mconn", MODULES, JOURNAL, MARKS, DEAD, STAGED];

/// A module's folders.
pub(crate) const PRESETS: &str = "presets";
pub(crate) const INVENTORY: &str = "inventory";
pub(crate) const QUEUE: &str = "queue";

pub(crate) fn module_folder(module: &ModuleName, folder: &str) -> String {
    format!("{MODULES}/{module}/{folder}")
}

pub(crate) fn preset(module: &ModuleName, app: &AppId) -> String {
    let id = app.as_str();
    format!("{}/{}", module_folder(module, PRESETS), encode(id.strip_prefix('/').unwrap_or(id)))
}

pub(crate) fn item(module: &ModuleName, key: &str) -> String {
    format!("{}/{}", module_folder(module, INVENTORY), encode(key))
}

pub(crate) fn dead_letter(module: &ModuleName, seq: Seq) -> String {
    format!("{DEAD}/{module}/{}", place(seq.0))
}

pub(crate) fn journal(first: u64) -> String {
    format!("{JOURNAL}/{}", place(first))
}

pub(crate) fn marks(first: u64) -> String {
    format!("{MARKS}/{}", place(first))
}

/// Twenty digits: sorted as text they are sorted as numbers, and no number is longer.
fn place(seq: u64) -> String {
    format!("{seq:020}")
}

/// Reads a place, which has exactly one spelling.
pub(crate) fn parse_place(name: &str) -> Option<u64> {
    let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    if digits { name.parse().ok() } else { None }
}

/// A key as the name of a node.
pub(crate) fn encode(key: &str) -> String {
    match key {
        // The percent sign is always followed by two digits elsewhere.
        "" => return "%".to_owned(),
        "." => return "%2E".to_owned(),
        ".." => return "%2E%2E".to_owned(),
        _ => {}
    }
    let mut name = String::with_capacity(key.len());
    for c in key.chars() {
        if c != '%' && is_node_char(c) {
            name.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
    name
}

/// The key of a name. A name that [`encode`] never makes (somebody else's) is its own key.
pub(crate) fn decode(name: &str) -> String {
    let key = match name {
        "%" => String::new(),
        _ => match percent_encoding::percent_decode_str(name).decode_utf8() {
            Ok(key) => key.into_owned(),
            Err(_) => return name.to_owned(),
        },
    };
    if encode(&key) == name { key } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_keys_keep_their_names_and_awkward_ones_get_legal_ones() {
        let cases = [
            ("web.1-a_b", "web.1-a_b"),
            ("group/app", "group%2Fapp"),
            ("%2F", "%252F"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("", "%"),
            ("a b ä.✓", "a b ä.✓"),
            ("tab\there", "tab%09here"),
            ("\u{f8ff}", "%EF%A3%BF"),
        ];
        for (key, name) in cases {
            assert_eq!(encode(key), name);
            assert_eq!(decode(name), key);
        }
        // Names of others.
        for name in ["100%", "a%zz", "%61", "%2f"] {
            assert_eq!(decode(name), name);
        }
        let app = AppId::parse("/group/sub/app").unwrap();
        let module = ModuleName::new("Test").unwrap();
        assert_eq!(preset(&module, &app), "/modules/Test/presets/group%2Fsub%2Fapp");
        assert_eq!(parse_place("00000000000000000012"), Some(12));
        assert_eq!(parse_place("12"), None);
        assert_eq!(parse_place("99999999999999999999"), None);
    }

    proptest! {
        #[test]
        fn every_key_comes_back_and_has_a_legal_name(key in "(\\PC|[/%.\\x00-\\x1f\u{e000}]){0,12}") {
            let name = encode(&key);
            prop_assert!(!name.is_empty() && name.chars().all(is_node_char) && name != "." && name != "..");
            prop_assert_eq!(decode(&name), key);
        }

        #[test]
        fn two_keys_never_share_a_name(one in "[a%2F/.]{0,6}", two in "[a%2F/.]{0,6}") {
            prop_assert_eq!(one == two, encode(&one) == encode(&two));
        }
    }
}
