//! Scenarios are read strictly, and play the same each time.

use super::*;
use crate::cluster::{Answer, Effect};
use crate::time::Time;
use std::collections::BTreeSet;

const START: Time = Time(1_767_607_200_000);

/// Everything a scenario says, as text: events with their times, and answers.
fn transcript(scenario: &Scenario, seed: Option<u64>) -> Vec<String> {
    let mut scenario = scenario.clone();
    scenario.seed = seed.or(scenario.seed);
    let mut lines = Vec::new();
    for scene in Rehearsal::new(&scenario, SimOptions::default(), START) {
        for effect in scene.effects {
            match effect {
                Effect::Event(event) => {
                    lines.push(format!("{} {} {}", scene.at, event.event_type, event.body));
                }
                Effect::Answer(ticket, answer) => lines.push(format!("{} {ticket} {answer:?}", scene.at)),
                _ => {}
            }
        }
    }
    lines
}

fn refusal(text: &str) -> String {
    Scenario::parse(text.as_bytes()).expect_err(text).to_string()
}

#[test]
fn all_that_are_built_in_can_be_read_and_are_told_apart() {
    let all: Vec<Scenario> = ready().collect();
    assert_eq!(all.len(), ready::COUNT);
    let names: BTreeSet<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
    assert_eq!(names.len(), all.len());
    for scenario in &all {
        assert!(scenario.about.len() > 40 && scenario.seed.is_some(), "{}", scenario.name);
    }
    assert!(Scenario::ready("rolling-update").is_some() && Scenario::ready("nothing").is_none());
}

#[test]
fn each_one_plays_the_same_twice_and_otherwise_with_another_seed() {
    for scenario in ready() {
        let name = &scenario.name;
        let first = transcript(&scenario, None);
        let second = transcript(&scenario, None);
        assert!(first.len() > 30, "{name} says only {} things", first.len());
        for (index, (one, other)) in first.iter().zip(&second).enumerate() {
            assert_eq!(one, other, "{name}, line {index}");
        }
        assert_eq!(first.len(), second.len(), "{name}");
        assert_ne!(first, transcript(&scenario, Some(4711)), "{name} does not depend on its seed");
    }
}

#[test]
fn each_one_does_what_it_says() {
    for scenario in ready() {
        let name = scenario.name.clone();
        for scene in Rehearsal::new(&scenario, SimOptions::default(), START) {
            if let Some(played) = &scene.played {
                assert!(!played.missed, "{name}, step {} finds nothing to act on", played.step);
            }
            for effect in &scene.effects {
                if let Effect::Answer(_, Answer { status, body, .. }) = effect {
                    // One scenario is about being refused.
                    let locked = name == "stuck-deployment" && *status == 409;
                    assert!(*status < 400 || locked, "{name} at {}: {status} {body:?}", scene.at);
                }
            }
        }
    }
}

fn told(name: &str) -> Vec<String> {
    transcript(&Scenario::ready(name).expect("built in"), None)
}

