//! Rules for one way to sign in, and what it becomes.

use std::{collections::BTreeMap, time::Duration};

use strum::VariantNames;

use super::{given::Given, secrets, urls::bad_url};
use crate::{
    config::{
        secret_files::SecretFiles,
        sign_in_section::{ClaimValues, Kind, SignInSection, Texts},
    },
    domain::sign_in::{
        Audience, ClaimPath, ClaimRule, IntrospectionRules, JwsAlgorithm, KeySource, OidcRules, SessionEndpointRules,
        SignIn, UserIdSource,
    },
};

const DEFAULT_TOKEN_TYPES: [&str; 3] = ["jwt", "at+jwt", ""];
const DEFAULT_LEEWAY: Duration = Duration::from_secs(10);
const MAX_LEEWAY: Duration = Duration::from_secs(30);
const DEFAULT_MAX_STALE: Duration = Duration::from_hours(24);
/// Shortest use of a key set: with less, logins would wait for the next fetch that is allowed.
const SHORTEST_MAX_STALE: Duration = Duration::from_mins(1);

/// Claim that is an address, which somebody else may have claimed before the provider verified it.
const EMAIL: &str = "email";

/// Returns the settings with the defaults of a kind.
pub(super) fn with_defaults(kind: Kind, section: SignInSection) -> SignInSection {
    let mut full = section;
    full.kind = Some(kind);
    full.user_id_prefix.get_or_insert_default();
    full.shared_user_ids.get_or_insert_default();
    full.verified_email.get_or_insert_default();
    full.allow_private_addresses.get_or_insert_default();
    if kind == Kind::SessionEndpoint {
        full.method.get_or_insert_default();
        full.cookies.get_or_insert_default();
        full.bearer.get_or_insert_default();
        return full;
    }
    full.user_id_claim.get_or_insert_with(|| "sub".to_owned());
    full.audience_claim.get_or_insert_with(|| "aud".to_owned());
    full.leeway.get_or_insert(DEFAULT_LEEWAY);
    if kind == Kind::Oidc {
        full.algorithms
            .get_or_insert_with(|| Texts(JwsAlgorithm::VARIANTS.iter().map(|name| (*name).to_owned()).collect()));
        full.token_types.get_or_insert_with(|| Texts(DEFAULT_TOKEN_TYPES.map(str::to_owned).to_vec()));
        full.jwks_max_stale.get_or_insert(DEFAULT_MAX_STALE);
    }
    full
}

/// Returns the rules that the settings stand for; `None` where one of them is wrong.
pub(super) fn resolve(given: &mut Given<'_, '_>, files: Option<&mut SecretFiles<'_>>) -> Option<SignIn> {
    let section = given.section;
    for (name, url) in [("jwks_url", &section.jwks_url), ("endpoint", &section.endpoint), ("url", &section.url)] {
        if let Some(text) = url.as_deref().and_then(bad_url) {
            given.wrong(name, text);
        }
    }
    if section.leeway.is_some_and(|leeway| leeway > MAX_LEEWAY) {
        given.wrong("leeway", "must be at most \"30s\": set the clocks instead");
    }
    if section.max_age.is_some_and(|age| age.is_zero()) {
        given.wrong("max_age", "must be longer than 0s; write it like \"1h\"");
    }
    if section.jwks_max_stale.is_some_and(|stale| stale < SHORTEST_MAX_STALE) {
        given.wrong(
            "jwks_max_stale",
            "must be at least \"1m\": keys are fetched at most once in 30 s; write it like \"24h\"",
        );
    }
    let rules = match section.kind? {
        Kind::Oidc => SignIn::Oidc(oidc(given)?),
        Kind::Introspection => SignIn::Introspection(introspection(given, files)?),
        Kind::SessionEndpoint => SignIn::SessionEndpoint(session_endpoint(given)?),
    };
    given.unless_wrong(rules)
}

