//! The faults that are set, and what they make of one request, one stream, one callback.

use crate::http::Fault;
use crate::mangle::ManglePolicy;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Faults at one time.
const FAULTS_MAX: usize = 100;

#[derive(Debug)]
struct Active {
    fault: Fault,
    until: Option<Instant>,
}

#[derive(Debug)]
struct Inner {
    set: Vec<Active>,
    rng: fastrand::Rng,
}

/// All faults that are set. Where two say different things, the later one in the list wins.
#[derive(Debug)]
pub(crate) struct Faults {
    inner: Mutex<Inner>,
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) delay: Duration,
    pub(crate) status: Option<u16>,
    pub(crate) html: bool,
    pub(crate) garbage: bool,
    pub(crate) pad: u64,
    /// So many percent of the body are sent.
    pub(crate) keep_percent: Option<u8>,
    pub(crate) bytes_per_second: Option<u64>,
    pub(crate) hang: bool,
    pub(crate) reset: bool,
    pub(crate) redirect: bool,
    pub(crate) leader: Option<String>,
    pub(crate) refuse_streams: bool,
}

impl Damage {
    fn add(&mut self, fault: &Fault) {
        self.delay = self.delay.max(fault.delay());
        if fault.status.is_some() {
            (self.status, self.html) = (fault.status, fault.html);
        }
        self.garbage |= fault.garbage;
        self.pad = self.pad.max(fault.pad_bytes);
        if fault.truncate_bodies || fault.truncate_percent.is_some() {
            self.keep_percent = Some(fault.truncate_percent.unwrap_or(50));
        }
        self.bytes_per_second = fault.bytes_per_second.or(self.bytes_per_second);
        self.hang |= fault.hang;
        self.reset |= fault.reset;
        self.redirect |= fault.redirect_loop;
        self.refuse_streams |= fault.refuse_streams;
        if fault.leader.is_some() {
            self.leader.clone_from(&fault.leader);
        }
    }
}

/// What goes wrong with one stream, now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StreamDamage {
    pub(crate) single_bytes: bool,
    pub(crate) silent: bool,
    pub(crate) cut: bool,
    pub(crate) events_per_second: Option<u32>,
    pub(crate) policy: ManglePolicy,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Faults {
        // Other dice than the cluster's, whose run shall not depend on how many requests go wrong.
        let rng = fastrand::Rng::with_seed(seed ^ 0x6661_756c_7473);
        Faults { inner: Mutex::new(Inner { set: Vec::new(), rng }) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        inner.set.retain(|active| active.until.is_none_or(|until| now < until));
        inner
    }

    /// Replaces all that are set.
    ///
    /// # Errors
    /// What is wrong with one of them, or that there are too many; what was set before stays.
    pub(crate) fn set(&self, faults: Vec<Fault>) -> Result<(), &'static str> {
        if faults.len() > FAULTS_MAX {
            return Err("at most 100 faults at a time");
        }
        for fault in &faults {
            fault.check()?;
        }
        let now = Instant::now();
        let active = |fault: Fault| {
            // Further away than clocks reach is for ever.
            let until = fault.for_ms.and_then(|millis| now.checked_add(Duration::from_millis(millis)));
            Active { until, fault }
        };
        self.inner().set = faults.into_iter().map(active).collect();
        Ok(())
    }

    /// What is set.
    pub(crate) fn all(&self) -> Vec<Fault> {
        self.inner().set.iter().map(|active| active.fault.clone()).collect()
    }

    /// Another number from 0 to 99; a stream keeps its own for its whole life.
    pub(crate) fn luck(&self) -> u8 {
        self.inner().rng.u8(..100)
    }

    /// What goes wrong with a request for `path`, as sent and decoded, at this node.
    pub(crate) fn request(&self, node: usize, path: &str) -> Damage {
        let mut damage = Damage::default();
        let mut inner = self.inner();
        let Inner { set, rng } = &mut *inner;
        for Active { fault, .. } in set.iter() {
            if concerns(fault, node, path) && rng.u8(..100) < fault.percent.unwrap_or(100) {
                damage.add(fault);
            }
        }
        damage
    }

    /// What goes wrong with a stream now.
    pub(crate) fn stream(&self, node: usize, path: &str, luck: u8) -> StreamDamage {
        let mut damage = StreamDamage::default();
        for Active { fault, .. } in &self.inner().set {
            if !concerns(fault, node, path) || luck >= fault.percent.unwrap_or(100) {
                continue;
            }
            damage.single_bytes |= fault.single_bytes;
            damage.silent |= fault.silent_streams;
            damage.cut |= fault.cut_frames;
            damage.events_per_second = fault.events_per_second.or(damage.events_per_second);
            if let Some(policy) = &fault.events {
                damage.policy.clone_from(policy);
            }
        }
        damage
    }

    /// What goes wrong with callbacks now.
    pub(crate) fn callbacks(&self) -> ManglePolicy {
        let inner = self.inner();
        inner.set.iter().rev().find_map(|active| active.fault.callbacks.clone()).unwrap_or_default()
    }
}

