//! Judgement of an introspection endpoint's answer (RFC 7662 §2.2). It is pure: the time is an argument.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    clock::UnixMillis,
    domain::sign_in::{IntrospectionRules, ProviderLogin},
    identity::sign_in::{
        CredentialRefusal, RefusedCredential, RuleName, claim_rules,
        endpoint::{self, Fault},
        outbound::{JsonAnswer, OutboundError},
    },
};

/// Reads an answer of the endpoint.
///
/// # Errors
/// [`Fault`] where it is none about the credential.
pub(super) fn read(answer: Result<JsonAnswer, OutboundError>) -> Result<Value, Fault> {
    let answer = answer.map_err(|error| match error {
        OutboundError::Status(status) => refused(status),
        OutboundError::ContentType(media_type) if media_type.ends_with("+jwt") => Fault::SignedAnswer,
        error => Fault::NoAnswer(error),
    })?;
    let answer = endpoint::object(&answer)?;
    match answer.get("active") {
        Some(Value::Bool(_)) => Ok(answer),
        _ => Err(Fault::Unreadable("it has no boolean member active, so it is no introspection".to_owned())),
    }
}

/// Statuses other than 200 are about this service, never about the credential (RFC 7662 §2.3, RFC 6749 §5.2).
fn refused(status: StatusCode) -> Fault {
    match status.as_u16() {
        status @ (400 | 401 | 403) => Fault::ClientRefused { status },
        status @ 300..=399 => Fault::Moved { status },
        _ => Fault::NoAnswer(OutboundError::Status(status)),
    }
}

/// Judges an answer by the rules, the user id aside.
///
/// # Errors
/// [`CredentialRefusal`].
pub(super) fn check(answer: &Value, rules: &IntrospectionRules, now: UnixMillis) -> Result<(), CredentialRefusal> {
    if answer.get("active") != Some(&Value::Bool(true)) {
        return Err(RefusedCredential::Inactive.into());
    }
    check_times(answer, rules, now)?;
    if let Some(issuer) = &rules.issuer
        && answer.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        let iss = claim_rules::quoted(answer.get("iss"));
        return Err(RefusedCredential::UnknownIssuer.because(format!("its iss is {iss}, required: {issuer}")));
    }
    if let Some(audience) = &rules.audience {
        claim_rules::check_audience(answer, audience)?;
    }
    claim_rules::check_is_unbound(answer)?;
    check_is_a_users(answer)?;
    claim_rules::check_claims(answer, &rules.required_claims, &rules.refused_claims)
}

/// Refuses a client's own token, as of the client credentials grant: its `sub` is the `client_id` (RFC 9068 §2.2).
fn check_is_a_users(answer: &Value) -> Result<(), CredentialRefusal> {
    match (answer.get("sub"), answer.get("client_id")) {
        (Some(sub), Some(client)) if sub == client => {
            let refusal =
                RefusedCredential::UserId.because("its sub is its client_id: it is a client's token, and no user's");
            Err(refusal.by(RuleName::own("client_id")))
        }
        _ => Ok(()),
    }
}

fn check_times(answer: &Value, rules: &IntrospectionRules, now: UnixMillis) -> Result<(), CredentialRefusal> {
    if time(answer, "exp")?.is_some_and(|exp| now >= exp.plus(rules.leeway)) {
        return Err(RefusedCredential::Expired.into());
    }
    for name in ["nbf", "iat"] {
        if time(answer, name)?.is_some_and(|from| now.plus(rules.leeway) < from) {
            return Err(RefusedCredential::NotYetValid.because(format!("its {name} lies ahead")));
        }
    }
    match (rules.max_age, time(answer, "iat")?) {
        (Some(max_age), Some(iat)) if now >= iat.plus(max_age).plus(rules.leeway) => {
            Err(RefusedCredential::TooOld.into())
        }
        (Some(_), None) => Err(RefusedCredential::TooOld.because("it has no iat, and max_age is set")),
        _ => Ok(()),
    }
}

/// Time of a member in seconds since the epoch, where it is there. Some providers write fractions or exponents.
///
/// # Errors
/// [`RefusedCredential::RequiredClaim`] where it is no time.
pub(super) fn time(answer: &Value, name: &'static str) -> Result<Option<UnixMillis>, CredentialRefusal> {
    let Some(value) = answer.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0);
    let Some(time) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else {
        let text = format!("its {name} is {}, not a number of seconds", claim_rules::quoted(Some(value)));
        return Err(RefusedCredential::RequiredClaim.because(text).by(RuleName::own(name)));
    };
    Ok(Some(UnixMillis(0).plus(time)))
}

