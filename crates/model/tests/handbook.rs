//! The handbook's table of rules is made from the rules that there are, and cannot drift away from them.
//!
//! `UPDATE_DOCS=1 cargo test -p mconn-model --test handbook` writes it anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use mconn_model::{Rule, VerdictKind};

const BEGIN: &str =
    "<!-- rules: made by crates/model/tests/handbook.rs from verdict.rs; UPDATE_DOCS=1 writes it -->\n";
const END: &str = "<!-- end of rules -->\n";

fn table() -> String {
    let mut text = "| verdict | rule | why |\n|---|---|---|\n".to_owned();
    for kind in VerdictKind::ALL {
        for rule in Rule::ALL.iter().filter(|rule| rule.kind() == kind) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {} | `{}` | {} |", kind.as_str(), rule.as_str(), rule.text());
        }
    }
    text
}

#[test]
fn the_handbook_has_the_rules_that_there_are() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/verdicts.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the rules begin");
    let (there, after) = rest.split_once(END).expect("the mark where the rules end");
    let wanted = table();
    if there == wanted {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(&file, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    panic!(
        "docs/verdicts.md is not up to date: run \"UPDATE_DOCS=1 cargo test -p mconn-model --test handbook\""
    );
}

#[test]
fn a_sentence_does_not_end_its_cell() {
    for rule in Rule::ALL {
        assert!(!rule.text().contains(['|', '\n']) && rule.text().ends_with('.'), "{}", rule.text());
    }
}
