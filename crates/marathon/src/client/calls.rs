//! The calls, each with what counts as an answer to it (spec/marathon.md section 2).

use http::{Method, StatusCode};
use mconn_model::{AppId, AppListing, Listing, Pod, Timestamp, Warning};
use url::form_urlencoded;

use super::{Answer, Ask, AttemptError, ClientError, MarathonClient};
use crate::json::{self, Info, Parsed, RunningTask};
use crate::percent;

/// Everything about all apps. `taskStats` and `lastTaskFailure` cost the leader dearly and are never asked for.
const LISTING_PATH: &str = "v2/apps?embed=apps.tasks&embed=apps.deployments&embed=apps.readiness";

/// Where the status of all pods is found; the first is what Marathon's sources say, the second what clients also use.
const PODS_PATHS: [&str; 2] = ["v2/pods/::status", "v2/pods::status"];

/// What is known about the pods of this Marathon.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) enum PodsKnown {
    #[default]
    Nothing,
    /// Index into [`PODS_PATHS`].
    At(usize),
    /// The Marathon led by this leader has none; another one may be another version.
    Absent(Option<String>),
}

/// What one node says about pods.
#[derive(Debug)]
enum PodsAnswer {
    Pods(Parsed<Vec<Pod>>),
    Absent,
    Forbidden,
}

/// The answer of [`MarathonClient::app`].
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The app; `None` if Marathon says that it does not exist.
    pub app: Option<AppListing>,
    /// The time by Marathon's clock when it answered, to the second below; `None` if it did not tell.
    pub as_of: Option<Timestamp>,
    /// Parts that were left out.
    pub warnings: Vec<Warning>,
}

/// The answer of [`MarathonClient::running_tasks`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunningTasks {
    /// The tasks.
    pub tasks: Vec<RunningTask>,
    /// Elements that could not be read: a comparison must not take their tasks for gone.
    pub warnings: Vec<Warning>,
}

/// Whether `GET /v2/apps/{id}` can mean this app: ids that end like Marathon's own paths cannot be asked for alone.
#[must_use]
pub fn is_addressable(id: &AppId) -> bool {
    !matches!(id.segments().next_back(), Some("restart" | "tasks" | "versions"))
}

fn app_path(id: &AppId) -> String {
    let segments: Vec<_> = id.segments().map(percent::encode_segment).collect();
    format!("v2/apps/{}", segments.join("/"))
}

impl MarathonClient {
    /// All apps with tasks, deployments and readiness, and all pods.
    ///
    /// # Errors
    /// [`ClientError`] when no node gives a whole list, or when pods that were there before cannot be listed: a part is
    /// never passed off as everything.
    pub async fn listing(&self) -> Result<Listing, ClientError> {
        let mut ask = self.get("GET /v2/apps", LISTING_PATH);
        ask.deadline = self.inner.settings.listing_timeout;
        let read = |answer: &Answer| Ok(Listing { as_of: answer.date, ..json::listing(answer.ok()?)? });
        let mut listing = self.call(&ask, read).await?;
        let pods = self.pods().await?;
        listing.pods_unknown = pods.is_none();
        if let Some(pods) = pods {
            listing.pods = pods.value;
            listing.warnings.extend(pods.warnings);
        }
        Ok(listing)
    }

    /// The status of all pods; none where Marathon does not know pods (before 1.4), `None` where he does not tell.
    async fn pods(&self) -> Result<Option<Parsed<Vec<Pod>>>, ClientError> {
        let known = self.inner.pods.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let paths = match &known {
            PodsKnown::Absent(leader) if *leader == self.known_leader() => {
                return Ok(Some(Parsed::default()));
            }
            PodsKnown::At(index) => *index..*index + 1,
            _ => 0..PODS_PATHS.len(),
        };
        for index in paths {
            let mut ask = self.get("GET /v2/pods/::status", PODS_PATHS[index]);
            ask.deadline = self.inner.settings.listing_timeout;
            // Where there were pods before, anything but a list or Marathon's own word is a failure.
            let certain = matches!(known, PodsKnown::At(_));
            match self.call(&ask, move |answer| read_pods(answer, certain)).await {
                Ok(PodsAnswer::Pods(pods)) => {
                    self.remember_pods(PodsKnown::At(index));
                    self.pods_untold(None);
                    return Ok(Some(pods));
                }
                Ok(PodsAnswer::Forbidden) => {
                    self.pods_untold(Some("the user may not read them"));
                    return Ok(None);
                }
                Ok(PodsAnswer::Absent) => {}
                Err(error) if certain => return Err(error),
                Err(error) => {
                    self.pods_untold(Some(&error.to_string()));
                    return Ok(None);
                }
            }
        }
        self.remember_pods(PodsKnown::Absent(self.known_leader()));
        Ok(Some(Parsed::default()))
    }

    /// Says once that there is nothing about pods, and again only after there was something.
    fn pods_untold(&self, reason: Option<&str>) {
        let told = self.inner.pods_untold.swap(reason.is_some(), std::sync::atomic::Ordering::Relaxed);
        if let Some(reason) = reason.filter(|_| !told) {
            tracing::warn!("Marathon does not tell about pods, apps are followed without them: {reason}");
        }
    }

    fn remember_pods(&self, known: PodsKnown) {
        *self.inner.pods.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = known;
    }

