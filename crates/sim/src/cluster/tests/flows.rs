//! Creating, scaling, updating, deleting and killing.

use super::*;

#[test]
fn create_tells_everything_in_order() {
    let mut bench = Bench::new(&quick());
    let answer = bench.create(web(1));
    assert_eq!(answer.status, 201);
    assert_eq!(answer.location.as_deref(), Some("/shop/web"));
    let expected = words(&[
        &["deployment_info(StartApplication)", "add_health_check_event", "deployment_step_success"],
        &["deployment_info(ScaleApplication)", "I:Scheduled"],
        &LAUNCH,
        &["deployment_step_success", "deployment_success", "group_change_success", "api_post_event"],
    ]);
    assert_eq!(bench.told(), expected);
    let app = bench.app("/shop/web");
    assert_eq!((&app["tasksRunning"], &app["tasksHealthy"]), (&json!(1), &json!(1)));
    assert!(bench.task_id().starts_with("shop_web.instance-") && bench.task_id().ends_with("._app.1"));
}

#[test]
fn a_definition_is_visible_only_after_the_lag() {
    let mut bench = Bench::new(&quick());
    bench.give(Command::CreateApp { body: web(1), force: false, caller: Caller::default() });
    assert!(bench.told().contains(&"deployment_info(StartApplication)".to_owned()));
    assert_eq!(bench.cluster.app(&PathId::lenient("/shop/web"), &Embeds::of_app([])).status, 404);
    bench.pass(Duration::from_millis(10));
    assert_eq!(bench.cluster.app(&PathId::lenient("/shop/web"), &Embeds::of_app([])).status, 200);
}

#[test]
fn scaling_up_and_down() {
    let mut bench = Bench::new(&quick());
    bench.create(web(1));
    bench.told();
    assert_eq!(bench.put("/shop/web", json!({"instances": 2})).status, 200);
    let up = bench.told();
    assert_eq!(up[..3], ["deployment_info(ScaleApplication)", "add_health_check_event", "I:Scheduled"]);
    assert_eq!(bench.app("/shop/web")["tasksRunning"], 2);
    let version = bench.app("/shop/web")["versionInfo"].clone();
    assert_ne!(version["lastScalingAt"], version["lastConfigChangeAt"]);

    bench.put("/shop/web", json!({"instances": 1}));
    let down = words(&[&[
        "deployment_info(ScaleApplication)",
        "add_health_check_event",
        "I:Running",
        "S:KILLING",
        "I:Killing",
        "S:KILLED",
        "I:Killed",
        "deployment_step_success",
        "deployment_success",
        "group_change_success",
        "api_post_event",
    ]]);
    assert_eq!(bench.told(), down);
}

#[test]
fn an_unchanged_definition_keeps_its_version() {
    let mut bench = Bench::new(&quick());
    bench.create(web(1));
    let version = bench.app("/shop/web")["version"].clone();
    bench.told();
    bench.put("/shop/web", json!({"cmd": "run"}));
    assert_eq!(bench.told(), ["group_change_success", "api_post_event", "deployment_success"]);
    assert_eq!(bench.app("/shop/web")["version"], version);
}

#[test]
fn a_rolling_update_never_leaves_its_bounds() {
    for (minimum, over) in [(0.25, 0.25), (1.0, 0.0), (1.0, 1.0), (0.5, 0.0)] {
        let mut bench = Bench::new(&quick());
        let mut body = web(4);
        body["upgradeStrategy"] = json!({"minimumHealthCapacity": minimum, "maximumOverCapacity": over});
        bench.create(body);
        bench.told();
        bench.give(Command::UpdateApp {
            id: PathId::lenient("/shop/web"),
            body: json!({"cmd": "run2"}),
            force: false,
            partial: true,
            create: true,
            caller: Caller::default(),
        });
        let (least, most) = (
            (4.0 * minimum) as usize,
            4 + (4.0 * over) as usize + usize::from(minimum == 1.0 && over == 0.0),
        );
        for _ in 0..400 {
            bench.pass(Duration::from_millis(1));
            let state = bench.cluster.state();
            let tasks = state["tasks"].as_array().expect("tasks");
            let good = tasks.iter().filter(|task| task["routable"] == true).count();
            assert!(good >= least && tasks.len() <= most, "{minimum}/{over}: {good} good of {}", tasks.len());
        }
        bench.quiet();
        let told = bench.told();
        assert_eq!(told[..2], ["deployment_info(RestartApplication)", "add_health_check_event"]);
        assert!(told.contains(&"deployment_success".to_owned()), "{told:?}");
        assert_eq!(told.iter().filter(|word| *word == "S:KILLED").count(), 4);
        let version = bench.app("/shop/web")["version"].clone();
        assert!(bench.tasks().iter().all(|task| task["version"] == version));
    }
}

