//! The flags: one per setting, with the help that the table has for it.

use clap::{Arg, ArgMatches};

use super::setting::Secrecy;
use super::table::SETTINGS;

/// One argument per setting, to be added to the commands that run a node.
pub(crate) fn arguments() -> Vec<Arg> {
    SETTINGS
        .iter()
        .map(|s| {
            let visible = if s.secret == Secrecy::Open {
                ""
            } else {
                "; other users can see flags, prefer the variable"
            };
            Arg::new(s.flag)
                .long(s.flag)
                .value_name(s.kind.value_name())
                .help(format!("{} [{}, default {}{visible}]", s.description, s.env, s.default.words()))
                .help_heading("Settings")
                .hide_short_help(true)
        })
        .collect()
}

/// The flags that the command line really has, for [`super::Raw::with_flags`].
pub(crate) fn given_flags(matches: &ArgMatches) -> Vec<(&'static str, String)> {
    SETTINGS
        .iter()
        .filter_map(|s| {
            let value = matches.try_get_one::<String>(s.flag).ok().flatten()?;
            Some((s.flag, value.clone()))
        })
        .collect()
}
