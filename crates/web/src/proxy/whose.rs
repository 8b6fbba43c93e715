//! Which routes are the leader's (spec/mconn.md section 4), and which of them may be asked twice.

/// Who serves a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Every node, for itself.
    Here,
    /// The leader.
    Leaders(Repeat),
    /// The leader, if the queue's notices are asked for; see [`crate::routes::needs_leader`].
    Stream,
}

/// Whether a request may be sent again when nobody knows whether it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Twice is as good as once: it only looks; or a sync, which compares anew each time; or an event, which is known by
    /// its id when it comes again.
    Safe,
    /// Done twice it could undo what somebody else did in between, end two leaders, or answer wrongly.
    Unsafe,
}

/// Who serves this operation, named as in the OpenAPI document.
pub(crate) fn whose(method: &str, path: &str) -> Whose {
    match (method, path) {
        ("GET", "/v1/events") => Whose::Stream,
        ("POST", "/v1/queue" | "/v1/module/sync" | "/v1/module/sync/{m}") => Whose::Leaders(Repeat::Safe),
        (_, "/v1/exit/leader") => Whose::Leaders(Repeat::Unsafe),
        (_, path) if path == "/v1/queue" || path.starts_with("/v1/module/") => {
            Whose::Leaders(if method == "GET" { Repeat::Safe } else { Repeat::Unsafe })
        }
        _ => Whose::Here,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;

    /// A route that is in neither list makes this fail: whoever adds one decides.
    #[test]
    fn every_route_is_served_where_the_specification_says() {
        let safe = [
            "GET /v1/queue",
            "POST /v1/queue",
            "GET /v1/module/list",
            "GET /v1/module/list/{m}",
            "GET /v1/module/inventory/{m}",
            "GET /v1/module/queue/list/{m}",
            "GET /v1/module/preset",
            "GET /v1/module/preset/{m}",
            "GET /v1/module/dead-letters/{m}",
            "POST /v1/module/sync",
            "POST /v1/module/sync/{m}",
        ];
        let not_twice = [
            "POST /v1/module/queue/pause/{m}",
            "POST /v1/module/queue/resume/{m}",
            "POST /v1/module/preset",
            "PUT /v1/module/preset",
            "DELETE /v1/module/preset",
            "POST /v1/module/dead-letters/{m}/{seq}/retry",
            "DELETE /v1/module/dead-letters/{m}/{seq}",
            "POST /v1/exit/leader",
        ];
        let here = [
            "GET /v1/ping",
            "GET /v1/leader",
            "GET /v1/members",
            "GET /v1/info",
            "POST /v1/exit/node",
            "GET /v1/openapi.json",
            "GET /v1/catalog",
            "GET /v1/catalog/{app}",
            "GET /v1/verdicts",
            "GET /v1/explain",
            "GET /v1/explain/{app}",
            "GET /metrics",
            "GET /v1/health/live",
            "GET /v1/health/ready",
            "GET /v1/health/freshness",
        ];
        let paths = Paths::new(&crate::openapi());
        for operation in paths.operations() {
            let name = format!("{} {}", operation.method, operation.path);
            let wanted = match name.as_str() {
                "GET /v1/events" => Whose::Stream,
                name if safe.contains(&name) => Whose::Leaders(Repeat::Safe),
                name if not_twice.contains(&name) => Whose::Leaders(Repeat::Unsafe),
                name if here.contains(&name) => Whose::Here,
                name => panic!("{name} is in no list"),
            };
            assert_eq!(whose(operation.method, &operation.path), wanted, "{name}");
        }
        assert_eq!(paths.operations().len(), safe.len() + not_twice.len() + here.len() + 1);
    }
}
