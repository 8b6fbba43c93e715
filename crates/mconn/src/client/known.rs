//! What `mconn watch` knows of the catalog: the verdict on every task, kept in step with the numbered changes, so that
//! after a gap a comparison shows what happened meanwhile. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// What is said to be the cause of a change that nobody saw.
pub(super) const COMPARED: &str = "found by comparing";

/// A task as the node judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Judged {
    verdict: Value,
    addresses: Value,
    since: Value,
}

type Key = (String, String, String);

/// The verdicts on all tasks.
#[derive(Debug, Default)]
pub(super) struct Known {
    tasks: BTreeMap<Key, Judged>,
    /// Sources that have been listed since the stream is attached, with the number of the newest change in the list.
    told: BTreeMap<String, u64>,
    /// Sources whose tasks are known, from now or from before.
    seen: BTreeSet<String>,
    /// How each source was followed when it was last told.
    freshness: BTreeMap<String, Value>,
}

impl Known {
    /// A new stream begins, perhaps of a new process, which counts anew.
    pub(super) fn reattached(&mut self) {
        self.told.clear();
    }

    /// Takes the list of all verdicts, and gives the changes since the last that was known. A source that the node has not
    /// read yet is left as it was: it says nothing. One that is seen for the first time gives no changes.
    pub(super) fn list(&mut self, listing: &Value, now: &str) -> Vec<Value> {
        let mut fresh: BTreeMap<Key, Judged> = BTreeMap::new();
        for task in listing["tasks"].as_array().into_iter().flatten() {
            let judged = Judged {
                verdict: json!({"verdict": task["verdict"], "rule": task["rule"]}),
                addresses: task["addresses"].clone(),
                since: task["since"].clone(),
            };
            fresh.insert(key(task), judged);
        }
        let mut changes = Vec::new();
        let sources = listing["sources"].as_object();
        for (source, state) in sources.into_iter().flatten().filter(|(_, state)| is_read(&state["freshness"]))
        {
            self.told.insert(source.clone(), state["changes"].as_u64().unwrap_or(0));
            self.freshness.insert(source.clone(), state["freshness"].clone());
            if !self.seen.insert(source.clone()) {
                self.compare(source, &fresh, now, &mut changes);
            }
            self.tasks.retain(|(of, _, _), _| of != source);
            let new = fresh.iter().filter(|((of, _, _), _)| of == source);
            self.tasks.extend(new.map(|(key, judged)| (key.clone(), judged.clone())));
        }
        changes
    }

    fn compare(&self, source: &str, fresh: &BTreeMap<Key, Judged>, now: &str, changes: &mut Vec<Value>) {
        let of_source = |key: &&Key| key.0 == source;
        let keys: BTreeSet<&Key> =
            self.tasks.keys().filter(of_source).chain(fresh.keys().filter(of_source)).collect();
        for key in keys {
            let (before, after) = (self.tasks.get(key), fresh.get(key));
            if before.map(|judged| &judged.verdict) == after.map(|judged| &judged.verdict) {
                continue;
            }
            let addresses = after.or(before).map(|judged| judged.addresses.clone());
            changes.push(json!({
                "number": null,
                "at": after.map_or_else(|| json!(now), |judged| judged.since.clone()),
                "source": key.0, "app": key.1, "task": key.2,
                "addresses": addresses,
                "before": before.map(|judged| &judged.verdict),
                "after": after.map(|judged| &judged.verdict),
                "cause": COMPARED,
            }));
        }
    }

    /// Whether an event speaks of a source that was not listed and could be now.
    pub(super) fn wants_list(&self, event: &Value) -> bool {
        let sources = event["sources"].as_object();
        sources
            .into_iter()
            .flatten()
            .any(|(source, freshness)| is_read(freshness) && !self.told.contains_key(source))
    }

    /// The sources that an event says are followed otherwise than before, each in a few words.
    pub(super) fn turned(&mut self, event: &Value) -> Vec<String> {
        let mut turned = Vec::new();
        for (source, freshness) in event["sources"].as_object().into_iter().flatten() {
            let before = self.freshness.insert(source.clone(), freshness.clone());
            match (before.as_ref().and_then(Value::as_str), freshness.as_str()) {
                (Some("fresh"), Some("stale")) => {
                    turned.push(format!("{source} is away, its last good state is served"));
                }
                (Some("stale"), Some("fresh")) => {
                    turned.push(format!("{source} is back and read completely"));
                }
                _ => {}
            }
        }
        turned
    }

