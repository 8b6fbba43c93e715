//! One run of a module, with its deadline and its panics contained.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use mconn_module::{InventoryReader, Module, Run, RunParts};

use crate::core::{RunEnd, RunKey, Start};

pub(super) async fn run_one(
    module: Arc<dyn Module>,
    start: Start,
    inventory: Arc<dyn InventoryReader>,
) -> (RunKey, RunEnd) {
    let Start { key, event, event_id, preset, cleanup, attempt } = start;
    let mut run = Run::new(RunParts { event, preset, event_id, cleanup, attempt, inventory });
    let work = async {
        let handled = AssertUnwindSafe(module.handle(&mut run)).catch_unwind();
        tokio::time::timeout(module.timeout(), handled).await
    };
    // `handle` itself may panic before it returns a future, so the whole is guarded too.
    let end = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(Ok(outcome))) => RunEnd::Outcome(outcome, run.into_edits()),
        Ok(Ok(Err(panic))) | Err(panic) => RunEnd::Panicked(message(&*panic)),
        Ok(Err(_elapsed)) => RunEnd::TimedOut,
    };
    (key, end)
}

/// The text of a panic.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
