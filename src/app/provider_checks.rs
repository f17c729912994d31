//! Doctor's look at those who vouch for users: the keys of every provider, and the answer of every endpoint to an unknown
//! credential.

use std::{collections::HashMap, sync::Arc};

use tokio::task::JoinHandle;

use crate::{
    clock::ClockGuard,
    config::Settings,
    domain::{
        ids::{AppName, UserIdRules},
        sign_in::{OidcRules, SignIn},
    },
    identity::{Credential, CredentialRefusal, KeySetReport, NotSignedIn, RefusedCredential, RuleName, SignIns},
    operate::{Check, Health},
    secret::{Entropy, random},
};

/// Most kids that are named.
const NAMED_KIDS: usize = 8;
/// Longest beginning of a kid that is named.
const KID_CHARS: usize = 80;

/// Number of providers that are asked at a time; each has some seconds.
const AT_ONCE: usize = 32;

/// Checks of the providers of every app.
pub(super) struct SignInChecks {
    sign_ins: Vec<(AppName, SignIn)>,
    clock: Arc<ClockGuard>,
    entropy: Arc<dyn Entropy>,
}

impl SignInChecks {
    /// Makes the checks of the providers of these settings.
    pub(super) fn new(settings: &Settings, clock: &Arc<ClockGuard>, entropy: &Arc<dyn Entropy>) -> Self {
        let mut apps: Vec<_> = settings.sign_ins().into_iter().collect();
        apps.sort_by(|(one, _), (other, _)| one.cmp(other));
        let of_app = |(app, ways): (AppName, Vec<SignIn>)| ways.into_iter().map(move |way| (app.clone(), way));
        let sign_ins = apps.into_iter().flat_map(of_app).collect();
        Self { sign_ins, clock: Arc::clone(clock), entropy: Arc::clone(entropy) }
    }

    /// Fetches the keys of every provider, asks every endpoint about a random credential, and says what came.
    pub(super) async fn check_providers(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for some in self.sign_ins.chunks(AT_ONCE) {
            let asked: Vec<_> = some.iter().cloned().map(|(app, sign_in)| self.ask(app, sign_in)).collect();
            for (app, task) in asked {
                let failed = |_| Check::new(format!("sign-in to {app}"), Health::Wrong, "the check itself failed");
                checks.push(task.await.unwrap_or_else(failed));
            }
        }
        checks
    }

    fn ask(&self, app: AppName, sign_in: SignIn) -> (AppName, JoinHandle<Check>) {
        let (clock, entropy, name) = (Arc::clone(&self.clock), Arc::clone(&self.entropy), app.clone());
        (name, tokio::spawn(async move { check(&app, &sign_in, &*entropy, &clock).await }))
    }
}

async fn check(app: &AppName, sign_in: &SignIn, entropy: &dyn Entropy, clock: &Arc<ClockGuard>) -> Check {
    match sign_in {
        SignIn::Oidc(rules) => check_provider(app, rules).await,
        SignIn::Introspection(rules) => {
            let what = format!("sign-in to {app} by introspection at {}", rules.endpoint);
            check_endpoint(what, app, sign_in, None, entropy, clock).await
        }
        SignIn::SessionEndpoint(rules) => {
            let what = format!("sign-in to {app} by the session endpoint {}", rules.url);
            let cookie = rules.cookies.first().map(String::as_str);
            check_endpoint(what, app, sign_in, cookie, entropy, clock).await
        }
    }
}

/// Asks an endpoint about a random credential: the value of this cookie, or a bearer credential.
async fn check_endpoint(
    what: String,
    app: &AppName,
    sign_in: &SignIn,
    cookie: Option<&str>,
    entropy: &dyn Entropy,
    clock: &Arc<ClockGuard>,
) -> Check {
    let Ok(bytes) = random::<16>(entropy) else {
        return Check::new(what, Health::Wrong, "the system's random generator failed");
    };
    // The text tells the endpoint's log who asked.
    let unknown = format!("countersign-doctor-{:032x}", u128::from_be_bytes(bytes));
    let credential = match cookie {
        Some(name) => Credential::Cookie { name, value: &unknown },
        None => Credential::Bearer(&unknown),
    };
    // Verifiers of one way only: an app may have several that take such a credential.
    let verifiers = SignIns::new(HashMap::from([(app.clone(), vec![sign_in.clone()])]), Arc::clone(clock));
    let (health, text) = match verifiers.sign_in(app, UserIdRules::default(), credential, None).await {
        Err(NotSignedIn::Refused(refusal)) if refusal.reason == RefusedCredential::Inactive => refused(&refusal),
        Ok(_) | Err(NotSignedIn::Refused(_)) => {
            (Health::Wrong, "it takes a random credential for that of a live session".to_owned())
        }
        Err(NotSignedIn::Unavailable { why, .. }) => (Health::Wrong, why),
        Err(NotSignedIn::ClockStopped(stopped)) => (Health::Wrong, stopped.to_string()),
    };
    Check::new(what, health, text)
}

fn refused(refusal: &CredentialRefusal) -> (Health, String) {
    match refusal.rule.as_ref().map(RuleName::as_str) {
        Some("status 404") => (
            Health::Warning,
            "it answers 404 to an unknown session, so nobody can sign in: is the path right?".to_owned(),
        ),
        Some(rule) if rule.starts_with("status ") => (Health::Ok, format!("it refuses an unknown session ({rule})")),
        _ => (Health::Ok, "it says that an unknown credential is not active".to_owned()),
    }
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

/// Counts the keys of each kind, and names the keys, and the ones that cannot be used.
fn described(report: &KeySetReport, usable: usize) -> String {
    let mut kinds: Vec<&str> = report.usable.iter().map(|key| key.kind.as_str()).collect();
    kinds.sort_unstable();
    let counted = kinds.chunk_by(|one, other| one == other).map(|same| format!("{} × {}", same.len(), same[0]));
    let faults = report.unusable.iter().map(|fault| {
        let kid = fault.kid.as_deref().map_or_else(|| "a key without kid".to_owned(), shortened);
        format!("{kid} cannot be read: {}", fault.why)
    });
    let all: Vec<String> = counted.chain(kids(report)).chain(faults).collect();
    let total = report.usable.len() + report.unusable.len();
    let keys = if total == 1 { "1 key".to_owned() } else { format!("{total} keys") };
    let parts = if all.is_empty() { String::new() } else { format!(": {}", all.join(", ")) };
    format!("{} has {keys}, of which {usable} can be used{parts}", report.url)
}

/// Names the kids of the keys, to compare with that of a token.
fn kids(report: &KeySetReport) -> Option<String> {
    let kids: Vec<&str> = report.usable.iter().filter_map(|key| key.kid.as_deref()).collect();
    let named: Vec<String> = kids.iter().take(NAMED_KIDS).map(|kid| shortened(kid)).collect();
    let more = match kids.len().saturating_sub(NAMED_KIDS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| format!("kid {}{more}", named.join(" ")))
}

/// Beginning of a kid, in quotes: the provider chose its characters.
fn shortened(kid: &str) -> String {
    format!("{:?}", kid.chars().take(KID_CHARS).collect::<String>())
}
