//! Which node is asked, and who may be trusted with credentials. No I/O.
//!
//! The order: the leader, if Marathon named it and it is reached from here; then the node that was good last; then the
//! others as configured. Credentials go to configured nodes and to leaders that Marathon itself has named, never from
//! https to http, and never from behind a proxy's path prefix to somewhere else (spec/marathon.md sections 1.1 and 9).

use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::Endpoint;
use super::endpoint::authority;

/// How long a leader that could not be reached is asked last: it may be visible to other nodes alone.
const LEADER_AVOIDED: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Leader {
    /// `host:port` as Marathon calls it.
    name: String,
    /// How to get there; `None` if it must not or cannot be asked directly.
    endpoint: Option<Endpoint>,
    avoided_until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Routes {
    configured: Vec<Endpoint>,
    /// Index of the configured node that was good last.
    good: usize,
    leader: Option<Leader>,
}

impl Routes {
    pub(super) fn new(configured: Vec<Endpoint>) -> Self {
        Self { configured, good: 0, leader: None }
    }

    /// Whom to ask, best first; each place once.
    pub(super) fn candidates(&self, now: Instant) -> Vec<Endpoint> {
        let mut order: Vec<Endpoint> = Vec::with_capacity(self.configured.len() + 1);
        let leader = self.leader.as_ref();
        let avoided = leader.and_then(|leader| leader.avoided_until).is_some_and(|until| now < until);
        let direct = leader.and_then(|leader| leader.endpoint.as_ref());
        order.extend(direct.filter(|_| !avoided).cloned());
        let (before, from_good) = self.configured.split_at(self.good.min(self.configured.len()));
        for endpoint in from_good.iter().chain(before).chain(direct) {
            if !order.iter().any(|known| known.base() == endpoint.base()) {
                order.push(endpoint.clone());
            }
        }
        order
    }

    /// The leader's name as Marathon last told it.
    pub(super) fn leader(&self) -> Option<&str> {
        self.leader.as_ref().map(|leader| leader.name.as_str())
    }

    pub(super) fn succeeded(&mut self, endpoint: &Endpoint) {
        if let Some(index) = self.configured.iter().position(|known| known.base() == endpoint.base()) {
            self.good = index;
        }
        if let Some(leader) = self.leader.as_mut().filter(|leader| leader.endpoint.as_ref() == Some(endpoint))
        {
            leader.avoided_until = None;
        }
    }

    pub(super) fn failed(&mut self, endpoint: &Endpoint, now: Instant) {
        if let Some(leader) = self.leader.as_mut().filter(|leader| leader.endpoint.as_ref() == Some(endpoint))
        {
            leader.avoided_until = Some(now + LEADER_AVOIDED);
        }
    }

    /// Takes the leader's name out of a successful answer of `teacher`: `http://host:port` (header) or `host:port`.
    pub(super) fn learn(&mut self, teacher: &Endpoint, told: &str) {
        let scheme = teacher.base().scheme();
        let url = if told.contains("://") { told.to_owned() } else { format!("{scheme}://{told}") };
        let Ok(url) = Url::parse(&url) else { return };
        let Some((host, port)) = authority(&url) else { return };
        let name = format!("{host}:{port}");
        // One that could not be asked directly may be by what this teacher's place and credentials allow.
        if self.leader.as_ref().is_some_and(|known| known.name == name && known.endpoint.is_some()) {
            return;
        }
        let configured =
            self.configured.iter().find(|known| authority(known.base()) == Some((host.clone(), port)));
        let endpoint = configured.cloned().or_else(|| {
            let downgrade = scheme == "https" && url.scheme() != "https";
            let direct = Endpoint::parse(&format!("{}://{name}", url.scheme()), false).ok()?;
            (teacher.is_plain() && !downgrade)
                .then(|| direct.with_credentials(teacher.credentials().cloned()))
        });
        self.leader = Some(Leader { name, endpoint, avoided_until: None });
    }

    /// The node behind a redirect's target, with the credentials that it may get; `None` if it must not be followed.
    pub(super) fn behind(&self, from: &Endpoint, to: &Url) -> Option<Endpoint> {
        let place = authority(to)?;
        let leaves_tls = |known: &Endpoint| known.base().scheme() == "https" && to.scheme() != "https";
        if leaves_tls(from) {
            return None;
        }
        let leader = self.leader.as_ref().and_then(|leader| leader.endpoint.as_ref());
        // Behind a proxy's path prefix is Marathon; beside it are other people's services.
        let is_there = |known: &&Endpoint| {
            authority(known.base()).as_ref() == Some(&place)
                && !leaves_tls(known)
                && to.path().starts_with(known.base().path())
        };
        std::iter::once(from).chain(&self.configured).chain(leader).find(is_there).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mconn_wire::http::Credentials;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse(text, false).unwrap()
    }

    fn shown(routes: &Routes, now: Instant) -> Vec<String> {
        routes.candidates(now).iter().map(ToString::to_string).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_leader_then_the_last_good_one_then_the_rest() {
        let now = Instant::now();
        let mut routes = Routes::new(vec![endpoint("u:p@a:8080"), endpoint("b:8080"), endpoint("c:8080")]);
        assert_eq!(shown(&routes, now), ["http://a:8080", "http://b:8080", "http://c:8080"]);
        routes.succeeded(&endpoint("b:8080"));
        assert_eq!(shown(&routes, now), ["http://b:8080", "http://c:8080", "http://a:8080"]);

        routes.learn(&endpoint("u:p@a:8080"), "http://l:8080");
        assert_eq!(shown(&routes, now)[0], "http://l:8080");
        let leader = routes.candidates(now)[0].clone();
        assert_eq!(leader.credentials().map(Credentials::user), Some("u"));

        routes.failed(&leader, now);
        assert_eq!(shown(&routes, now), ["http://b:8080", "http://c:8080", "http://a:8080", "http://l:8080"]);
        assert_eq!(shown(&routes, now + LEADER_AVOIDED)[0], "http://l:8080");
        routes.learn(&endpoint("b:8080"), "c:8080");
        assert_eq!(shown(&routes, now), ["http://c:8080", "http://b:8080", "http://a:8080"]);
    }

    #[test]
    fn credentials_do_not_leave_tls_nor_a_proxy() {
        let mut routes = Routes::new(vec![endpoint("https://u:p@a:8443")]);
        routes.learn(&endpoint("https://u:p@a:8443"), "http://l:8080");
        assert_eq!(routes.leader(), Some("l:8080"));
        assert_eq!(routes.candidates(Instant::now()).len(), 1);

        let proxied = endpoint("https://u:p@master/service/marathon");
        let mut routes = Routes::new(vec![proxied.clone()]);
        routes.learn(&proxied, "https://l:8443");
        assert_eq!(routes.candidates(Instant::now()).len(), 1);
    }

    #[test]
    fn a_leader_named_by_a_proxy_is_learnt_again_from_a_node() {
        let (proxied, node) = (endpoint("u:p@master/service/marathon"), endpoint("u:p@a:8080"));
        let mut routes = Routes::new(vec![proxied.clone(), node.clone()]);
        routes.learn(&proxied, "l:8080");
        assert_eq!(routes.candidates(Instant::now()).len(), 2);
        routes.learn(&node, "l:8080");
        assert_eq!(shown(&routes, Instant::now())[0], "http://l:8080");
        routes.learn(&proxied, "l:8080");
        assert_eq!(shown(&routes, Instant::now())[0], "http://l:8080", "and not forgotten");
    }

    #[test]
    fn redirects_lead_to_known_places_alone() {
        let a = endpoint("u:p@a:8080");
        let mut routes = Routes::new(vec![a.clone(), endpoint("x:y@b:8080")]);
        let behind = |routes: &Routes, to: &str| routes.behind(&a, &to.parse().unwrap());
        assert_eq!(
            behind(&routes, "http://b:8080/v2/events").unwrap().credentials().map(Credentials::user),
            Some("x")
        );
        assert_eq!(behind(&routes, "http://A:8080/other"), Some(a.clone()));
        assert_eq!(behind(&routes, "http://evil:8080/v2/events"), None);
        assert_eq!(behind(&routes, "http://a:8081/v2/events"), None);
        routes.learn(&a, "l:8080");
        assert_eq!(behind(&routes, "http://l:8080/v2/events").unwrap().credentials(), a.credentials());
        let proxied = endpoint("https://master/service/marathon");
        let routes_of = Routes::new(vec![proxied.clone()]);
        let inside = "https://master/service/marathon/v2/events".parse().unwrap();
        assert_eq!(routes_of.behind(&proxied, &inside), Some(proxied.clone()));
        for beside in [
            "https://master/service/marathon-evil/v2/events",
            "https://master/service/evil/",
            "https://master/",
        ] {
            assert_eq!(routes_of.behind(&proxied, &beside.parse().unwrap()), None, "{beside}");
        }
        let mixed = Routes::new(vec![a.clone(), endpoint("https://x:y@b:8443")]);
        assert_eq!(behind(&mixed, "http://b:8443/v2/events"), None, "these credentials are for TLS");
        let tls = endpoint("https://u:p@a:8080");
        assert_eq!(routes.behind(&tls, &"http://a:8080/".parse().unwrap()), None);
    }
}
