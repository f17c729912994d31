//! Decision on the claims of a JWT whose signature was verified: pure, with `now`.

use serde_json::Value;

use super::super::{
    claim_rules::{check_audience, check_claims, check_is_unbound, is_accepted, parties, quoted, text, user_id},
    refused::{CredentialRefusal, RefusedCredential, RuleName},
};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{UserId, UserIdRules},
        sign_in::{OidcRules, ProviderLogin},
    },
};

/// Last second of the year 9999: a later time is a mistake, such as milliseconds.
const MAX_NUMERIC_DATE: i64 = 253_402_300_799;

/// Times of a JWT, within their limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) issued: UnixMillis,
    pub(super) expires: UnixMillis,
}

/// Login that the claims prove: the user of the app, and the login at the provider where `sub` names one.
///
/// # Errors
/// [`CredentialRefusal`] by the first rule that the claims break.
pub(super) fn decide(
    claims: &Value,
    rules: &OidcRules,
    user_ids: UserIdRules,
    now: UnixMillis,
) -> Result<(UserId, Option<ProviderLogin>), CredentialRefusal> {
    // Logout tokens of some providers have the same typ, issuer, audience and sub as their ID tokens (RFC 8417 §2).
    if claims.get("events").is_some() {
        let refusal = RefusedCredential::RefusedClaim.because("it tells of events, as a logout token does");
        return Err(refusal.by(RuleName::own("events")));
    }
    let times = check_times(claims, rules, now)?;
    check_age(times, rules, now)?;
    check_audience(claims, &rules.audience)?;
    check_authorized_party(claims, rules)?;
    check_is_unbound(claims)?;
    check_claims(claims, &rules.required_claims, &rules.refused_claims)?;
    check_subject(claims)?;
    let user = user_id(claims, &rules.user_id, user_ids)?;
    let login = text(claims.get("sub")).map(|subject| ProviderLogin {
        issuer: rules.issuer.clone(),
        subject,
        sid: text(claims.get("sid")),
        issued: times.issued,
    });
    Ok((user, login))
}

/// Checks `exp`, `nbf` and `iat` (RFC 7519 §4.1.4–4.1.6). `exp` and `iat` must be there.
///
/// # Errors
/// [`CredentialRefusal`].
pub(super) fn check_times(claims: &Value, rules: &OidcRules, now: UnixMillis) -> Result<Times, CredentialRefusal> {
    let required = |name: &'static str| {
        numeric_date(claims, name)?.ok_or_else(|| {
            RefusedCredential::RequiredClaim.because(format!("it has no {name}")).by(RuleName::own(name))
        })
    };
    let expires = required("exp")?;
    let issued = required("iat")?;
    if expires.plus(rules.leeway) <= now {
        return Err(RefusedCredential::Expired.because(format!("its exp is {expires}, it is {now}")));
    }
    for (name, time) in [("nbf", numeric_date(claims, "nbf")?), ("iat", Some(issued))] {
        if let Some(time) = time.filter(|time| *time > now.plus(rules.leeway)) {
            let refusal = RefusedCredential::NotYetValid.because(format!("its {name} is {time}, it is {now}"));
            return Err(refusal.by(RuleName::own(name)));
        }
    }
    Ok(Times { issued, expires })
}

/// Whole seconds since 1970 (RFC 7519 §2, NumericDate): an integer, not negative.
fn numeric_date(claims: &Value, name: &'static str) -> Result<Option<UnixMillis>, CredentialRefusal> {
    let Some(claim) = claims.get(name) else { return Ok(None) };
    if let Some(seconds @ 0..=MAX_NUMERIC_DATE) = claim.as_i64() {
        return Ok(Some(UnixMillis(seconds * 1000)));
    }
    let text = format!("its {name} is {}, no whole number of seconds since 1970", quoted(Some(claim)));
    Err(RefusedCredential::RequiredClaim.because(text).by(RuleName::own(name)))
}

fn check_age(times: Times, rules: &OidcRules, now: UnixMillis) -> Result<(), CredentialRefusal> {
    let longest = rules.longest_age();
    if times.issued.plus(longest).plus(rules.leeway) <= now {
        let seconds = longest.as_secs();
        let text = format!("its iat is {}, it is {now}, accepted are {seconds} s", times.issued);
        return Err(RefusedCredential::TooOld.because(text));
    }
    Ok(())
}

/// Refuses a client's own token, which has no user: its `sub` is the client (RFC 9068 §2.2), or the client with
/// `@clients` behind it (Auth0).
fn check_subject(claims: &Value) -> Result<(), CredentialRefusal> {
    let subject = claims.get("sub").and_then(Value::as_str);
    let subject = subject.map(|subject| subject.strip_suffix("@clients").unwrap_or(subject));
    for name in ["client_id", "azp"] {
        if subject.is_some() && claims.get(name).and_then(Value::as_str) == subject {
            let text = format!("its sub is its {name}: it is a client's own, of no user");
            return Err(RefusedCredential::UserId.because(text).by(RuleName::own(name)));
        }
    }
    Ok(())
}

/// Checks `azp` of a credential for several parties (OpenID Connect Core 1.0 §3.1.3.7): it was given to one of the
/// accepted ones, by the audience or by a required claim.
fn check_authorized_party(claims: &Value, rules: &OidcRules) -> Result<(), CredentialRefusal> {
    let several = parties(claims.get("aud")).is_some_and(|parties| parties.len() > 1);
    let by_rule = rules.required_claims.iter().any(|rule| rule.claim.is_member("azp"));
    if rules.audience.claim != "aud" || !several || by_rule {
        return Ok(());
    }
    let azp = claims.get("azp");
    if azp.and_then(Value::as_str).is_some_and(|azp| is_accepted(&rules.audience, azp)) {
        return Ok(());
    }
    let accepted = rules.audience.accepted.join(", ");
    let text = match azp {
        Some(azp) => format!(
            "its aud has several values, and its azp is {}, accepted: {accepted}; name it in audience or in \
             required_claims",
            quoted(Some(azp))
        ),
        None => "its aud has several values, and it has no azp that says which client got it: set audience_claim to \
                 the claim that names the client, and audience to the client"
            .to_owned(),
    };
    Err(RefusedCredential::Audience.because(text).by(RuleName::own("azp")))
}
