//! Who may pass in a DC/OS cluster: logins, and the tokens they give (spec/marathon.md section 9).
//!
//! Tokens are signed by the simulation and carry all there is to know, so none is kept. Time is an argument.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What 401 calls the way in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DcosScheme {
    /// `acsjwt`: enterprise, or local users.
    #[default]
    Acs,
    /// `oauthjwt`: open DC/OS.
    Oauth,
}

impl DcosScheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            DcosScheme::Acs => "acsjwt",
            DcosScheme::Oauth => "oauthjwt",
        }
    }
}

/// Who can log in, and for how long.
#[derive(Clone)]
pub struct DcosOptions {
    /// Users with their passwords.
    pub users: BTreeMap<String, String>,
    /// Service accounts with their public keys as PEM (`PUBLIC KEY`, RSA).
    pub accounts: BTreeMap<String, String>,
    /// How long a token is good for, in whole seconds. Default five days, as in open DC/OS.
    pub token_lifetime: Duration,
    /// What 401 says. Default `acsjwt`.
    pub scheme: DcosScheme,
}

impl Default for DcosOptions {
    fn default() -> Self {
        DcosOptions {
            users: BTreeMap::new(),
            accounts: BTreeMap::new(),
            token_lifetime: Duration::from_secs(5 * 24 * 3600),
            scheme: DcosScheme::default(),
        }
    }
}

impl fmt::Debug for DcosOptions {
    /// Without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DcosOptions")
            .field("users", &self.users.keys())
            .field("accounts", &self.accounts.keys())
            .field("token_lifetime", &self.token_lifetime)
            .field("scheme", &self.scheme)
            .finish()
    }
}

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The body is no login: 400.
    Malformed(&'static str),
    /// Nobody we know, or not who he says: 401.
    Denied,
}

/// The one who gives tokens and knows them again.
pub(crate) struct Dcos {
    users: BTreeMap<String, String>,
    accounts: BTreeMap<String, UnparsedPublicKey<Vec<u8>>>,
    lifetime: u64,
    scheme: DcosScheme,
    key: hmac::Key,
    /// Only tokens of this generation are good.
    generation: AtomicU64,
}

impl fmt::Debug for Dcos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dcos")
    }
}

