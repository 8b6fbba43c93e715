//! Notices as log lines, in the original's words where it had them, spelling included (spec/mconn.md section 10): users
//! parse them.

use tracing::{debug, error, info, warn};

use crate::{Notice, StateName};

/// Writes the line of a notice. The `context` field names the part that speaks, as the original did.
pub(super) fn log(notice: &Notice) {
    match notice {
        Notice::Created { module, id } => {
            info!(context = %format_args!("Module.{module}"), "Task \"{id}\" created on queue");
        }
        Notice::Started { module, id } => {
            info!(context = %format_args!("Module.{module}"), "Starting worker for task \"{id}\"");
        }
        Notice::Ended { cleanup: true, state, module, id, reason, .. } => {
            // The original logs nothing here; a failure must not go unseen.
            if *state == StateName::Failed {
                let reason = reason.as_deref().unwrap_or_default();
                warn!(context = %format_args!("Module.{module}"), "Cleanup task \"{id}\" failed! Reason: {reason}");
            }
        }
        Notice::Ended { module, id, state, waiting, reason, cleanup: false } => {
            let (space, reason) = match reason {
                Some(reason) => (" Reason: ", &**reason),
                None => ("", ""),
            };
            let state = state.as_str();
            info!(
                context = %format_args!("Module.{module}"),
                "Task \"{id}\" state changed to \"{state}\"! Task Queue is now \"{waiting}\"{space}{reason}"
            );
        }
        Notice::UnknownStatus { module, status } => {
            warn!(
                context = %format_args!("Module.{module}"),
                "Unknown status \"{status}\" no method defined called 'on_{status}'"
            );
        }
        Notice::AlreadyDone { module, waiting } => {
            // Ordinary where events arrive by stream and by callback, so not worth a warning.
            debug!(
                context = %format_args!("Module.{module}"),
                "Task allready done, skipping in queue! Queue is now \"{waiting}\""
            );
        }
        Notice::Retry { module, id, attempt, delay, reason } => {
            warn!(
                context = %format_args!("Module.{module}"),
                "Task \"{id}\" failed for the {attempt}. time, next attempt in {delay:.1?}. Reason: {reason}"
            );
        }
        Notice::DeadLetter { module, id, attempts, reason } => {
            error!(
                context = %format_args!("Module.{module}"),
                "Task \"{id}\" is given up after {attempts} attempt(s) and kept as a dead letter: see \"mconn module \
                 dead-letters {module}\". Reason: {reason}"
            );
        }
        Notice::DeadLetterDropped { module, id } => {
            warn!(
                context = %format_args!("Module.{module}"),
                "Dead letter \"{id}\" was dropped: there are more than MCONN_DEAD_LETTER_LIMIT"
            );
        }
        Notice::Removed { id, waiting } => {
            debug!(
                context = "QueueManager",
                "Remove finished task \"{id}\" from queue. Now \"{waiting}\" tasks in queue"
            );
        }
        Notice::QueueTimeout { id } => error!(context = "QueueManager", "Task {id} ran into timeout."),
        Notice::Filling { waiting, limit } => {
            warn!(
                context = "QueueManager",
                "{waiting} of at most {limit} events wait (MCONN_QUEUE_LIMIT); is a module paused or too slow?"
            );
        }
        Notice::Full { limit } => {
            error!(context = "QueueManager", "Events are refused: {limit} wait already (MCONN_QUEUE_LIMIT)");
        }
        Notice::OwedElsewhere { module, events } => {
            warn!(
                context = "QueueManager",
                "{events} stored events are owed to module \"{module}\", which is not loaded. They stay until it is; if it \
                 is gone for good: \"mconn store drop-module {module}\""
            );
        }
        Notice::StoreTrouble { reason, retry_in } => {
            error!(
                context = "QueueManager",
                "Events are refused, the store fails (next attempt in {retry_in:.1?}): {reason}"
            );
        }
        Notice::WriteRefused { what, reason } => {
            error!(
                context = "QueueManager",
                "The store will never take {what}: it is left out, and everything else goes on. {reason}"
            );
        }
        Notice::StoreRecovered => {
            info!(context = "QueueManager", "The store works again, events are accepted");
        }
        other => log_commands(other),
    }
}

fn log_commands(notice: &Notice) {
    match notice {
        Notice::Paused { module, .. } => {
            info!(
                context = %format_args!("Module.{module}.Pause"),
                "Pausing the task queue and waiting for empty worker"
            );
        }
        Notice::PauseReached { module } => {
            info!(context = %format_args!("Module.{module}.Pause"), "worker has finished work, pausing");
        }
        Notice::Resumed { module } => {
            info!(context = %format_args!("Module.{module}.Queue"), "Resuming queue");
        }
        Notice::PresetCreated { module, app } => {
            info!(context = "ModulePreset", "Create preset \"{app}\" for module \"{module}\"");
        }
        Notice::PresetModified { module, app } => {
            info!(context = "ModulePreset", "Update preset \"{app}\" for module \"{module}\"");
        }
        Notice::PresetDeleted { module, app } => {
            info!(context = "ModulePreset", "Remove preset \"{app}\" for module \"{module}\"");
        }
        Notice::PresetTakenBack { module, app } => {
            warn!(
                context = "ModulePreset",
                "The change of preset \"{app}\" for module \"{module}\" could not be stored and is taken back"
            );
        }
        Notice::SyncStarted { module } => {
            info!(context = %format_args!("Module.{module}"), "Starting Syncprocess");
            info!(context = %format_args!("Module.{module}"), "Fetching Marathon Inventory");
        }
        Notice::SyncMissing { module, task } => {
            info!(
                context = %format_args!("Module.{module}"),
                "Task \"{task}\" is missing on inventory for module \"{module}\""
            );
        }
        Notice::SyncWrong { module, task } => {
            info!(
                context = %format_args!("Module.{module}"),
                "\"{task}\" is wrong on inventory for module \"{module}\""
            );
        }
        Notice::SyncSkipped { module, task } => {
            info!(
                context = %format_args!("Module.{module}"),
                "\"{task}\" does not have to be cleaned up, since it already exists in active queue"
            );
        }
        Notice::SyncHeld { module, wrong, of } => {
            warn!(
                context = %format_args!("Module.{module}"),
                "Marathon's list would remove {wrong} of {of} inventory items at once: held until the next sync agrees \
                 (MCONN_SYNC_GUARD_SHARE, MCONN_SYNC_GUARD_ITEMS)"
            );
        }
        // What the sample modules say about their clean-up they say themselves.
        Notice::SyncDone { module, cleanups } => {
            debug!(context = %format_args!("Module.{module}"), "Sync has compared and queued {cleanups} clean-up tasks");
        }
        Notice::SyncFailed { module, reason } => {
            error!(
                context = %format_args!("Module.{module}"),
                "Could not proceed inventory sync, because Marathon is unreachable! {reason}"
            );
        }
        _ => {}
    }
}
