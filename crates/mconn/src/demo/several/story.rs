//! The story: who leads, numbered events, a leader killed, a leader that hands over, and the count.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::api::{Api, Work};
use super::cluster::Cluster;
use super::load::{APP, Load, Sent};
use super::{MODULE, SESSION, STEP};
use crate::demo::tell::Teller;
use crate::report::Report;

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is looked who works, while that is measured.
const FINE_LOOK: Duration = Duration::from_millis(5);
/// How long the stream runs between two things that happen.
const CALM: Duration = Duration::from_secs(2);
/// Lost events that are named.
const NAMED: usize = 5;

pub(super) struct Story {
    pub(super) teller: Teller,
    /// Whether it came to its end.
    pub(super) is_told: bool,
    api: Api,
    load: Option<Load>,
    summary: Vec<String>,
}

impl Story {
    pub(super) fn new(teller: Teller) -> Result<Self, Report> {
        Ok(Self { teller, is_told: false, api: Api::new()?, load: None, summary: Vec::new() })
    }

    /// The results so far.
    pub(super) fn summary(&self) -> &[String] {
        &self.summary
    }

    /// Sends nothing any more.
    pub(super) async fn end(&mut self) {
        if let Some(load) = self.load.take() {
            load.stop(Duration::ZERO).await;
        }
    }

    /// Tells it from the beginning to the end; an error is an expectation that did not come true.
    pub(super) async fn tell(&mut self, cluster: &mut Cluster) -> Result<(), Report> {
        self.start(cluster).await?;
        let (first, _) = self.agreed(cluster, cluster.nodes.len()).await?;

        self.teller.heading("numbered events through all nodes");
        self.api.preset(&cluster.nodes[0].authority, APP).await?;
        self.teller.line(&format!("{MODULE} is to greet the tasks of {APP}"));
        let nodes = cluster.nodes.iter().map(|node| node.authority.clone()).collect();
        self.load = Some(Load::start(&self.api, nodes));
        self.teller.line("each event goes to the next node in turn, and again until it is acknowledged");
        self.calm(cluster).await?;

        self.kill(cluster, first).await?;
        self.calm(cluster).await?;

        self.teller.heading(&format!("{} comes back", cluster.nodes[first].name));
        let id = cluster.start_node(first)?;
        self.teller.line(&format!("started again (process {id})"));
        let (second, _) = self.agreed(cluster, cluster.nodes.len()).await?;
        self.hand_over(cluster, second).await?;
        self.calm(cluster).await?;

        self.count(cluster).await?;
        self.is_told = true;
        Ok(())
    }

    async fn start(&self, cluster: &mut Cluster) -> Result<(), Report> {
        self.teller.heading(&format!("mconn demo, {} nodes", cluster.nodes.len()));
        let started = tokio::time::timeout(STEP, cluster.start_zookeeper()).await;
        let hosts = started
            .map_err(|_| Report::could_not_run(format!("ZooKeeper does not serve within {STEP:?}")))??;
        self.teller.line(&format!(
            "ZooKeeper  {hosts}   (a server of its own, with fsync, sessions of {:.0} s)",
            SESSION.as_secs_f64()
        ));
        for at in 0..cluster.nodes.len() {
            let id = cluster.start_node(at)?;
            let node = &cluster.nodes[at];
            self.teller
                .line(&format!("{}     http://{}/v1/members   (process {id})", node.name, node.authority));
        }
        Ok(())
    }

    /// Waits until all living nodes name the same leader and know of `members` members; gives leader and epoch.
    async fn agreed(&self, cluster: &Cluster, members: usize) -> Result<(usize, u64), Report> {
        let began = Instant::now();
        let (leader, epoch) = self
            .until(cluster, "all nodes name the same leader", LOOK, async || {
                let nodes = cluster.living().map(|at| self.api.members(&cluster.nodes[at].authority));
                let views: Option<Vec<_>> = join_all(nodes).await.into_iter().collect();
                let views = views?;
                let (leader, epoch, count) = views.first()?.clone();
                let same = views.iter().all(|view| *view == (leader.clone(), epoch, count));
                (same && count == members).then_some((leader, epoch))
            })
            .await?;
        let at = cluster.find(&leader).ok_or_else(|| {
            Report::failed(format!("the nodes name a leader that is none of them: {leader}"))
        })?;
        self.teller.line(&format!(
            "{} leads (epoch {epoch}), as all {members} say {:.2} s later; the others pass on what is for the leader",
            cluster.nodes[at].name,
            began.elapsed().as_secs_f64()
        ));
        Ok((at, epoch))
    }

