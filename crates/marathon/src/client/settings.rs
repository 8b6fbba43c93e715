//! What holds for all calls to one Marathon.

use std::time::Duration;

use mconn_wire::dcos::DcosSettings;
use mconn_wire::http::{HttpSettings, MAX_BODY_BYTES};

use super::Endpoint;

/// Settings of a [`super::MarathonClient`].
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The nodes of one Marathon, tried in order until one is good; at least one.
    pub endpoints: Vec<Endpoint>,
    /// How to log in to DC/OS; default not at all. The token goes to every node without user and password of its own.
    pub dcos: Option<DcosSettings>,
    /// TLS, connect timeout (3 s) and user agent.
    pub http: HttpSettings,
    /// Limit for a call on each node, connecting included; default 10 s.
    pub request_timeout: Duration,
    /// The same for calls that list everything; default 60 s. A node whose answer has not begun within
    /// `request_timeout` is left for the next one, if there is one.
    pub listing_timeout: Duration,
    /// Largest accepted list in bytes after decompression; default 256 MiB.
    pub listing_limit: usize,
}

impl ClientSettings {
    /// Defaults for these nodes.
    #[must_use]
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            dcos: None,
            http: HttpSettings::default(),
            request_timeout: Duration::from_secs(10),
            listing_timeout: Duration::from_secs(60),
            listing_limit: MAX_BODY_BYTES,
        }
    }
}
