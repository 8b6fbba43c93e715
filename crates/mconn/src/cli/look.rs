//! What can be typed to look at the catalog: `mconn explain` and `mconn watch`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use mconn_model::{Rule, VerdictKind};

use super::NodeArgs;

/// Exit codes of `mconn explain`, for its help.
pub(super) const EXPLAIN_HELP: &str = "Exit codes: 0 the app is known, or was until lately; 1 it is not known, or the node \
                                       does not answer; 64 wrong usage. docs/verdicts.md describes every rule.";

/// What to explain.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainArgs {
    /// The whole id of an app or pod; without it, all that have tasks without traffic
    pub(crate) app: Option<String>,
    /// Only at this source
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// What to watch. Several filters must all fit; several values of one filter are alternatives.
#[derive(Debug, Clone, Args)]
pub(crate) struct WatchArgs {
    /// Only apps with this id or below it, or whose id fits a pattern with * and ?
    #[arg(long = "app", value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) apps: Vec<String>,
    /// Only at this source
    #[arg(long = "source", value_name = "NAME")]
    pub(crate) sources: Vec<String>,
    /// Only changes from or to this verdict
    #[arg(long = "verdict", value_delimiter = ',', value_parser = PossibleValuesParser::new(verdicts()))]
    pub(crate) verdicts: Vec<String>,
    /// Only changes from or to this rule
    #[arg(long = "rule", value_delimiter = ',', hide_possible_values = true, value_name = "RULE",
        value_parser = PossibleValuesParser::new(Rule::ALL.iter().map(|rule| rule.as_str())))]
    pub(crate) rules: Vec<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// As one types them: without a blank.
fn verdicts() -> impl Iterator<Item = String> {
    VerdictKind::ALL.into_iter().map(|kind| kind.as_str().replace(' ', "-"))
}