    /// One app with its tasks. The answer "does not exist" counts only in Marathon's own words: the 404 page of a proxy
    /// does not mean that an app is gone.
    ///
    /// # Errors
    /// [`ClientError`] when no node says the one or the other.
    pub async fn app(&self, id: &AppId) -> Result<Listed, ClientError> {
        let ask = self.get("GET /v2/apps/{id}", format!("{}?embed=app.readiness", app_path(id)));
        self.call(&ask, |answer| {
            if answer.status == StatusCode::NOT_FOUND && json::error_message(&answer.body).is_some() {
                return Ok(Listed { app: None, as_of: answer.date, warnings: Vec::new() });
            }
            let Parsed { value, warnings } = json::app(answer.ok()?)?;
            Ok(Listed { app: Some(value), as_of: answer.date, warnings })
        })
        .await
    }

    /// All running tasks of apps. Only status 200 with a JSON object that has an array `tasks` is an answer.
    ///
    /// # Errors
    /// [`ClientError`] when no node gives one.
    pub async fn running_tasks(&self) -> Result<RunningTasks, ClientError> {
        let ask = self.get("GET /v2/tasks", "v2/tasks?status=running");
        self.call(&ask, |answer| {
            let Parsed { value, warnings } = json::running_tasks(answer.ok()?)?;
            Ok(RunningTasks { tasks: value, warnings })
        })
        .await
    }

    /// Version, leader and the like.
    ///
    /// # Errors
    /// [`ClientError`] when no node tells (restricted users may not ask).
    pub async fn info(&self) -> Result<Info, ClientError> {
        let ask = self.get("GET /v2/info", "v2/info");
        let info = self.call(&ask, |answer| Ok(json::info(answer.ok()?)?)).await?;
        Ok(info)
    }

    /// The leader's `host:port`; `None` while there is none.
    ///
    /// # Errors
    /// [`ClientError`] when no node answers.
    pub async fn leader(&self) -> Result<Option<String>, ClientError> {
        let ask = self.get("GET /v2/leader", "v2/leader");
        self.call(&ask, |answer| {
            if answer.status == StatusCode::NOT_FOUND && json::error_message(&answer.body).is_some() {
                return Ok(None);
            }
            Ok(Some(json::leader(answer.ok()?)?))
        })
        .await
    }

    /// Whether any node is alive; followers answer without a leader.
    ///
    /// # Errors
    /// [`ClientError`] that names each node and its reason.
    pub async fn ping(&self) -> Result<(), ClientError> {
        let ask = Ask { accept: "text/plain", ..self.get("GET /ping", "ping") };
        self.call(&ask, |answer| answer.ok().map(|_| ())).await
    }

    /// Asks Marathon (1.4 and earlier) to post every event to `callback_url`.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] where there are no callbacks, else [`ClientError::NoneAnswered`].
    pub async fn subscribe(&self, callback_url: &str) -> Result<(), ClientError> {
        self.subscription("POST /v2/eventSubscriptions", Method::POST, callback_url).await
    }

    /// Takes a subscription back.
    ///
    /// # Errors
    /// As [`MarathonClient::subscribe`].
    pub async fn unsubscribe(&self, callback_url: &str) -> Result<(), ClientError> {
        self.subscription("DELETE /v2/eventSubscriptions", Method::DELETE, callback_url).await
    }

    async fn subscription(
        &self,
        call: &'static str,
        method: Method,
        callback_url: &str,
    ) -> Result<(), ClientError> {
        let query: String = form_urlencoded::byte_serialize(callback_url.as_bytes()).collect();
        let ask = Ask { method, ..self.get(call, format!("v2/eventSubscriptions?callbackUrl={query}")) };
        let read = |answer: &Answer| if answer.status.is_success() { Ok(()) } else { Err(answer.refusal()) };
        match self.call(&ask, read).await {
            Err(ClientError::NoneAnswered { attempts, .. })
                if attempts.iter().any(|attempt| lacks_callbacks(&attempt.error)) =>
            {
                let reason = "Marathon 1.5 and later have no callbacks, earlier ones need \
                              --event_subscriber http_callback; use the event stream instead";
                Err(ClientError::Unsupported { what: "event callbacks", reason, attempts })
            }
            other => other,
        }
    }
}

fn is_unknown_path(answer: &Answer) -> bool {
    let unknown = |message: String| message.starts_with("URI not found");
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => true,
        // 1.6 and later say so about unknown paths (spec/marathon.md section 1.2).
        StatusCode::INTERNAL_SERVER_ERROR => json::error_message(&answer.body).is_some_and(unknown),
        _ => false,
    }
}

fn lacks_callbacks(error: &AttemptError) -> bool {
    let AttemptError::Status { status, message } = error else { return false };
    let unknown = message.as_ref().is_some_and(|message| message.starts_with("URI not found"));
    matches!(status.as_u16(), 400 | 404 | 405) || unknown
}

fn read_pods(answer: &Answer, certain: bool) -> Result<PodsAnswer, AttemptError> {
    let own_words = || json::error_message(&answer.body).is_some();
    match answer.status {
        _ if is_unknown_path(answer) && (!certain || own_words()) => Ok(PodsAnswer::Absent),
        StatusCode::UNAUTHORIZED if !certain => Ok(PodsAnswer::Forbidden),
        StatusCode::FORBIDDEN => Ok(PodsAnswer::Forbidden),
        _ => Ok(PodsAnswer::Pods(json::pods(answer.ok()?)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_paths() {
        let path = |id: &str| app_path(&AppId::parse(id).unwrap());
        assert_eq!(path("/a/b-c.d"), "v2/apps/a/b-c.d");
        assert_eq!(path("/a b/c?d%"), "v2/apps/a%20b/c%3Fd%25");
        assert!(is_addressable(&AppId::parse("/tasks/x").unwrap()));
        assert!(!is_addressable(&AppId::parse("/x/tasks").unwrap()));
    }
}
