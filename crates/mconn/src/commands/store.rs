//! `mconn store ...`: the data of a node that is not running. Those in ZooKeeper are in [`super::shared`].

use std::collections::HashSet;
use std::path::Path;

use std::sync::Arc;

use mconn_store::{Document, JournalEntry, StoreError};
use mconn_zookeeper::Settings;

use super::{import, shared};
use crate::cli::{Place, StoreCommand};
use crate::report::Report;

pub(crate) fn run(command: &StoreCommand) -> Result<(), Report> {
    match command {
        StoreCommand::Check(place) => match found(place)? {
            Found::Directory(dir) => check(dir),
            Found::Shared(settings) => shared::check(settings),
        },
        StoreCommand::Export { place, output } => {
            export(place, output.as_deref().filter(|path| *path != Path::new("-")))
        }
        StoreCommand::Import(args) => import::run(args),
        StoreCommand::DropModule { module, place } => match found(place)? {
            Found::Directory(dir) => drop_module(dir, module),
            Found::Shared(settings) => shared::drop_module(settings, module),
        },
        StoreCommand::Repair { dir, allow_empty } => repair(&dir.data_dir, *allow_empty),
    }
}

enum Found<'a> {
    Directory(&'a Path),
    Shared(Settings),
}

/// A data directory may come from the environment; ZooKeeper is always meant.
fn found(place: &Place) -> Result<Found<'_>, Report> {
    match (&place.zookeeper, &place.data_dir) {
        (Some(zookeeper), _) => Ok(Found::Shared(shared::settings(zookeeper, place.zk_auth.as_deref())?)),
        (None, Some(dir)) => Ok(Found::Directory(dir)),
        (None, None) => Err(Report::usage("neither a data directory nor a place in ZooKeeper was given")),
    }
}

/// The store's own words, which say what to do.
pub(crate) fn store_report(error: &StoreError) -> Report {
    Report::could_not_run(error.message.clone())
}

fn check(dir: &Path) -> Result<(), Report> {
    let report = mconn_store_embedded::check(dir).map_err(|error| store_report(&error))?;
    let version = report.schema_version.map_or_else(|| "unknown".to_owned(), |version| version.to_string());
    println!("file      {} ({} bytes, schema version {version})", report.file.display(), report.bytes);
    println!("contents  {}", report.counts);
    if !report.closed_well && report.is_sound() {
        println!("note      it was not closed; the next start recovers it");
    }
    for problem in &report.problems {
        println!("problem   {problem}");
    }
    if report.is_sound() {
        println!("sound");
        return Ok(());
    }
    Err(Report::failed(format!("{} problem(s) in {}", report.problems.len(), dir.display()))
        .hint(format!("save what can be read with: mconn store repair --data-dir {}", dir.display())))
}

fn export(place: &Place, output: Option<&Path>) -> Result<(), Report> {
    let contents = match found(place)? {
        Found::Directory(dir) => mconn_store_embedded::export(dir).map_err(|error| store_report(&error))?,
        Found::Shared(settings) => shared::export(settings)?,
    };
    for skipped in &contents.skipped {
        eprintln!("warning: left out, cannot be read: {skipped}");
    }
    let text = Document::from_contents(&contents).to_text();
    match output {
        None => print!("{text}"),
        Some(file) => std::fs::write(file, text)
            .map_err(|error| Report::failed(format!("cannot write {}", file.display())).because(&error))?,
    }
    Ok(())
}

fn drop_module(dir: &Path, module: &str) -> Result<(), Report> {
    let mut contents = mconn_store_embedded::export(dir).map_err(|error| store_report(&error))?;
    if !contents.skipped.is_empty() {
        return Err(Report::failed(format!("{} holds records that cannot be read", dir.display()))
            .hint("they would be lost: see \"mconn store check\" and \"mconn store repair\""));
    }
    let before = contents.clone();
    contents.presets.retain(|preset| preset.module.as_str() != module);
    contents.items.retain(|(name, _)| name.as_str() != module);
    contents.dead_letters.retain(|letter| letter.module.as_str() != module);
    contents.through.retain(|(_, name)| name.as_str() != module);
    for entry in &mut contents.journal {
        let owed = entry.owed.iter().filter(|name| name.as_str() != module).cloned().collect();
        *entry = Arc::new(JournalEntry { owed, ..(**entry).clone() });
    }
    let through: HashSet<_> = contents.through.iter().cloned().collect();
    contents
        .journal
        .retain(|entry| entry.owed.iter().any(|name| !through.contains(&(entry.seq, name.clone()))));
    let kept: HashSet<_> = contents.journal.iter().map(|entry| entry.seq).collect();
    contents.through.retain(|(seq, _)| kept.contains(seq));
    if contents == before {
        println!("there is nothing of module {module}");
        return Ok(());
    }
    mconn_store_embedded::import(dir, &contents, true).map_err(|error| store_report(&error))?;
    println!(
        "dropped of module {module}: {} presets, {} inventory items, {} dead letters, {} events",
        before.presets.len() - contents.presets.len(),
        before.items.len() - contents.items.len(),
        before.dead_letters.len() - contents.dead_letters.len(),
        before.journal.len() - contents.journal.len()
    );
    Ok(())
}

fn repair(dir: &Path, allow_empty: bool) -> Result<(), Report> {
    let report = mconn_store_embedded::salvage(dir, allow_empty).map_err(|error| store_report(&error))?;
    let Some(kept) = &report.kept_as else {
        println!("the store is sound: nothing was changed ({})", report.recovered);
        return Ok(());
    };
    println!("the damaged file is kept as {}", kept.display());
    if !report.verified {
        println!("note      checksums could not be verified: what was recovered may hold wrong bytes");
    }
    println!("recovered {}", report.recovered);
    if report.lost > 0 {
        println!("lost      {} record(s)", report.lost);
    }
    for table in &report.unreadable_tables {
        println!("lost      what was in table {table} and could not be read");
    }
    for problem in &report.problems {
        println!("problem   {problem}");
    }
    println!("the node can be started; a sync repairs what inventories lack");
    Ok(())
}
