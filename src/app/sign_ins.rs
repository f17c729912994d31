//! Ways to sign in, tried by an operator: one credential, or the keys of every provider.

use std::{collections::HashMap, sync::Arc};

use super::{Ambient, sign_in_advice::advice};
use crate::{
    clock::ClockGuard,
    config::Settings,
    domain::{
        ids::AppName,
        sign_in::{OidcRules, ProviderLogin, SignIn},
    },
    identity::{Credential, KeySetReport, NotSignedIn, RefusedCredential, SignIns, unverified_issuer},
    operate::{Check, Health},
};

/// Credential of an operator's trial.
#[derive(Clone, Copy)]
pub enum TriedCredential<'a> {
    Bearer(&'a str),
    /// Value of the cookie of this name.
    Cookie {
        name: &'a str,
        value: &'a str,
    },
}

/// Outcome of a trial.
pub enum Trial {
    /// A token would be minted for this user.
    Accepted(Accepted),
    Refused(Refused),
    /// Nobody can say now: a provider's keys or endpoint are out of reach.
    Unavailable {
        why: Vec<String>,
    },
}

/// User that a credential proves.
pub struct Accepted {
    pub user: String,
    /// Place of the rules in the app's list.
    pub sign_in: usize,
    pub login: Option<ProviderLogin>,
}

/// Rule that refuses a credential.
pub struct Refused {
    /// Name of the reason in logs and metrics.
    pub reason: &'static str,
    pub text: String,
    /// Particulars, which quote the credential.
    pub detail: Option<String>,
    /// Remedy for an operator.
    pub advice: &'static str,
    /// The quoted claims were signed by the provider, or are its answer.
    pub is_verified: bool,
}

/// Tries a credential as the service would, without its store: neither opt-outs nor logouts at the provider are known.
pub async fn try_sign_in(
    settings: &Settings,
    app: &AppName,
    credential: TriedCredential<'_>,
    ambient: Ambient,
) -> Trial {
    let sign_ins = settings.sign_ins().remove(app).unwrap_or_default();
    let user_ids = settings.policies().get(app).map(|policy| policy.user_ids()).unwrap_or_default();
    let clock = Arc::new(ClockGuard::new(ambient.clock, settings.clock().patience));
    let verifiers = SignIns::new(HashMap::from([(app.clone(), sign_ins.clone())]), clock);
    let credential = match credential {
        TriedCredential::Bearer(bearer) => Credential::Bearer(bearer),
        TriedCredential::Cookie { name, value } => Credential::Cookie { name, value },
    };
    match verifiers.sign_in(app, user_ids, credential, None).await {
        Ok(signed_in) => Trial::Accepted(Accepted {
            user: signed_in.user().as_str().to_owned(),
            sign_in: place_of(&sign_ins, credential),
            login: signed_in.login().cloned(),
        }),
        Err(NotSignedIn::Refused(refusal)) => Trial::Refused(Refused {
            reason: refusal.reason.as_str(),
            text: refusal.reason.to_string(),
            advice: advice(refusal.reason),
            is_verified: is_after_verification(refusal.reason),
            detail: refusal.detail,
        }),
        Err(NotSignedIn::ClockStopped(stopped)) => Trial::Unavailable { why: vec![stopped.to_string()] },
        Err(NotSignedIn::Unavailable { .. }) => Trial::Unavailable { why: reasons(&sign_ins).await },
    }
}

/// Returns true for a reason that is found only after the signature was verified, or the endpoint asked.
fn is_after_verification(reason: RefusedCredential) -> bool {
    use RefusedCredential as Reason;
    match reason {
        Reason::Missing
        | Reason::NotEnabled
        | Reason::Malformed
        | Reason::OwnToken
        | Reason::UnknownIssuer
        | Reason::Algorithm
        | Reason::Header
        | Reason::TokenType
        | Reason::UnknownKey
        | Reason::Signature => false,
        Reason::Expired
        | Reason::NotYetValid
        | Reason::TooOld
        | Reason::Audience
        | Reason::RequiredClaim
        | Reason::RefusedClaim
        | Reason::UserId
        | Reason::Inactive
        | Reason::SignedOut => true,
    }
}

