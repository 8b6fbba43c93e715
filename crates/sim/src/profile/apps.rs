//! How versions read and write definitions (spec section 3.1).

/// How a version writes what is not there: a list without elements, an object that was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// The key is missing.
    Omitted,
    /// The key is `null`.
    Null,
    /// The key is `[]`.
    Empty,
}

/// `acceptedResourceRoles`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roles {
    /// Not known (0.8).
    Unknown,
    /// `null` when there are none (0.9 to 1.3).
    OrNull,
    /// Omitted when there are none (1.4 on).
    IfGiven,
}

/// `ipAddress`, by which tasks got addresses of their own before there was `networks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpPerTask {
    /// Not known (up to 0.13).
    Unknown,
    /// With `groups`, `labels` and `discovery` (0.14 to 1.2).
    Unnamed,
    /// Also with `networkName`, and Docker's network USER (1.3 and 1.4).
    Named,
}

/// The form of definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one switch for each field that came with some version")]
pub struct AppShape {
    /// Whether the canonical form is written: `networks`, `container.portMappings`, no nulls (1.5 on). Such versions
    /// still read the older forms, older ones do not read the newer.
    pub canonical: bool,
    /// Whether `versionInfo` is written (0.11 on).
    pub version_info: bool,
    /// `acceptedResourceRoles`
    pub roles: Roles,
    /// `ipAddress`
    pub ip_per_task: IpPerTask,
    /// Whether there are `fetch`, `portDefinitions` and `residency` (1.0 on).
    pub fetch: bool,
    /// Whether there is `readinessChecks`, and port mappings have `name` and `labels` (1.1 on).
    pub readiness_checks: bool,
    /// Whether there are `gpus`, `secrets` and `taskKillGracePeriodSeconds`, and the ports come last (1.3 on).
    pub gpus: bool,
    /// Whether there are `killSelection` and `unreachableStrategy`, and checks have `delaySeconds` (1.4 on).
    pub strategies: bool,
    /// Whether there are `tty`, `check` and `executorResources`, and checks have `ipProtocol` (1.6 on).
    pub generic_checks: bool,
    /// Whether there is `role` (1.9 on).
    pub role: bool,
    /// Whether there is `resourceLimits` (1.10 on).
    pub resource_limits: bool,
    /// `container.docker.portMappings` of a container without any, in the older forms.
    pub bare_mappings: Bare,
    /// Whether the port of an app that declares none is called `default` (1.5 on).
    pub default_port_name: bool,
    /// Whether an id may not end in `restart`, `tasks` or `versions` (1.8 on).
    pub reserved_ids: bool,
    /// Whether an app may not use a service port twice (1.3 on).
    pub unique_service_ports: bool,
    /// The key of statistics of tasks; none is a version without them (before 0.11).
    pub stats_key: Option<&'static str>,
    /// Whether `embed` has only `apps.tasks` and `apps.failures` (before 0.11).
    pub few_embeds: bool,
    /// Whether the answer to a creation has `tasks: []` (0.11 to 1.4).
    pub created_with_tasks: bool,
}

impl AppShape {
    /// Whether `embed=name` means something.
    #[must_use]
    pub fn knows_embed(&self, name: &str) -> bool {
        match name.rsplit('.').next() {
            _ if self.few_embeds => matches!(name, "apps.tasks" | "apps.failures"),
            Some("readiness") => self.readiness_checks,
            _ => true,
        }
    }
}
