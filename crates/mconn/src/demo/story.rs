//! The story: start four tasks, scale up, kill one, roll a new version, delete.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mconn_catalog::CatalogHandle;
use mconn_model::{AppId, TaskEntry, VerdictKind};
use mconn_queue::{Notice, QueueHandle, StateName};
use mconn_sim::Sim;
use mconn_wire::http::{HttpClient, HttpSettings, Method, Request};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use url::Url;

use super::STEP;
use super::apps::{self, WEB};
use super::tell::Teller;
use crate::report::Report;

const MODULE: &str = "HelloWorld";
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);

pub(super) struct Story {
    http: HttpClient,
    marathon: Url,
    node: Url,
    queue: QueueHandle,
    catalog: CatalogHandle,
    teller: Teller,
    voice: tokio::task::JoinHandle<()>,
}

impl Drop for Story {
    fn drop(&mut self) {
        self.voice.abort();
    }
}

impl Story {
    pub(super) fn new(
        sim: &Sim,
        node: SocketAddr,
        queue: QueueHandle,
        catalog: Option<CatalogHandle>,
        teller: Teller,
    ) -> Result<Self, Report> {
        let http = HttpClient::new(&HttpSettings::default())
            .map_err(|error| Report::could_not_run("cannot set up HTTP").because(&error))?;
        let url =
            |text: String| Url::parse(&text).map_err(|error| Report::could_not_run(text).because(&error));
        let catalog = catalog.ok_or_else(|| Report::could_not_run("the node follows no Marathon"))?;
        let voice = tokio::spawn(speak(queue.subscribe(), teller.clone()));
        Ok(Self {
            http,
            marathon: url(sim.url())?,
            node: url(format!("http://{node}"))?,
            queue,
            catalog,
            teller,
            voice,
        })
    }

    /// Tells it from the beginning to the end; an error is a step that did not come to its end.
    pub(super) async fn tell(&mut self) -> Result<(), Report> {
        self.teller.heading("the cluster as the node finds it");
        self.until("its tasks run", |_| {
            let snapshot = self.catalog.current();
            snapshot.endpoints().filter(|endpoint| endpoint.verdict.kind == VerdictKind::Routable).count()
                == apps::TASKS
        })
        .await?;
        self.list_apps();

        self.teller.heading("presets: what HelloWorld shall do");
        for app in ["/shop/web", "/infra/metrics", "/shop/backend/cart"] {
            let preset = json!({"moduleName": MODULE, "appId": app, "status": "enabled",
                                "options": {"actions": {"add": "Moin, Moin", "remove": "Tschues"}}});
            let answer = self.call(&self.node, Method::POST, "v1/module/preset", Some(preset)).await?;
            self.teller.line(answer["message"].as_str().unwrap_or("no message"));
        }
        self.teller
            .line("tasks that ran before their preset came are found by the sync that each preset starts");
        self.until_inventory("the sync has added them", |items| items.len() >= 3).await?;

        self.teller.heading("start four tasks of /shop/web");
        self.put(apps::web(1, 4)).await?;
        self.until_web("four tasks greeted and routable", 4).await?;
        self.ask_tasks().await?;

        self.teller.heading("scale up to six");
        self.put(json!({"id": WEB, "instances": 6})).await?;
        self.until_web("six tasks greeted and routable", 6).await?;

        self.teller.heading("kill one: Marathon replaces it");
        let before = self.web_tasks();
        if let Some(victim) = before.first() {
            let path = format!("v2/apps{WEB}/tasks/{victim}");
            self.call(&self.marathon, Method::DELETE, &path, None).await?;
            let victim = victim.clone();
            self.until_inventory("the victim is gone from the inventory", |items| !items.contains(&victim))
                .await?;
        }
        self.until_web("six again", 6).await?;

        self.teller.heading("roll out a new version");
        let before: BTreeSet<String> = self.web_tasks().into_iter().collect();
        self.put(apps::web(2, 6)).await?;
        self.until_inventory("all old tasks are gone", |items| items.is_disjoint(&before)).await?;
        self.until_web("six tasks of the new version", 6).await?;

        self.teller.heading("delete /shop/web");
        self.call(&self.marathon, Method::DELETE, &format!("v2/apps{WEB}"), None).await?;
        self.until("no task of it is known", <[_]>::is_empty).await?;
        self.until_inventory("nor in the inventory", |items| {
            items.iter().all(|task| !task.starts_with("shop_web."))
        })
        .await?;
        self.teller.line("the end; the other apps go on");
        Ok(())
    }

    /// What was done, from the node's own numbers.
    pub(super) async fn summary(&self) -> Vec<String> {
        let snapshot = self.catalog.current();
        let mut lines = vec![format!(
            "catalog: version {}, {} apps, {} endpoints",
            snapshot.version,
            snapshot.apps.len(),
            snapshot.endpoints().count()
        )];
        for (source, state) in &snapshot.sources {
            lines.push(format!(
                "source {source}: {} events, {} full comparisons, {} missed events",
                state.events, state.comparisons, state.differences
            ));
        }
        match self.queue.stats().await {
            Ok(stats) => {
                lines.push(format!(
                    "queue: {} events accepted, {} deliveries known already, {} waiting, {} commits",
                    stats.accepted, stats.duplicates, stats.journal, stats.commits
                ));
                for module in stats.modules {
                    lines.push(format!(
                        "module {}: {} finished, {} without preset, {} of undefined status, {} failed, {} in inventory",
                        module.name, module.finished, module.nopreset, module.undefined, module.failed, module.inventory
                    ));
                }
            }
            Err(error) => lines.push(format!("queue: {error}")),
        }
        lines
    }

