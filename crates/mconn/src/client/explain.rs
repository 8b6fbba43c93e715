//! `mconn explain`: why an app is, or is not, reachable, as a page for the terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use mconn_wire::http::Method;
use serde_json::Value;

use super::changes::step;
use super::table::Table;
use super::{Client, pretty, text, when};
use crate::cli::ExplainArgs;
use crate::report::Report;

/// Prints one app, or everything that somebody should look at.
pub(crate) async fn explain(args: &ExplainArgs) -> Result<(), Report> {
    let client = Client::new(&args.node)?;
    let path: Vec<&str> = ["v1", "explain"].into_iter().chain(args.app.as_deref()).collect();
    let mut answer = client.call(Method::GET, &path, None).await?;
    if let Some(source) = &args.source {
        only(&mut answer, source, args.app.as_deref())?;
    }
    let page = match &args.app {
        _ if client.wants_json() => format!("{}\n", pretty(&answer)),
        Some(_) => page(&answer, &TimeZone::system()),
        None => summary(&answer),
    };
    super::put(&page);
    if answer["complete"] == false {
        eprintln!("hint: not every source has been read yet, there may be more: GET /v1/health/freshness");
    }
    Ok(())
}

/// Leaves out the other sources.
fn only(answer: &mut Value, source: &str, app: Option<&str>) -> Result<(), Report> {
    let Some(apps) = answer["apps"].as_array_mut() else { return Ok(()) };
    let others: Vec<String> = apps.iter().map(|app| text(&app["source"])).collect();
    apps.retain(|app| app["source"] == source);
    match app {
        Some(app) if apps.is_empty() => Err(Report::failed(format!("{source} does not have {app}"))
            .hint(format!("it is at: {}", others.join(", ")))),
        _ => Ok(()),
    }
}

fn page(answer: &Value, zone: &TimeZone) -> String {
    let apps = list(&answer["apps"]).map(|app| explained(app, &text(&answer["now"]), zone));
    apps.collect::<Vec<_>>().join("\n")
}

fn explained(app: &Value, now: &str, zone: &TimeZone) -> String {
    let mut page = String::new();
    let (id, source) = (text(&app["id"]), text(&app["source"]));
    let tasks: Vec<&Value> = list(&app["tasks"]).collect();
    // Writing to a String cannot fail.
    if tasks.is_empty() && !app["gone"].is_null() {
        let gone = &app["gone"];
        let _ =
            writeln!(page, "{id} at {source}: gone, {} ({})", text(&gone["cause"]), ago(&gone["at"], now));
    } else {
        let _ = writeln!(page, "{id} at {source}: {} of {} tasks routable", app["routable"], tasks.len());
        let _ = writeln!(page, "  {}", facts(app));
    }
    let _ = writeln!(page, "  {}", source_state(&app["sourceState"]));
    if app["panic"] == true {
        let _ = writeln!(
            page,
            "  PANIC: only {} of {} are healthy, failing tasks are served as well (MCONN_PANIC_BELOW)",
            app["healthy"], app["of"]
        );
    }
    if !tasks.is_empty() {
        let _ = write!(page, "\n{}\n{}", task_table(app, &tasks, now).text(), legend(&tasks));
    }
    let mut lately: Vec<&Value> = list(&app["gone"]["history"]).collect();
    lately.extend(list(&app["history"]));
    if !lately.is_empty() {
        page.push_str("\nlately:\n");
    }
    for change in lately {
        let at = when(&change["at"], zone, "%Y-%m-%d %H:%M:%S%.3f");
        let line = format!("  {at} {}  {}  {}", text(&change["task"]), step(change), text(&change["cause"]));
        let _ = writeln!(page, "{}", printable(line));
    }
    page
}

/// What its definition says, as far as it matters here.
fn facts(app: &Value) -> String {
    let count = |name: &str, what: &str| match list(&app[name]).count() {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        several => format!("{several} {what}s"),
    };
    let mut facts = vec![text(&app["kind"])];
    if let Some(instances) = app["instances"].as_u64() {
        facts.push(format!("{instances} wanted"));
    }
    if let Some(version) = app["version"].as_str() {
        facts.push(format!("version {version}"));
    }
    if app["kind"] == "app" {
        facts.push(count("healthChecks", "health check"));
        facts.push(count("readinessChecks", "readiness check"));
        facts.push(match list(&app["deployments"]).map(text).collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "no deployment".to_owned(),
            ids => format!("being deployed ({ids})"),
        });
    }
    facts.join(", ")
}

