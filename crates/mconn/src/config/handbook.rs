//! The handbook's table of settings is made from the one table there is, and cannot drift away from it.
//!
//! `UPDATE_DOCS=1 cargo test -p mconn handbook` writes it anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::setting::{Default as D, Kind, Secrecy, Setting};
use super::table::SETTINGS;

const BEGIN: &str =
    "<!-- settings: made by crates/mconn/src/config/handbook.rs from table.rs; UPDATE_DOCS=1 writes it -->\n";
const END: &str = "<!-- end of settings -->\n";

/// A table per table of the TOML file, in the order in which the settings first name them.
fn tables() -> String {
    let area = |s: &Setting| s.key.split_once('.').map_or("", |(area, _)| area);
    let mut areas: Vec<&str> = Vec::new();
    for s in SETTINGS {
        if !areas.contains(&area(s)) {
            areas.push(area(s));
        }
    }
    let mut text = String::new();
    for name in areas {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n### `[{name}]`\n");
        text.push_str("| key | variable | flag | default | meaning |\n|---|---|---|---|---|\n");
        for s in SETTINGS.iter().filter(|s| area(s) == name) {
            text.push_str(&row(s));
        }
    }
    text.push('\n');
    text
}

fn row(s: &Setting) -> String {
    let default = match s.default {
        D::Text("") => "empty".to_owned(),
        D::Text(text) => format!("`{text}`"),
        D::Fallback { env, suffix, text: "" } => format!("`${env}{suffix}`, else empty"),
        D::Fallback { env, suffix, text } => format!("`${env}{suffix}`, else `{text}`"),
        D::Derived(words) => words.to_owned(),
    };
    let note = match (s.secret, s.kind) {
        (Secrecy::Whole, _) => "; never shown",
        (Secrecy::HostList | Secrecy::Clusters, _) => "; user and password are never shown",
        (Secrecy::Address, _) => "; user, password and query are never shown",
        (Secrecy::Open, Kind::LooseBool) => "; anything but `true` is off",
        (Secrecy::Open, _) => "",
    };
    // A bar would end the cell.
    let cell = |text: &str| text.replace('|', "\\|");
    let flag = cell(&format!("--{} {}", s.flag, s.kind.value_name()));
    let (default, meaning) = (cell(&default), cell(s.description));
    format!("| `{}` | `{}` | `{flag}` | {default} | {meaning}{note} |\n", s.key, s.env)
}

#[test]
fn the_handbook_has_the_settings_that_there_are() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the settings begin");
    let (there, after) = rest.split_once(END).expect("the mark where the settings end");
    let wanted = tables();
    if there == wanted {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(&file, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    let old = there.lines().find(|line| !wanted.lines().any(|new| new == *line));
    let new = wanted.lines().find(|line| !there.lines().any(|old| old == *line));
    panic!(
        "docs/configuration.md is not up to date: run \"UPDATE_DOCS=1 cargo test -p mconn handbook\"\n  it has: {}\n  \
         should be: {}",
        old.unwrap_or("(nothing that is wrong)"),
        new.unwrap_or("(all lines there, in another order)")
    );
}

#[test]
fn a_bar_does_not_end_a_cell() {
    let words = SETTINGS.iter().find(|s| matches!(s.kind, Kind::Word(words) if words.len() > 1)).unwrap();
    let row = row(words);
    assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
}
