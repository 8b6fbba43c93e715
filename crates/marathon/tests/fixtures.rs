//! Every recorded or published document of `fixtures/` decodes, and this is what it decodes to.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fmt::Write as _;
use std::path::Path;

use mconn_marathon::event::decode_event;
use mconn_marathon::json;
use mconn_wire::sse::SseParser;
use proptest::prelude::*;
use serde_json::Value;

/// Files that are no documents of apps, tasks, pods, groups, deployments or info, and why they are here all the same.
const OTHER: &[(&str, &str)] = &[
    ("README-marathon-lb.md", "says where files come from"),
    ("README-marathon-spec.md", "says where files come from"),
    ("README.md", "says where files come from"),
    ("dcos-ui__marathon-1-task_offers-queue.json", "the launch queue, which is not read"),
    ("marathon-docs__queue.json", "the launch queue, which is not read"),
    ("dcos-ui__marathon-1-task_versions.json", "a list of versions, which is not read"),
    ("dcos-ui__marathon-group-management_create-conflict.json", "an error text, tested below"),
    ("dcos-ui__marathon-group-management_create-invalid.json", "an error text, tested below"),
    ("dcos-ui__marathon-group-management_create-success.json", "the answer of a write, which is never sent"),
    ("marathon-docs__deployments_result.json", "the answer of a write, which is never sent"),
    ("marathon-docs__deployment_steps.json", "the answer of a dry run, which is never sent"),
    (
        "go-marathon__fake-api.yml",
        "a table of requests and answers in YAML; its shapes are covered by other files",
    ),
    ("marathon-lb__tests_haproxy_stats.csv", "HAProxy's statistics, for crates/haproxy"),
];

/// Decodes a document by its shape, as the caller of each endpoint knows it. `None` for unknown shapes.
fn decode(name: &str, text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).unwrap();
    let body = text.as_bytes();
    let has = |key: &str| value.get(key).is_some();
    let first = |key: &str| value.get(0).is_some_and(|element| element.get(key).is_some());
    Some(if name == "dcos-ui__MockMarathonResponse.json" {
        let mut all = String::new();
        for (key, part) in value.as_object().unwrap() {
            let items = part["items"].to_string();
            writeln!(all, "{key}: {:#?}", json::listing(items.as_bytes()).unwrap()).unwrap();
        }
        all
    } else if has("app") {
        format!("{:#?}", json::app(body).unwrap())
    } else if has("task") {
        let list = format!("{{\"tasks\":[{}]}}", value["task"]);
        format!("{:#?}", json::tasks(list.as_bytes()).unwrap())
    } else if has("tasks") && !has("id") {
        format!("{:#?}\n{:#?}", json::tasks(body).unwrap(), json::running_tasks(body).unwrap().value)
    } else if has("marathon_config") {
        format!("{:#?}", json::info(body).unwrap())
    } else if has("groups") || has("apps") && has("id") {
        format!("{:#?}", json::group(body).unwrap())
    } else if has("apps") {
        format!("{:#?}", json::listing(body).unwrap())
    } else if first("affectedApps") {
        format!("{:#?}", json::deployments(body).unwrap())
    } else if has("containers") || first("containers") || first("spec") {
        format!("{:#?}", json::pods(body).unwrap())
    } else if value.is_array() {
        format!("{:#?}", json::listing(body).unwrap())
    } else if has("id") {
        format!("{:#?}", json::app(body).unwrap())
    } else {
        return None;
    })
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_document_decodes() {
    let mut listed = 0;
    insta::glob!("../fixtures/apps", "*", |path| {
        let name = name_of(path);
        if path.is_dir() {
            return;
        }
        if OTHER.iter().any(|(other, _)| *other == name) {
            listed += 1;
            return;
        }
        assert!(name.ends_with(".json"), "{name}: decode it or list it with a reason");
        let text = std::fs::read_to_string(path).unwrap();
        let shown =
            decode(&name, &text).unwrap_or_else(|| panic!("{name}: unknown shape; list it with a reason"));
        insta::assert_snapshot!(shown);
    });
    assert_eq!(listed, OTHER.len(), "a listed file is gone");
}