#[test]
fn restart_posts_no_api_event_and_locks() {
    let mut bench = Bench::new(&quick());
    bench.create(web(1));
    bench.told();
    let id = PathId::lenient("/shop/web");
    bench.give(Command::RestartApp { id: id.clone(), force: false });
    let second = bench.give(Command::RestartApp { id: id.clone(), force: false });
    assert_eq!(bench.answers[&second].status, 409);
    let third = bench.give(Command::RestartApp { id, force: true });
    bench.quiet();
    assert_eq!(bench.answers[&third].status, 200);
    let told = bench.told();
    assert!(told.contains(&"deployment_failed".to_owned()) && !told.contains(&"api_post_event".to_owned()));
    assert_eq!(bench.app("/shop/web")["deployments"], json!([]));
}

#[test]
fn deletion_hides_tasks_before_they_are_dead() {
    let mut options = quick();
    options.timeline.kill = Span::exactly(500);
    let mut bench = Bench::new(&options);
    bench.create(web(1));
    bench.told();
    bench.give(Command::DeleteApp {
        id: PathId::lenient("/shop/web"),
        force: true,
        caller: Caller::default(),
    });
    bench.pass(Duration::from_millis(50));
    assert!(bench.tasks().is_empty());
    assert_eq!(bench.cluster.state()["tasks"].as_array().map(Vec::len), Some(1));
    bench.quiet();
    let expected = words(&[&[
        "deployment_info(StopApplication)",
        "remove_health_check_event",
        "I:Running",
        "S:KILLING",
        "I:Killing",
        "group_change_success",
        "S:KILLED",
        "I:Killed",
        "app_terminated_event",
        "deployment_step_success",
        "deployment_success",
    ]]);
    assert_eq!(bench.told(), expected);
    assert_eq!(
        bench
            .call(Command::DeleteApp {
                id: PathId::lenient("/shop/web"),
                force: true,
                caller: Caller::default()
            })
            .status,
        404
    );
}

#[test]
fn a_killed_task_is_replaced_in_the_same_instance() {
    for task_killing in [true, false] {
        let mut bench = Bench::new(&SimOptions { task_killing, ..quick() });
        bench.create(web(1));
        bench.told();
        let task = bench.task_id();
        let target = KillTarget::Ids(vec![task.clone()]);
        let answer = bench.call(Command::KillTasks { target, scale: false, wipe: false, force: false });
        assert!(answer.body.expect("a body").contains(&task));
        let killing: &[&str] = if task_killing { &["S:KILLING", "I:Killing"] } else { &[] };
        assert_eq!(bench.told(), words(&[killing, &["S:KILLED", "I:Killed", "I:Scheduled"], &LAUNCH]));
        assert_eq!(bench.task_id(), task.replace("._app.1", "._app.2"));
    }
}

#[test]
fn killing_with_scale_is_a_deployment() {
    let mut bench = Bench::new(&quick());
    bench.create(web(2));
    let task = bench.task_id();
    let target = KillTarget::Task { app: PathId::lenient("/shop/web"), task: task.clone() };
    let answer = bench.call(Command::KillTasks { target, scale: true, wipe: false, force: false });
    assert!(answer.body.expect("a body").contains("deploymentId"));
    assert_eq!(bench.app("/shop/web")["instances"], 1);
    assert_eq!(bench.tasks().len(), 1);
    assert_ne!(bench.task_id(), task);
}
