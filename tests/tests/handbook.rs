//! The handbook is true where a machine can tell: routes, links, commands, flags, and the example.
//!
//! `UPDATE_DOCS=1` writes the example into docs/modules.md anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mconn_tests::{Node, Sim, run_to_end, until};
use serde_json::Value;
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the project").to_owned()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What people read: name from the project's root, and text. Notes on the way, such as a plan, are no part of it.
fn pages() -> Vec<(String, String)> {
    const PAGES: [&str; 9] = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/api.md",
        "docs/configuration.md",
        "docs/high-availability.md",
        "docs/modules.md",
        "docs/simulator.md",
        "docs/verdicts.md",
    ];
    PAGES.iter().map(|name| ((*name).to_owned(), read(name))).collect()
}

fn report(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}\n  {}", findings.join("\n  "));
}

/// Each line with whether it belongs to a fenced block; the fences themselves are left out.
fn lines(text: &str) -> Vec<(bool, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else {
            lines.push((fenced, line));
        }
    }
    lines
}

/// Everything that is set as code: lines of fenced blocks, joined where they end in a backslash, and spans.
fn code(text: &str) -> Vec<String> {
    let mut code: Vec<String> = Vec::new();
    let mut open: Option<String> = None;
    for (fenced, line) in lines(text) {
        if fenced {
            let whole = open.take().unwrap_or_default() + line;
            match whole.strip_suffix('\\') {
                Some(begun) => open = Some(begun.to_owned()),
                None => code.push(whole),
            }
        } else {
            code.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    code
}

#[test]
fn every_route_is_described() {
    let document: Value = serde_json::from_str(&read("crates/web/openapi.json")).unwrap();
    let page = read("docs/api.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
    let mut findings = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            let route = format!("`{} {path}`", method.to_uppercase());
            if !rows.iter().any(|row| row.contains(&route)) {
                findings.push(route);
            }
        }
    }
    report("docs/api.md has no row for these routes:", &findings);
}

#[test]
fn no_route_is_described_that_is_not_there() {
    let document: Value = serde_json::from_str(&read("crates/web/openapi.json")).unwrap();
    let served = |method: &str, path: &str| {
        let path = path.split('?').next().unwrap_or(path);
        !document["paths"][path][method.to_lowercase()].is_null()
    };
    let mut findings = Vec::new();
    for line in read("docs/api.md").lines().filter(|line| line.starts_with('|')) {
        for span in line.split('`').skip(1).step_by(2) {
            let Some((method, path)) = span.split_once(' ') else { continue };
            let is_method = matches!(method, "GET" | "POST" | "PUT" | "DELETE" | "PATCH");
            if is_method && path.starts_with('/') && !served(method, path) {
                findings.push(span.to_owned());
            }
        }
    }
    report("docs/api.md names routes that crates/web/openapi.json does not have:", &findings);
}

/// The names of metrics in a text, without the endings that tell a counter's or a histogram's samples.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names = words.filter(|word| word.starts_with("mconn_"));
    let plain = |name: &str| {
        let endings = ["_total", "_bucket", "_count", "_sum", "_info"];
        endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name).to_owned()
    };
    names.map(plain).collect()
}

#[tokio::test]
async fn every_metric_is_described() {
    let (dir, sim) = (TempDir::new().unwrap(), Sim::start(&[]));
    let node = Node::start(&dir, &[("MCONN_MARATHON_HOSTS", &sim.address)]);
    until("Marathon was read", async || node.api.get("/v1/health/freshness").await.status == 200).await;
    let shown = metrics(&node.api.get("/metrics").await.text);
    let described = metrics(&read("docs/api.md"));
    let missing: Vec<String> = shown.difference(&described).cloned().collect();
    report("docs/api.md does not describe these metrics:", &missing);
    let gone: Vec<String> = described.difference(&shown).cloned().collect();
    report("docs/api.md describes metrics that GET /metrics does not show:", &gone);
}

/// Targets of `[text](target)` outside of code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (_, line) in lines(text).into_iter().filter(|(fenced, _)| !fenced) {
        let prose: String = line.split('`').step_by(2).collect();
        found.extend(
            prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(to, _)| to.to_owned()),
        );
    }
    found
}

/// As GitHub names a heading.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = plain.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut findings = Vec::new();
    for (name, text) in pages() {
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let here = root().join(&name);
            let target = if file.is_empty() { here } else { here.with_file_name(file) };
            let Ok(found) = fs::canonicalize(&target) else {
                findings.push(format!("{name}: {link}: there is no such file"));
                continue;
            };
            if part.is_empty() {
                continue;
            }
            let text = fs::read_to_string(found).unwrap_or_default();
            if !lines(&text).iter().any(|(f, l)| !f && l.starts_with('#') && anchor(l) == part) {
                findings.push(format!("{name}: {link}: there is no such heading"));
            }
        }
    }
    report("Links that lead nowhere:", &findings);
}

