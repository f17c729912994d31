//! Values of presets: each must be what the provider's console shows under that name. Another text would end in a URL
//! that nobody wrote, and its error would be about that URL.

use super::{
    given::Given,
    urls::{bad_host, bad_url},
};
use crate::config::{
    apps::{bad_origin, is_uuid},
    sign_in_section::{Preset, Texts},
};

/// Tenant ids of Microsoft Entra that stand for many tenants; their tokens have the issuer of each user's own.
const MANY_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];

/// Tenant of personal Microsoft accounts: what `consumers` means.
const PERSONAL_ACCOUNTS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// Rule for a text of a preset.
struct Rule {
    setting: &'static str,
    is_good: fn(&str) -> bool,
    /// Name in the provider's console, and where to copy it.
    what: &'static str,
}

const PROJECT_ID: Rule = Rule {
    setting: "project_id",
    is_good: is_project_id,
    what: "project ID: copy it from the Firebase console: Project settings > General > Project ID, like \"my-app-1a2b3\" (no URL, no project number, no app ID)",
};

const FIREBASE_TENANT: Rule = Rule {
    setting: "tenant_id",
    is_good: |text| is_of(text, "-"),
    what: "tenant ID: copy it from the Google Cloud console: Identity Platform > Tenants, like \"customers-1a2b3\"",
};

const USER_POOL: Rule = Rule {
    setting: "user_pool_id",
    is_good: is_user_pool_id,
    what: "user pool ID: copy it from the Amazon Cognito console: User pools > the pool > Overview > User pool ID, like \"eu-west-1_AbCdEfGhI\" (not the ARN)",
};

const PROJECT_REF: Rule = Rule {
    setting: "project_ref",
    is_good: |text| text.len() == 20 && text.bytes().all(|b| b.is_ascii_lowercase()),
    what: "project ID: copy it from the Supabase dashboard: Project Settings > General > Project ID, 20 letters like \"abcdefghijklmnopqrst\" (a URL is for url)",
};

const REALM: Rule = Rule {
    setting: "realm",
    is_good: |text| is_of(text, "-._~"),
    what: "realm's name as its URLs have it: copy it from the Keycloak admin console: Realm settings > General > Realm name, like \"my-realm\"; where it has other characters than letters, digits and -._~, use kind = \"oidc\" with the issuer of its discovery document",
};

/// Checks the values of a preset that were given.
pub(super) fn check(preset: Preset, given: &mut Given<'_, '_>) {
    let section = given.section;
    match preset {
        Preset::Firebase => {
            text(given, &PROJECT_ID, section.project_id.as_ref());
            text(given, &FIREBASE_TENANT, section.tenant_id.as_ref());
        }
        Preset::Cognito => {
            text(given, &USER_POOL, section.user_pool_id.as_ref());
            each(given, "client_ids", section.client_ids.as_ref(), |id| {
                (!is_of(id, "-_+")).then(|| "is no client ID: copy it from the Amazon Cognito console: User pools > the pool > App clients, like \"1h57kf5cpq17m0eml12EXAMPLE\"".to_owned())
            });
        }
        Preset::Auth0 => {
            host(given, "Auth0 dashboard: Applications > Applications > the app > Domain");
            each(given, "client_ids", section.client_ids.as_ref(), |id| {
                (!is_of(id, "-_")).then(|| "is no Client ID: copy it from the Auth0 dashboard: Applications > Applications > the app > Client ID".to_owned())
            });
        }
        Preset::Supabase => {
            text(given, &PROJECT_REF, section.project_ref.as_ref());
            url(given, supabase_page, "write the base URL of the project, which is before /auth/v1");
        }
        Preset::Clerk => {
            host(given, "Clerk dashboard: Configure > API keys > Frontend API URL");
            each(given, "authorized_parties", section.authorized_parties.as_ref(), |party| {
                bad_origin(party).map(str::to_owned)
            });
        }
        Preset::Keycloak => {
            url(given, keycloak_page, "write the base URL of the server, which is before /realms or /admin");
            text(given, &REALM, section.realm.as_ref());
        }
        Preset::Entra => entra(given),
    }
}

