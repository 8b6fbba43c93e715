//! A whole module: a file for each running task with its address, for another program to read.
//!
//! `cargo run -p mconn-module --example address_files` shows two of its runs; docs/modules.md says how to load it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mconn_module::testing::RunBuilder;
use mconn_module::{BoxFuture, Failure, Module, ModuleName, Outcome, Run, TaskStatus};
use serde_json::json;

/// Writes `<options.dir>/<task>` with `host:port` when a task runs, and removes it when the task has ended.
struct AddressFiles {
    name: ModuleName,
}

impl AddressFiles {
    async fn work(&self, run: &mut Run) -> Result<Outcome, Failure> {
        // Only the operator can mend a preset: another attempt makes no sense.
        let dir = run.preset().options["dir"].as_str();
        let dir = dir.ok_or_else(|| Failure::permanent("the preset has no text options.dir"))?;
        let event = run.event();
        let file = Path::new(dir).join(file_name(event.task.as_str()));
        match &event.status {
            TaskStatus::Running => {
                let (Some(host), Some(port)) = (&event.host, event.ports.first()) else {
                    let reason = "the task has no port".to_owned();
                    return Ok(Outcome::NoPreset { reason });
                };
                let address = format!("{host}:{port}");
                let text = format!("{address}\n");
                // Writing the same file again does no harm, so an event may come twice.
                blocking(file, move |file| std::fs::write(file, text)).await?;
                run.put_item("", json!(address));
                Ok(Outcome::Finished)
            }
            status if status.is_terminal() => {
                blocking(file, |file| match std::fs::remove_file(file) {
                    // It is not there: that is what was wanted.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    done => done,
                })
                .await?;
                run.remove_item("");
                Ok(Outcome::Finished)
            }
            _ => Ok(Outcome::UndefinedStatus),
        }
    }
}

impl Module for AddressFiles {
    fn name(&self) -> &ModuleName {
        &self.name
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn handle<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Outcome> {
        Box::pin(async move { self.work(run).await.unwrap_or_else(Outcome::from) })
    }
}

/// File I/O blocks, so it gets a thread of its own. Its errors may pass: a full disk, a share that is away.
async fn blocking(
    file: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
) -> Result<(), Failure> {
    let shown = file.display().to_string();
    let done = tokio::task::spawn_blocking(move || work(&file)).await.map_err(Failure::transient)?;
    done.map_err(|error| Failure::transient(format!("{shown}: {error}")))
}

/// Task ids come from outside: none of them may be a way out of the folder, and no two may share a file.
fn file_name(task: &str) -> String {
    format!("task-{}", task.replace('%', "%25").replace('/', "%2F"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let module = AddressFiles { name: ModuleName::new("AddressFiles").expect("a module name") };
    let dir = std::env::temp_dir();
    for status in ["TASK_RUNNING", "TASK_KILLED"] {
        let run = RunBuilder::new("/web", "web.1", status).options(json!({"dir": dir}));
        let mut run = run.build();
        println!("{status}: {:?} {:?}", module.handle(&mut run).await, run.into_edits());
    }
}
