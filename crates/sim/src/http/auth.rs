//! Who may come in.

use super::wire::{Request, Response};
use super::{html, json, message};
use crate::dcos::{Dcos, Refused};
use crate::options::SimOptions;
use base64::Engine;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where DC/OS gives tokens.
const LOGIN: &str = "/acs/api/v1/auth/login";
/// Where it has Marathon.
const MOUNTS: [&str; 2] = ["/service/marathon", "/marathon"];

/// What has to be brought along.
#[derive(Debug)]
pub(super) enum Guard {
    Open,
    /// This `Authorization` header, by everybody, controls too.
    Basic(String),
    /// A token, by everybody but those who log in, and the controls.
    Dcos(Box<Dcos>),
}

impl Guard {
    pub(super) fn new(options: &SimOptions) -> Result<Guard, String> {
        if let Some(dcos) = &options.dcos {
            return Dcos::new(dcos, options.seed).map(|dcos| Guard::Dcos(Box::new(dcos)));
        }
        let encode = |text: &String| base64::engine::general_purpose::STANDARD.encode(text);
        Ok(options
            .credentials
            .as_ref()
            .map_or(Guard::Open, |text| Guard::Basic(format!("Basic {}", encode(text)))))
    }

    /// All tokens end; without DC/OS there are none.
    pub(super) fn expire_tokens(&self) -> bool {
        let Guard::Dcos(dcos) = self else { return false };
        dcos.expire_all();
        true
    }

    /// The answer to who may not come in, or is at a place that is not Marathon's. Takes away what DC/OS puts before
    /// Marathon's own paths.
    pub(super) fn check(&self, request: &mut Request) -> Option<Response> {
        match self {
            Guard::Open => None,
            Guard::Basic(wanted) => {
                if request.header("authorization").any(|given| given == wanted) {
                    return None;
                }
                let refused = message(401, "Invalid username or password.");
                Some(refused.with("WWW-Authenticate", "Basic realm=\"Mesosphere\""))
            }
            Guard::Dcos(dcos) => Guard::check_token(dcos, request),
        }
    }

    fn check_token(dcos: &Dcos, request: &mut Request) -> Option<Response> {
        if request.path == LOGIN {
            return Some(log_in(dcos, request));
        }
        if super::is_control(request) {
            return None;
        }
        let now = now();
        if !token(request).is_some_and(|token| dcos.admits(token, now)) {
            return Some(html(401, "Unauthorized").with("WWW-Authenticate", dcos.scheme().name()));
        }
        for mount in MOUNTS {
            if let Some(rest) = request.path.strip_prefix(mount)
                && (rest.is_empty() || rest.starts_with('/'))
            {
                request.path = if rest.is_empty() { "/".to_owned() } else { rest.to_owned() };
                break;
            }
        }
        None
    }
}

/// Seconds since 1970, which is what tokens count in.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// `Authorization: token=...`, or the cookie that does as well.
fn token(request: &Request) -> Option<&str> {
    let header = request.header("authorization").find_map(|value| value.strip_prefix("token="));
    let in_cookies = |value: &'_ str| -> Option<(usize, usize)> {
        let start = value.find("dcos-acs-auth-cookie=")? + "dcos-acs-auth-cookie=".len();
        let end = value[start..].find(';').map_or(value.len(), |length| start + length);
        Some((start, end))
    };
    header.or_else(|| {
        request
            .header("cookie")
            .find_map(|value| in_cookies(value).map(|(start, end)| value[start..end].trim()))
    })
}

fn log_in(dcos: &Dcos, request: &Request) -> Response {
    let refused = |status: u16, code: &str, description: &str| {
        let body = json!({ "title": "Login failed", "description": description, "code": code }).to_string();
        Response::new(status, "application/json", body)
    };
    if request.method != "POST" {
        return html(405, "Method Not Allowed").with("Allow", "POST");
    }
    let now = now();
    match dcos.log_in(&request.body, now) {
        Ok((token, expiry)) => {
            let age = expiry.saturating_sub(now);
            let cookie = format!("dcos-acs-auth-cookie={token}; Path=/; Max-Age={age}; HttpOnly");
            json(json!({ "token": token }).to_string()).with("Set-Cookie", cookie)
        }
        Err(Refused::Malformed(why)) => refused(400, "ERR_INVALID_DATA", why),
        Err(Refused::Denied) => refused(401, "ERR_INVALID_CREDENTIALS", "The credentials are not valid")
            .with("WWW-Authenticate", dcos.scheme().name()),
    }
}