    fn list_apps(&self) {
        let snapshot = self.catalog.current();
        for entry in snapshot.apps.values() {
            let mode = entry.app.as_ref().map_or("pod".to_owned(), |app| match &app.network {
                mconn_model::NetworkMode::Host => "host".to_owned(),
                mconn_model::NetworkMode::Bridge => "bridge".to_owned(),
                mconn_model::NetworkMode::Container { networks } => {
                    format!("container {}", networks.join(","))
                }
                mconn_model::NetworkMode::IpPerTask { .. } => "address per task".to_owned(),
            });
            self.teller.line(&format!("{:32}{mode:20}{} tasks", entry.id.as_str(), entry.tasks.len()));
            for endpoint in entry.tasks.iter().flat_map(|task| &task.endpoints) {
                self.teller.line(&format!(
                    "    {:40}{}",
                    endpoint.transport.to_string(),
                    endpoint.verdict.kind.as_str()
                ));
            }
        }
    }

    /// Tasks are real servers: ask each for its name.
    async fn ask_tasks(&self) -> Result<(), Report> {
        for task in self.web_entries() {
            let Some(endpoint) = task.endpoints.first() else { continue };
            let address = endpoint.transport.to_string();
            let url = Url::parse(&format!("http://{address}/"))
                .map_err(|error| Report::failed(format!("{address} is no address")).because(&error))?;
            let answer = self.http.send(Request::get(url)).await;
            let answer = answer.map_err(|error| Report::failed("a task does not answer").because(&error))?;
            let name = String::from_utf8_lossy(&answer.body).trim().to_owned();
            self.teller.line(&format!("GET http://{address}/  ->  {name}"));
        }
        Ok(())
    }

    async fn put(&self, app: Value) -> Result<(), Report> {
        let path = format!("v2/apps{WEB}?force=true");
        self.call(&self.marathon, Method::PUT, &path, Some(app)).await.map(drop)
    }

    async fn call(
        &self,
        base: &Url,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Report> {
        let url = base.join(path).map_err(|error| Report::failed(path).because(&error))?;
        let shown = format!("{method} {url}");
        let body = body.map(|json| ("application/json", Bytes::from(json.to_string())));
        let answer = self.http.send(Request { method, body, ..Request::get(url) }).await;
        let answer = answer.map_err(|error| Report::failed(shown.clone()).because(&error))?;
        if !answer.status.is_success() {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(Report::failed(format!("{shown} answered {}: {text}", answer.status)));
        }
        Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn web_entries(&self) -> Vec<Arc<TaskEntry>> {
        let snapshot = self.catalog.current();
        let Ok(web) = AppId::parse(WEB) else { return Vec::new() };
        snapshot.apps.values().filter(|entry| entry.id == web).flat_map(|entry| entry.tasks.clone()).collect()
    }

    fn web_tasks(&self) -> Vec<String> {
        self.web_entries().iter().map(|task| task.task.id.to_string()).collect()
    }

    fn inventory(&self) -> BTreeSet<String> {
        let items = self.queue.inventory(MODULE).unwrap_or_default();
        items.iter().map(|item| item.key.to_string()).collect()
    }

    /// All of the app's tasks have been greeted, and so many of them are routable.
    async fn until_web(&self, what: &str, count: usize) -> Result<(), Report> {
        self.until(what, |tasks| {
            let inventory = self.inventory();
            let ready = |task: &&Arc<TaskEntry>| {
                task.verdict.kind == VerdictKind::Routable && inventory.contains(task.task.id.as_str())
            };
            tasks.iter().filter(ready).count() == count
        })
        .await?;
        self.teller.line(what);
        Ok(())
    }

    async fn until_inventory(
        &self,
        what: &str,
        reached: impl Fn(&BTreeSet<String>) -> bool,
    ) -> Result<(), Report> {
        self.until(what, |_| reached(&self.inventory())).await?;
        self.teller.line(what);
        Ok(())
    }

    /// Waits until the story's tasks, in a complete catalog, are as wanted.
    async fn until(&self, what: &str, reached: impl Fn(&[Arc<TaskEntry>]) -> bool) -> Result<(), Report> {
        let wait = async {
            while !(self.catalog.current().is_complete() && reached(&self.web_entries())) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(STEP, wait).await.map_err(|_| {
            Report::failed(format!("after {STEP:?} it is not so that {what}"))
                .hint("--log shows what the node did")
        })
    }
}

/// Tells what the node says as it happens.
async fn speak(mut notices: broadcast::Receiver<Arc<Notice>>, teller: Teller) {
    loop {
        let notice = match notices.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        match &*notice {
            Notice::Ended { id, state: StateName::Finished, cleanup, .. } => {
                let why = if *cleanup { "   (found by a sync)" } else { "" };
                if let Some(task) = id.strip_suffix("_TASK_RUNNING") {
                    teller.line(&format!("  + Moin, Moin  {task}{why}"));
                } else {
                    let (task, status) = id.rsplit_once("_TASK_").unwrap_or((id, ""));
                    teller.line(&format!("  - Tschues     {task}  {}{why}", status.to_lowercase()));
                }
            }
            Notice::Ended { id, state: StateName::Failed, reason, .. } => {
                teller.line(&format!("  ! failed      {id}: {}", reason.as_deref().unwrap_or_default()));
            }
            _ => {}
        }
    }
}
