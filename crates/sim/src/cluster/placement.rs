//! Which agent gets a task: free host ports, and the constraints of the run spec (spec/marathon.md 3.6).
//!
//! Constraints on `hostname` and on attributes that some agent has are obeyed. Others, such as on regions, are kept
//! and shown without effect: the cluster knows nothing they could be compared with.

use super::Cluster;
use super::agent::{Agent, AgentState};
use super::definition::AppDef;
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;

/// A larger compiled pattern is a mistake, or an attack on this process.
const PATTERN_MAX: usize = 64 * 1024;

/// One constraint, with what has been placed already.
struct Constraint<'a> {
    field: &'a str,
    operator: &'a str,
    value: Option<String>,
    pattern: Option<Regex>,
    /// How many instances of the run spec are where the field has this value.
    placed: BTreeMap<&'a str, usize>,
}

fn field<'a>(agent: &'a Agent, name: &str) -> Option<&'a str> {
    match name {
        "hostname" | "@hostname" => Some(&agent.host),
        name => agent.attributes.get(name).map(String::as_str),
    }
}

/// A whole match, as Marathon's patterns are.
fn pattern(text: &str) -> Option<Regex> {
    regex::RegexBuilder::new(&format!("^(?:{text})$")).size_limit(PATTERN_MAX).build().ok()
}

impl Constraint<'_> {
    fn admits(&self, agent: &Agent, agents: &[Agent]) -> bool {
        let Some(found) = field(agent, self.field) else { return self.operator == "UNLIKE" };
        let here = self.placed.get(found).copied().unwrap_or(0);
        let number = || self.value.as_ref().and_then(|value| value.parse::<usize>().ok());
        match self.operator {
            "UNIQUE" => here == 0,
            "CLUSTER" | "IS" => match &self.value {
                Some(wanted) => found == wanted,
                None => here > 0 || self.placed.is_empty(),
            },
            "MAX_PER" => number().is_none_or(|most| here < most),
            "LIKE" => self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(found)),
            "UNLIKE" => self.pattern.as_ref().is_none_or(|pattern| !pattern.is_match(found)),
            "GROUP_BY" => {
                let up = agents.iter().filter(|agent| agent.state == AgentState::Up);
                let values = up.filter_map(|agent| field(agent, self.field));
                let least = values.map(|value| self.placed.get(value).copied().unwrap_or(0)).min();
                least.is_none_or(|least| here <= least)
            }
            _ => true,
        }
    }
}

impl Cluster {
    /// Picks an agent that may have the task and has the wanted ports free, beginning with a drawn one.
    pub(super) fn take_offer(&mut self, def: &AppDef) -> Option<(usize, Vec<u16>)> {
        let range = self.options.host_ports;
        // Real ports are found by the shell; here only the agent is chosen.
        let wanted = if self.options.task_sockets { Vec::new() } else { def.wanted_host_ports() };
        let admitted = self.admitted_agents(def);
        let count = self.agents.len().max(1);
        let first = self.rng.usize(..count);
        let start = self.rng.u16(range.0..=range.1);
        let candidates = (0..count).map(|step| (first + step) % count);
        candidates.filter(|index| admitted.get(*index) == Some(&true)).find_map(|index| {
            let ports = self.agents.get_mut(index)?.take_ports(&wanted, range, start)?;
            Some((index, ports))
        })
    }

    /// For each agent whether it may have one more task of the run spec.
    fn admitted_agents(&self, def: &AppDef) -> Vec<bool> {
        let up = |agent: &Agent| agent.state == AgentState::Up;
        let constraints = self.constraints_of(def);
        let admitted = self.agents.iter().map(|agent| {
            up(agent) && constraints.iter().all(|constraint| constraint.admits(agent, &self.agents))
        });
        admitted.collect()
    }

    fn constraints_of<'a>(&'a self, def: &'a AppDef) -> Vec<Constraint<'a>> {
        let written = def.constraints.as_ref().and_then(Value::as_array);
        let read = |constraint: &'a Value| {
            let (name, operator) = (constraint[0].as_str()?, constraint[1].as_str()?);
            self.agents.iter().any(|agent| field(agent, name).is_some()).then_some(())?;
            let value = match &constraint[2] {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            };
            let patterned = matches!(operator, "LIKE" | "UNLIKE");
            let pattern = value.as_deref().filter(|_| patterned).and_then(pattern);
            let mut placed = BTreeMap::new();
            for instance in self.instances_of(&def.id).filter(|found| found.is_placed()) {
                let agent = instance.agent.and_then(|index| self.agents.get(index));
                if let Some(value) = agent.and_then(|agent| field(agent, name)) {
                    *placed.entry(value).or_default() += 1;
                }
            }
            Some(Constraint { field: name, operator, value, pattern, placed })
        };
        written.into_iter().flatten().filter_map(read).collect()
    }
}