/// Login at the provider, where the answer names it. Without `iat` it counts as begun when the provider was asked: the
/// provider has just said that it goes on.
pub(super) fn login(answer: &Value, asked: UnixMillis) -> Result<Option<ProviderLogin>, CredentialRefusal> {
    let text = |name| claim_rules::text(answer.get(name));
    let (Some(issuer), Some(subject)) = (text("iss"), text("sub")) else { return Ok(None) };
    Ok(Some(ProviderLogin { issuer, subject, sid: text("sid"), issued: time(answer, "iat")?.unwrap_or(asked) }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::domain::{
        client_authentication::{ClientAuthentication, ClientSecret},
        sign_in::{Audience, ClaimPath, UserIdSource},
    };

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn rules() -> IntrospectionRules {
        IntrospectionRules {
            endpoint: "https://idp.example/introspect".to_owned(),
            client_id: "countersign".to_owned(),
            authentication: ClientAuthentication::Basic(ClientSecret::new("secret".to_owned())),
            issuer: Some("https://idp.example".to_owned()),
            audience: Some(Audience { claim: "aud".to_owned(), accepted: vec!["our-api".to_owned()] }),
            user_id: UserIdSource { claim: ClaimPath("sub".to_owned()), prefix: String::new(), verified_email: false },
            required_claims: Vec::new(),
            refused_claims: Vec::new(),
            max_age: Some(Duration::from_hours(1)),
            leeway: Duration::from_secs(10),
            allow_private_addresses: false,
        }
    }

    fn good() -> Value {
        let now = NOW.seconds();
        json!({ "active": true, "iss": "https://idp.example", "aud": ["our-api", "other"], "sub": "u-1",
            "client_id": "our-app", "exp": now + 60, "nbf": now - 60, "iat": now - 60, "sid": "s-1" })
    }

    fn reason(member: &str, value: Value) -> Option<RefusedCredential> {
        let mut answer = good();
        answer[member] = value;
        check(&answer, &rules(), NOW).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn each_member_is_judged() {
        use RefusedCredential as R;
        let now = NOW.seconds();
        let table = [
            ("extra", json!(1), None),
            ("active", json!(false), Some(R::Inactive)),
            ("active", json!("true"), Some(R::Inactive)),
            ("active", json!(1), Some(R::Inactive)),
            ("active", json!(null), Some(R::Inactive)),
            ("exp", json!(now), None),
            ("exp", json!(now - 9), None),
            ("exp", json!(now - 10), Some(R::Expired)),
            ("exp", json!(1.79e9), Some(R::Expired)),
            ("exp", json!(now.to_string()), Some(R::RequiredClaim)),
            ("exp", json!(-1), Some(R::RequiredClaim)),
            ("exp", json!(1e300), Some(R::RequiredClaim)),
            ("exp", json!(null), None),
            ("nbf", json!(now + 10), None),
            ("nbf", json!(now + 11), Some(R::NotYetValid)),
            ("iat", json!(now + 11), Some(R::NotYetValid)),
            ("iat", json!(now - 3609), None),
            ("iat", json!(now - 3610), Some(R::TooOld)),
            ("iat", json!(null), Some(R::TooOld)),
            ("iss", json!("https://idp.example/"), Some(R::UnknownIssuer)),
            ("iss", json!(null), Some(R::UnknownIssuer)),
            ("aud", json!("our-api"), None),
            ("aud", json!("our-ap"), Some(R::Audience)),
            ("aud", json!([]), Some(R::Audience)),
            ("aud", json!(null), Some(R::Audience)),
            ("client_id", json!("u-1"), Some(R::UserId)),
        ];
        for (member, value, expected) in table {
            assert_eq!(reason(member, value.clone()), expected, "{member} {value}");
        }
    }

    #[test]
    fn a_login_is_named_by_issuer_and_subject() {
        let mut answer = good();
        let named = login(&answer, NOW).unwrap().unwrap();
        assert_eq!((named.issuer.as_str(), named.subject.as_str()), ("https://idp.example", "u-1"));
        assert_eq!((named.sid.as_deref(), named.issued), (Some("s-1"), NOW.minus(Duration::from_mins(1))));
        answer["iat"] = Value::Null;
        assert_eq!(login(&answer, NOW).unwrap().unwrap().issued, NOW);
        answer["sub"] = Value::Null;
        assert_eq!(login(&answer, NOW), Ok(None));
    }

    #[test]
    fn statuses_are_about_this_service() {
        for (status, expected) in [(400, true), (401, true), (403, true), (404, false), (500, false), (302, false)] {
            let status = StatusCode::from_u16(status).unwrap();
            let fault = read(Err(OutboundError::Status(status))).unwrap_err();
            assert_eq!(matches!(fault, Fault::ClientRefused { .. }), expected, "{fault}");
        }
        let signed = OutboundError::ContentType("application/token-introspection+jwt".to_owned());
        assert_eq!(read(Err(signed)), Err(Fault::SignedAnswer));
    }
}
