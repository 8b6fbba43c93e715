//! `mconn completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

/// Prints the script that a shell sources.
pub(crate) fn print(shell: Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "mconn", &mut std::io::stdout());
}
