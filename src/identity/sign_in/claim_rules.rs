//! Rules on claims that all kinds of sign-in share: audience, required and refused claims, the user id.

use serde_json::Value;

use super::refused::{CredentialRefusal, RefusedCredential, RuleName};
use crate::domain::{
    ids::{UserId, UserIdRules},
    sign_in::{Audience, ClaimRule, UserIdSource},
};

/// Integers up to this, and down to its negative, mean the same to every JSON reader (RFC 8259 §6).
const MAX_INTEGER: i64 = 1 << 53;

/// Longest quotation of a claim in a message.
const QUOTED_CHARS: usize = 200;

/// Value of a claim, for a message to an operator.
pub(super) fn quoted(value: Option<&Value>) -> String {
    let Some(value) = value else { return "absent".to_owned() };
    let text = value.to_string();
    let (shown, more) = match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => (&text[..end], "…"),
        None => (&*text, ""),
    };
    // A terminal would obey control characters, and bidirectional ones change the order of what is read.
    let escaped = shown
        .chars()
        .map(|c| if !c.is_control() && (c.is_ascii() || c.is_alphanumeric()) { c.into() } else { escape(c) });
    format!("{}{more}", escaped.collect::<String>())
}

fn escape(c: char) -> String {
    c.escape_debug().collect()
}

/// Refuses a credential that is bound to a key of its client (RFC 7800, RFC 9449, RFC 8705): as a bearer credential it would
/// be good for whoever stole it.
///
/// # Errors
/// [`RefusedCredential::RefusedClaim`].
pub(super) fn check_is_unbound(claims: &Value) -> Result<(), CredentialRefusal> {
    let is_dpop =
        claims.get("token_type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("dpop"));
    if claims.get("cnf").is_some() || is_dpop {
        let text =
            "it is bound to a key of its client (cnf, DPoP), and no bearer credential: let the client send another";
        return Err(RefusedCredential::RefusedClaim.because(text));
    }
    Ok(())
}

/// Checks that a claim names one of the accepted parties.
///
/// # Errors
/// [`RefusedCredential::Audience`].
pub(super) fn check_audience(claims: &Value, audience: &Audience) -> Result<(), CredentialRefusal> {
    let claim = claims.get(&audience.claim);
    if parties(claim).is_some_and(|parties| parties.iter().any(|party| is_accepted(audience, party))) {
        return Ok(());
    }
    let (name, accepted) = (&audience.claim, audience.accepted.join(", "));
    let refusal = RefusedCredential::Audience.because(format!("its {name} is {}, accepted: {accepted}", quoted(claim)));
    Err(refusal.by(RuleName::of_audience(audience)))
}

/// Parties of `aud`: a string, or an array of strings (RFC 7519 §4.1.3). `None` for anything else.
pub(super) fn parties(claim: Option<&Value>) -> Option<Vec<&str>> {
    match claim? {
        Value::String(party) => Some(vec![party]),
        Value::Array(parties) => parties.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// Tells whether the party is one of the accepted ones. An empty name is none.
pub(super) fn is_accepted(audience: &Audience, party: &str) -> bool {
    !party.is_empty() && audience.accepted.iter().any(|accepted| accepted == party)
}

/// Checks required and refused claims.
///
/// # Errors
/// [`RefusedCredential::RequiredClaim`] or [`RefusedCredential::RefusedClaim`].
pub(super) fn check_claims(
    claims: &Value,
    required: &[ClaimRule],
    refused: &[ClaimRule],
) -> Result<(), CredentialRefusal> {
    for rule in required {
        let claim = rule.claim.of(claims).filter(|claim| !claim.is_null());
        if !claim.is_some_and(|claim| rule.values.is_empty() || has_one(claim, &rule.values)) {
            let values = Value::from(rule.values.clone());
            let wanted = if rule.values.is_empty() { "any value".to_owned() } else { quoted(Some(&values)) };
            let text = format!("its {} is {}, required: {wanted}", rule.claim.0, quoted(claim));
            return Err(RefusedCredential::RequiredClaim.because(text).by(RuleName::of_claim(&rule.claim)));
        }
    }
    for rule in refused {
        if let Some(claim) = rule.claim.of(claims)
            && (rule.values.is_empty() || has_one(claim, &rule.values))
        {
            let text = format!("its {} is {}, which is refused", rule.claim.0, quoted(Some(claim)));
            return Err(RefusedCredential::RefusedClaim.because(text).by(RuleName::of_claim(&rule.claim)));
        }
    }
    Ok(())
}

/// Tells whether a claim is one of the values, or an array that holds one of them.
fn has_one(claim: &Value, values: &[Value]) -> bool {
    match claim {
        Value::Array(items) => items.iter().any(|item| values.contains(item)),
        claim => values.contains(claim),
    }
}

/// User id that the claims give, by the rules of the app.
///
/// # Errors
/// [`RefusedCredential::UserId`].
pub(super) fn user_id(claims: &Value, source: &UserIdSource, rules: UserIdRules) -> Result<UserId, CredentialRefusal> {
    let name = &source.claim.0;
    let refused = |text: String| RefusedCredential::UserId.because(text).by(RuleName::of_claim(&source.claim));
    let claim = source.claim.of(claims);
    let is_email = source.verified_email || source.claim.is_member("email");
    if is_email && claims.get("email_verified") != Some(&Value::Bool(true)) {
        let verified = quoted(claims.get("email_verified"));
        let text = format!("its email_verified is {verified}: an email is a user id only where that is true");
        return Err(refused(text).by(RuleName::own("email_verified")));
    }
    let Some(value) = text(claim) else {
        return Err(refused(format!("its {name} is {}, not a string or an integer within 2^53", quoted(claim))));
    };
    // The claim alone must be a user id: behind a prefix, an empty one would look like one.
    let whole = || UserId::parse(&format!("{}{value}", source.prefix), rules);
    UserId::parse(&value, rules).and_then(|_| whole()).map_err(|bad| refused(format!("its {name} {bad}")))
}

/// Text of a claim that names somebody: a string, or an integer that every JSON reader reads alike. Other numbers,
/// booleans and `null` name nobody.
pub(super) fn text(claim: Option<&Value>) -> Option<String> {
    match claim? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => {
            number.as_i64().filter(|n| (-MAX_INTEGER..=MAX_INTEGER).contains(n)).map(|n| n.to_string())
        }
        _ => None,
    }
}
