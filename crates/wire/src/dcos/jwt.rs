//! JSON web tokens, as far as a login needs them: signing one with RS256, and reading when one ends.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

const HEADER: &[u8] = br#"{"alg":"RS256","typ":"JWT"}"#;

/// Reads an RSA key of 2048 bits or more from PEM, PKCS #8 or PKCS #1.
///
/// # Errors
/// What is wrong with it, without quoting it.
pub(super) fn read_key(pem: &str) -> Result<RsaKeyPair, String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "there is no PEM block \"PRIVATE KEY\" or \"RSA PRIVATE KEY\" in it".to_owned())?;
    let pair = match &key {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err("it is no RSA key".to_owned()),
    };
    pair.map_err(|error| format!("it is no usable RSA key of 2048 bits or more ({error})"))
}

/// A token with these claims. `None` if the system has no randomness, or no memory.
pub(super) fn sign(key: &RsaKeyPair, claims: &Value) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    let mut token = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(HEADER));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature).ok()?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Some(token)
}

/// When a token ends by its own word, in seconds since the epoch. The signature is not checked: it is for others to trust
/// the token, we only want to know when to get another one.
pub(super) fn expiry(token: &str) -> Option<u64> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let exp = claims.get("exp")?;
    // Some issuers write a fraction.
    exp.as_u64().or_else(|| exp.as_f64().filter(|exp| (0.0..1e15).contains(exp)).map(|exp| exp as u64))
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::json;

    use super::*;

    const PKCS8: &str = include_str!("../../fixtures/service-account.pkcs8.pem");
    const PKCS1: &str = include_str!("../../fixtures/service-account.pkcs1.pem");

    #[test]
    fn what_is_signed_can_be_verified_and_read() {
        let public = read_key(PKCS8).unwrap().public().as_ref().to_vec();
        for pem in [PKCS8, PKCS1] {
            let token = sign(&read_key(pem).unwrap(), &json!({"uid": "sa", "exp": 1_767_607_260})).unwrap();
            let (message, signature) = token.rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public);
            public.verify(message.as_bytes(), &signature).unwrap();
            let header = URL_SAFE_NO_PAD.decode(message.split('.').next().unwrap()).unwrap();
            assert_eq!(
                serde_json::from_slice::<Value>(&header).unwrap(),
                json!({"alg": "RS256", "typ": "JWT"})
            );
            assert_eq!(expiry(&token), Some(1_767_607_260));
        }
    }

    #[test]
    fn a_token_without_a_readable_end_has_none() {
        let with = |claims: &str| format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(expiry(&with(r#"{"exp":1767607260.5}"#)), Some(1_767_607_260));
        assert_eq!(expiry(&format!("h.{}==.s", URL_SAFE_NO_PAD.encode(r#"{"exp":7}"#))), Some(7));
        for token in ["opaque", "a.b.c", "", &with("{}"), &with(r#"{"exp":"soon"}"#), &with(r#"{"exp":-1}"#)]
        {
            assert_eq!(expiry(token), None, "{token}");
        }
    }

    #[test]
    fn unusable_keys_say_why_without_being_quoted() {
        let public = include_str!("../../fixtures/service-account.public.pem");
        let cut: String =
            PKCS8.lines().take(5).chain(["-----END PRIVATE KEY-----"]).collect::<Vec<_>>().join("\n");
        for (pem, part) in
            [("hush", "no PEM block"), (public, "no PEM block"), (cut.as_str(), "no usable RSA key")]
        {
            let error = read_key(pem).unwrap_err();
            assert!(error.contains(part) && !error.contains("hush"), "{error}");
        }
    }
}