    /// Takes an event, and gives the changes in it that were not known already.
    pub(super) fn event(&mut self, event: &Value) -> Vec<Value> {
        let mut changes = Vec::new();
        for change in event["verdicts"].as_array().into_iter().flatten() {
            let (source, app, task) = key(change);
            let number = change["number"].as_u64().unwrap_or(0);
            match self.told.get_mut(&source) {
                Some(told) if number <= *told => continue,
                Some(told) => *told = number,
                None => {}
            }
            let key = (source, app, task);
            if change["after"].is_null() {
                self.tasks.remove(&key);
            } else {
                let judged = Judged {
                    verdict: change["after"].clone(),
                    addresses: change["addresses"].clone(),
                    since: change["at"].clone(),
                };
                self.tasks.insert(key, judged);
            }
            changes.push(change.clone());
        }
        changes
    }

    /// How many tasks are known, and at which sources.
    pub(super) fn summary(&self) -> String {
        let sources: Vec<&str> = self.told.keys().map(String::as_str).collect();
        let at = if sources.is_empty() {
            "no source that has been read yet".to_owned()
        } else {
            sources.join(", ")
        };
        format!("{} tasks at {at}", self.tasks.len())
    }
}

fn is_read(freshness: &Value) -> bool {
    freshness.as_str().is_some_and(|freshness| freshness != "never")
}

fn key(of: &Value) -> Key {
    let text = |name: &str| of[name].as_str().unwrap_or_default().to_owned();
    (text("source"), text("app"), text("task"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(freshness: &str, changes: u64, tasks: &[(&str, &str)]) -> Value {
        let task = |(task, rule): &(&str, &str)| {
            json!({"source": "m", "app": "/a", "task": task, "addresses": ["h:1"], "verdict": "v", "rule": rule,
                   "since": "then"})
        };
        let sources = json!({"m": {"freshness": freshness, "changes": changes}});
        json!({"sources": sources, "tasks": tasks.iter().map(task).collect::<Vec<_>>()})
    }

    fn change(number: u64, task: &str, before: Option<&str>, after: Option<&str>) -> Value {
        let verdict = |rule: &str| json!({"verdict": "v", "rule": rule});
        json!({"number": number, "at": "at", "source": "m", "app": "/a", "task": task, "addresses": ["h:1"],
               "before": before.map(verdict), "after": after.map(verdict), "cause": "c"})
    }

    fn event(changes: &[Value]) -> Value {
        json!({"sources": {"m": "fresh"}, "verdicts": changes})
    }

    fn told(changes: &[Value]) -> Vec<String> {
        let rule = |side: &Value| side["rule"].as_str().unwrap_or("-").to_owned();
        changes
            .iter()
            .map(|c| format!("{} {} {}", c["task"].as_str().unwrap(), rule(&c["before"]), rule(&c["after"])))
            .collect()
    }

    #[test]
    fn what_the_list_contains_is_not_told_twice() {
        let mut known = Known::default();
        assert!(known.list(&listing("fresh", 5, &[("t1", "healthy")]), "now").is_empty(), "nothing happened");
        let changes =
            [change(5, "t1", None, Some("healthy")), change(6, "t1", Some("healthy"), Some("killing"))];
        assert_eq!(told(&known.event(&event(&changes))), ["t1 healthy killing"]);
        assert!(known.event(&event(&changes)).is_empty());
    }

    #[test]
    fn after_a_restart_the_difference_is_told_once_the_source_was_read() {
        let mut known = Known::default();
        known.list(&listing("fresh", 100, &[("t1", "healthy"), ("t2", "healthy"), ("t3", "killing")]), "now");
        known.event(&event(&[change(101, "t3", Some("killing"), None)]));
        known.reattached();
        assert!(known.list(&listing("never", 0, &[]), "now").is_empty(), "not read yet: says nothing");
        assert!(!known.wants_list(&json!({"sources": {"m": "never"}})));
        assert!(known.wants_list(&event(&[])));
        let found = known.list(&listing("fresh", 2, &[("t2", "unhealthy"), ("t4", "healthy")]), "now");
        assert_eq!(told(&found), ["t1 healthy -", "t2 healthy unhealthy", "t4 - healthy"]);
        assert_eq!((&found[0]["at"], &found[1]["at"]), (&json!("now"), &json!("then")));
        assert_eq!(told(&known.event(&event(&[change(3, "t4", Some("healthy"), None)]))), ["t4 healthy -"]);
    }

    #[test]
    fn a_source_that_is_away_is_said_once() {
        let mut known = Known::default();
        known.list(&listing("fresh", 0, &[]), "now");
        let stale = json!({"sources": {"m": "stale"}});
        assert_eq!(known.turned(&stale), ["m is away, its last good state is served"]);
        assert!(known.turned(&stale).is_empty());
        assert_eq!(known.turned(&event(&[])), ["m is back and read completely"]);
    }

    #[test]
    fn a_source_that_comes_later_is_taken_as_it_is() {
        let mut known = Known::default();
        known.list(&listing("never", 0, &[]), "now");
        assert!(known.list(&listing("fresh", 0, &[("t1", "healthy")]), "now").is_empty());
        assert_eq!(known.summary(), "1 tasks at m");
    }
}