/// Returns the place of the rules that accepted the credential, by the way in which a verifier is chosen.
fn place_of(sign_ins: &[SignIn], credential: Credential<'_>) -> usize {
    let (is_bearer, issuer) = match credential {
        Credential::Bearer(bearer) => (true, unverified_issuer(bearer)),
        Credential::Cookie { .. } => (false, None),
    };
    let by_issuer = |sign_in: &SignIn| match sign_in {
        SignIn::Oidc(rules) => issuer.as_ref() == Some(&rules.issuer),
        SignIn::Introspection(_) | SignIn::SessionEndpoint(_) => false,
    };
    let is_introspection = |sign_in: &SignIn| is_bearer && matches!(sign_in, SignIn::Introspection(_));
    let is_endpoint = |sign_in: &SignIn| matches!(sign_in, SignIn::SessionEndpoint(_));
    let place = |is: &dyn Fn(&SignIn) -> bool| sign_ins.iter().position(is);
    place(&by_issuer).or_else(|| place(&is_introspection)).or_else(|| place(&is_endpoint)).unwrap_or_default()
}

/// Reasons why nobody can say, as far as they can be found out.
async fn reasons(sign_ins: &[SignIn]) -> Vec<String> {
    let mut reasons = Vec::new();
    for sign_in in sign_ins {
        match sign_in {
            SignIn::Oidc(rules) => {
                if let Err(why) = KeySetReport::fetch(rules).await {
                    reasons.push(why.to_string());
                }
            }
            SignIn::Introspection(rules) => reasons.push(format!("{} may be out of reach", rules.endpoint)),
            SignIn::SessionEndpoint(rules) => reasons.push(format!("{} may be out of reach", rules.url)),
        }
    }
    reasons
}

/// Fetches the keys of every provider, and says which of them can be used.
pub async fn check_providers(settings: &Settings) -> Vec<Check> {
    let mut apps: Vec<_> = settings.sign_ins().into_iter().collect();
    apps.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut checks = Vec::new();
    for (app, sign_ins) in &apps {
        for sign_in in sign_ins {
            if let SignIn::Oidc(rules) = sign_in {
                checks.push(check_provider(app, rules).await);
            }
        }
    }
    checks
}

async fn check_provider(app: &AppName, rules: &OidcRules) -> Check {
    let what = format!("sign-in to {app} by {}", rules.issuer);
    let report = match KeySetReport::fetch(rules).await {
        Ok(report) => report,
        Err(why) => return Check::new(what, Health::Wrong, why.to_string()),
    };
    let usable = report.usable_with(&rules.algorithms);
    let text = described(&report, usable);
    if usable == 0 {
        let text = format!("{text}; nobody can sign in: compare algorithms with the provider's signing keys");
        return Check::new(what, Health::Wrong, text);
    }
    // Providers publish keys of other kinds and uses beside those that sign tokens.
    Check::new(what, Health::Ok, text)
}

/// Counts the keys of each kind, and names the ones that cannot be used.
fn described(report: &KeySetReport, usable: usize) -> String {
    let mut kinds: Vec<&str> = report.usable.iter().map(|key| key.kind.as_str()).collect();
    kinds.sort_unstable();
    let counted = kinds.chunk_by(|one, other| one == other).map(|same| format!("{} × {}", same.len(), same[0]));
    let faults = report.unusable.iter().map(|fault| {
        let kid = fault.kid.as_deref().unwrap_or("a key without kid");
        format!("{kid} cannot be read: {}", fault.why)
    });
    let all: Vec<String> = counted.chain(faults).collect();
    let total = report.usable.len() + report.unusable.len();
    let parts = if all.is_empty() { String::new() } else { format!(": {}", all.join(", ")) };
    format!("{} has {total} keys, of which {usable} can be used{parts}", report.url)
}