fn source_state(state: &Value) -> String {
    let freshness = match state["freshness"].as_str() {
        Some("never") => "source never read completely".to_owned(),
        Some(freshness) => format!("source {freshness}"),
        None => "source no longer followed".to_owned(),
    };
    let mut parts = vec![match state["sinceSeconds"].as_f64() {
        Some(seconds) => format!("{freshness} for {}", span(seconds)),
        None => freshness,
    }];
    if let Some(leader) = state["leader"].as_str() {
        parts.push(format!("leader {leader}"));
    }
    let held = &state["held"];
    if !held.is_null() {
        let (apps, tasks) = (&held["apps"], &held["tasks"]);
        parts.push(format!(
            "{apps} apps and {tasks} tasks vanished and are held until {}",
            text(&held["until"])
        ));
    }
    if let Some(error) = state["lastError"].as_str() {
        parts.push(format!("last error: {error}"));
    }
    printable(parts.join(", "))
}

fn task_table(app: &Value, tasks: &[&Value], now: &str) -> Table {
    let with_readiness = list(&app["readinessChecks"]).next().is_some();
    let mut heading = vec!["task", "address", "status", "health", "verdict", "rule", "since"];
    if with_readiness {
        heading.insert(4, "ready");
    }
    let mut table = Table::new(&heading);
    for task in tasks {
        let addresses: Vec<String> = list(&task["ports"]).map(|port| text(&port["address"])).collect();
        let mut row = vec![
            text(&task["id"]),
            if addresses.is_empty() { "-".to_owned() } else { addresses.join(" ") },
            text(&task["status"]),
            health(task),
            text(&task["verdict"]),
            text(&task["rule"]),
            ago(&task["since"], now),
        ];
        if with_readiness {
            let ready = task["ready"].as_bool().map_or("-", |ready| if ready { "yes" } else { "no" });
            row.insert(4, ready.to_owned());
        }
        table.row(row);
    }
    table
}

/// The results that were listed; where the rule follows from something newer, an event or memory, that.
fn health(task: &Value) -> String {
    let result = |result: &Value| match (result["alive"].as_bool(), &result["consecutiveFailures"]) {
        (Some(true), _) => "alive".to_owned(),
        (_, failures) => format!("failing {failures}x"),
    };
    let fails = list(&task["health"]).any(|result| result["alive"] == false);
    let results: Vec<String> = list(&task["health"]).map(result).collect();
    match task["rule"].as_str() {
        Some("unhealthy" | "panic") if !fails => "failing (told)".to_owned(),
        Some("healthy") if fails || results.is_empty() => "alive (told)".to_owned(),
        _ if results.is_empty() => "-".to_owned(),
        _ => results.join(", "),
    }
}

/// Each rule that decided here in a sentence, and what is wrong with ports.
fn legend(tasks: &[&Value]) -> String {
    let rules: BTreeMap<String, String> =
        tasks.iter().map(|task| (text(&task["rule"]), text(&task["text"]))).collect();
    let mut lines: Vec<String> = rules.into_iter().map(|(rule, text)| format!("{rule}: {text}")).collect();
    for task in tasks {
        for reason in list(&task["unresolved"]) {
            lines.push(format!("{}: no endpoint: {}", text(&task["id"]), text(reason)));
        }
    }
    lines.into_iter().map(|line| printable(line) + "\n").collect()
}

/// All apps that somebody should look at.
fn summary(answer: &Value) -> String {
    let mut page = String::new();
    for (source, state) in answer["sources"].as_object().into_iter().flatten() {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "{source}: {}", source_state(state));
    }
    let mut table = Table::new(&["app", "source", "routable", "wanted", "rules"]);
    let mut empty = true;
    for app in list(&answer["apps"]) {
        empty = false;
        let rules = app["rules"].as_object().into_iter().flatten();
        let rules: Vec<String> = rules.map(|(rule, count)| format!("{rule} {count}")).collect();
        let panic = if app["panic"] == true { "PANIC, " } else { "" };
        table.row([
            text(&app["id"]),
            text(&app["source"]),
            format!("{} of {}", app["routable"], app["tasks"]),
            app["instances"].as_u64().map_or("-".to_owned(), |instances| instances.to_string()),
            format!("{panic}{}", rules.join(", ")),
        ]);
    }
    page.push_str(&if empty { "every task of every app is routable\n".to_owned() } else { table.text() });
    page
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// One line, whatever is in it.
fn printable(line: String) -> String {
    if line.chars().any(char::is_control) { line.escape_debug().to_string() } else { line }
}

/// How long before `now`; both by the node's clock.
fn ago(at: &Value, now: &str) -> String {
    let at = at.as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    match (at, now.parse::<jiff::Timestamp>().ok()) {
        (Some(at), Some(now)) => format!("{} ago", span(now.duration_since(at).as_secs_f64().max(0.0))),
        _ => "-".to_owned(),
    }
}

