//! Nothing that was acknowledged is lost, whatever fails and whenever the process dies.

use super::*;

proptest! {
    /// Whatever fails and whenever the process dies: every event that was acknowledged has been handled or is still
    /// there, in order per task, and the store agrees with memory after each commit.
    #[test]
    fn nothing_acknowledged_is_lost(steps in prop::collection::vec((0_u8..8, 0_u8..3), 1..120)) {
        let settings = Settings { retries: 1, ..Settings::default() };
        let mut h = Harness::with(&["One", "Two"], settings, MemoryStore::new());
        h.preset("One", "/a", "enabled");
        h.preset("Two", "/a", "enabled");
        let mut acknowledged: Vec<TaskEvent> = Vec::new();
        let mut ordered: BTreeMap<(ModuleName, String), Vec<i64>> = BTreeMap::new();
        let mut handled: BTreeSet<(ModuleName, String)> = BTreeSet::new();
        let mut at = 0;
        for (step, pick) in steps {
            match step {
                0 | 1 => {
                    at += 1;
                    let status = if at % 3 == 0 { "TASK_KILLED" } else { "TASK_RUNNING" };
                    let event = event(&format!("t{pick}"), status, at);
                    let accepted = h.core.accept(vec![event.clone()], h.now).is_ok();
                    if h.commit() && accepted && h.core.slots.len() == 2 {
                        acknowledged.push(event);
                    }
                }
                2 | 3 if !h.active.is_empty() => {
                    let start = h.active[usize::from(pick) % h.active.len()].clone();
                    h.active.retain(|other| other.key != start.key);
                    let Some(EventTimestamp::Millis(at)) = start.event.timestamp else { unreachable!() };
                    let module = h.core.slots[start.key.slot].name();
                    let key = (module.clone(), start.event.task.to_string());
                    let before = ordered.entry(key).or_default();
                    prop_assert!(before.last().is_none_or(|last| *last <= at), "order per task");
                    before.push(at);
                    handled.insert((module, start.event_id.to_string()));
                    h.core.run_ended(start.key, RunEnd::Outcome(Outcome::Finished, BTreeMap::new()), h.now);
                    h.collect();
                    h.commit();
                }
                4 if !h.active.is_empty() => h.fail(),
                5 => h.store.refuse((pick == 0).then(full_disk)),
                6 => h.advance(Duration::from_secs(61)),
                7 => {
                    // Sometimes a module is left out, or all are.
                    h = h.restart(match pick { 0 => &["One", "Two"], 1 => &["Two"], _ => &[] });
                    h.store.refuse(None);
                    // What is repeated after a crash may be older than what was done before it.
                    ordered.clear();
                }
                _ => {}
            }
        }
        // Let everything end, with every module.
        h.store.refuse(None);
        h.commit();
        h = h.restart(&["One", "Two"]);
        for _ in 0..1_000 {
            h.advance(Duration::from_secs(61));
            let Some(start) = h.active.first().cloned() else { break };
            handled.insert((h.core.slots[start.key.slot].name(), start.event_id.to_string()));
            h.finish();
        }
        prop_assert!(h.core.is_flushed() && h.core.journal.len() == 0);
        let stored = h.store.contents();
        prop_assert!(stored.journal.is_empty() && stored.through.is_empty());
        let ended: usize = h.core.stats().modules.iter().map(|m| m.active + m.waiting).sum();
        prop_assert_eq!(ended, 0);
        let dead: BTreeSet<_> = stored
            .dead_letters
            .iter()
            .map(|letter| (letter.module.clone(), letter.event_id.to_string()))
            .collect();
        for event in acknowledged {
            let id = event.key().unwrap().to_string();
            for module in ["One", "Two"] {
                let key = (ModuleName::new(module).unwrap(), id.clone());
                prop_assert!(handled.contains(&key) || dead.contains(&key), "{} was lost in {}", id, module);
            }
        }
    }
}
