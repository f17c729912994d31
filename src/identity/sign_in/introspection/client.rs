//! Authentication of this service at an introspection endpoint.

use std::time::Duration;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use form_urlencoded::{Serializer, byte_serialize};
use jsonwebtoken::Header;
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    clock::UnixMillis,
    domain::{
        client_authentication::{ClientAuthentication, ClientKey, ClientSecret},
        sign_in::IntrospectionRules,
    },
    identity::sign_in::endpoint::Fault,
    secret::{self, SystemEntropy},
};

/// Life of a client assertion: it is used once, at once.
const ASSERTION_LIFE: Duration = Duration::from_mins(1);
/// Client assertions that are JWTs (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Request to an introspection endpoint. All of it is secret.
pub(super) struct Request {
    /// Body, `application/x-www-form-urlencoded`.
    pub(super) form: Zeroizing<String>,
    /// Header `Authorization`.
    pub(super) authorization: Option<Zeroizing<String>>,
}

/// Makes the request about a credential.
///
/// # Errors
/// [`Fault::NoRequest`].
pub(super) fn request(rules: &IntrospectionRules, credential: &str, now: UnixMillis) -> Result<Request, Fault> {
    let mut form = Serializer::new(String::new());
    form.append_pair("token", credential).append_pair("token_type_hint", "access_token");
    let authorization = match &rules.authentication {
        ClientAuthentication::Basic(secret) => Some(basic(&rules.client_id, secret)),
        ClientAuthentication::PrivateKeyJwt(key) => {
            let assertion = assertion(rules, key, now)?;
            form.append_pair("client_id", &rules.client_id)
                .append_pair("client_assertion_type", ASSERTION_TYPE)
                .append_pair("client_assertion", &assertion);
            None
        }
    };
    Ok(Request { form: Zeroizing::new(form.finish()), authorization })
}

/// `client_secret_basic`: id and secret are form-urlencoded before they are joined (RFC 6749 §2.3.1).
fn basic(client_id: &str, secret: &ClientSecret) -> Zeroizing<String> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let secret = Zeroizing::new(encoded(secret.expose()));
    let pair = Zeroizing::new(format!("{}:{}", encoded(client_id), *secret));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// Client assertion (RFC 7523 §3).
fn assertion(rules: &IntrospectionRules, key: &ClientKey, now: UnixMillis) -> Result<String, Fault> {
    let no_assertion = |why: String| Fault::NoRequest(format!("no client assertion: {why}"));
    let id = secret::random::<16>(&SystemEntropy).map_err(|error| no_assertion(error.to_string()))?;
    let header = Header { kid: key.kid.clone(), ..Header::new(key.algorithm()) };
    let claims = json!({
        "iss": rules.client_id,
        "sub": rules.client_id,
        "aud": key.audience.as_ref().unwrap_or(&rules.endpoint),
        "jti": URL_SAFE_NO_PAD.encode(id),
        "iat": now.seconds(),
        "exp": now.plus(ASSERTION_LIFE).seconds(),
    });
    jsonwebtoken::encode(&header, &claims, key.encoding_key()).map_err(|error| no_assertion(error.to_string()))
}
