//! The word in brackets at the end of a line, when the event does not name it itself.

/// Our crates and the original's words for them. What is not in it is shown by its crate's name.
const CONTEXTS: &[(&str, &str)] = &[
    ("mconn", "App"),
    ("mconn_web", "Middlewares"),
    ("mconn_queue", "QueueManager"),
    ("mconn_marathon", "Marathon"),
    ("mconn_catalog", "Catalog"),
    ("mconn_store", "Store"),
    ("mconn_store_embedded", "Store"),
    ("mconn_module", "Module"),
    ("mconn_modules", "Module"),
    ("mconn_wire", "Wire"),
    ("mconn_sim", "Sim"),
];

/// By the crate in an event's target, which is its module path.
pub(super) fn of_target(target: &str) -> &str {
    let krate = target.split("::").next().unwrap_or(target);
    CONTEXTS.iter().find(|(name, _)| *name == krate).map_or(krate, |(_, context)| context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_decides() {
        let cases = [
            ("mconn", "App"),
            ("mconn::config::raw", "App"),
            ("mconn_web::access", "Middlewares"),
            ("mconn_store_embedded::file", "Store"),
            ("hyper::client", "hyper"),
            ("Module.Test", "Module.Test"),
        ];
        for (target, wanted) in cases {
            assert_eq!(of_target(target), wanted);
        }
    }
}
