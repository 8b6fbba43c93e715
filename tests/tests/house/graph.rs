//! The arrows between crates.

use std::collections::{HashMap, HashSet};

use cargo_metadata::{DependencyKind, PackageId};

use crate::{metadata, report};

/// From the innermost to the outermost: an arrow may only point to what stands before.
const ORDER: &[&str] = &[
    "model",
    "wire",
    "marathon",
    "mesos",
    "catalog",
    "store",
    "store-embedded",
    "leadership",
    "zookeeper",
    "module",
    "queue",
    "modules",
    "haproxy",
    "dns",
    "view",
    "web",
    "sim",
    "mconn",
];

/// Who may know whom (design: layout). What is not named here is not allowed, even if the order would permit it.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &[]),
    ("marathon", &["model", "wire"]),
    ("mesos", &["model", "wire"]),
    // Sources push facts into the catalog; it does not know them.
    ("catalog", &["model"]),
    ("store", &["model"]),
    ("store-embedded", &["model", "store"]),
    ("leadership", &["model"]),
    ("zookeeper", &["model", "store", "leadership"]),
    ("module", &["model"]),
    ("queue", &["model", "store", "module"]),
    ("modules", &["model", "module"]),
    // Functions of a snapshot: neither the queue nor the store, nor each other.
    ("haproxy", &["model", "catalog"]),
    ("dns", &["model", "catalog"]),
    ("view", &["model", "catalog", "store", "module", "queue"]),
    // Commands and read models, no sources; of the catalog the handle and the difference of two snapshots.
    ("web", &["model", "catalog", "store", "module", "queue", "view"]),
    // Stands in for foreign programs, so it shares no code with us.
    ("sim", &[]),
    // Wiring: everything.
    ("mconn", ORDER),
];

/// Packages beside the product, which may use whatever they measure or test.
const OUTSIDE: &[&str] = &["tests", "bench"];

/// Heavy libraries and the crates that may have them.
const HOMES: &[(&str, &[&str])] = &[
    ("redb", &["store-embedded"]),
    ("zookeeper-client", &["zookeeper"]),
    ("reqwest", &["wire", "tests", "bench"]),
    ("rustls", &["wire", "sim", "tests", "bench"]),
    ("tokio-rustls", &["sim", "tests"]),
    ("ring", &["wire", "sim"]),
    ("rcgen", &["sim", "tests"]),
    ("rustls-native-certs", &["wire"]),
    ("axum", &["web"]),
    ("hyper", &["web"]),
    ("hyper-util", &["web"]),
    ("tower-http", &["web"]),
    ("utoipa", &["web"]),
    ("prometheus-client", &["web"]),
    ("clap", &["mconn"]),
    ("clap_complete", &["mconn"]),
    ("toml", &["mconn"]),
    ("tracing-subscriber", &["mconn"]),
    ("tracing-appender", &["mconn"]),
    ("mimalloc", &["mconn"]),
];

/// Never in what we ship: they need a C toolchain of their own, or a second TLS stack.
const BANNED: &[&str] =
    &["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys", "serde_yaml"];

/// The folder's name: packages are `mconn-<folder>`.
fn short(package: &str) -> &str {
    package.strip_prefix("mconn-").unwrap_or(package)
}

/// Our packages with the names of what they depend on, without what only their tests use.
fn direct_dependencies() -> Vec<(&'static str, Vec<&'static str>)> {
    let packages = metadata().workspace_packages();
    let named = packages.into_iter().map(|package| {
        let shipped = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
        (short(package.name.as_str()), shipped.map(|d| d.name.as_str()).collect())
    });
    named.collect()
}

#[test]
fn arrows_between_crates_follow_the_table() {
    let mut findings = Vec::new();
    for (name, dependencies) in direct_dependencies() {
        if OUTSIDE.contains(&name) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(row, _)| *row == name) else {
            findings.push(format!("crates/{name} has no row in ARROWS: add one, and its place in ORDER"));
            continue;
        };
        for dependency in dependencies.iter().filter(|d| d.starts_with("mconn-")).map(|d| short(d)) {
            if !allowed.contains(&dependency) {
                findings.push(format!(
                    "{name} -> {dependency}: move what it needs to a crate that both may know, or pass it in from crates/mconn"
                ));
            }
        }
    }
    report("A crate depends on one that it must not know (tests/tests/house/graph.rs, ARROWS).", &findings);
}

#[test]
fn the_table_of_arrows_only_points_inwards() {
    let place = |name: &str| ORDER.iter().position(|other| *other == name);
    let mut findings = Vec::new();
    for (name, allowed) in ARROWS.iter().filter(|(name, _)| *name != "mconn") {
        for other in *allowed {
            if place(other).is_none() || place(other) >= place(name) {
                findings.push(format!("{name} -> {other}"));
            }
        }
    }
    report("ARROWS allows an arrow against ORDER: take it out, or move the crate in ORDER.", &findings);
}

#[test]
fn heavy_libraries_stay_in_their_crate() {
    let mut findings = Vec::new();
    for (name, dependencies) in direct_dependencies() {
        for (library, homes) in HOMES {
            if dependencies.contains(library) && !homes.contains(&name) {
                findings.push(format!("{name} uses {library}, which lives in {}", homes.join(", ")));
            }
        }
    }
    report("A heavy library leaves its crate: use that crate's own types instead (HOMES).", &findings);
}

#[test]
fn what_we_ship_has_no_second_tls_stack() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("cargo metadata resolves");
    let nodes: HashMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut seen: HashSet<&PackageId> = HashSet::new();
    let mut findings = Vec::new();
    // Each entry: a package, and the way to it in words.
    let mut open: Vec<(&PackageId, String)> = metadata
        .workspace_packages()
        .iter()
        .filter(|package| !OUTSIDE.contains(&short(package.name.as_str())))
        .map(|package| (&package.id, package.name.to_string()))
        .collect();
    while let Some((id, way)) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        if BANNED.contains(&metadata[id].name.as_str()) {
            findings.push(way.clone());
        }
        for dependency in &nodes[id].deps {
            if dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development) {
                let next = format!("{way} -> {}", metadata[&dependency.pkg].name);
                open.push((&dependency.pkg, next));
            }
        }
    }
    assert!(seen.len() > 50, "the walk has seen {} packages only, so it proves nothing", seen.len());
    report("A banned library is in the build: switch off the feature that brings it (BANNED).", &findings);
}
