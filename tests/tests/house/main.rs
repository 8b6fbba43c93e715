//! The rules of the house as tests. Each failure says which rule it is and what to do about it.
//!
//! * `graph`: which crate may depend on which, where heavy libraries live, what must not be in the build at all;
//! * `licences`: what we may ship, and where it comes from;
//! * `sources`: orphans, openings, lengths, leftovers.

mod graph;
mod licences;
mod sources;

use std::path::PathBuf;
use std::sync::OnceLock;

use cargo_metadata::{Metadata, MetadataCommand};

/// The workspace's folder.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests lie in a folder of the workspace").to_path_buf()
}

/// What cargo knows about the workspace; asked once.
fn metadata() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| {
        let mut command = MetadataCommand::new();
        command.manifest_path(root().join("Cargo.toml"));
        command.exec().unwrap_or_else(|e| panic!("cargo metadata must work in {}: {e}", root().display()))
    })
}

/// Fails with all that was found, one per line, under what is to be done.
fn report(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "\n{rule}\n\n  {}\n", findings.join("\n  "));
}
