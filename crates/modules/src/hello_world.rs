//! HelloWorld: greets every task that comes, says goodbye to every task that goes (spec/mconn.md section 6.3).

use std::time::Duration;

use mconn_module::{BoxFuture, CleanupTask, Module, ModuleName, Outcome, Run, SyncDifference};
use serde_json::Value;

use crate::greet::Greeter;

const GREETER: Greeter =
    Greeter { context: "Module.HelloWorld", quote: "\"", proceeded: "proceed", keeps: None };

/// The sample module of the original, log lines included. Its texts come from the preset:
/// `{"actions": {"add": "Moin, Moin", "remove": "Tschues"}}`.
#[derive(Debug)]
pub struct HelloWorld {
    name: ModuleName,
    options: Value,
    delay: Duration,
    undefined_delay: Duration,
}

impl HelloWorld {
    /// Name in presets and routes.
    pub const NAME: &str = "HelloWorld";

    /// `options` are shown and not used. `delay` is pretended work (MCONN_MODULE_HELLOWORLD_DELAY); without it 250 ms, and
    /// none for statuses that it does nothing about.
    ///
    /// # Panics
    /// Never: the name is a literal.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the name is a literal")]
    pub fn new(options: Value, delay: Option<Duration>) -> Self {
        Self {
            name: ModuleName::new(Self::NAME).expect("a module name"),
            options,
            delay: delay.unwrap_or(Duration::from_millis(250)),
            undefined_delay: delay.unwrap_or_default(),
        }
    }
}

impl Module for HelloWorld {
    fn name(&self) -> &ModuleName {
        &self.name
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(600)
    }

    fn options(&self) -> Value {
        self.options.clone()
    }

    fn handle<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Outcome> {
        let greeting = GREETER.greet(run, self.delay, self.undefined_delay);
        Box::pin(async move { greeting.await.unwrap_or_else(Outcome::from) })
    }

    fn clean_up(&self, difference: &SyncDifference) -> Vec<CleanupTask> {
        GREETER.clean_up(difference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mconn_module::testing::RunBuilder;
    use serde_json::json;

    fn options() -> Value {
        json!({"actions": {"add": "Moin, Moin", "remove": "Tschues"}})
    }

    #[tokio::test(start_paused = true)]
    async fn greets_and_says_goodbye() {
        let module = HelloWorld::new(json!({}), None);
        let mut run = RunBuilder::new("/web", "web.1", "TASK_RUNNING").options(options()).build();
        assert_eq!(module.handle(&mut run).await, Outcome::Finished);
        assert_eq!(run.item("web.1"), Some(json!("Moin, Moin")));
        for status in ["TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_FINISHED", "TASK_GONE"] {
            let run = RunBuilder::new("/web", "web.1", status)
                .options(options())
                .item("web.1", json!("Moin, Moin"));
            let mut run = run.build();
            assert_eq!(module.handle(&mut run).await, Outcome::Finished, "{status}");
            assert_eq!(run.item("web.1"), None, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn doing_it_twice_is_no_error() {
        let module = HelloWorld::new(json!({}), None);
        let run =
            RunBuilder::new("/web", "web.1", "TASK_RUNNING").options(options()).item("web.1", json!("old"));
        let mut run = run.build();
        assert_eq!(module.handle(&mut run).await, Outcome::Finished);
        let mut run = RunBuilder::new("/web", "web.1", "TASK_KILLED").options(options()).build();
        assert_eq!(module.handle(&mut run).await, Outcome::Finished);
    }

    #[tokio::test(start_paused = true)]
    async fn other_statuses_are_undefined_and_take_no_time() {
        let began = tokio::time::Instant::now();
        let module = HelloWorld::new(json!({}), None);
        for status in ["TASK_STAGING", "TASK_STARTING", "TASK_UNREACHABLE", "TASK_FANCY"] {
            let mut run = RunBuilder::new("/web", "web.1", status).build();
            assert_eq!(module.handle(&mut run).await, Outcome::UndefinedStatus, "{status}");
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_preset_without_texts_can_not_get_better() {
        let mut run = RunBuilder::new("/web", "web.1", "TASK_RUNNING").build();
        let Outcome::Failed(failure) = HelloWorld::new(json!({}), None).handle(&mut run).await else {
            panic!("no failure")
        };
        assert!(!failure.retry && failure.reason.contains("options.actions.add"), "{failure:?}");
    }
}