fn oidc(given: &mut Given<'_, '_>) -> Option<OidcRules> {
    let section = given.section;
    issuer_is_good(given);
    let audience = audience(given);
    let algorithms = algorithms(given);
    let token_types = token_types(given);
    let user_id = user_id(given, section.user_id_claim.as_ref(), "user_id_claim");
    Some(OidcRules {
        issuer: section.issuer.clone()?,
        keys: section.jwks_url.clone().map_or(KeySource::Discovery, KeySource::Url),
        algorithms,
        audience: audience?,
        token_types,
        user_id: user_id?,
        required_claims: rules(given, "required_claims", section.required_claims.as_ref()),
        refused_claims: rules(given, "refused_claims", section.refused_claims.as_ref()),
        max_age: section.max_age,
        leeway: section.leeway.unwrap_or(DEFAULT_LEEWAY),
        jwks_max_stale: section.jwks_max_stale.unwrap_or(DEFAULT_MAX_STALE),
        allow_private_addresses: section.allow_private_addresses.unwrap_or_default(),
    })
}

/// An issuer whose discovery document is fetched is a URL; another is compared only.
fn issuer_is_good(given: &mut Given<'_, '_>) {
    let Some(issuer) = &given.section.issuer else { return };
    if issuer.is_empty() {
        given.wrong("issuer", "is empty: give the value that the provider's tokens have as iss");
    } else if issuer.ends_with("/.well-known/openid-configuration") {
        given.wrong("issuer", "is the URL of the discovery document: write its issuer, the part before /.well-known");
    } else if given.section.jwks_url.is_none() {
        if let Some(text) = bad_url(issuer) {
            let why = "its discovery document is fetched from there; where it has none, give jwks_url";
            given.wrong("issuer", format_args!("{text} ({why})"));
        } else if issuer.contains('?') {
            given.wrong("issuer", "has a query (?…): give the value that the provider's tokens have as iss");
        }
    }
}

fn audience(given: &mut Given<'_, '_>) -> Option<Audience> {
    let claim = given.section.audience_claim.clone().unwrap_or_else(|| "aud".to_owned());
    let accepted = given.section.audience.clone()?.0;
    if claim.is_empty() {
        given.wrong("audience_claim", "is empty: leave it out, or write \"aud\", \"client_id\" or \"azp\"");
    }
    Some(Audience { claim, accepted })
}

fn algorithms(given: &mut Given<'_, '_>) -> Vec<JwsAlgorithm> {
    let names = given.section.algorithms.clone().unwrap_or_default().0;
    if names.is_empty() {
        given.wrong("algorithms", "is empty: leave it out, or write it like [\"RS256\"]");
    }
    let mut algorithms = Vec::new();
    for name in names {
        match name.parse() {
            Ok(algorithm) => algorithms.push(algorithm),
            Err(_) => given.wrong("algorithms", format_args!("{name:?} {}", bad_algorithm(&name))),
        }
    }
    algorithms
}

fn bad_algorithm(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("HS") {
        return "is HMAC, whose verification key also signs: whoever verifies could sign in as anybody; switch the provider to RS256 or ES256".to_owned();
    }
    if upper == "NONE" {
        return "is no signature: anybody could sign in as anybody".to_owned();
    }
    format!("is none of {}", JwsAlgorithm::VARIANTS.join(", "))
}

/// Types as they are compared: in lower case, without `application/` (RFC 7515 §4.1.9).
fn token_types(given: &mut Given<'_, '_>) -> Vec<String> {
    let types = given.section.token_types.clone().unwrap_or_default().0;
    if types.is_empty() {
        given
            .wrong("token_types", "is empty: leave it out, or write it like [\"jwt\"]; \"\" means a token without typ");
    }
    let normal = |name: String| {
        let lower = name.to_ascii_lowercase();
        lower.strip_prefix("application/").unwrap_or(&lower).to_owned()
    };
    let types: Vec<String> = types.into_iter().map(normal).collect();
    if types.iter().any(|name| name == "logout+jwt") {
        given.wrong("token_types", "\"logout+jwt\" is the type of logout tokens, which sign nobody in");
    }
    types
}

