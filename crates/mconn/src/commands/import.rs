//! `mconn store import`: an export or the tree of an original MConn, into a data directory or into ZooKeeper.

use std::io::Read as _;
use std::path::Path;

use mconn_store::{Contents, Document, StoreError};
use mconn_store_embedded::{Counts, FILE_NAME};
use mconn_zookeeper::{Session, Settings, ZookeeperStore, claim, find_original, read_original};

use super::shared::{cannot, settings, wait_for};
use super::store::store_report;
use crate::cli::ImportArgs;
use crate::report::Report;

/// What people find in the node of the epoch after an import.
const WHO: &[u8] = br#"{"by":"mconn store import"}"#;

pub(super) fn run(args: &ImportArgs) -> Result<(), Report> {
    let contents = match (&args.file, &args.from_mconn) {
        (_, Some(place)) => read_tree(place, args.from_auth.as_deref())?,
        (Some(file), None) => read_document(file)?,
        (None, None) => return Err(Report::usage("there is nothing to import")),
    };
    // A data directory may come from the environment; the other target is always meant.
    match (&args.to_zookeeper, &args.data_dir) {
        (Some(place), _) => {
            let settings = settings(place, args.zk_auth.as_deref())?;
            wait_for(into_zookeeper(settings, &contents, args))?
        }
        (None, Some(dir)) => into_directory(dir, &contents, args),
        (None, None) => Err(Report::usage("there is no place to import to")),
    }
}

fn read_document(file: &Path) -> Result<Contents, Report> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text =
        text.map_err(|error| Report::failed(format!("cannot read {}", file.display())).because(&error))?;
    Document::parse(&text)
        .map_err(|error| Report::failed(format!("{} is no export of mconn", file.display())).because(&error))
}

fn read_tree(place: &str, auth: Option<&str>) -> Result<Contents, Report> {
    let settings = settings(place, auth)?;
    let place = settings.place();
    let found = wait_for(read_original(settings))?.map_err(|error| store_report(&error))?;
    println!("found at ZooKeeper {place}: {}", Counts::of(&found.contents));
    for skipped in &found.contents.skipped {
        eprintln!("warning: left out, cannot be read: {skipped}");
    }
    if found.members > 0 {
        eprintln!(
            "warning: {} node(s) run there: what they change from now on is not imported, so end them first",
            found.members
        );
    }
    if found.changing {
        eprintln!(
            "warning: somebody wrote there all the time: events that were handled meanwhile may be handled once more"
        );
    }
    if found.waiting > 0 {
        println!(
            "note      {} events waited in its queues, which keep no content: the sync at the start makes up for them",
            found.waiting
        );
    }
    Ok(Contents { skipped: Vec::new(), ..found.contents })
}

fn into_directory(dir: &Path, contents: &Contents, args: &ImportArgs) -> Result<(), Report> {
    if args.dry_run {
        let mut present = Counts::default();
        if dir.join(FILE_NAME).exists() {
            let report = mconn_store_embedded::check(dir).map_err(|error| store_report(&error))?;
            present = report.counts;
        }
        if present.total() > 0 && !args.replace {
            return Err(not_empty(&dir.display().to_string(), &present.to_string()));
        }
        would_import(&dir.display().to_string(), present, contents);
        return Ok(());
    }
    let counts = mconn_store_embedded::import(dir, contents, args.replace)
        .map_err(|error| with_hint(&error, args.replace))?;
    println!("imported into {}: {counts}", dir.display());
    Ok(())
}

async fn into_zookeeper(settings: Settings, contents: &Contents, args: &ImportArgs) -> Result<(), Report> {
    let place = format!("ZooKeeper {}", settings.place());
    let present = find_original(settings.clone()).await.map_err(|error| store_report(&error))?;
    let mut counts = Counts::default();
    if let Some(present) = present {
        counts = Counts::of(&present.contents);
        if present.members > 0 {
            return Err(Report::could_not_run(format!("{} node(s) run at {place}", present.members))
                .hint("end them first: the one that leads would go on with what it knows"));
        }
        if !present.is_ours && (counts.total() > 0 || present.waiting > 0) {
            return Err(Report::could_not_run(format!(
                "{place} holds the tree of an original MConn ({counts})"
            ))
            .hint("nodes that are started there take it over by themselves; import to another path"));
        }
        if !args.replace && (counts.total() > 0 || !present.contents.skipped.is_empty()) {
            return Err(not_empty(&place, &counts.to_string()));
        }
    }
    if args.dry_run {
        would_import(&place, counts, contents);
        return Ok(());
    }
    let deadline = settings.call_deadline;
    let session = Session::open_once(settings).await.map_err(|error| cannot(&error))?;
    let fence = claim(&session, WHO).await.map_err(|error| cannot(&error))?;
    let store = ZookeeperStore::new(session.clone(), fence);
    let imported = store.import(contents, args.replace).await;
    session.close(deadline).await;
    imported.map_err(|error| with_hint(&error, args.replace))?;
    println!("imported into {place}: {}", Counts::of(contents));
    Ok(())
}

fn would_import(place: &str, present: Counts, contents: &Contents) {
    if present.total() > 0 {
        println!("would remove from {place}: {present}");
    }
    println!("would import into {place}: {}; nothing was changed", Counts::of(contents));
}

fn not_empty(place: &str, present: &str) -> Report {
    Report::could_not_run(format!("{place} is not empty ({present})"))
        .hint("--replace puts what is imported in the place of what is there")
}

/// The store's own words.
fn with_hint(error: &StoreError, replace: bool) -> Report {
    let report = store_report(error);
    if replace {
        return report;
    }
    report.hint("--replace puts what is imported in the place of what is there")
}