/// One use of the command line: words without dashes, and the long flags.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    words: Vec<String>,
    flags: BTreeSet<String>,
}

/// Uses of `mconn` in a piece of code.
fn calls(code: &str) -> Vec<Call> {
    let is_word = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    };
    let mut calls = Vec::new();
    let code = code.split(" #").next().unwrap_or(code);
    for piece in code.split(['|', ';', '&', '(', ')']) {
        let mut tokens = piece.split_whitespace().skip_while(|token| *token == "$" || token.contains('='));
        if !tokens.next().is_some_and(|program| program == "mconn" || program.ends_with("/mconn")) {
            continue;
        }
        let rest: Vec<&str> = tokens.collect();
        let words: Vec<String> =
            rest.iter().copied().take_while(is_word).take(2).map(str::to_owned).collect();
        let flags = rest.iter().filter(|token| token.starts_with("--") && token.len() > 2);
        let flags = flags.map(|flag| flag.split('=').next().unwrap_or(flag).to_owned()).collect();
        if !words.is_empty() {
            calls.push(Call { words, flags });
        }
    }
    calls
}

#[test]
fn calls_are_found() {
    let call = |words: &[&str], flags: &[&str]| Call {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
    };
    let cases = [
        ("mconn module dead-letters NAME", vec![call(&["module", "dead-letters"], &[])]),
        ("$ A=1 target/debug/mconn serve --port=0 --bind x", vec![call(&["serve"], &["--port", "--bind"])]),
        ("mconn sync NAME # and wait", vec![call(&["sync"], &[])]),
        ("cargo build -p mconn && mconn demo", vec![call(&["demo"], &[])]),
        ("cargo test -p mconn handbook", vec![]),
        ("ok  store: /var/lib/mconn will be created", vec![]),
        ("mconn-tests mconn_web mconn", vec![]),
    ];
    for (code, wanted) in cases {
        assert_eq!(calls(code), wanted, "{code}");
    }
}

/// The help of a command, asked for once.
#[derive(Default)]
struct Helps(BTreeMap<Vec<String>, Option<String>>);

impl Helps {
    fn get(&mut self, words: &[String]) -> Option<String> {
        let help = self.0.entry(words.to_vec()).or_insert_with(|| {
            let args: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
            let done = run_to_end(&args, &[]);
            done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
        });
        help.clone()
    }
}

/// The commands that a help names.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let rows = listed.lines().take_while(|line| !line.is_empty());
    rows.filter_map(|row| row.strip_prefix("  ")?.split(' ').next()).filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_command_and_flag_exists() {
    let mut helps = Helps::default();
    let main = helps.get(&[]).expect("mconn --help");
    let mut findings = Vec::new();
    let mut seen = 0;
    for (name, text) in pages() {
        for call in code(&text).iter().flat_map(|code| calls(code)) {
            seen += 1;
            let shown = format!("{name}: mconn {}", call.words.join(" "));
            if !commands(&main).contains(&call.words[0].as_str()) {
                findings.push(format!("{shown}: there is no such command"));
                continue;
            }
            let mut path = vec![call.words[0].clone()];
            let mut help = helps.get(&path).unwrap_or_default();
            let below = commands(&help);
            if let Some(second) = call.words.get(1).filter(|_| !below.is_empty()) {
                if !below.contains(&second.as_str()) {
                    findings.push(format!("{shown}: there is no such command"));
                    continue;
                }
                path.push(second.clone());
                help = helps.get(&path).unwrap_or_default();
            }
            let known: BTreeSet<&str> =
                help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
            let unknown = call.flags.iter().filter(|flag| !known.contains(flag.as_str()));
            findings.extend(unknown.map(|flag| format!("{shown}: it has no {flag}")));
        }
    }
    assert!(seen > 20, "the handbook shows how to call mconn; only {seen} calls were found");
    report("The handbook calls mconn in ways that do not exist:", &findings);
}

#[test]
fn the_example_is_the_one_that_compiles() {
    const FILE: &str = "crates/module/examples/address_files.rs";
    let page = read("docs/modules.md");
    let mark = format!("<!-- example: {FILE} -->\n```rust\n");
    let (before, rest) = page.split_once(&mark).expect("the mark where the example begins");
    let (there, after) = rest.split_once("```\n").expect("the end of the example");
    let wanted = read(FILE);
    if there == wanted {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(root().join("docs/modules.md"), format!("{before}{mark}{wanted}```\n{after}")).unwrap();
        return;
    }
    panic!(
        "the example in docs/modules.md is not {FILE}: UPDATE_DOCS=1 cargo test -p mconn-tests --test handbook"
    );
}