fn user_id(given: &mut Given<'_, '_>, claim: Option<&String>, setting: &str) -> Option<UserIdSource> {
    let claim = claim?;
    let verified_email = given.section.verified_email.unwrap_or_default();
    if claim.is_empty() {
        given.wrong(setting, "is empty: give the name of a claim, like \"sub\", or a JSON pointer, like \"/user/id\"");
    }
    pointer_is_good(given, setting, claim);
    let claim = ClaimPath(claim.clone());
    if claim.is_member(EMAIL) && !verified_email {
        given.wrong(
            setting,
            "is an address, which people can give before they prove that it is theirs: set verified_email = true, so that email_verified must be true",
        );
    }
    let prefix = given.section.user_id_prefix.clone().unwrap_or_default();
    Some(UserIdSource { claim, prefix, verified_email })
}

/// In a JSON pointer `~` stands before 0 or 1 only (RFC 6901 §3); another one would point at nothing.
fn pointer_is_good(given: &mut Given<'_, '_>, setting: &str, claim: &str) {
    if claim.starts_with('/') && claim.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        let text = format_args!("{claim:?} is no JSON pointer: in a name, ~ is written ~0, and / is written ~1");
        given.wrong(setting, text);
    }
}

fn rules(given: &mut Given<'_, '_>, setting: &str, claims: Option<&BTreeMap<String, ClaimValues>>) -> Vec<ClaimRule> {
    if claims.is_some_and(|claims| claims.contains_key("")) {
        given.wrong(setting, "has a claim without a name");
    }
    for claim in claims.into_iter().flat_map(BTreeMap::keys) {
        pointer_is_good(given, setting, claim);
    }
    let rule = |(claim, values): (&String, &ClaimValues)| ClaimRule {
        claim: ClaimPath(claim.clone()),
        values: values.0.iter().map(Into::into).collect(),
    };
    claims.into_iter().flatten().map(rule).collect()
}

fn introspection(given: &mut Given<'_, '_>, files: Option<&mut SecretFiles<'_>>) -> Option<IntrospectionRules> {
    let section = given.section;
    let audience = audience(given);
    let user_id = user_id(given, section.user_id_claim.as_ref(), "user_id_claim");
    let authentication = secrets::authentication(given, files);
    Some(IntrospectionRules {
        endpoint: section.endpoint.clone()?,
        client_id: section.client_id.clone()?,
        authentication: authentication?,
        issuer: section.issuer.clone(),
        audience,
        user_id: user_id?,
        required_claims: rules(given, "required_claims", section.required_claims.as_ref()),
        refused_claims: rules(given, "refused_claims", section.refused_claims.as_ref()),
        max_age: section.max_age,
        leeway: section.leeway.unwrap_or(DEFAULT_LEEWAY),
        allow_private_addresses: section.allow_private_addresses.unwrap_or_default(),
    })
}

fn session_endpoint(given: &mut Given<'_, '_>) -> Option<SessionEndpointRules> {
    let section = given.section;
    let user_id = user_id(given, section.user_id.as_ref(), "user_id");
    let cookies = section.cookies.clone().unwrap_or_default().0;
    let bearer = section.bearer.unwrap_or_default();
    if cookies.is_empty() && !bearer && !given.has_error("cookies") && !given.has_error("bearer") {
        given.lacks(
            "needs the credential that is passed on: the names of cookies, like cookies = [\"session\"], or bearer = true",
        );
    }
    for name in cookies.iter().filter(|name| !is_cookie_name(name)) {
        given.wrong("cookies", format_args!("{name:?} is no name of a cookie"));
    }
    Some(SessionEndpointRules {
        url: section.url.clone()?,
        method: section.method.unwrap_or_default(),
        cookies,
        bearer,
        user_id: user_id?,
        required_claims: rules(given, "required_claims", section.required_claims.as_ref()),
        refused_claims: rules(given, "refused_claims", section.refused_claims.as_ref()),
        allow_private_addresses: section.allow_private_addresses.unwrap_or_default(),
    })
}

/// Returns true for a token (RFC 9110 §5.6.2), which the name of a cookie is (RFC 6265 §4.1.1).
fn is_cookie_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