fn concerns(fault: &Fault, node: usize, path: &str) -> bool {
    fault.node.is_none_or(|only| only == node) && path.starts_with(fault.path.as_deref().unwrap_or("/v2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        serde_json::from_str(text).expect("a fault")
    }

    #[test]
    fn faults_select_by_path_node_and_share() {
        let faults = Faults::new(1);
        faults
            .set(vec![
                fault(r#"{"path":"/v2/apps","status":503}"#),
                fault(r#"{"node":1,"delayMs":7}"#),
                fault(r#"{"path":"/ping","percent":50,"hang":true}"#),
            ])
            .expect("valid");
        let status = |node, path: &str| faults.request(node, path).status;
        assert_eq!(
            (status(0, "/v2/apps/a"), status(0, "/v2/tasks"), status(0, "/")),
            (Some(503), None, None)
        );
        assert_eq!(faults.request(1, "/v2/tasks").delay, Duration::from_millis(7));
        assert_eq!(faults.request(0, "/v2/tasks"), Damage::default());
        let hung = (0..1000).filter(|_| faults.request(0, "/ping").hang).count();
        assert!((400..600).contains(&hung), "{hung}");
    }

    #[test]
    fn later_ones_win_and_bad_ones_change_nothing() {
        let faults = Faults::new(1);
        let both = vec![fault(r#"{"status":503,"html":true}"#), fault(r#"{"status":401}"#)];
        faults.set(both.clone()).expect("valid");
        let damage = faults.request(0, "/v2/apps");
        assert_eq!((damage.status, damage.html), (Some(401), false));
        for bad in [
            r#"{"status":7}"#,
            r#"{"percent":101}"#,
            r#"{"truncatePercent":100}"#,
            r#"{"bytesPerSecond":0}"#,
            r#"{"padBytes":1073741825}"#,
            r#"{"events":{"dropPercent":101}}"#,
            r#"{"callbacks":{"reorderBy":0}}"#,
        ] {
            assert!(faults.set(vec![fault(bad)]).is_err(), "{bad}");
        }
        assert!(faults.set(vec![Fault::default(); FAULTS_MAX + 1]).is_err());
        assert_eq!(faults.all(), both);
    }

    #[tokio::test(start_paused = true)]
    async fn they_end_by_themselves() {
        let faults = Faults::new(1);
        faults
            .set(vec![
                fault(r#"{"silentStreams":true,"forMs":1000}"#),
                fault(r#"{"cutFrames":true,"percent":30}"#),
            ])
            .expect("valid");
        assert!(faults.stream(0, "/v2/events", 99).silent && !faults.stream(0, "/v2/events", 99).cut);
        assert!(faults.stream(0, "/v2/events", 29).cut);
        tokio::time::advance(Duration::from_millis(1000)).await;
        assert!(!faults.stream(0, "/v2/events", 99).silent);
        assert_eq!(faults.all().len(), 1);
    }
}
