//! What the harness was asked for. A dozen options need no library.

use std::path::PathBuf;

use crate::figures::Suite;

pub(crate) const USAGE: &str = "\
usage: mconn-bench SUITE [OPTION]...

suites: post, latency, stream, memory, catalog, sync, kill, cluster, failover, or all

  --runs N         repeat each suite; best and median are shown (3; kill is run once)
  --events N       events of post, stream and cluster instead of 200000, 500000 and 60000
  --rounds N       rounds of kill (100)
  --seed N         moments of kill and everything else that is drawn (1)
  --connections N  keep-alive connections of post (128)
  --binary PATH    the mconn to measure (the one beside this program)
  --data-dir PATH  where data directories are made: a real disk (this program's target directory)
  --json           one JSON object per figure instead of lines
  --write FILE     also write the table, as Markdown
  --keep           keep data directories and logs, and say where they are";

/// Everything that can be chosen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Args {
    /// What to measure, in order.
    pub(crate) suites: Vec<Suite>,
    /// How often.
    pub(crate) runs: usize,
    /// Events of post and stream, if not the default of each.
    pub(crate) events: Option<u64>,
    /// Rounds of kill.
    pub(crate) rounds: u32,
    /// Where everything drawn begins.
    pub(crate) seed: u64,
    /// Connections of post.
    pub(crate) connections: usize,
    /// The measured program, if not the one beside this.
    pub(crate) binary: Option<PathBuf>,
    /// Where data directories are made.
    pub(crate) data_dir: Option<PathBuf>,
    /// JSON instead of lines.
    pub(crate) json: bool,
    /// Where the table goes.
    pub(crate) write: Option<PathBuf>,
    /// Leave data directories.
    pub(crate) keep: bool,
}

/// Reads the command line without the program's name.
pub(crate) fn read(words: impl IntoIterator<Item = String>) -> Result<Args, String> {
    let mut words = words.into_iter();
    let mut args = Args {
        suites: Vec::new(),
        runs: 3,
        events: None,
        rounds: 100,
        seed: 1,
        connections: 128,
        binary: None,
        data_dir: None,
        json: false,
        write: None,
        keep: false,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--runs" => args.runs = number(&word, &value()?)?,
            "--events" => args.events = Some(number(&word, &value()?)?),
            "--rounds" => args.rounds = number(&word, &value()?)?,
            "--seed" => args.seed = number(&word, &value()?)?,
            "--connections" => args.connections = number(&word, &value()?)?,
            "--binary" => args.binary = Some(value()?.into()),
            "--data-dir" => args.data_dir = Some(value()?.into()),
            "--write" => args.write = Some(value()?.into()),
            "--json" => args.json = true,
            "--keep" => args.keep = true,
            "all" => args.suites.extend(Suite::ALL),
            name => match Suite::ALL.into_iter().find(|suite| suite.as_str() == name) {
                Some(suite) => args.suites.push(suite),
                None => return Err(format!("there is no suite or option \"{name}\"")),
            },
        }
    }
    if args.suites.is_empty() {
        return Err("which suite?".to_owned());
    }
    if args.runs == 0 || args.connections == 0 || args.rounds == 0 || args.events == Some(0) {
        return Err("runs, events, rounds and connections are at least 1".to_owned());
    }
    Ok(args)
}

fn number<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, String> {
    text.replace('_', "").parse().map_err(|_| format!("{option} needs a number, not \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Args, String> {
        read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn suites_and_options_in_any_order() {
        let args = words("--runs 5 post --events 1_000 --json latency").unwrap();
        assert_eq!(args.suites, [Suite::Post, Suite::Latency]);
        assert_eq!((args.runs, args.events, args.json), (5, Some(1000), true));
        assert_eq!(words("all").unwrap().suites, Suite::ALL);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, part) in [
            ("", "which suite"),
            ("pots", "\"pots\""),
            ("post --runs", "needs a value"),
            ("post --runs x", "needs a number"),
            ("post --runs 0", "at least 1"),
        ] {
            assert!(words(line).unwrap_err().contains(part), "{line}");
        }
    }
}
