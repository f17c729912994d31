//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6): pure, with `now`.

use serde_json::Value;

use super::{
    super::{
        claim_rules::{check_audience, quoted, text},
        refused::{CredentialRefusal, RefusedCredential, RuleName},
    },
    claims::check_times,
};
use crate::{
    clock::UnixMillis,
    domain::sign_in::{Audience, LONGEST_AGE, OidcRules, ProviderLogout},
};

/// Values of `typ` that are accepted: the recommended one, and those of providers that do not type their tokens. The
/// claim `events` tells a logout token from any other.
pub(super) const TOKEN_TYPES: [&str; 3] = ["logout+jwt", "jwt", ""];

/// Member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Longest `jti` that is remembered.
const MAX_ID_BYTES: usize = 256;

/// Logout that the claims prove.
///
/// # Errors
/// [`CredentialRefusal`] by the first rule that the claims break.
pub(super) fn decide(claims: &Value, rules: &OidcRules, now: UnixMillis) -> Result<ProviderLogout, CredentialRefusal> {
    let times = check_times(claims, rules, now)?;
    check_audience(claims, &client_ids(rules))?;
    let missing = |name, text: String| RefusedCredential::RequiredClaim.because(text).by(RuleName::own(name));
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        let text = format!("its events is {}: no logout token", quoted(claims.get("events")));
        return Err(missing("events", text));
    }
    if claims.get("nonce").is_some() {
        let refusal = RefusedCredential::RefusedClaim.because("a logout token must not have a nonce");
        return Err(refusal.by(RuleName::own("nonce")));
    }
    let id = claims.get("jti").and_then(Value::as_str).filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
    let Some(id) = id else { return Err(missing("jti", format!("its jti is {}", quoted(claims.get("jti"))))) };
    let (subject, sid) = (named(claims, "sub")?, named(claims, "sid")?);
    if subject.is_none() && sid.is_none() {
        return Err(missing("sub or sid", "it has neither sub nor sid".to_owned()));
    }
    Ok(ProviderLogout {
        issuer: rules.issuer.clone(),
        subject,
        sid,
        id: id.to_owned(),
        issued: times.issued,
        expires: times.expires.plus(rules.leeway),
        // By the greatest age of all: a reload may raise the app's.
        remembered_until: times.issued.plus(rules.longest_age().max(LONGEST_AGE)).plus(rules.leeway),
    })
}

/// Parties that a logout token may be for. Its `aud` is the client, which the audience of access tokens need not name:
/// then a required claim does.
fn client_ids(rules: &OidcRules) -> Audience {
    let mut accepted = rules.audience.accepted.clone();
    for rule in &rules.required_claims {
        if ["azp", "client_id"].iter().any(|name| rule.claim.is_member(name)) {
            accepted.extend(rule.values.iter().filter_map(Value::as_str).map(str::to_owned));
        }
    }
    Audience { claim: "aud".to_owned(), accepted }
}

/// Name of a user or of a session. One that is there must be readable, as the other alone would end fewer sessions.
fn named(claims: &Value, name: &'static str) -> Result<Option<String>, CredentialRefusal> {
    let Some(claim) = claims.get(name) else { return Ok(None) };
    let text = text(Some(claim)).filter(|text| !text.is_empty());
    text.map(Some).ok_or_else(|| {
        let refusal = RefusedCredential::RequiredClaim.because(format!("its {name} is {}", quoted(Some(claim))));
        refusal.by(RuleName::own(name))
    })
}