impl Dcos {
    /// # Errors
    /// Which account's key cannot be used.
    pub(crate) fn new(options: &DcosOptions, seed: u64) -> Result<Dcos, String> {
        let mut accounts = BTreeMap::new();
        for (uid, pem) in &options.accounts {
            let key = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
                .map_err(|error| format!("the public key of {uid} cannot be read: {error}"))?;
            let key = rsa_key(&key).ok_or_else(|| format!("the public key of {uid} is no RSA key"))?;
            accounts.insert(uid.clone(), UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.to_vec()));
        }
        Ok(Dcos {
            users: options.users.clone(),
            accounts,
            lifetime: options.token_lifetime.as_secs().max(1),
            scheme: options.scheme,
            key: hmac::Key::new(hmac::HMAC_SHA256, &[&b"mconn sim"[..], &seed.to_be_bytes()].concat()),
            generation: AtomicU64::new(0),
        })
    }

    pub(crate) fn scheme(&self) -> DcosScheme {
        self.scheme
    }

    /// A token for who can prove to be who he says, and until when it is good. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn log_in(&self, body: &[u8], now: u64) -> Result<(String, u64), Refused> {
        let body: Value =
            serde_json::from_slice(body).map_err(|_| Refused::Malformed("the body is no JSON"))?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let uid = text("uid").ok_or(Refused::Malformed("uid is missing"))?;
        let proven = match (text("token"), text("password")) {
            (Some(token), _) => self.is_account(uid, token, now),
            (None, Some(password)) => self.users.get(uid).is_some_and(|wanted| wanted == password),
            (None, None) => return Err(Refused::Malformed("token or password is missing")),
        };
        if !proven {
            return Err(Refused::Denied);
        }
        // A wanted expiry is granted, but never beyond what is allowed.
        let latest = now.saturating_add(self.lifetime);
        let expiry = body.get("exp").and_then(Value::as_u64).map_or(latest, |wanted| wanted.min(latest));
        let generation = self.generation.load(Ordering::Relaxed);
        Ok((self.sign(&json!({ "uid": uid, "exp": expiry, "gen": generation })), expiry))
    }

    /// Whether the token was given here and is still good.
    pub(crate) fn admits(&self, token: &str, now: u64) -> bool {
        let Some(parts) = Parts::of(token) else { return false };
        let claims = |name: &str| parts.claims.get(name).and_then(Value::as_u64);
        hmac::verify(&self.key, parts.signed.as_bytes(), &parts.signature).is_ok()
            && claims("exp").is_some_and(|expiry| now < expiry)
            && claims("gen") == Some(self.generation.load(Ordering::Relaxed))
    }

    /// No token that was given up to now is good any more.
    pub(crate) fn expire_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    fn is_account(&self, uid: &str, token: &str, now: u64) -> bool {
        let (Some(key), Some(parts)) = (self.accounts.get(uid), Parts::of(token)) else { return false };
        parts.header.get("alg").and_then(Value::as_str) == Some("RS256")
            && key.verify(parts.signed.as_bytes(), &parts.signature).is_ok()
            && parts.claims.get("uid").and_then(Value::as_str) == Some(uid)
            && parts.claims.get("exp").and_then(Value::as_u64).is_none_or(|expiry| now < expiry)
    }

    fn sign(&self, claims: &Value) -> String {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256", "typ": "JWT" }).to_string());
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A JWT taken apart; nothing of it is proven yet.
struct Parts<'a> {
    signed: &'a str,
    header: Value,
    claims: Value,
    signature: Vec<u8>,
}

impl Parts<'_> {
    fn of(token: &str) -> Option<Parts<'_>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Parts { signed, header: json(header)?, claims: json(claims)?, signature })
    }
}

/// The key inside of a `SubjectPublicKeyInfo`: a SEQUENCE of the algorithm and a BIT STRING with the key.
fn rsa_key(info: &[u8]) -> Option<&[u8]> {
    /// 1.2.840.113549.1.1.1, rsaEncryption.
    const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let (whole, _) = der(info, 0x30)?;
    let (algorithm, rest) = der(whole, 0x30)?;
    let (bits, _) = der(rest, 0x03)?;
    // The first byte says how many bits of the last one do not count.
    algorithm.starts_with(RSA).then(|| bits.strip_prefix(&[0]))?
}

