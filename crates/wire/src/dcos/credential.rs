//! What a login proves itself with.

use std::fmt;
use std::sync::Arc;

use ring::signature::RsaKeyPair;
use serde_json::{Value, json};
use url::Url;

use super::error::LoginError;
use super::jwt;

/// How long the proof of a service account holds, in seconds. Short, since it is as good as the key while it holds.
const PROOF_SECONDS: u64 = 60;

/// Why a text is no credential. The text itself is not repeated: it is a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Neither of the two forms.
    #[error("it is neither a service account in JSON nor user:password")]
    Form,
    /// JSON that breaks off, or has something in it that is none.
    #[error("it begins like JSON, but is none from line {line}, column {column} on")]
    Json {
        /// From 1 on.
        line: usize,
        /// From 1 on.
        column: usize,
    },
    /// A field that is missing, empty or no text.
    #[error("the JSON has no text \"{field}\"; a service account has uid, private_key and login_endpoint")]
    Field {
        /// Its name.
        field: &'static str,
    },
    /// Another way of signing.
    #[error("its \"scheme\" is not RS256, the only one that is supported")]
    Scheme,
    /// An unusable key.
    #[error("its \"private_key\" cannot be used: {reason}")]
    Key {
        /// Why.
        reason: String,
    },
    /// An unusable address.
    #[error("its \"login_endpoint\" is no http or https address")]
    Endpoint,
}

/// A service account with its key, or a user with a password. `Debug` shows neither.
#[derive(Clone)]
pub struct DcosCredential {
    uid: String,
    proof: Proof,
    login_endpoint: Option<Url>,
}

#[derive(Clone)]
enum Proof {
    Key(Arc<RsaKeyPair>),
    Password(String),
}

impl DcosCredential {
    /// Reads the secret of a service account, `{"scheme":"RS256","uid":..,"private_key":..,"login_endpoint":..}`, the same
    /// of a user with `password` in place of `private_key`, or `user:password` (the first colon splits).
    ///
    /// # Errors
    /// [`CredentialError`], which never quotes the text.
    pub fn parse(text: &str) -> Result<Self, CredentialError> {
        let text = text.trim();
        if text.starts_with('{') {
            return Self::of_json(text);
        }
        let (uid, password) = text.split_once(':').ok_or(CredentialError::Form)?;
        if uid.is_empty() || password.is_empty() {
            return Err(CredentialError::Form);
        }
        let proof = Proof::Password(password.to_owned());
        Ok(Self { uid: uid.to_owned(), proof, login_endpoint: None })
    }

    fn of_json(text: &str) -> Result<Self, CredentialError> {
        // The parser's own words may quote what it found.
        let json: Value = serde_json::from_str(text)
            .map_err(|error| CredentialError::Json { line: error.line(), column: error.column() })?;
        let field = |name: &'static str| {
            let text = json.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.ok_or(CredentialError::Field { field: name })
        };
        let uid = field("uid")?.to_owned();
        let login_endpoint = match json.get("login_endpoint") {
            None | Some(Value::Null) => None,
            Some(_) => Some(login_url(field("login_endpoint")?).ok_or(CredentialError::Endpoint)?),
        };
        let proof = match (field("private_key"), field("password")) {
            (Err(_), Ok(password)) => Proof::Password(password.to_owned()),
            (Err(missing), Err(_)) => return Err(missing),
            (Ok(pem), _) => {
                if json.get("scheme").is_some_and(|scheme| scheme != "RS256") {
                    return Err(CredentialError::Scheme);
                }
                let key = jwt::read_key(pem).map_err(|reason| CredentialError::Key { reason })?;
                Proof::Key(Arc::new(key))
            }
        };
        Ok(Self { uid, proof, login_endpoint })
    }

    /// Who logs in.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Where to log in, if the credential tells.
    #[must_use]
    pub fn login_endpoint(&self) -> Option<&Url> {
        self.login_endpoint.as_ref()
    }

    /// Whether it is a service account and no user.
    pub(super) fn is_service(&self) -> bool {
        matches!(self.proof, Proof::Key(_))
    }

    /// The body of a login at this time, in seconds since the epoch.
    pub(super) fn body(&self, now: u64) -> Result<String, LoginError> {
        let body = match &self.proof {
            Proof::Password(password) => json!({"uid": self.uid, "password": password}),
            Proof::Key(key) => {
                let claims = json!({"uid": self.uid, "exp": now.saturating_add(PROOF_SECONDS)});
                let token = jwt::sign(key, &claims).ok_or(LoginError::Sign)?;
                json!({"uid": self.uid, "token": token})
            }
        };
        Ok(body.to_string())
    }
}

/// An address to log in at.
pub(super) fn login_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

impl fmt::Debug for DcosCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DcosCredential(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = include_str!("../../fixtures/service-account.pkcs8.pem");

    fn secret(change: impl FnOnce(&mut Value)) -> String {
        let mut json = json!({
            "scheme": "RS256", "uid": "sa", "private_key": KEY,
            "login_endpoint": "https://leader.mesos/acs/api/v1/auth/login",
        });
        change(&mut json);
        json.to_string()
    }

    #[test]
    fn a_service_account_a_user_and_the_short_form() {
        let account = DcosCredential::parse(&secret(|_| ())).unwrap();
        assert_eq!((account.uid(), account.is_service()), ("sa", true));
        let endpoint = account.login_endpoint().map(Url::as_str);
        assert_eq!(endpoint, Some("https://leader.mesos/acs/api/v1/auth/login"));
        let body: Value = serde_json::from_str(&account.body(1_767_607_200).unwrap()).unwrap();
        assert_eq!(body["uid"], "sa");
        assert_eq!(jwt::expiry(body["token"].as_str().unwrap()), Some(1_767_607_260));

        let user = DcosCredential::parse(" ann:pa:ss\n").unwrap();
        assert_eq!((user.uid(), user.is_service(), user.login_endpoint()), ("ann", false, None));
        let body: Value = serde_json::from_str(&user.body(0).unwrap()).unwrap();
        assert_eq!(body, json!({"uid": "ann", "password": "pa:ss"}));
        assert!(!format!("{account:?} {user:?}").contains("ss\""));
        let user = DcosCredential::parse(r#"{"uid":"ann","password":"hush"}"#).unwrap();
        assert!(!user.is_service());
    }

    #[test]
    fn what_is_wrong_is_said_and_not_quoted() {
        let without = |name: &str| secret(|json| _ = json.as_object_mut().unwrap().remove(name));
        let cases = [
            ("hush".to_owned(), "neither a service account"),
            (":hush".to_owned(), "neither a service account"),
            ("{\"uid\":\"hush\"".to_owned(), "line 1"),
            (without("uid"), "no text \"uid\""),
            (without("private_key"), "no text \"private_key\""),
            (secret(|json| json["private_key"] = "hush".into()), "no PEM block"),
            (secret(|json| json["scheme"] = "HS256".into()), "not RS256"),
            (secret(|json| json["login_endpoint"] = "hush".into()), "no http or https address"),
        ];
        for (text, part) in cases {
            let error = DcosCredential::parse(&text).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(part) && !shown.contains("hush") && !shown.contains("MII"), "{shown}");
        }
    }
}
