//! `mconn store ... --zookeeper`: the data of nodes that share ZooKeeper. Whatever only reads can be done while they run.

use mconn_model::ModuleName;
use mconn_store::{Contents, StoreErrorKind};
use mconn_store_embedded::Counts;
use mconn_zookeeper::{Digest, Original, Session, Settings, ZookeeperStore, claim, read_original};

use super::store::store_report;
use crate::report::Report;

/// What people find in the node of the epoch afterwards.
const WHO: &[u8] = br#"{"by":"mconn store drop-module"}"#;

/// Runs what talks to ZooKeeper.
pub(super) fn wait_for<T>(work: impl Future<Output = T>) -> Result<T, Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Report::could_not_run("cannot start the runtime").because(&error))?;
    Ok(runtime.block_on(work))
}

/// A place as the user writes it, `zk://` before it or not.
pub(super) fn settings(place: &str, auth: Option<&str>) -> Result<Settings, Report> {
    let settings = Settings::at(place.strip_prefix("zk://").unwrap_or(place));
    let mut settings = settings.map_err(|error| Report::usage(error.to_string()))?;
    let auth = auth.filter(|text| !text.is_empty()).map(Digest::parse).transpose();
    settings.auth = auth.map_err(|error| Report::usage(error.to_string()))?;
    Ok(settings)
}

/// How often the lead is taken from nodes that take it back.
const ATTEMPTS: usize = 20;

/// A call's own words.
pub(super) fn cannot(error: &mconn_zookeeper::Error) -> Report {
    Report::could_not_run(error.to_string())
}

fn read(settings: Settings) -> Result<Original, Report> {
    wait_for(read_original(settings))?.map_err(|error| store_report(&error))
}

pub(super) fn check(settings: Settings) -> Result<(), Report> {
    let place = settings.place();
    let found = read(settings)?;
    let what = match found.schema {
        Some(version) => format!("schema version {version}"),
        None if found.is_ours => "no node has led there yet".to_owned(),
        None => "the tree of an original MConn".to_owned(),
    };
    println!("place     ZooKeeper {place} ({what})");
    println!("contents  {}", Counts::of(&found.contents));
    println!("nodes     {} run there", found.members);
    if found.waiting > 0 {
        println!(
            "note      {} events of an original MConn wait in its queues, which keep no content: the next leader's sync makes \
             up for them",
            found.waiting
        );
    }
    if found.unfinished {
        println!(
            "note      a large batch is committed and not in place yet; it counts, and whoever leads finishes it"
        );
    }
    if found.changing {
        println!("note      somebody wrote there while it was read");
    }
    let problems = &found.contents.skipped;
    for problem in problems {
        println!("problem   {problem}");
    }
    if problems.is_empty() {
        println!("sound");
        return Ok(());
    }
    Err(Report::failed(format!("{} problem(s) at ZooKeeper {place}", problems.len()))
        .hint("what cannot be read is left out and left where it is: mend or delete those nodes"))
}

/// Everything that can be read, with a warning of all that a reader should know.
pub(super) fn export(settings: Settings) -> Result<Contents, Report> {
    let found = read(settings)?;
    if found.changing {
        eprintln!(
            "warning: somebody wrote there all the time: nothing is missing that was accepted before, but events that were \
             handled meanwhile may be handled once more after an import"
        );
    }
    Ok(found.contents)
}

pub(super) fn drop_module(settings: Settings, module: &str, force: bool) -> Result<(), Report> {
    let module = ModuleName::new(module).map_err(|error| Report::usage(error.to_string()))?;
    let place = format!("ZooKeeper {}", settings.place());
    let found = read(settings.clone())?;
    if !found.is_ours {
        return Err(Report::could_not_run(format!("{place} holds the tree of an original MConn"))
            .hint("it becomes ours when the first node leads there"));
    }
    if found.members > 0 && !force {
        return Err(Report::could_not_run(format!("{} node(s) run at {place}", found.members)).hint(
            "end them first; or --force: the one that leads is deposed, and whoever leads next begins without the module's data",
        ));
    }
    let dropped = wait_for(async {
        let deadline = settings.call_deadline;
        let session = Session::open_once(settings).await.map_err(|error| cannot(&error))?;
        let mut attempts = ATTEMPTS;
        let dropped = loop {
            attempts -= 1;
            let fence = match claim(&session, WHO).await {
                Ok(fence) => fence,
                Err(error) => break Err(cannot(&error)),
            };
            match ZookeeperStore::new(session.clone(), fence).drop_module(&module).await {
                // The nodes that run want the lead back at once.
                Err(error) if force && attempts > 0 && error.kind == StoreErrorKind::Deposed => {}
                dropped => break dropped.map_err(|error| store_report(&error)),
            }
        };
        session.close(deadline).await;
        dropped
    })??;
    if dropped == mconn_zookeeper::Dropped::default() {
        println!("there is nothing of module {module}");
        return Ok(());
    }
    println!(
        "dropped of module {module}: {} presets, {} inventory items, {} dead letters, {} events; {} more are owed to others yet",
        dropped.presets,
        dropped.items,
        dropped.dead_letters,
        dropped.events,
        dropped.owed - dropped.events
    );
    Ok(())
}