fn show(name: Option<&[u8]>, data: &[u8], out: &mut String) {
    let name = name.map_or("-".into(), String::from_utf8_lossy);
    match decode_event(Some(name.as_bytes()).filter(|name| *name != b"-"), data) {
        Ok(event) => writeln!(out, "{name}: {event:?}").unwrap(),
        Err(error) => writeln!(out, "{name}: ERROR {error}").unwrap(),
    }
}

#[test]
fn every_event_decodes() {
    insta::glob!("../fixtures/events", "*", |path| {
        let name = name_of(path);
        if path.is_dir() || name.ends_with(".md") {
            return;
        }
        let (text, mut out) = (std::fs::read_to_string(path).unwrap(), String::new());
        if name.ends_with(".jsonl") {
            for line in text.lines() {
                show(None, line.as_bytes(), &mut out);
            }
        } else if name.ends_with(".sse.txt") {
            let mut parser = SseParser::default();
            for piece in text.as_bytes().chunks(7).chain([&b"\n\n"[..]]) {
                parser.feed(piece, |event| show(event.name, event.data, &mut out)).unwrap();
            }
        } else {
            let value: Value = serde_json::from_str(&text).unwrap();
            match value.get("eventType") {
                Some(_) => show(None, text.as_bytes(), &mut out),
                None => {
                    for (name, event) in value.as_object().unwrap() {
                        show(Some(name.as_bytes()), event.to_string().as_bytes(), &mut out);
                    }
                }
            }
        }
        assert!(!out.is_empty(), "{name}: no events");
        insta::assert_snapshot!(out);
    });
}

#[test]
fn the_texts_of_errors_are_found() {
    let message = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps").join(name);
        json::error_message(&std::fs::read(path).unwrap()).unwrap()
    };
    assert!(!message("dcos-ui__marathon-group-management_create-conflict.json").is_empty());
    assert!(!message("dcos-ui__marathon-group-management_create-invalid.json").is_empty());
}

type Reader = fn(&[u8]) -> bool;

/// Everything that reads a body; each says whether it accepted it.
const READERS: &[Reader] = &[
    |body| json::listing(body).is_ok(),
    |body| json::group(body).is_ok(),
    |body| json::app(body).is_ok(),
    |body| json::tasks(body).is_ok(),
    |body| json::running_tasks(body).is_ok(),
    |body| json::pods(body).is_ok(),
    |body| json::deployments(body).is_ok(),
    |body| json::info(body).is_ok(),
    |body| decode_event(None, body).is_ok(),
];

fn documents() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps");
    let names = [
        "allegro-marathon-consul__apps.json",
        "allegro-marathon-consul__app.json",
        "istio-mesos__pods-status.json",
        "marathon-docs__deployments.json",
        "marathon-docs__info.json",
        "marathon-docs__tasks.json",
        "marathon-docs__group.json",
    ];
    names.iter().map(|name| std::fs::read(root.join(name)).unwrap().trim_ascii_end().to_vec()).collect()
}

proptest! {
    #[test]
    fn a_truncated_document_is_always_an_error(which: prop::sample::Index, cut: prop::sample::Index) {
        let document = which.get(&documents()).clone();
        let part = &document[..cut.index(document.len())];
        prop_assert!(READERS.iter().all(|read| !read(part)));
    }

    #[test]
    fn no_damage_panics(which: prop::sample::Index, at: prop::sample::Index, byte: u8, len in 0_usize..8) {
        let mut document = which.get(&documents()).clone();
        let start = at.index(document.len());
        let end = (start + len).min(document.len());
        document.splice(start..end, [byte]);
        for read in READERS {
            read(&document);
        }
    }
}
