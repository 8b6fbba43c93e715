//! One constructor for each version, written as what changed since the one before.

use crate::nodes::NodeProfile;

use super::{
    Addresses, AppShape, Bare, EventShape, EventStream, FailedCheckId, IpPerTask, Overflow, PlainTasks,
    Plans, Profile, Roles, Statuses, TaskIds, TaskShape,
};

impl Profile {
    /// Marathon 0.8: callbacks instead of a stream, nulls, no `slaveId`.
    #[must_use]
    pub const fn v0_8() -> Profile {
        Profile {
            name: "0.8",
            version: "0.8.2",
            build_ref: None,
            apps: APPS_0_8,
            tasks: TASKS_0_8,
            events: EVENTS_0_8,
            task_ids: TaskIds::AppUuid,
            scheduled_condition: false,
            goal_events: false,
            starting_updates: false,
            partition_aware: false,
            pods: false,
            deployment_limit: false,
            step_objects: false,
            event_stream: EventStream::Absent,
            overflow: Overflow::Drop,
            stream_buffer: 50,
            event_type_filter: false,
            callbacks: true,
            nodes: NodeProfile::v0_8(),
            security_headers: false,
            deployment_header: false,
            patch: false,
            partial_update: false,
            unknown_path_status: 404,
            late_status: 504,
            max_launch_delay_seconds: 3600,
        }
    }

    /// Marathon 0.9: the stream, still without `event:` lines.
    #[must_use]
    pub const fn v0_9() -> Profile {
        let before = Profile::v0_8();
        Profile {
            name: "0.9",
            version: "0.9.2",
            apps: AppShape { roles: Roles::OrNull, ..before.apps },
            tasks: TaskShape { ambiguous_accept: false, deleted_listed: true, ..before.tasks },
            events: EventShape { post_on_delete: false, ..before.events },
            event_stream: EventStream::DataOnly,
            late_status: 503,
            ..before
        }
    }

    /// Marathon 0.11: `event:` lines, `versionInfo`, all embeds, `slaveId`. 0.12 and 0.13 are like it.
    #[must_use]
    pub const fn v0_11() -> Profile {
        let before = Profile::v0_9();
        Profile {
            name: "0.11",
            version: "0.11.1",
            apps: AppShape {
                version_info: true,
                stats_key: Some("taskStats"),
                few_embeds: false,
                created_with_tasks: true,
                ..before.apps
            },
            tasks: TaskShape { slave_id: true, ..before.tasks },
            events: EventShape { end_plan: true, ..before.events },
            event_stream: EventStream::Named,
            nodes: NodeProfile::since_0_10(),
            ..before
        }
    }

    /// Marathon 0.15: `ipAddress` and `ipAddresses`. 0.14 is like it.
    #[must_use]
    pub const fn v0_15() -> Profile {
        let before = Profile::v0_11();
        Profile {
            name: "0.15",
            version: "0.15.7",
            apps: AppShape { ip_per_task: IpPerTask::Unnamed, ..before.apps },
            tasks: TaskShape { ip_addresses: true, ..before.tasks },
            events: EventShape { addresses: Addresses::WhenKnown, ..before.events },
            step_objects: true,
            ..before
        }
    }

    /// Marathon 1.1: `fetch`, `portDefinitions`, `residency`, `readinessChecks`.
    #[must_use]
    pub const fn v1_1() -> Profile {
        let before = Profile::v0_15();
        Profile {
            name: "1.1",
            version: "1.1.0",
            apps: AppShape { fetch: true, readiness_checks: true, ..before.apps },
            events: EventShape { unhealthy_kill: true, ..before.events },
            security_headers: true,
            ..before
        }
    }

    /// Marathon 1.3: USER networks, `state` of tasks, TASK_STAGING and TASK_KILLING, `event_type`.
    #[must_use]
    pub const fn v1_3() -> Profile {
        let before = Profile::v1_1();
        Profile {
            name: "1.3",
            version: "1.3.13",
            apps: AppShape {
                ip_per_task: IpPerTask::Named,
                gpus: true,
                bare_mappings: Bare::Null,
                unique_service_ports: true,
                ..before.apps
            },
            tasks: TaskShape { state: true, ..before.tasks },
            events: EventShape {
                statuses: Statuses::WithStagingAndKilling,
                unknown_terminated: true,
                action_key: "action",
                ..before.events
            },
            event_type_filter: true,
            nodes: NodeProfile::since_1_3_6(),
            ..before
        }
    }

    /// Marathon 1.4: instances and pods, in the old form of definitions.
    #[must_use]
    pub const fn v1_4() -> Profile {
        let before = Profile::v1_3();
        Profile {
            name: "1.4",
            version: "1.4.13",
            apps: AppShape {
                roles: Roles::IfGiven,
                strategies: true,
                bare_mappings: Bare::Empty,
                ..before.apps
            },
            tasks: TaskShape { null_start: false, health_by_instance: true, ..before.tasks },
            events: EventShape {
                statuses: Statuses::All,
                addresses: Addresses::Always,
                instances: true,
                failed_check: FailedCheckId::Instance,
                ..before.events
            },
            starting_updates: true,
            partition_aware: true,
            pods: true,
            deployment_header: true,
            patch: true,
            ..before
        }
    }

