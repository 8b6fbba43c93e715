//! Test: the module of the original's test-suite (spec/mconn.md section 6.4), plus misbehaviour on request.

use std::time::Duration;

use mconn_module::{BoxFuture, CleanupTask, Failure, Module, ModuleName, Outcome, Run, SyncDifference};
use serde_json::Value;

use crate::greet::Greeter;

const GREETER: Greeter =
    Greeter { context: "Module.Test", quote: "", proceeded: "proccessed", keeps: Some("test") };

/// Behaves as HelloWorld with plainer log lines. The preset's `options.test` asks for more:
///
/// | key | meaning |
/// |---|---|
/// | `fail` | number: so many attempts fail, the next one works; `true`: every attempt fails |
/// | `permanent` | `true`: a failure is not worth a retry |
/// | `hang` | `true`: never ends by itself, so that the deadline cancels it |
/// | `panic` | `true`: panics |
/// | `nothing` | `true`: succeeds at once without inventory and log line; for measuring the queue alone |
/// | `delay` | milliseconds of pretended work instead of MCONN_MODULE_TEST_DELAY |
#[derive(Debug)]
pub struct TestModule {
    name: ModuleName,
    options: Value,
    delay: Duration,
}

impl TestModule {
    /// Name in presets and routes.
    pub const NAME: &str = "Test";

    /// `options` are shown and not used. `delay` is pretended work (MCONN_MODULE_TEST_DELAY), 250 ms without it.
    ///
    /// # Panics
    /// Never: the name is a literal.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the name is a literal")]
    pub fn new(options: Value, delay: Option<Duration>) -> Self {
        let name = ModuleName::new(Self::NAME).expect("a module name");
        Self { name, options, delay: delay.unwrap_or(Duration::from_millis(250)) }
    }

    async fn work(&self, run: &mut Run) -> Result<Outcome, Failure> {
        let wishes = &run.preset().options["test"];
        let wished = |key: &str| wishes[key].as_bool() == Some(true);
        if wished("nothing") {
            return Ok(Outcome::Finished);
        }
        assert!(!wished("panic"), "the preset's options.test.panic asked for it");
        if wished("hang") {
            std::future::pending::<()>().await;
        }
        if wished("fail") || wishes["fail"].as_u64().is_some_and(|times| u64::from(run.attempt()) <= times) {
            let reason = format!("the preset's options.test.fail asked for it (attempt {})", run.attempt());
            return Err(Failure { reason, retry: !wished("permanent") });
        }
        let delay = wishes["delay"].as_u64().map_or(self.delay, Duration::from_millis);
        GREETER.greet(run, delay, delay).await
    }
}

impl Module for TestModule {
    fn name(&self) -> &ModuleName {
        &self.name
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn options(&self) -> Value {
        self.options.clone()
    }

    fn handle<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Outcome> {
        Box::pin(async move { self.work(run).await.unwrap_or_else(Outcome::from) })
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

    async fn outcome(attempt: u32, wishes: Value) -> Outcome {
        let options = json!({"actions": {"add": "a", "remove": "r"}, "test": wishes});
        let mut run =
            RunBuilder::new("/web", "web.1", "TASK_RUNNING").options(options).attempt(attempt).build();
        TestModule::new(json!({}), None).handle(&mut run).await
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_the_word_test() {
        let options = json!({"actions": {"add": "a", "remove": "r"}});
        let mut run = RunBuilder::new("/web", "web.1", "TASK_RUNNING").options(options).build();
        let began = tokio::time::Instant::now();
        assert_eq!(TestModule::new(json!({}), None).handle(&mut run).await, Outcome::Finished);
        assert_eq!(run.item("web.1"), Some(json!("test")));
        assert_eq!(began.elapsed(), Duration::from_millis(250));
    }

    #[tokio::test(start_paused = true)]
    async fn misbehaves_as_asked() {
        assert!(matches!(outcome(2, json!({"fail": 2})).await, Outcome::Failed(Failure { retry: true, .. })));
        assert_eq!(outcome(3, json!({"fail": 2})).await, Outcome::Finished);
        let permanent = outcome(1, json!({"fail": true, "permanent": true})).await;
        assert!(matches!(permanent, Outcome::Failed(Failure { retry: false, .. })));
        assert_eq!(outcome(1, json!({"nothing": true})).await, Outcome::Finished);
        let hung = tokio::time::timeout(Duration::from_secs(3_600), outcome(1, json!({"hang": true}))).await;
        assert!(hung.is_err());
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "options.test.panic")]
    async fn panics_as_asked() {
        outcome(1, json!({"panic": true})).await;
    }
}