/// The content of the DER value with this tag at the start of `bytes`, and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
        }
        // Longer than any key.
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// What tests log in with; never used elsewhere.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
    use rustls_pki_types::PrivatePkcs8KeyDer;

    pub(crate) const PUBLIC_KEY: &str = include_str!("../testdata/dcos-account.pub.pem");
    const PRIVATE_KEY: &str = include_str!("../testdata/dcos-account.pem");

    /// A service account's proof.
    pub(crate) fn proof(header: &Value, claims: &Value) -> String {
        let key = PrivatePkcs8KeyDer::from_pem_slice(PRIVATE_KEY.as_bytes()).expect("a key");
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).expect("an RSA key");
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("signs");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testing::{PUBLIC_KEY, proof};

    fn dcos() -> Dcos {
        let options = DcosOptions {
            users: BTreeMap::from([("ann".to_owned(), "s3cret".to_owned())]),
            accounts: BTreeMap::from([("sa".to_owned(), PUBLIC_KEY.to_owned())]),
            token_lifetime: Duration::from_secs(30),
            ..DcosOptions::default()
        };
        assert!(!format!("{options:?}").contains("s3cret"));
        Dcos::new(&options, 1).expect("the key is good")
    }

    fn rs256() -> Value {
        json!({ "alg": "RS256", "typ": "JWT" })
    }

    fn log_in(dcos: &Dcos, body: &Value) -> Result<String, Refused> {
        dcos.log_in(body.to_string().as_bytes(), 1000).map(|(token, _)| token)
    }

    #[test]
    fn accounts_prove_themselves_by_their_signature() {
        let dcos = dcos();
        let good = proof(&rs256(), &json!({ "uid": "sa", "exp": 1060 }));
        let token = log_in(&dcos, &json!({ "uid": "sa", "token": good })).expect("a token");
        assert!(dcos.admits(&token, 1000) && dcos.admits(&token, 1029) && !dcos.admits(&token, 1030));
        let tampered = good.replacen('.', ".e30", 1);
        for (uid, token) in [
            ("other", good.clone()),
            ("sa", tampered),
            ("sa", good[..good.len() - 4].to_owned()),
            ("sa", proof(&rs256(), &json!({ "uid": "sa", "exp": 1000 }))),
            ("sa", proof(&rs256(), &json!({ "uid": "root", "exp": 1060 }))),
            ("sa", proof(&json!({ "alg": "none" }), &json!({ "uid": "sa", "exp": 1060 }))),
            ("sa", "a.b.c".to_owned()),
            ("sa", String::new()),
        ] {
            assert_eq!(log_in(&dcos, &json!({ "uid": uid, "token": token })), Err(Refused::Denied));
        }
    }

    #[test]
    fn users_have_passwords_and_a_wanted_expiry_is_granted_within_the_lifetime() {
        let dcos = dcos();
        let login = |exp: u64| json!({ "uid": "ann", "password": "s3cret", "exp": exp });
        let short = log_in(&dcos, &login(1010)).expect("a token");
        assert!(dcos.admits(&short, 1009) && !dcos.admits(&short, 1010));
        let long = log_in(&dcos, &login(9999)).expect("a token");
        assert!(dcos.admits(&long, 1029) && !dcos.admits(&long, 1030));
        assert_eq!(log_in(&dcos, &json!({ "uid": "ann", "password": "no" })), Err(Refused::Denied));
        assert_eq!(log_in(&dcos, &json!({ "uid": "bob", "password": "" })), Err(Refused::Denied));
        for bad in [json!({}), json!({ "uid": 1, "password": "x" }), json!({ "uid": "ann" }), json!([])] {
            assert!(matches!(log_in(&dcos, &bad), Err(Refused::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn all_tokens_can_end_at_once_and_others_were_never_good() {
        let dcos = dcos();
        let login = json!({ "uid": "ann", "password": "s3cret" });
        let token = log_in(&dcos, &login).expect("a token");
        dcos.expire_all();
        assert!(!dcos.admits(&token, 1000));
        assert!(dcos.admits(&log_in(&dcos, &login).expect("a token"), 1000));
        let elsewhere = Dcos::new(&DcosOptions::default(), 2).expect("no keys");
        let foreign = elsewhere.sign(&json!({ "exp": 9999, "gen": 1 }));
        for token in [foreign.as_str(), "", "..", "a.b.c"] {
            assert!(!dcos.admits(token, 1000));
        }
    }

    #[test]
    fn keys_that_are_none_are_told() {
        for pem in ["", "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n"] {
            let accounts = BTreeMap::from([("sa".to_owned(), pem.to_owned())]);
            let told =
                Dcos::new(&DcosOptions { accounts, ..DcosOptions::default() }, 1).expect_err("refused");
            assert!(told.contains("public key of sa"), "{told}");
        }
        for junk in
            [&[][..], &[0x30], &[0x30, 0x82, 1], &[0x30, 0x84, 0, 0, 0, 0], &[0x30, 0x03, 0x30, 0x7f, 0]]
        {
            assert_eq!(rsa_key(junk), None);
        }
    }
}