    async fn calm(&self, cluster: &Cluster) -> Result<(), Report> {
        tokio::time::sleep(CALM).await;
        cluster.is_whole()?;
        let works = cluster.living().map(|at| self.api.work(&cluster.nodes[at].authority));
        let waiting = join_all(works).await.into_iter().flatten().map(|work| work.waiting).max();
        let acknowledged = self.load.as_ref().map_or(0, Load::acknowledged);
        let waiting = waiting.map_or_else(|| "?".to_owned(), |waiting| waiting.to_string());
        self.teller
            .line(&format!("{acknowledged} events acknowledged so far, {waiting} of them not finished"));
        Ok(())
    }

    async fn kill(&mut self, cluster: &mut Cluster, leader: usize) -> Result<(), Report> {
        let name = cluster.nodes[leader].name.clone();
        self.teller.heading(&format!("kill -9 {name}, which leads"));
        let before = self.works(cluster).await;
        let killed = Instant::now();
        cluster.kill(leader);
        self.teller.line(&format!(
            "killed, with {} events acknowledged and not finished",
            before[leader].unwrap_or_default().waiting
        ));
        let next = self.first_finished(cluster, leader, &before).await?;
        let took = killed.elapsed();
        let line = format!(
            "failover  {:.2} s from kill -9 of {name} to the first event that {} finished (session timeout {:.1} s)",
            took.as_secs_f64(),
            cluster.nodes[next].name,
            SESSION.as_secs_f64()
        );
        self.result(line);
        self.agreed(cluster, cluster.nodes.len() - 1).await.map(drop)
    }

    async fn hand_over(&mut self, cluster: &Cluster, leader: usize) -> Result<(), Report> {
        let name = &cluster.nodes[leader].name;
        self.teller.heading(&format!("{name} hands over: POST /v1/exit/leader?keep=true"));
        let before = self.works(cluster).await;
        let asked = Instant::now();
        self.api.hand_over(&cluster.nodes[leader].authority).await?;
        let next = self.first_finished(cluster, leader, &before).await?;
        let took = asked.elapsed();
        let line = format!(
            "handover  {:.2} s from the request to {name} to the first event that {} finished",
            took.as_secs_f64(),
            cluster.nodes[next].name
        );
        self.result(line);
        self.agreed(cluster, cluster.nodes.len()).await.map(drop)
    }

    /// What each node says of its work; nothing if it does not lead.
    async fn works(&self, cluster: &Cluster) -> Vec<Option<Work>> {
        join_all(cluster.nodes.iter().map(|node| self.api.work(&node.authority))).await
    }

    /// Waits until another node than `old` has finished an event since `before`; gives which.
    async fn first_finished(
        &self,
        cluster: &Cluster,
        old: usize,
        before: &[Option<Work>],
    ) -> Result<usize, Report> {
        self.until(cluster, "another node finishes an event", FINE_LOOK, async || {
            let others: Vec<_> = cluster.living().filter(|at| *at != old).collect();
            let works = others.iter().map(|at| self.api.work(&cluster.nodes[*at].authority));
            let works = join_all(works).await;
            others.into_iter().zip(works).find_map(|(at, work)| {
                let seen = before[at].unwrap_or_default().finished;
                // A node counts anew when it leads anew.
                work.is_some_and(|work| work.finished > 0 && work.finished != seen).then_some(at)
            })
        })
        .await
    }

