//! Session endpoint: a URL of the app that is asked, with the presented cookie or bearer credential, whose session it
//! is.

use std::{net::IpAddr, sync::Arc};

use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    Credential, CredentialRefusal, NotSignedIn, RefusedCredential, RuleName,
    answers::Accepted,
    claim_rules,
    endpoint::{self, Endpoint, Fault, NotAccepted, Shared},
    outbound::{JsonAnswer, OutboundError},
};
use crate::{
    domain::{
        ids::{AppName, UserIdRules},
        sign_in::{SessionEndpointMethod, SessionEndpointRules},
    },
    identity::AppUser,
};

/// Verifier of sessions that an endpoint of the app is asked about.
pub(super) struct Verifier(Arc<SessionEndpoint>);

struct SessionEndpoint {
    rules: SessionEndpointRules,
    endpoint: Endpoint,
}

impl AsRef<Endpoint> for SessionEndpoint {
    fn as_ref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Verifier {
    pub(super) fn new(app: AppName, rules: SessionEndpointRules, shared: Shared) -> Self {
        let endpoint = Endpoint::new(app, &rules.url, rules.allow_private_addresses, shared);
        Self(Arc::new(SessionEndpoint { rules, endpoint }))
    }

    /// Rules of this verifier.
    pub(super) fn rules(&self) -> &SessionEndpointRules {
        &self.0.rules
    }

    /// Verifies a cookie or a bearer credential.
    ///
    /// # Errors
    /// [`NotSignedIn`].
    pub(super) async fn sign_in(
        &self,
        user_ids: UserIdRules,
        credential: Credential<'_>,
        source: Option<IpAddr>,
    ) -> Result<AppUser, NotSignedIn> {
        let (header, text) = header(&self.0.rules, credential)?;
        let headers = HeaderMap::from_iter([header]);
        let ask = move |this: Arc<SessionEndpoint>, _| async move { this.ask(headers, user_ids).await };
        Endpoint::get_or_ask(&self.0, &text, source, ask).await
    }
}

/// Returns the only header of the caller that is passed on, and its parts as text.
///
/// # Errors
/// [`CredentialRefusal`] where the app accepts no such credential, or where no header can carry it.
fn header<'a>(
    rules: &SessionEndpointRules,
    credential: Credential<'a>,
) -> Result<((HeaderName, HeaderValue), [&'a str; 2]), CredentialRefusal> {
    let (name, text, parts) = match credential {
        Credential::Bearer(bearer) if rules.bearer => (AUTHORIZATION, format!("Bearer {bearer}"), ["", bearer]),
        Credential::Cookie { name, value } if rules.cookies.iter().any(|accepted| accepted == name) => {
            (COOKIE, format!("{name}={value}"), [name, value])
        }
        Credential::Bearer(_) => {
            let text = "the session_endpoint takes no bearer credentials: it has no bearer = true";
            return Err(RefusedCredential::NotEnabled.because(text));
        }
        Credential::Cookie { .. } if rules.cookies.is_empty() => {
            return Err(RefusedCredential::NotEnabled.because("the session_endpoint has no cookies"));
        }
        Credential::Cookie { .. } => {
            let text = format!("the cookies of the session_endpoint are {}", rules.cookies.join(", "));
            return Err(RefusedCredential::NotEnabled.because(text));
        }
    };
    let text = Zeroizing::new(text);
    // A semicolon would begin another cookie.
    let mut header =
        HeaderValue::from_str(&text).ok().filter(|_| !parts[1].is_empty() && !text.contains([';', '\t'])).ok_or_else(
            || RefusedCredential::Malformed.because("it is empty, or has a character that no header carries"),
        )?;
    header.set_sensitive(true);
    Ok(((name, header), parts))
}

impl SessionEndpoint {
    async fn ask(&self, headers: HeaderMap, user_ids: UserIdRules) -> Result<Accepted, NotAccepted> {
        let to = self.endpoint.destination().map_err(Fault::NoAnswer)?;
        let outbound = self.endpoint.outbound();
        let answer = match self.rules.method {
            SessionEndpointMethod::GET => outbound.get(&to, headers).await,
            SessionEndpointMethod::POST => outbound.post(&to, headers, "").await,
        };
        let answer = read(answer)?;
        let user_id = &self.rules.user_id;
        if user_id.claim.of(&answer).is_none_or(Value::is_null) {
            let text = format!("the session endpoint's answer has no {}", user_id.claim.0);
            return Err(RefusedCredential::Inactive.because(text).by(RuleName::of_claim(&user_id.claim)).into());
        }
        claim_rules::check_claims(&answer, &self.rules.required_claims, &self.rules.refused_claims)?;
        let user = claim_rules::user_id(&answer, user_id, user_ids)?;
        let app_user = AppUser { app: self.endpoint.app().clone(), user, login: None };
        Ok(Accepted { app_user, expires: None })
    }
}

/// Reads an answer of the endpoint. A redirect that is not permanent leads to a login page: nobody is logged in. A
/// permanent one means that the URL has changed.
fn read(answer: Result<JsonAnswer, OutboundError>) -> Result<Value, NotAccepted> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(OutboundError::Status(status)) => {
            return Err(match status.as_u16() {
                code @ (401 | 403 | 404 | 302 | 303 | 307) => {
                    let refusal =
                        RefusedCredential::Inactive.because(format!("the session endpoint answered {status}"));
                    refusal.by(RuleName::of_status(code)).into()
                }
                status @ 300..=399 => Fault::Moved { status }.into(),
                _ => Fault::NoAnswer(OutboundError::Status(status)).into(),
            });
        }
        Err(error) => return Err(Fault::NoAnswer(error).into()),
    };
    if answer.body.trim_ascii() == b"null" {
        return Err(RefusedCredential::Inactive.because("the session endpoint answered null").into());
    }
    Ok(endpoint::object(&answer)?)
}
