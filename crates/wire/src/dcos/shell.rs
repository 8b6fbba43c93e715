//! The async part: sends logins, one at a time, and tells the session how they went.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::credential::DcosCredential;
use super::error::{Advice, LoginError};
use super::jwt;
use super::session::{Session, Step};
use crate::http::{HttpClient, Request, Response, ShownUrl, Token};

/// How long a login may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer to a login, in bytes: a token has some hundred, one with many groups some thousand.
const ANSWER_BYTES: usize = 256 * 1024;
/// How much of a refusal's reason is shown, in characters.
const WORDS: usize = 200;

/// Who logs in, and where.
#[derive(Debug, Clone)]
pub struct DcosSettings {
    /// A service account or a user.
    pub credential: DcosCredential,
    /// Where to; usually `https://<master>/acs/api/v1/auth/login`.
    pub login_endpoint: Url,
}

type Pending = Shared<BoxFuture<'static, Result<Token, LoginError>>>;

/// A login that keeps its token good. Cheap to clone; clones share the token.
#[derive(Debug, Clone)]
pub struct DcosLogin {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    attempt: Arc<Attempt>,
    /// The login under way. Whoever waits for it drives it, so nothing of it is left when nobody wants it any more.
    pending: Mutex<Option<Pending>>,
}

/// What one login needs; it does not hold [`Inner`], which holds the login.
#[derive(Debug)]
struct Attempt {
    http: HttpClient,
    settings: DcosSettings,
    start: Instant,
    session: Mutex<Session>,
}

impl DcosLogin {
    /// Logs in when a token is first wanted, not before. `http` decides whom TLS trusts.
    #[must_use]
    pub fn new(http: HttpClient, settings: DcosSettings) -> Self {
        let session = Mutex::new(Session::default());
        let attempt = Arc::new(Attempt { http, settings, start: Instant::now(), session });
        Self { inner: Arc::new(Inner { attempt, pending: Mutex::new(None) }) }
    }

    /// A token that is good as far as is known; logs in if there is none, or if it ends soon. Takes 10 s at most.
    ///
    /// # Errors
    /// [`LoginError`]: no login, and no token that is still good.
    pub async fn token(&self) -> Result<Token, LoginError> {
        let attempt = &self.inner.attempt;
        let login = {
            let mut pending = self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner);
            match attempt.session().want(attempt.now()) {
                Step::Use(token) => return Ok(token),
                Step::Fail(error) => return Err(error),
                Step::Login => {}
            }
            let under_way = pending.as_ref().filter(|login| login.peek().is_none()).cloned();
            let login = under_way.unwrap_or_else(|| attempt.clone().log_in().boxed().shared());
            *pending = Some(login.clone());
            login
        };
        login.await
    }

    /// Tells that this token let somebody in.
    pub fn accepted(&self, token: &Token) {
        self.inner.attempt.session().accepted(token);
    }

    /// Tells that this token was answered with 401. The next [`DcosLogin::token`] logs in again.
    pub fn refused(&self, token: &Token) {
        let attempt = &self.inner.attempt;
        attempt.session().refused(token, attempt.now(), fastrand::f64());
    }
}

impl Attempt {
    /// Held for moments only, never across an await.
    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    async fn log_in(self: Arc<Self>) -> Result<Token, LoginError> {
        let begun = self.now();
        match self.ask().await {
            Ok((token, lifetime)) => {
                self.session().logged_in(token.clone(), begun, lifetime);
                Ok(token)
            }
            Err(error) => {
                let left = self.session().failed(error.clone(), self.now(), fastrand::f64());
                left.ok_or(error)
            }
        }
    }

    async fn ask(&self) -> Result<(Token, Option<Duration>), LoginError> {
        let body = self.settings.credential.body(seconds(SystemTime::now()))?;
        let request = Request {
            method: Method::POST,
            body: Some(("application/json", body.into())),
            deadline: LOGIN_TIMEOUT,
            body_limit: ANSWER_BYTES,
            ..Request::get(self.settings.login_endpoint.clone())
        };
        let response = self.http.send(request).await?;
        let url = ShownUrl::new(&self.settings.login_endpoint);
        if response.status != StatusCode::OK {
            return Err(self.refusal(&response, url));
        }
        let json: Option<Value> = serde_json::from_slice(&response.body).ok();
        let text = json.as_ref().and_then(|json| json.get("token")).and_then(Value::as_str);
        let token = text.and_then(Token::new).ok_or(LoginError::NoToken { url })?;
        let lifetime = lifetime(&token, response.date().unwrap_or_else(SystemTime::now));
        Ok((token, lifetime))
    }

    fn refusal(&self, response: &Response, url: ShownUrl) -> LoginError {
        let credential = &self.settings.credential;
        let clock_ahead = || {
            let theirs = i64::try_from(seconds(response.date()?)).ok()?;
            Some(i64::try_from(seconds(SystemTime::now())).ok()? - theirs)
        };
        let advice = match response.status.as_u16() {
            429 | 500.. => Advice::Wait,
            400 | 401 | 403 if credential.is_service() => Advice::Account { clock_ahead: clock_ahead() },
            400 | 401 | 403 => Advice::User,
            _ => Advice::Endpoint,
        };
        let (status, words) = (response.status, words(&response.body));
        LoginError::Refused { uid: credential.uid().to_owned(), url, status, words, advice }
    }
}

/// How long a token lives from `now` on, which should be read from the clock of whoever wrote its end.
fn lifetime(token: &Token, now: SystemTime) -> Option<Duration> {
    let end = jwt::expiry(token.reveal())?;
    Some(Duration::from_secs(end.saturating_sub(seconds(now))))
}

/// Seconds since the epoch; a time before it is none at all.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The reason in a refusal's body, without what could break a line.
fn words(body: &[u8]) -> Option<String> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let text = ["description", "message", "title"].iter().find_map(|name| json.get(name)?.as_str())?;
    let text: String = text.chars().filter(|c| !c.is_control()).take(WORDS).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_measured_from_the_issuers_now() {
        // {"exp":1767610800}
        let token = Token::new("a.eyJleHAiOjE3Njc2MTA4MDB9.b").unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(lifetime(&token, at(1_767_607_200)), Some(Duration::from_secs(3600)));
        assert_eq!(lifetime(&token, at(1_999_999_999)), Some(Duration::ZERO));
        assert_eq!(lifetime(&Token::new("opaque").unwrap(), at(0)), None);
    }

    #[test]
    fn the_reason_of_a_refusal_is_short_and_on_one_line() {
        let long = format!(r#"{{"title":"no","description":"a\r\nb{}"}}"#, "x".repeat(1000));
        let words = words(long.as_bytes()).unwrap();
        assert!(words.starts_with("abxx") && words.len() == WORDS, "{words}");
        assert_eq!(super::words(b"<html>"), None);
    }
}
