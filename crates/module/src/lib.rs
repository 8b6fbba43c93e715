//! What a module author uses. These pages alone are enough to write a module.
//!
//! **Owns** the trait [`Module`], the [`Run`] it is handed, and the [`Outcome`] it hands back.
//! **Comes in:** one task event at a time, together with the preset that the operator made for its app.
//! **Goes out:** exactly one outcome, and the changes of the module's inventory.
//! **Never:** queues, storage, retries or Marathon. The framework does all of that around a module.
//!
//! ```text
//!   journal -> lane of the module -> Module::handle(&mut Run) -> Outcome + inventory changes -> store
//!                 ^   retries, order per task, deadline                    (one transaction)
//! ```
//!
//! # What the framework promises
//! * **At least once.** Every accepted event of an app with an enabled preset is handed over until a run of it ends
//!   well, or the configured number of attempts is used up and it becomes a dead letter. After a crash an event may be
//!   handed over again: [`Run::event_id`] is the same then, so it serves as idempotency key.
//! * **Order.** Two events of the same task are never handled at the same time and never out of order, whatever the
//!   module's concurrency. With concurrency 1 (the default) events of all tasks run strictly one after the other.
//!   Clean-up runs, which a sync creates, go in front of waiting events.
//! * **Deadline.** A run that exceeds [`Module::timeout`] is cancelled: its future is dropped at its next await. What
//!   it had changed in the inventory is dropped with it.
//! * **Isolation.** A panic fails that run alone. Blocking code belongs into `tokio::task::spawn_blocking`.
//! * **All or nothing.** Changes of the inventory are stored together with the outcome if the outcome is
//!   [`Outcome::Finished`], and not at all otherwise.
//!
//! # A module
//! ```
//! use mconn_module::{BoxFuture, Failure, Module, ModuleName, Outcome, Run, TaskStatus};
//! use serde_json::json;
//!
//! /// Keeps a list of running tasks with a greeting for each.
//! struct Greeter {
//!     name: ModuleName,
//! }
//!
//! impl Module for Greeter {
//!     fn name(&self) -> &ModuleName {
//!         &self.name
//!     }
//!
//!     fn handle<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Outcome> {
//!         Box::pin(async move {
//!             let key = run.event().task.as_str().to_owned();
//!             match &run.event().status {
//!                 TaskStatus::Running => {
//!                     let Some(text) = run.preset().options["greeting"].as_str() else {
//!                         return Failure::permanent("the preset has no options.greeting").into();
//!                     };
//!                     let text = json!(text);
//!                     run.put_item(&key, text);
//!                     Outcome::Finished
//!                 }
//!                 status if status.is_terminal() => {
//!                     run.remove_item(&key);
//!                     Outcome::Finished
//!                 }
//!                 _ => Outcome::UndefinedStatus,
//!             }
//!         })
//!     }
//! }
//!
//! # use std::sync::Arc;
//! # use mconn_module::testing::RunBuilder;
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let greeter = Greeter { name: ModuleName::new("Greeter").unwrap() };
//! let mut run = RunBuilder::new("/web", "web.1", "TASK_RUNNING").options(json!({"greeting": "hello"})).build();
//! assert_eq!(greeter.handle(&mut run).await, Outcome::Finished);
//! assert_eq!(run.into_edits().len(), 1);
//! # }
//! ```

mod outcome;
mod run;
mod sync;
pub mod testing;

pub use futures_util::future::BoxFuture;
pub use mconn_model::{AppId, InventoryItem, ModuleName, Preset, TaskEvent, TaskId, TaskStatus};
pub use outcome::{Failure, Outcome};
pub use run::{InventoryEdit, InventoryReader, Run, RunParts};
pub use sync::{CleanupTask, SyncDifference};

use std::time::Duration;

use serde_json::Value;

/// Code that acts on task events.
///
/// One value serves all events of one node; `handle` may be called for several tasks at once if the operator raises the
/// module's concurrency, so state that runs share needs its own synchronisation.
pub trait Module: Send + Sync + 'static {
    /// The name under which presets, routes and the store know it.
    fn name(&self) -> &ModuleName;

    /// How long one run may take; 5 seconds unless overridden, as in the original.
    fn timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// The module's own configuration, shown by `/v1/module/list`; an empty object by default. No secrets.
    fn options(&self) -> Value {
        Value::Object(serde_json::Map::new())
    }

    /// Handles one event. Called only when the app has an enabled preset.
    ///
    /// Returns exactly one outcome. Dropping the returned future cancels the run.
    fn handle<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Outcome>;

    /// What to do about differences between Marathon's running tasks and this module's inventory.
    ///
    /// By default each missing task is handled as `TASK_RUNNING` and each wrong one as `TASK_KILLED`, in the order given.
    fn clean_up(&self, difference: &SyncDifference) -> Vec<CleanupTask> {
        difference.as_cleanup_tasks()
    }
}