/// A time in its largest fitting unit.
fn span(seconds: f64) -> String {
    const UNITS: [(f64, &str); 3] = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "m")];
    // From two of a unit on, so that no more than half is lost.
    let unit = UNITS.into_iter().find(|(length, _)| seconds >= 2.0 * length);
    let (length, unit) = unit.unwrap_or((1.0, "s"));
    format!("{:.0}{unit}", (seconds / length).floor())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer() -> Value {
        let verdict = |verdict: &str, rule: &str| json!({"verdict": verdict, "rule": rule});
        json!({
            "now": "2026-01-05T12:00:00Z", "complete": true,
            "apps": [{
                "source": "m", "id": "/shop/cart", "kind": "app", "instances": 3, "version": "2026-01-05T10:00:00.000Z",
                "deployments": ["d1"], "healthChecks": ["HTTP"], "readinessChecks": ["up"],
                "panic": false, "healthy": 1, "of": 2, "routable": 1,
                "sourceState": {"freshness": "fresh", "sinceSeconds": 130.2, "held": null, "leader": "a:8080",
                                "lastError": null},
                "tasks": [
                    {"id": "t1", "status": "TASK_RUNNING", "verdict": "routable", "rule": "healthy", "text": "Fine.",
                     "since": "2026-01-05T11:59:48.100Z", "health": [{"alive": true, "consecutiveFailures": 0}],
                     "ready": true, "ports": [{"address": "h:1"}, {"address": "h:2"}], "unresolved": []},
                    {"id": "t2", "status": "TASK_RUNNING", "verdict": "not ready", "rule": "unhealthy", "text": "Bad.",
                     "since": "2026-01-03T11:59:48.100Z", "health": [{"alive": false, "consecutiveFailures": 2}],
                     "ready": null, "ports": [], "unresolved": ["port 1 has no host port"]},
                ],
                "history": [{"at": "2026-01-05T11:59:48.100Z", "task": "t1", "before": null,
                             "after": verdict("routable", "healthy"), "cause": "health event"}],
                "gone": null,
            }],
        })
    }

    #[test]
    fn a_page_says_what_is_and_why() {
        insta::assert_snapshot!(page(&answer(), &TimeZone::UTC));
    }

    #[test]
    fn one_that_went_says_why() {
        let mut answer = answer();
        let app = &mut answer["apps"][0];
        app["gone"] =
            json!({"at": "2026-01-05T11:00:00Z", "cause": "app_terminated_event", "history": app["history"]});
        app["tasks"] = json!([]);
        app["history"] = json!([]);
        insta::assert_snapshot!(page(&answer, &TimeZone::UTC));
    }

    #[test]
    fn the_summary_names_what_to_look_at() {
        let mut answer = json!({
            "sources": {"m": {"freshness": "stale", "sinceSeconds": 3.0, "lastError": "refused",
                              "held": {"apps": 2, "tasks": 5, "until": "then"}}},
            "apps": [{"source": "m", "id": "/a", "kind": "app", "instances": 3, "tasks": 3, "routable": 2, "panic": true,
                      "rules": {"healthy": 1, "killing": 1, "panic": 1}}],
        });
        insta::assert_snapshot!(summary(&answer));
        answer["apps"] = json!([]);
        assert!(summary(&answer).ends_with("every task of every app is routable\n"));
    }

    #[test]
    fn health_is_what_the_rule_was_made_from() {
        let (alive, dead) = (json!({"alive": true}), json!({"alive": false, "consecutiveFailures": 2}));
        for (rule, results, wanted) in [
            ("healthy", vec![&alive, &alive], "alive, alive"),
            ("healthy", vec![], "alive (told)"),
            ("unhealthy", vec![&alive], "failing (told)"),
            ("unhealthy", vec![&alive, &dead], "alive, failing 2x"),
            ("remembered-healthy", vec![], "-"),
        ] {
            assert_eq!(health(&json!({"rule": rule, "health": results})), wanted);
        }
    }

    #[test]
    fn one_source_alone_can_be_asked_for() {
        let mut both = answer();
        assert!(only(&mut both, "m", Some("/shop/cart")).is_ok());
        let missing = only(&mut both, "n", Some("/shop/cart")).unwrap_err();
        assert_eq!(missing.text(), "error: n does not have /shop/cart\nhint: it is at: m\n");
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        for (seconds, wanted) in
            [(0.0, "0s"), (119.9, "119s"), (120.0, "2m"), (7200.0, "2h"), (200_000.0, "2d")]
        {
            assert_eq!(span(seconds), wanted);
        }
    }
}
