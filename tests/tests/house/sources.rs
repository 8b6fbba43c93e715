//! Our own files.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources must fail")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{report, root};

/// Beyond this a file holds more than one idea. New files should stay below 500.
const MAX_LINES: usize = 600;

/// The `src` folders of all crates.
fn source_folders() -> Vec<PathBuf> {
    let crates = fs::read_dir(root().join("crates")).expect("crates/");
    let mut folders: Vec<_> =
        crates.map(|entry| entry.unwrap().path().join("src")).filter(|p| p.is_dir()).collect();
    folders.sort();
    assert!(folders.len() > 5, "only {} source folders found", folders.len());
    folders
}

/// All Rust files below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A path as it is written in messages.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The name in a `mod name;` line. Attributes may stand before it, on its line too.
fn declared_module(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    while rest.starts_with("#[") {
        rest = rest.split_once(']')?.1.trim_start();
    }
    if let Some(after) = rest.strip_prefix("pub") {
        rest = if after.starts_with('(') { after.split_once(')')?.1 } else { after }.trim_start();
    }
    Some(rest.strip_prefix("mod ")?.split_once(';')?.0.trim())
}

/// All files that the compiler reaches from the roots of a `src` folder.
fn reachable(src: &Path) -> HashSet<PathBuf> {
    let mut open: Vec<PathBuf> =
        [src.join("lib.rs"), src.join("main.rs")].into_iter().filter(|p| p.is_file()).collect();
    let binaries = src.join("bin");
    if binaries.is_dir() {
        open.extend(
            fs::read_dir(binaries).unwrap().map(|entry| entry.unwrap().path()).filter(|p| p.is_file()),
        );
    }
    let roots: HashSet<PathBuf> = open.iter().cloned().collect();
    let mut seen = HashSet::new();
    while let Some(file) = open.pop() {
        let text = fs::read_to_string(&file).unwrap();
        let folder = file.parent().unwrap();
        let is_folder_root = roots.contains(&file) || file.file_name().is_some_and(|name| name == "mod.rs");
        let inner =
            if is_folder_root { folder.to_path_buf() } else { folder.join(file.file_stem().unwrap()) };
        for module in text.lines().filter_map(declared_module) {
            let candidates = [inner.join(format!("{module}.rs")), inner.join(module).join("mod.rs")];
            open.extend(candidates.into_iter().filter(|path| path.is_file()));
        }
        seen.insert(file);
    }
    seen
}

/// The texts that git tracks; outside a checkout, all Rust files of the crates.
fn tracked_texts() -> Vec<(String, String)> {
    let listing = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output();
    let paths: Vec<PathBuf> = match listing {
        Ok(output) if output.status.success() => {
            let names = String::from_utf8(output.stdout).expect("file names in UTF-8");
            names.split('\0').filter(|name| !name.is_empty()).map(|name| root().join(name)).collect()
        }
        _ => source_folders().iter().flat_map(|folder| rust_files(folder)).collect(),
    };
    // Binary files are no texts, and a file may be tracked but deleted.
    let text = |path: PathBuf| {
        fs::read(&path).ok().and_then(|b| String::from_utf8(b).ok()).map(|t| (shown(&path), t))
    };
    paths.into_iter().filter_map(text).collect()
}

#[test]
fn module_lines_are_found() {
    let text = "mod a;\npub mod b;\npub(crate) mod c;\n#[cfg(test)]\nmod d;\n#[cfg(unix)] mod e;\n    mod f;\nmod inline {\n\
                // mod no;\nlet modest = 1;\n";
    assert_eq!(text.lines().filter_map(declared_module).collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn every_source_file_is_compiled() {
    let mut findings = Vec::new();
    for src in source_folders() {
        let reachable = reachable(&src);
        let orphans = rust_files(&src).into_iter().filter(|file| !reachable.contains(file));
        findings.extend(orphans.map(|file| shown(&file)));
    }
    report(
        "No `mod` line leads to these files, so nobody compiles or tests them: add the line, or delete them.",
        &findings,
    );
}

#[test]
fn every_crate_opens_with_what_it_is() {
    let mut findings = Vec::new();
    for src in source_folders() {
        for file in [src.join("lib.rs"), src.join("main.rs")] {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let opening = text.lines().next().and_then(|line| line.strip_prefix("//!")).unwrap_or_default();
            if opening.trim().is_empty() {
                findings.push(shown(&file));
            }
        }
    }
    report(
        "A crate opens with `//!` lines: what it owns, what comes in, what goes out, what it never does.",
        &findings,
    );
}

#[test]
fn no_file_is_longer_than_one_idea() {
    let mut findings = Vec::new();
    for file in source_folders().iter().flat_map(|src| rust_files(src)) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        if lines > MAX_LINES {
            findings.push(format!("{}: {lines} lines", shown(&file)));
        }
    }
    report(
        &format!(
            "Longer than {MAX_LINES} lines: find the second idea in the file (its tests, one of its types with all that \
             it does, the I/O around a decision) and give it a file with its own `//!` words."
        ),
        &findings,
    );
}

#[test]
fn nothing_is_left_over() {
    // Put together, so that this file does not find itself.
    let leftovers = [
        (concat!("to", "do!"), "write it, or take it out"),
        (concat!("unimpl", "emented!"), "write it, or take it out"),
        (concat!("#[ig", "nore"), "assert today's behaviour, with a word on what is wrong about it"),
        (concat!("#[al", "low("), "use `#[expect(.., reason = \"..\")]`"),
        (concat!("#![al", "low("), "use `#![expect(.., reason = \"..\")]`"),
    ];
    let mut findings = Vec::new();
    for (path, text) in tracked_texts().iter().filter(|(path, _)| path.ends_with(".rs")) {
        for (number, line) in text.lines().enumerate() {
            for (word, advice) in leftovers.iter().filter(|(word, _)| line.contains(word)) {
                findings.push(format!("{path}:{}: {word} - {advice}", number + 1));
            }
        }
    }
    report("Leftovers:", &findings);
}

/// Whether a line names a folder of somebody's machine, as an absolute path and not as a part of another path.
fn names_a_machine(line: &str) -> bool {
    let folders =
        [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];
    folders.iter().any(|folder| {
        line.match_indices(folder).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| {
                !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '*' | '}' | '>' | '$'))
            })
        })
    })
}

#[test]
fn no_path_of_a_developers_machine_is_left() {
    let home = concat!("/ho", "me/me/x");
    assert!(names_a_machine(home) && names_a_machine(&format!("see \"{home}\"")));
    assert!(!names_a_machine(&format!("https://example.org{home}")) && !names_a_machine("/homework"));
    let mut findings = Vec::new();
    // Recorded documents of others, and what we made of them, stay as they were.
    for (path, text) in tracked_texts().into_iter().filter(|(path, _)| !path.contains("fixtures")) {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| names_a_machine(line)) {
            findings.push(format!("{path}:{}: {}", number + 1, line.trim()));
        }
    }
    report(
        "Absolute paths of one machine: use a path within the project, or an invented one such as /srv/x.",
        &findings,
    );
}
