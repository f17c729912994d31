//! Expansion of presets to the settings of `kind = "oidc"`.
//!
//! Each preset refuses what is no logged-in user at its provider: anonymous accounts, machines, pending sessions. The
//! facts are from the providers' documentation, which docs/sign-in.md names.

use std::collections::BTreeMap;

use strum::VariantNames;

use super::{given::Given, resolve::with_defaults};
use crate::{
    config::sign_in_section::{ClaimValue, ClaimValues, Kind, Preset, SignInSection, Texts, TokenUse},
    domain::sign_in::JwsAlgorithm,
};

/// Facts about the tokens of a provider.
struct Facts {
    issuer: String,
    /// `None`: from the issuer's discovery document.
    jwks_url: Option<String>,
    audience_claim: &'static str,
    audience: Vec<String>,
    algorithms: &'static [&'static str],
    token_types: &'static [&'static str],
    user_id_claim: &'static str,
    required: Vec<(&'static str, ClaimValues)>,
    refused: Vec<(&'static str, ClaimValues)>,
}

impl Facts {
    fn new(issuer: String, audience: Vec<String>) -> Self {
        Self {
            issuer,
            jwks_url: None,
            audience_claim: "aud",
            audience,
            algorithms: &["RS256"],
            token_types: &["jwt"],
            user_id_claim: "sub",
            required: Vec::new(),
            refused: Vec::new(),
        }
    }
}

/// Returns the settings that a preset stands for; `None` where one of its own is wrong.
pub(super) fn expand(preset: Preset, given: &mut Given<'_, '_>) -> Option<SignInSection> {
    let facts = match preset {
        Preset::Firebase => firebase(given.section),
        Preset::Cognito => cognito(given),
        Preset::Auth0 => auth0(given),
        Preset::Supabase => supabase(given)?,
        Preset::Clerk => clerk(given.section),
        Preset::Keycloak => keycloak(given.section),
        Preset::Entra => entra(given.section),
    };
    let required = claims(given, "required_claims", given.section.required_claims.as_ref(), facts.required);
    let refused = claims(given, "refused_claims", given.section.refused_claims.as_ref(), facts.refused);
    let section = given.section;
    let expanded = SignInSection {
        kind: Some(Kind::Oidc),
        issuer: Some(facts.issuer),
        audience: Some(Texts(facts.audience)),
        audience_claim: Some(facts.audience_claim.to_owned()),
        algorithms: Some(texts(facts.algorithms)),
        jwks_url: section.jwks_url.clone().or(facts.jwks_url),
        token_types: Some(texts(facts.token_types)),
        user_id_claim: section.user_id_claim.clone().or_else(|| Some(facts.user_id_claim.to_owned())),
        user_id_prefix: section.user_id_prefix.clone(),
        shared_user_ids: section.shared_user_ids,
        verified_email: section.verified_email,
        max_age: section.max_age,
        leeway: section.leeway,
        jwks_max_stale: section.jwks_max_stale,
        allow_private_addresses: section.allow_private_addresses,
        required_claims: (!required.is_empty()).then_some(required),
        refused_claims: (!refused.is_empty()).then_some(refused),
        ..SignInSection::default()
    };
    given.unless_wrong(with_defaults(Kind::Oidc, expanded))
}

/// Returns the claims of a rule: the preset's, and others that were given.
fn claims(
    given: &mut Given<'_, '_>,
    setting: &str,
    others: Option<&BTreeMap<String, ClaimValues>>,
    of_preset: Vec<(&'static str, ClaimValues)>,
) -> BTreeMap<String, ClaimValues> {
    let mut claims = others.cloned().unwrap_or_default();
    for (claim, values) in of_preset {
        if claims.insert(claim.to_owned(), values).is_some() {
            given.wrong(
                setting,
                format_args!("{claim} is set by the preset: leave it out, or write what `countersign config dump` shows and change it there"),
            );
        }
    }
    claims
}

fn texts(texts: &[&str]) -> Texts {
    Texts(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn text(setting: Option<&String>) -> String {
    setting.cloned().unwrap_or_default()
}

fn list(setting: Option<&Texts>) -> Vec<String> {
    setting.map(|texts| texts.0.clone()).unwrap_or_default()
}

fn one_of(texts: Vec<String>) -> ClaimValues {
    ClaimValues(texts.into_iter().map(ClaimValue::Text).collect())
}

/// ID tokens of Firebase Authentication, or of Identity Platform. Users of another tenant are other people.
fn firebase(section: &SignInSection) -> Facts {
    const TENANT: &str = "/firebase/tenant";
    let project = text(section.project_id.as_ref());
    let mut facts = Facts::new(format!("https://securetoken.google.com/{project}"), vec![project]);
    facts.jwks_url =
        Some("https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com".to_owned());
    facts.refused.push(("/firebase/sign_in_provider", ClaimValues::texts(["anonymous"])));
    match &section.tenant_id {
        Some(tenant) => facts.required.push((TENANT, ClaimValues::texts([tenant]))),
        None => facts.refused.push((TENANT, ClaimValues::ANY)),
    }
    facts
}

/// Tokens of a user pool. An access token has no `aud`; one of a machine has no `username`.
fn cognito(given: &mut Given<'_, '_>) -> Facts {
    let pool = text(given.section.user_pool_id.as_ref());
    let region = pool.split_once('_').map(|(region, _)| region).unwrap_or_default();
    let is_known = !region.is_empty() && !given.has_error("user_pool_id");
    if let Some(other) = given.section.region.as_deref().filter(|other| *other != region && is_known) {
        given.wrong("region", format_args!("{other:?} is not the region of user_pool_id, which is {region:?}"));
    }
    let issuer = format!("https://cognito-idp.{region}.amazonaws.com/{pool}");
    let mut facts = Facts::new(issuer, list(given.section.client_ids.as_ref()));
    facts.jwks_url = Some(format!("{}/.well-known/jwks.json", facts.issuer));
    // The header has no `typ`.
    facts.token_types = &["", "jwt"];
    if given.section.token_use == Some(TokenUse::Access) {
        facts.audience_claim = "client_id";
        facts.required.push(("token_use", ClaimValues::texts(["access"])));
        facts.required.push(("username", ClaimValues::ANY));
    } else {
        facts.required.push(("token_use", ClaimValues::texts(["id"])));
    }
    facts
}

/// ID tokens, and access tokens for an API in Auth0's own profile, whose `azp` is the app. The claim `gty` tells a
/// machine's token apart; the RFC 9068 profile has no such claim.
fn auth0(given: &mut Given<'_, '_>) -> Facts {
    let domain = text(given.section.domain.as_ref());
    let audience = list(given.section.audience.as_ref());
    let clients = list(given.section.client_ids.as_ref());
    if clients.is_empty() && audience.iter().any(|audience| audience.contains("://")) {
        given.lacks(
            "needs client_ids, the apps that access tokens are given to, from the Auth0 dashboard: Applications > Applications > the app > Client ID: client_ids = [\"aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV\"]",
        );
    }
    let mut facts = Facts::new(format!("https://{domain}/"), audience);
    facts.jwks_url = Some(format!("https://{domain}/.well-known/jwks.json"));
    facts.algorithms = &["RS256", "PS256"];
    facts.refused.push(("gty", ClaimValues::texts(["client-credentials"])));
    if !clients.is_empty() {
        facts.required.push(("azp", one_of(clients)));
    }
    facts
}

/// Session tokens of Supabase Auth, of projects with asymmetric signing keys.
fn supabase(given: &mut Given<'_, '_>) -> Option<Facts> {
    let base = match (given.section.project_ref.as_ref(), given.section.url.as_ref()) {
        (Some(project), None) => format!("https://{project}.supabase.co"),
        (None, Some(url)) => base_url(url),
        (Some(_), Some(_)) => {
            given.wrong("url", "is for a project without project_ref: leave out one of them");
            return None;
        }
        (None, None) => {
            if !given.has_error("project_ref") && !given.has_error("url") {
                given.lacks(
                    "needs project_ref, the project's ID, from the Supabase dashboard: Project Settings > General: project_ref = \"abcdefghijklmnopqrst\" (or url, where it has a domain of its own or is hosted by you)",
                );
            }
            return None;
        }
    };
    let issuer = format!("{base}/auth/v1");
    let mut facts = Facts::new(issuer, vec!["authenticated".to_owned()]);
    facts.jwks_url = Some(format!("{}/.well-known/jwks.json", facts.issuer));
    facts.algorithms = &["ES256", "RS256", "EdDSA"];
    facts.required.push(("role", ClaimValues::texts(["authenticated"])));
    facts.refused.push(("is_anonymous", ClaimValues(vec![ClaimValue::Switch(true)])));
    Some(facts)
}

/// Session tokens of Clerk. One with `act` is somebody else's who acts as the user.
fn clerk(section: &SignInSection) -> Facts {
    let domain = text(section.domain.as_ref());
    let issuer = format!("https://{domain}");
    let mut facts = Facts::new(issuer, list(section.authorized_parties.as_ref()));
    facts.jwks_url = Some(format!("{}/.well-known/jwks.json", facts.issuer));
    facts.audience_claim = "azp";
    facts.refused.push(("sts", ClaimValues::texts(["pending"])));
    facts.refused.push(("act", ClaimValues::ANY));
    facts
}

/// Access and ID tokens of a realm. The claim `typ` says which one a token is, and `azp` the client that got it: an
/// audience mapper of any client puts ours into `aud`. A service account's token has the id of its client.
fn keycloak(section: &SignInSection) -> Facts {
    let base = section.url.as_deref().map(base_url).unwrap_or_default();
    let issuer = format!("{base}/realms/{}", text(section.realm.as_ref()));
    let audience = list(section.audience.as_ref());
    let clients = section.client_ids.as_ref().map_or_else(|| audience.clone(), |clients| clients.0.clone());
    let mut facts = Facts::new(issuer, audience);
    facts.jwks_url = Some(format!("{}/protocol/openid-connect/certs", facts.issuer));
    facts.algorithms = JwsAlgorithm::VARIANTS;
    facts.token_types = &["jwt", "at+jwt"];
    facts.required.push(("typ", ClaimValues::texts(["Bearer", "ID"])));
    facts.required.push(("azp", one_of(clients)));
    facts.refused.push(("client_id", ClaimValues::ANY));
    facts.refused.push(("clientId", ClaimValues::ANY));
    facts
}

/// Tokens of version 2.0 of one tenant. An application's own access token has no `scp`, and no ID token has `azp`.
fn entra(section: &SignInSection) -> Facts {
    let tenant = text(section.tenant_id.as_ref()).to_ascii_lowercase();
    let issuer = format!("https://login.microsoftonline.com/{tenant}/v2.0");
    let audience = list(section.audience.as_ref()).iter().map(|id| id.to_ascii_lowercase()).collect();
    let mut facts = Facts::new(issuer, audience);
    facts.user_id_claim = "oid";
    facts.refused.push(("idtyp", ClaimValues::texts(["app"])));
    if section.token_use == Some(TokenUse::Access) {
        facts.required.push(("scp", ClaimValues::ANY));
    } else {
        facts.refused.push(("azp", ClaimValues::ANY));
    }
    facts
}

fn base_url(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}