fn count(lines: &[String], what: &str) -> usize {
    lines.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn what_each_one_is_about_happens() {
    let lines = told("agent-partition");
    assert!(count(&lines, "\"condition\":\"UnreachableInactive\"") > 0);
    assert!(count(&lines, "unknown_instance_terminated_event") > 0);
    assert!(count(&told("crash-loop"), "TASK_FAILED") > 10);
    let lines = told("flapping-health");
    assert!(count(&lines, "\"alive\":false") > 10);
    assert!(count(&lines, "unhealthy_instance_kill_event") > 0);
    let lines = told("stuck-deployment");
    assert_eq!(count(&lines, " deployment_failed "), 2);
    assert_eq!(count(&lines, "status: 409"), 1);
    assert!(count(&told("agent-gone"), "TASK_GONE") > 0);
    assert!(count(&told("pods"), "RestartPod") > 0);
    let drops = |lines: &[String]| count(lines, "TASK_FAILED").abs_diff(count(lines, "\"Failed\""));
    assert_ne!(drops(&told("lossy-events")), 0);
}

#[test]
fn refusals_name_step_and_field() {
    let table = [
        (r#"{"steps": [{"at": "x", "say": "a"}]}"#, "step 1: at: \"x\" is no time"),
        (r#"{"steps": [{"say": "a"}, {"at": 5}]}"#, "step 2: there is no action"),
        (r#"{"steps": [{"say": "a", "fail": "/b"}]}"#, "step 1: has two actions, fail and say"),
        (
            r#"{"steps": [{"dance": 1}]}"#,
            "step 1: dance: unknown variant `dance`, expected one of `createApp`",
        ),
        (r#"{"steps": [{"scale": {"id": "/a"}}]}"#, "step 1: scale: missing field `instances`"),
        (
            r#"{"steps": [{"scale": {"id": "/a", "instances": 1, "x": 2}}]}"#,
            "step 1: scale: unknown field `x`",
        ),
        (
            r#"{"steps": [{"scale": {"id": "/A_", "instances": 1}}]}"#,
            "step 1: scale: \"/A_\" must fully match",
        ),
        (r#"{"steps": [{"fail": {"of": "/a"}}]}"#, "step 1: fail: unknown field `of`"),
        (r#"{"steps": [{"fail": {"count": 0}}]}"#, "step 1: fail: count has to be at least 1"),
        (r#"{"steps": [{"agent": {"fate": "melt"}}]}"#, "step 1: agent: fate \"melt\" is none of"),
        (r#"{"steps": [{"fault": {"status": 7}}]}"#, "step 1: fault: status has to be from 200"),
        (r#"{"steps": [{"fault": {"nonsense": 7}}]}"#, "step 1: fault: unknown field `nonsense`"),
        (r#"{"steps": [{"bus": {"dropPercent": 101}}]}"#, "step 1: bus: percentages"),
        (r#"{"steps": [{"every": "1s", "say": "a"}]}"#, "step 1: every needs times"),
        (r#"{"steps": [{"times": 2, "say": "a"}]}"#, "step 1: times needs every"),
        (r#"{"steps": [{"steps": [{"say": "a"}, {"at": 1}]}]}"#, "step 1.2: there is no action"),
        (r#"{"steps": [{"at": "200h", "say": "a"}]}"#, "step 1: at: \"200h\" is more than a week"),
        (r#"{"steps": [{"every": 1, "times": 1000000, "say": "a"}]}"#, "step 1: more than 100000 steps"),
        (r#"{"profile": "0.1", "steps": []}"#, "profile: there is no profile \"0.1\""),
        (r#"{"speed": 0, "steps": []}"#, "speed: has to be above 0"),
        (r#"{"agents": 0, "steps": []}"#, "agents: there has to be one"),
    ];
    for (text, expected) in table {
        let found = refusal(text);
        assert!(found.starts_with(expected), "{text}: {found}");
    }
    assert!(refusal("{").contains("cannot be read"));
    assert!(matches!(Scenario::parse(br#"{"steps": [], "x": 1}"#), Err(ScenarioError::Frame(_))));
}

#[test]
fn loops_are_unrolled_in_order_of_time() {
    let text = r#"{"steps": [
        {"at": "2s", "say": "late"},
        {"at": 500, "every": "1s", "times": 3, "steps": [{"say": "a"}, {"at": "100ms", "say": "b"}]}]}"#;
    let scenario = Scenario::parse(text.as_bytes()).expect("valid");
    let found: Vec<(u64, &str)> =
        scenario.steps.iter().map(|step| (step.at.as_millis() as u64, step.step.as_str())).collect();
    let expected =
        [(500, "2.1"), (600, "2.2"), (1500, "2.1"), (1600, "2.2"), (2000, "1"), (2500, "2.1"), (2600, "2.2")];
    assert_eq!(found, expected);
    assert_eq!(scenario.length, Duration::from_millis(62_600));
}

#[test]
fn choices_fit_their_description_and_follow_the_seed() {
    let chosen = |seed: u64| {
        let text = r#"{"steps": [{"fill": {"apps": 3, "tasks": 5}},
            {"at": 10, "fail": {"app": "/fill/app-00001", "count": 2}},
            {"at": 20, "fail": {"app": "/nothing"}}]}"#;
        let mut scenario = Scenario::parse(text.as_bytes()).expect("valid");
        scenario.seed = Some(seed);
        let scenes: Vec<Scene> = Rehearsal::new(&scenario, SimOptions::default(), START).collect();
        let missed = scenes.iter().filter_map(|scene| scene.played.as_ref()).filter(|played| played.missed);
        assert_eq!(missed.map(|played| played.step.as_str()).collect::<Vec<_>>(), ["3"]);
        let failed: Vec<String> = scenes
            .iter()
            .flat_map(|scene| &scene.effects)
            .filter_map(|effect| match effect {
                Effect::Event(event) if event.body.contains("TASK_FAILED") => Some(event.body.to_string()),
                _ => None,
            })
            .collect();
        failed
    };
    let failed = chosen(1);
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().all(|body| body.contains("/fill/app-00001")) && failed[0] != failed[1]);
    assert_eq!(failed, chosen(1));
    assert_ne!(failed, chosen(2));
}