    async fn count(&mut self, cluster: &Cluster) -> Result<(), Report> {
        self.teller.heading("the count");
        let Some(load) = self.load.take() else { return Ok(()) };
        let sent = load.stop(STEP).await;
        self.result(format!(
            "events    {} sent, {} acknowledged; {} had to be sent again, and none waited longer than {:.2} s",
            sent.events,
            sent.acknowledged.len(),
            sent.repeats,
            sent.longest.as_secs_f64()
        ));
        let began = Instant::now();
        self.until(cluster, "the leader has finished all events", LOOK, async || {
            let works = self.works(cluster).await;
            works.into_iter().flatten().any(|work| work.waiting == 0).then_some(())
        })
        .await?;
        self.teller.line(&format!("the last is finished {:.2} s later", began.elapsed().as_secs_f64()));
        let mut lost = Vec::new();
        for node in &cluster.nodes {
            let inventory = self.api.inventory(&node.authority).await?;
            let missing: Vec<_> =
                sent.acknowledged.iter().filter(|task| !inventory.contains(*task)).cloned().collect();
            self.teller.line(&format!(
                "through {}: {} of {} acknowledged events are in the inventory",
                node.name,
                sent.acknowledged.len() - missing.len(),
                sent.acknowledged.len()
            ));
            lost.push((node.name.as_str(), missing));
        }
        let verdict = verdict(&sent, &lost);
        self.result(match &verdict {
            Ok(()) => format!("lost      none of {}", sent.acknowledged.len()),
            Err(_) => "lost      see the error".to_owned(),
        });
        verdict
    }

    /// Tells a line, and once more in the summary.
    fn result(&mut self, line: String) {
        self.teller.line(&line);
        self.summary.push(line);
    }

    /// Waits until `reached` gives something.
    async fn until<T>(
        &self,
        cluster: &Cluster,
        what: &str,
        pause: Duration,
        reached: impl AsyncFn() -> Option<T>,
    ) -> Result<T, Report> {
        let wait = async {
            loop {
                if let Some(found) = reached().await {
                    return Ok(found);
                }
                cluster.is_whole()?;
                tokio::time::sleep(pause).await;
            }
        };
        let found = tokio::time::timeout(STEP, wait).await;
        found.unwrap_or_else(|_| Err(Report::failed(format!("after {STEP:?} it is not so that {what}"))))
    }
}

/// Whether everything that was promised was kept.
fn verdict(sent: &Sent, lost: &[(&str, Vec<String>)]) -> Result<(), Report> {
    if let Some((node, missing)) = lost.iter().find(|(_, missing)| !missing.is_empty()) {
        let named = missing.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(Report::failed(format!(
            "{} of {} acknowledged events are lost, as counted through {node}: {named}{}",
            missing.len(),
            sent.acknowledged.len(),
            if missing.len() > NAMED { ", ..." } else { "" }
        )));
    }
    let open = sent.events - sent.acknowledged.len() as u64;
    if open > 0 {
        return Err(Report::failed(format!("{open} events were acknowledged by no node within {STEP:?}")));
    }
    if sent.acknowledged.is_empty() {
        return Err(Report::failed("no event was acknowledged, so nothing is shown"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(events: u64, acknowledged: &[&str]) -> Sent {
        let acknowledged = acknowledged.iter().map(|task| (*task).to_owned()).collect();
        Sent { events, repeats: 0, acknowledged, longest: Duration::ZERO }
    }

    fn said(sent: &Sent, missing: &[&str]) -> String {
        let missing = missing.iter().map(|task| (*task).to_owned()).collect();
        let verdict = verdict(sent, &[("node 1", Vec::new()), ("node 2", missing)]);
        verdict.map_or_else(|report| report.line(), |()| "well".to_owned())
    }

    #[test]
    fn what_is_lost_on_any_node_fails_and_so_does_what_nobody_took() {
        assert_eq!(said(&sent(2, &["a", "b"]), &[]), "well");
        let lost = "1 of 2 acknowledged events are lost, as counted through node 2: b";
        assert_eq!(said(&sent(2, &["a", "b"]), &["b"]), lost);
        assert_eq!(said(&sent(3, &["a", "b"]), &[]), "1 events were acknowledged by no node within 60s");
        assert_eq!(said(&sent(0, &[]), &[]), "no event was acknowledged, so nothing is shown");
    }
}
