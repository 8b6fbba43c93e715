//! The words of mconn as types.
//!
//! **Owns** the vocabulary that every other part speaks: ids, apps, pods, tasks, task events, what a source says
//! (observations) and what the catalog makes of it (snapshots).
//! **Comes in:** values that a border has already parsed (`mconn-marathon`, `mconn-web`).
//! **Goes out:** the same values, compared, ordered and displayed.
//! **Never:** I/O, a clock, randomness, or a promise about any serialised form. Each border (Marathon's JSON, the API,
//! the store) has its own serde types and converts, so that renaming a field here can never break a file or a client.
//!
//! ```text
//!   source --Observation--> catalog --Snapshot--> whoever needs the newest truth (level)
//!      \---- TaskEvent ---> queue  --TaskEvent--> modules                       (edge)
//! ```

mod app;
mod event;
mod history;
mod ids;
mod observation;
mod pod;
mod preset;
mod snapshot;
mod status;
mod task;
mod time;
mod verdict;

pub use app::{
    App, Deployment, HealthCheck, HealthCheckKind, HostPort, NetworkMode, PortDeclaration, Protocols,
    ReadinessCheck,
};
pub use event::{EventKey, EventTimestamp, TaskEvent, TaskKey};
pub use history::{Cause, Changes, Gone, Happened};
pub use ids::{
    AgentId, AppId, DeploymentId, IdError, InstanceId, MAX_ID_BYTES, ModuleName, SourceId, TaskId,
};
pub use observation::{
    AppListing, ClusterEvent, DeploymentPhase, InstanceCondition, Listing, Observation, StatusUpdate, Warning,
};
pub use pod::{Pod, PodContainer, PodEndpoint, PodInstance};
pub use preset::{InventoryItem, Preset};
pub use snapshot::{
    AppEntry, Change, Endpoint, Freshness, Held, Snapshot, SourceState, TaskEntry, Transport,
};
pub use status::TaskStatus;
pub use task::{AppTask, HealthResult, IpAddress};
pub use time::Timestamp;
pub use verdict::{Rule, Verdict, VerdictKind};
