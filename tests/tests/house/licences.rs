//! What we may ship, and where it comes from. `deny.toml` says the same to cargo-deny; keep both alike.

use crate::{metadata, report, root};

/// Licences that ask for no more than a notice.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Whether an SPDX expression leaves us a choice with allowed licences only. `None` if it cannot be read.
fn is_allowed(expression: &str) -> Option<bool> {
    // Old manifests write a slash for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let allowed = any(&mut rest)?;
    rest.is_empty().then_some(allowed)
}

/// `a OR b OR c`
fn any(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = all(words)?;
    while take(words, "OR") {
        allowed |= all(words)?;
    }
    Some(allowed)
}

/// `a AND b AND c`
fn all(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = one(words)?;
    while take(words, "AND") {
        allowed &= one(words)?;
    }
    Some(allowed)
}

/// A licence, one with an exception, or an expression in parentheses.
fn one(words: &mut &[&str]) -> Option<bool> {
    if take(words, "(") {
        let allowed = any(words)?;
        return take(words, ")").then_some(allowed);
    }
    let (licence, rest) = words.split_first()?;
    *words = rest;
    if take(words, "WITH") {
        let (exception, rest) = words.split_first()?;
        *words = rest;
        return Some(ALLOWED.contains(&format!("{licence} WITH {exception}").as_str()));
    }
    Some(ALLOWED.contains(licence))
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[test]
fn expressions_are_read_as_they_are_meant() {
    let cases = [
        ("MIT", Some(true)),
        ("GPL-3.0", Some(false)),
        ("MIT OR GPL-3.0", Some(true)),
        ("MIT AND GPL-3.0", Some(false)),
        ("MIT/Apache-2.0", Some(true)),
        ("(MIT OR GPL-3.0) AND ISC", Some(true)),
        ("MIT AND (GPL-3.0 OR LGPL-2.1)", Some(false)),
        ("GPL-2.0 OR MIT AND GPL-3.0", Some(false)),
        ("Apache-2.0 WITH LLVM-exception", Some(true)),
        ("GPL-2.0 WITH Classpath-exception", Some(false)),
        ("", None),
        ("(MIT", None),
        ("MIT MIT", None),
    ];
    for (expression, wanted) in cases {
        assert_eq!(is_allowed(expression), wanted, "{expression}");
    }
}

#[test]
fn every_package_has_a_licence_that_we_may_ship() {
    let mut findings = Vec::new();
    for package in &metadata().packages {
        let name = format!("{} {}", package.name, package.version);
        match package.license.as_deref() {
            None => {
                findings.push(format!("{name} names no licence: read its files, then use another library"));
            }
            Some(licence) => match is_allowed(licence) {
                Some(true) => {}
                Some(false) => findings.push(format!("{name}: {licence}")),
                None => findings.push(format!("{name}: {licence:?} cannot be read")),
            },
        }
    }
    report(
        "A licence is not in the list: use another library, or have the list changed (ALLOWED, deny.toml).",
        &findings,
    );
}

#[test]
fn every_package_comes_from_crates_io_or_from_here() {
    let mut findings = Vec::new();
    for package in &metadata().packages {
        match &package.source {
            Some(source) if source.repr == CRATES_IO => {}
            Some(source) => findings.push(format!("{}: {}", package.name, source.repr)),
            None if package.manifest_path.starts_with(root()) => {}
            None => findings.push(format!("{}: {}", package.name, package.manifest_path)),
        }
    }
    report("A package comes from elsewhere: use a release on crates.io.", &findings);
}

#[test]
fn deny_toml_has_the_same_licences() {
    let path = root().join("deny.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let block =
        text.split("allow = [").nth(1).and_then(|rest| rest.split(']').next()).expect("a list `allow = [`");
    let listed: Vec<&str> = block.split('"').skip(1).step_by(2).collect();
    assert_eq!(listed, ALLOWED, "keep the lists in deny.toml and in tests/tests/house/licences.rs alike");
}
