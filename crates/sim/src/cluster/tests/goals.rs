//! The earliest sign of all, from 1.8 on: a changed goal, told as an event with the condition unchanged.

use super::*;

/// For each instance that was killed, what was told about it from its last RUNNING on.
fn ends(events: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in events {
        let (id, word) = match event["eventType"].as_str().expect("a type") {
            "instance_changed_event" => {
                (&event["instanceId"], format!("I:{}", event["condition"].as_str().expect("it")))
            }
            "status_update_event" => {
                (&event["taskId"], format!("S:{}", &event["taskStatus"].as_str().expect("it")[5..]))
            }
            _ => continue,
        };
        let id = id.as_str().expect("an id").split("._app").next().expect("a part").to_owned();
        ends.entry(id).or_default().push(word);
    }
    ends.retain(|_, words| words.contains(&"S:KILLED".to_owned()));
    ends
}

const END: [&str; 5] = ["I:Running", "S:KILLING", "I:Killing", "S:KILLED", "I:Killed"];

#[test]
fn scaling_updating_and_deleting_tell_the_goal_before_killing() {
    let scale = |bench: &mut Bench| drop(bench.put("/shop/web", json!({"instances": 1})));
    let update = |bench: &mut Bench| drop(bench.put("/shop/web", json!({"cmd": "other"})));
    let delete = |bench: &mut Bench| {
        bench.call(Command::DeleteApp {
            id: PathId::lenient("/shop/web"),
            force: true,
            caller: Caller::default(),
        });
    };
    type Change<'a> = &'a dyn Fn(&mut Bench);
    let changes: [(Change<'_>, usize); 3] = [(&scale, 2), (&update, 3), (&delete, 3)];
    for (change, count) in changes {
        let mut bench = Bench::new(&quick());
        bench.create(web(3));
        bench.told();
        change(&mut bench);
        let ends = ends(&bench.events);
        assert_eq!(ends.len(), count);
        for words in ends.values() {
            assert_eq!(*words, END);
        }
    }
}

#[test]
fn a_kill_without_scaling_changes_no_goal() {
    let mut bench = Bench::new(&quick());
    bench.create(web(1));
    bench.told();
    let task = bench.task_id();
    bench.call(Command::EndTask { task, fate: Fate::Kill });
    let words = ends(&bench.events).into_values().next().expect("an instance");
    assert_eq!(words[..3], ["S:KILLING", "I:Killing", "S:KILLED"]);
}

#[test]
fn versions_before_tell_no_goal() {
    let profile = Profile { goal_events: false, ..Profile::v1_8() };
    let mut bench = Bench::new(&SimOptions { profile, ..quick() });
    bench.create(web(1));
    bench.told();
    bench.call(Command::DeleteApp {
        id: PathId::lenient("/shop/web"),
        force: true,
        caller: Caller::default(),
    });
    let words = ends(&bench.events).into_values().next().expect("an instance");
    assert_eq!(words, END[1..]);
}