    /// Marathon 1.5: the new form of definitions, no callbacks.
    #[must_use]
    pub const fn v1_5() -> Profile {
        let before = Profile::v1_4();
        Profile {
            name: "1.5",
            version: "1.5.15",
            build_ref: Some("0000000"),
            apps: AppShape {
                canonical: true,
                default_port_name: true,
                created_with_tasks: false,
                ..before.apps
            },
            tasks: TaskShape { plain: PlainTasks::ZeroForContainers, ..before.tasks },
            events: EventShape {
                failed_check: FailedCheckId::InstanceAsTask,
                plans: Plans::LightOnRequest,
                ..before.events
            },
            stream_buffer: 1024,
            callbacks: false,
            partial_update: true,
            ..before
        }
    }

    /// Marathon 1.6: fault domains, generic checks, 500 for unknown paths.
    #[must_use]
    pub const fn v1_6() -> Profile {
        let before = Profile::v1_5();
        Profile {
            name: "1.6",
            version: "1.6.590",
            apps: AppShape { generic_checks: true, ..before.apps },
            tasks: TaskShape { schema_order: true, fault_domain: true, ..before.tasks },
            events: EventShape { failed_reason: true, ..before.events },
            deployment_limit: true,
            unknown_path_status: 500,
            nodes: NodeProfile::v1_6(),
            ..before
        }
    }

    /// Marathon 1.7: light plans.
    #[must_use]
    pub const fn v1_7() -> Profile {
        let before = Profile::v1_6();
        Profile {
            name: "1.7",
            version: "1.7.216",
            events: EventShape { plans: Plans::Light, ..before.events },
            nodes: NodeProfile::since_1_7(),
            ..before
        }
    }

    /// Marathon 1.8: incarnations, goals, streams that are closed on overflow.
    #[must_use]
    pub const fn v1_8() -> Profile {
        let before = Profile::v1_7();
        Profile {
            name: "1.8",
            version: "1.8.244",
            apps: AppShape { reserved_ids: true, ..before.apps },
            tasks: TaskShape { null_times: false, plain: PlainTasks::OnlyReachable, ..before.tasks },
            task_ids: TaskIds::InstanceIncarnation,
            scheduled_condition: true,
            goal_events: true,
            overflow: Overflow::Close,
            max_launch_delay_seconds: 300,
            ..before
        }
    }

    /// Marathon 1.9: roles.
    #[must_use]
    pub const fn v1_9() -> Profile {
        let before = Profile::v1_8();
        Profile {
            name: "1.9",
            version: "1.9.109",
            apps: AppShape { role: true, stats_key: Some("tasksStats"), ..before.apps },
            tasks: TaskShape { role: true, ..before.tasks },
            ..before
        }
    }

    /// Marathon 1.10: `resourceLimits`, 406 for the text table.
    #[must_use]
    pub const fn v1_10() -> Profile {
        let before = Profile::v1_9();
        Profile {
            name: "1.10",
            version: "1.10.26",
            apps: AppShape { resource_limits: true, ..before.apps },
            tasks: TaskShape { plain: PlainTasks::Deprecated, ..before.tasks },
            ..before
        }
    }

    /// Marathon 1.11: the text table is gone.
    #[must_use]
    pub const fn v1_11() -> Profile {
        let before = Profile::v1_10();
        Profile {
            name: "1.11",
            version: "1.11.24",
            tasks: TaskShape { plain: PlainTasks::Gone, ..before.tasks },
            ..before
        }
    }
}

const APPS_0_8: AppShape = AppShape {
    canonical: false,
    version_info: false,
    roles: Roles::Unknown,
    ip_per_task: IpPerTask::Unknown,
    fetch: false,
    readiness_checks: false,
    gpus: false,
    strategies: false,
    generic_checks: false,
    role: false,
    resource_limits: false,
    bare_mappings: Bare::Omitted,
    default_port_name: false,
    reserved_ids: false,
    unique_service_ports: false,
    stats_key: None,
    few_embeds: true,
    created_with_tasks: false,
};

const TASKS_0_8: TaskShape = TaskShape {
    schema_order: false,
    slave_id: false,
    ip_addresses: false,
    state: false,
    null_start: true,
    health_by_instance: false,
    null_times: true,
    fault_domain: false,
    role: false,
    plain: PlainTasks::ZeroForMissing,
    ambiguous_accept: true,
    deleted_listed: false,
};

const EVENTS_0_8: EventShape = EventShape {
    statuses: Statuses::FirstRunningAndEnd,
    addresses: Addresses::Unknown,
    instances: false,
    failed_check: FailedCheckId::Task,
    unhealthy_kill: false,
    unknown_terminated: false,
    plans: Plans::Heavy,
    action_key: "type",
    end_plan: false,
    failed_reason: false,
    post_on_delete: true,
};
