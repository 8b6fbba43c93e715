//! Runs suites as often as asked and tells what came out.

use std::collections::BTreeMap;

use crate::Result;
use crate::args::Args;
use crate::figures::{FIGURES, Sample, Suite};
use crate::machine::Machine;
use crate::measure::{catalog, cluster, failover, kill, latency, memory, post, stream, sync};
use crate::node::Place;
use crate::proc;
use crate::report::{self, Row};

/// Runs everything that was asked for. Whether every target was met.
pub(crate) async fn run(args: &Args) -> Result<bool> {
    if cfg!(debug_assertions) {
        return Err("a build without optimisation measures itself: use --release".into());
    }
    let place = Place::find(args)?;
    // Before anything else, as the checkout may move on meanwhile.
    let machine = args.write.as_ref().map(|_| Machine::look(&place.disk)).transpose()?;
    let mut rows: Vec<Row> = Vec::new();
    for suite in &args.suites {
        // Losses are counted, not timed: all rounds of one run are the repetition.
        let runs = if *suite == Suite::Kill { 1 } else { args.runs };
        let load = proc::load();
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for _ in 0..runs {
            for Sample { id, value } in once(*suite, &place, args).await? {
                values.entry(id).or_default().push(value);
            }
        }
        for figure in FIGURES {
            let Some(values) = values.remove(figure.id) else { continue };
            let row = Row::new(*figure, values, load);
            println!("{}", if args.json { row.json() } else { row.line() });
            rows.push(row);
        }
        if let Some(id) = values.keys().next() {
            return Err(format!("{id} was measured and is in no list").into());
        }
    }
    if let (Some(file), Some(machine)) = (&args.write, &machine) {
        std::fs::write(file, report::table(machine, &rows))?;
    }
    Ok(rows.iter().all(|row| row.is_met() != Some(false)))
}

async fn once(suite: Suite, place: &Place, args: &Args) -> Result<Vec<Sample>> {
    match suite {
        Suite::Post => post::measure(place, args).await,
        Suite::Latency => latency::measure(place).await,
        Suite::Stream => stream::measure(place, args).await,
        Suite::Memory => memory::measure(place).await,
        Suite::Catalog => catalog::measure(place).await,
        Suite::Sync => sync::measure(place).await,
        Suite::Kill => kill::measure(place, args).await,
        Suite::Cluster => cluster::measure(place, args).await,
        Suite::Failover => failover::measure(place).await,
    }
}
