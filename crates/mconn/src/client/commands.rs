//! The commands that ask a running node.

use mconn_wire::http::Method;
use serde_json::{Value, json};

use super::table::Table;
use super::{Client, pretty, text, watch};
use crate::cli::{InventoryArgs, ModuleCommand, PresetCommand, QueueCommand, SyncArgs};
use crate::report::Report;

/// `mconn preset ...`
pub(crate) async fn preset(command: &PresetCommand) -> Result<(), Report> {
    match command {
        PresetCommand::List { module, node } => {
            let client = Client::new(node)?;
            let mut path = vec!["v1", "module", "preset"];
            path.extend(module.as_deref());
            let answer = client.call(Method::GET, &path, None).await?;
            let presets: Vec<&Value> = match &answer {
                Value::Array(presets) => presets.iter().collect(),
                Value::Object(modules) => modules.values().filter_map(Value::as_array).flatten().collect(),
                _ => Vec::new(),
            };
            let mut table = Table::new(&["module", "app", "status", "options"]);
            for preset in presets {
                table.row([
                    text(&preset["moduleName"]),
                    text(&preset["appId"]),
                    text(&preset["status"]),
                    preset["options"].to_string(),
                ]);
            }
            print(&client, &answer, &table);
        }
        PresetCommand::Get { module, app, node } => {
            let preset = find_preset(&Client::new(node)?, module, app).await?;
            println!("{}", pretty(&preset));
        }
        PresetCommand::Set { module, app, options, disabled, node } => {
            let client = Client::new(node)?;
            let options: Value = match options {
                Some(text) => serde_json::from_str(text).map_err(|error| {
                    Report::usage("the options are no JSON")
                        .because(&error)
                        .hint(r#"for example: --options '{"actions": {"add": "Moin", "remove": "Tschues"}}'"#)
                })?,
                None => match lookup_preset(&client, module, app).await? {
                    Some(preset) => preset["options"].clone(),
                    None => json!({}),
                },
            };
            let status = if *disabled { "disabled" } else { "enabled" };
            let preset = json!({"moduleName": module, "appId": app, "status": status, "options": options});
            say(&client.call(Method::POST, &["v1", "module", "preset"], Some(&preset)).await?);
        }
        PresetCommand::Enable { module, app, node } => {
            set_status(&Client::new(node)?, module, app, "enabled").await?;
        }
        PresetCommand::Disable { module, app, node } => {
            set_status(&Client::new(node)?, module, app, "disabled").await?;
        }
        PresetCommand::Delete { module, app, node } => {
            let preset = json!({"moduleName": module, "appId": app});
            say(&Client::new(node)?.call(Method::DELETE, &["v1", "module", "preset"], Some(&preset)).await?);
        }
    }
    Ok(())
}

async fn lookup_preset(client: &Client, module: &str, app: &str) -> Result<Option<Value>, Report> {
    let wanted = mconn_model::AppId::parse(app).map_err(|error| Report::usage(error.to_string()))?;
    let presets = client.call(Method::GET, &["v1", "module", "preset", module], None).await?;
    Ok(presets.as_array().into_iter().flatten().find(|preset| preset["appId"] == wanted.as_str()).cloned())
}

async fn find_preset(client: &Client, module: &str, app: &str) -> Result<Value, Report> {
    lookup_preset(client, module, app).await?.ok_or_else(|| {
        Report::failed(format!("module {module} has no preset for {app}"))
            .hint(format!("\"mconn preset list {module}\" shows what there is"))
    })
}

async fn set_status(client: &Client, module: &str, app: &str, status: &str) -> Result<(), Report> {
    let mut preset = find_preset(client, module, app).await?;
    preset["status"] = status.into();
    say(&client.call(Method::PUT, &["v1", "module", "preset"], Some(&preset)).await?);
    Ok(())
}

/// `mconn queue ...`
pub(crate) async fn queue(command: &QueueCommand) -> Result<(), Report> {
    match command {
        QueueCommand::List { node } => {
            let client = Client::new(node)?;
            let answer = client.call(Method::GET, &["v1", "queue"], None).await?;
            let mut table = Table::new(&["app", "task", "status", "modules"]);
            for item in answer.as_array().into_iter().flatten() {
                let states = item["moduleState"].as_array().into_iter().flatten();
                let states: Vec<_> =
                    states.map(|m| format!("{}={}", text(&m["name"]), text(&m["state"]))).collect();
                let data = &item["data"];
                table.row([
                    text(&data["appId"]),
                    text(&data["taskId"]),
                    text(&data["taskStatus"]),
                    states.join(" "),
                ]);
            }
            print(&client, &answer, &table);
        }
        QueueCommand::Post { app, task, status, host, ports, node } => {
            let now = jiff::Timestamp::now();
            let event = json!({
                "eventType": "status_update_event", "timestamp": format!("{now:.3}"), "appId": app, "taskId": task,
                "taskStatus": status, "host": host, "ports": ports,
            });
            let answer = Client::new(node)?.call(Method::POST, &["v1", "queue"], Some(&event)).await?;
            println!("accepted: {}", text(&answer["taskId"]));
        }
        QueueCommand::Watch { types, node } => watch::watch(&Client::new(node)?, types).await?,
    }
    Ok(())
}

/// `mconn module ...`
pub(crate) async fn module(command: &ModuleCommand) -> Result<(), Report> {
    match command {
        ModuleCommand::List { node } => {
            let client = Client::new(node)?;
            let answer = client.call(Method::GET, &["v1", "module", "list"], None).await?;
            // Whether a module is paused is told by the node's health, which may well not be good.
            let health = client.look(&["v1", "health", "ready"]).await?;
            let paused =
                |name: &Value| health["queue"]["paused"].as_array().is_some_and(|all| all.contains(name));
            let mut table = Table::new(&["module", "state", "timeout", "folder"]);
            for module in answer.as_object().into_iter().flat_map(|modules| modules.values()) {
                let timeout = format!("{} ms", module["timeout"]);
                let state = if paused(&module["name"]) { "paused" } else { "running" };
                table.row([text(&module["name"]), state.to_owned(), timeout, text(&module["folder"])]);
            }
            print(&client, &answer, &table);
        }
        ModuleCommand::Queue { module, node } => {
            let client = Client::new(node)?;
            let answer = client.call(Method::GET, &["v1", "module", "queue", "list", module], None).await?;
            let mut table = Table::new(&["app", "task", "status", "state", "cleanup", "seconds"]);
            for item in answer.as_array().into_iter().flatten() {
                let data = &item["data"];
                let cleanup = if item["cleanup"] == true { "yes" } else { "" };
                table.row([
                    text(&data["appId"]),
                    text(&data["taskId"]),
                    text(&data["taskStatus"]),
                    text(&item["state"]),
                    cleanup.to_owned(),
                    text(&item["runtime"]),
                ]);
            }
            print(&client, &answer, &table);
        }
        ModuleCommand::Pause { module, node } => hold(&Client::new(node)?, module, "pause").await?,
        ModuleCommand::Resume { module, node } => hold(&Client::new(node)?, module, "resume").await?,
        ModuleCommand::DeadLetters { module, node } => {
            let client = Client::new(node)?;
            let answer = dead_letters(&client, module).await?;
            let mut table = Table::new(&["number", "event", "attempts", "superseded", "reason"]);
            for letter in answer.as_array().into_iter().flatten() {
                let superseded = if letter["superseded"] == true { "yes" } else { "" };
                table.row([
                    text(&letter["seq"]),
                    text(&letter["id"]),
                    text(&letter["attempts"]),
                    superseded.to_owned(),
                    text(&letter["reason"]),
                ]);
            }
            print(&client, &answer, &table);
        }
        ModuleCommand::Retry { module, seq, force, node } => {
            let client = Client::new(node)?;
            let force = if *force { "true" } else { "false" };
            let numbers = numbers(&client, module, seq).await?;
            let calls = numbers.iter().map(|seq| (seq, Method::POST, Some("retry")));
            each_dead_letter(&client, module, calls, &[("force", force)]).await?;
        }
        ModuleCommand::Drop { module, seq, node } => {
            let client = Client::new(node)?;
            let numbers = numbers(&client, module, seq).await?;
            each_dead_letter(&client, module, numbers.iter().map(|seq| (seq, Method::DELETE, None)), &[])
                .await?;
        }
    }
    Ok(())
}

/// Does it for each, whatever becomes of the others; fails at the end if any was refused.
async fn each_dead_letter(
    client: &Client,
    module: &str,
    calls: impl Iterator<Item = (&String, Method, Option<&'static str>)>,
    query: &[(&str, &str)],
) -> Result<(), Report> {
    let (mut all, mut refused) = (0, Vec::new());
    for (seq, method, verb) in calls {
        let path: Vec<&str> = ["v1", "module", "dead-letters", module, seq].into_iter().chain(verb).collect();
        all += 1;
        match client.call_with(method, &path, query).await {
            Ok(answer) => say(&answer),
            Err(report) => refused.push((seq, report)),
        }
    }
    match refused.len() {
        0 => Ok(()),
        1 if all == 1 => Err(refused.remove(0).1),
        count => {
            for (seq, report) in &refused {
                eprintln!("{seq}: {}", report.line());
            }
            Err(Report::failed(format!("{count} of {all} dead letters were refused")))
        }
    }
}

async fn hold(client: &Client, module: &str, what: &str) -> Result<(), Report> {
    let answer = client.call(Method::POST, &["v1", "module", "queue", what, module], None).await?;
    let state = if answer["queue"]["paused"] == true { "paused" } else { "running" };
    println!("module {module} is {state}");
    Ok(())
}

async fn dead_letters(client: &Client, module: &str) -> Result<Value, Report> {
    client.call(Method::GET, &["v1", "module", "dead-letters", module], None).await
}

async fn numbers(client: &Client, module: &str, seq: &str) -> Result<Vec<String>, Report> {
    if seq != "all" {
        return Ok(vec![seq.to_owned()]);
    }
    let letters = dead_letters(client, module).await?;
    Ok(letters.as_array().into_iter().flatten().map(|letter| text(&letter["seq"])).collect())
}

/// `mconn inventory ...`
pub(crate) async fn inventory(args: &InventoryArgs) -> Result<(), Report> {
    let client = Client::new(&args.node)?;
    let answer = client.call(Method::GET, &["v1", "module", "inventory", &args.module], None).await?;
    let mut table = Table::new(&["app", "key", "data"]);
    for item in answer.as_array().into_iter().flatten() {
        let data = &item["data"];
        table.row([text(&data["taskData"]["appId"]), text(&item["id"]), text(&data["customData"])]);
    }
    print(&client, &answer, &table);
    Ok(())
}

/// `mconn sync ...`
pub(crate) async fn sync(args: &SyncArgs) -> Result<(), Report> {
    let mut path = vec!["v1", "module", "sync"];
    path.extend(args.module.as_deref());
    say(&Client::new(&args.node)?.call(Method::POST, &path, None).await?);
    Ok(())
}

fn print(client: &Client, answer: &Value, table: &Table) {
    if client.wants_json() {
        println!("{}", pretty(answer));
    } else {
        print!("{}", table.text());
    }
}

/// The node's own words.
fn say(answer: &Value) {
    println!("{}", answer["message"].as_str().unwrap_or("ok"));
}
