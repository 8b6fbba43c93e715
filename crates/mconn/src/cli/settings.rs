//! The settings of a node as flags. They are made from the settings' table, so they cannot be derived.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::config;

/// Which flags were given, and which file.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingsArgs {
    /// `--config`, or the variable that stands in for it.
    pub(crate) file: Option<PathBuf>,
    /// Flag names with their values.
    pub(crate) flags: Vec<(&'static str, String)>,
}

const FILE: &str = "config";

impl Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long(FILE)
            .env(config::CONFIG_FILE_VARIABLE)
            .value_name("FILE")
            // As with all variables of ours, empty counts as given: here, as "no file".
            .value_parser(value_parser!(OsString))
            .help("A TOML file with settings");
        command.arg(file).args(config::arguments())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let file = matches.get_one::<OsString>(FILE).filter(|file| !file.is_empty());
        Ok(Self { file: file.map(PathBuf::from), flags: config::given_flags(matches) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