fn entra(given: &mut Given<'_, '_>) {
    each(given, "audience", given.section.audience.as_ref(), |audience| {
        (!is_uuid(audience)).then(|| "is no Application (client) ID, which tokens of version 2.0 have as aud: copy it from the Microsoft Entra admin center: App registrations > the app > Overview".to_owned())
    });
    let Some(written) = given.section.tenant_id.as_ref().filter(|_| !given.has_error("tenant_id")) else { return };
    let tenant = written.to_ascii_lowercase();
    if MANY_TENANTS.contains(&tenant.as_str()) || tenant == PERSONAL_ACCOUNTS {
        given.wrong(
            "tenant_id",
            format_args!("{written:?} stands for everybody who has a Microsoft account: give your own tenant's ID, from the Microsoft Entra admin center: Overview > Tenant ID"),
        );
    } else if !is_uuid(&tenant) {
        given.wrong(
            "tenant_id",
            format_args!(
                "{written:?} is no tenant ID: copy it from the Microsoft Entra admin center: Overview > Tenant ID"
            ),
        );
    }
}

fn text(given: &mut Given<'_, '_>, rule: &Rule, value: Option<&String>) {
    let Some(value) = value.filter(|value| !(rule.is_good)(value)) else { return };
    if !given.has_error(rule.setting) {
        given.wrong(rule.setting, format_args!("{value:?} is no {}", rule.what));
    }
}

/// An empty text in a list has its error already.
fn each(given: &mut Given<'_, '_>, setting: &str, values: Option<&Texts>, bad: impl Fn(&str) -> Option<String>) {
    if given.has_error(setting) {
        return;
    }
    for value in values.iter().flat_map(|texts| &texts.0) {
        if let Some(why) = bad(value) {
            given.wrong(setting, format_args!("{value:?} {why}"));
        }
    }
}

fn host(given: &mut Given<'_, '_>, place: &str) {
    let Some(domain) = &given.section.domain else { return };
    if let Some(bad) = bad_host(domain).filter(|_| !given.has_error("domain")) {
        given.wrong("domain", format_args!("{domain:?} {bad} (from the {place})"));
    }
}

/// Checks `url`, the base of the provider's URLs.
fn url(given: &mut Given<'_, '_>, is_page: fn(&str) -> bool, remedy: &str) {
    let Some(url) = &given.section.url else { return };
    if given.has_error("url") {
        return;
    }
    if let Some(bad) = bad_url(url) {
        given.wrong("url", format_args!("{url:?} {bad}"));
    } else if url.contains('?') || is_page(url) {
        given.wrong("url", format_args!("{url:?} is more than the base: {remedy}"));
    }
}

fn supabase_page(url: &str) -> bool {
    ["/auth/v1", "/rest/v1", "supabase.com/"].iter().any(|part| url.contains(part))
}

fn keycloak_page(url: &str) -> bool {
    let has = |segment: &&str| url.trim_end_matches('/').split('/').skip(3).any(|part| part == *segment);
    ["realms", "admin", ".well-known"].iter().any(has)
}

/// Project IDs of Google Cloud; old ones have a domain before them, as `example.com:my-app`.
fn is_project_id(text: &str) -> bool {
    let project = match text.split_once(':') {
        Some((domain, project)) if domain.contains('.') && bad_host(domain).is_none() => project,
        _ => text,
    };
    project.starts_with(|c: char| c.is_ascii_lowercase())
        && project.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Ids of user pools begin with the region.
fn is_user_pool_id(text: &str) -> bool {
    let is_region = |region: &str| {
        region.contains('-') && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.split_once('_').is_some_and(|(region, id)| is_region(region) && is_of(id, ""))
}

/// Returns true for a text of letters, digits, and these other characters.
fn is_of(text: &str, others: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}
