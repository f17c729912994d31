//! Settings that each form takes, and the place in the provider's console of each that it needs.

use toml::{Table, Value};

use super::given::Given;
use crate::config::sign_in_section::{Form, Kind, Preset};

/// A setting, and where to find its value.
type Needed = (&'static str, &'static str);

/// Settings of every form.
const COMMON: &[&str] = &[
    "kind",
    "preset",
    "user_id_prefix",
    "shared_user_ids",
    "required_claims",
    "refused_claims",
    "allow_private_addresses",
];

/// Settings of `kind = "oidc"` that presets take too.
const OIDC: &[&str] = &["jwks_url", "user_id_claim", "verified_email", "max_age", "leeway", "jwks_max_stale"];

const OIDC_ONLY: &[&str] = &["issuer", "audience", "audience_claim", "algorithms", "token_types"];

const INTROSPECTION: &[&str] = &[
    "endpoint",
    "client_id",
    "authentication",
    "client_secret_file",
    "private_key_file",
    "private_key_id",
    "assertion_audience",
    "issuer",
    "audience",
    "audience_claim",
    "user_id_claim",
    "verified_email",
    "max_age",
    "leeway",
];

const SESSION_ENDPOINT: &[&str] = &["url", "method", "cookies", "bearer", "user_id", "verified_email"];

const FIREBASE: &[Needed] = &[(
    "project_id",
    "the project ID, from the Firebase console: Project settings > General: project_id = \"my-app-1a2b3\"",
)];

const COGNITO: &[Needed] = &[
    (
        "user_pool_id",
        "the user pool's ID, from the Amazon Cognito console: User pools > the pool > Overview: user_pool_id = \"eu-west-1_AbCdEfGhI\"",
    ),
    (
        "client_ids",
        "the client IDs of your apps, from the Amazon Cognito console: User pools > the pool > App clients: client_ids = [\"1h57kf5cpq17m0eml12EXAMPLE\"]",
    ),
    ("token_use", "the token that your app presents: token_use = \"id\" or token_use = \"access\""),
];

const AUTH0: &[Needed] = &[
    (
        "domain",
        "the tenant's domain, from the Auth0 dashboard: Applications > Applications > the app > Domain: domain = \"my-tenant.eu.auth0.com\"",
    ),
    (
        "audience",
        "the API's identifier, from the Auth0 dashboard: Applications > APIs (for ID tokens the app's Client ID): audience = \"https://api.example.com\"",
    ),
];

const CLERK: &[Needed] = &[
    ("domain", "the Frontend API URL, from the Clerk dashboard: Configure > API keys: domain = \"clerk.example.com\""),
    (
        "authorized_parties",
        "the origins of your web app, which tokens have as azp: authorized_parties = [\"https://www.example.com\"]",
    ),
];

const KEYCLOAK: &[Needed] = &[
    ("url", "the base URL of the server: url = \"https://login.example.com\""),
    ("realm", "the realm's name, from the Keycloak admin console: Realm settings > General: realm = \"my-realm\""),
    (
        "audience",
        "the client whose tokens they are, from the Keycloak admin console: Clients > Client ID (for access tokens it needs an audience mapper): audience = \"my-client\"",
    ),
];

const ENTRA: &[Needed] = &[
    (
        "tenant_id",
        "the tenant's ID, from the Microsoft Entra admin center: Overview > Tenant ID: tenant_id = \"aaaabbbb-0000-cccc-1111-dddd2222eeee\"",
    ),
    (
        "audience",
        "the Application (client) ID, from the Microsoft Entra admin center: App registrations > the app > Overview: audience = \"00001111-aaaa-2222-bbbb-3333cccc4444\"",
    ),
    ("token_use", "the token that your app presents: token_use = \"id\" or token_use = \"access\""),
];

impl Form {
    /// Settings that it must have.
    fn needed(self) -> &'static [Needed] {
        match self {
            Self::Kind(Kind::Oidc) => &[
                (
                    "issuer",
                    "the provider's issuer, which its tokens have as iss: issuer = \"https://login.example.com\"",
                ),
                (
                    "audience",
                    "the party that the tokens are for, which they have as aud, usually the app's client id at the provider: audience = \"my-client\"",
                ),
            ],
            Self::Kind(Kind::Introspection) => &[
                (
                    "endpoint",
                    "the provider's introspection endpoint: endpoint = \"https://login.example.com/introspect\"",
                ),
                ("client_id", "the id under which the provider knows this service: client_id = \"countersign\""),
            ],
            Self::Kind(Kind::SessionEndpoint) => &[
                ("url", "the URL of the app that says whose session it is: url = \"https://www.example.com/api/me\""),
                ("user_id", "the place of the user id in its answer, a JSON pointer: user_id = \"/user/id\""),
            ],
            Self::Preset(preset) => of_preset(preset),
        }
    }

    /// Returns true for a setting that it takes.
    fn takes(self, name: &str) -> bool {
        let is_in = |lists: &[&[&str]]| lists.iter().any(|list| list.contains(&name));
        match self {
            Self::Kind(Kind::Oidc) => is_in(&[COMMON, OIDC, OIDC_ONLY]),
            Self::Kind(Kind::Introspection) => is_in(&[COMMON, INTROSPECTION]),
            Self::Kind(Kind::SessionEndpoint) => is_in(&[COMMON, SESSION_ENDPOINT]),
            Self::Preset(preset) => {
                is_in(&[COMMON, OIDC, optional(preset)]) || of_preset(preset).iter().any(|(needed, _)| *needed == name)
            }
        }
    }
}

fn of_preset(preset: Preset) -> &'static [Needed] {
    match preset {
        Preset::Firebase => FIREBASE,
        Preset::Cognito => COGNITO,
        Preset::Auth0 => AUTH0,
        Preset::Supabase => &[],
        Preset::Clerk => CLERK,
        Preset::Keycloak => KEYCLOAK,
        Preset::Entra => ENTRA,
    }
}

/// Settings that a preset takes, but does not need.
fn optional(preset: Preset) -> &'static [&'static str] {
    match preset {
        Preset::Firebase => &["tenant_id"],
        Preset::Cognito => &["region"],
        Preset::Supabase => &["project_ref", "url"],
        Preset::Auth0 | Preset::Keycloak => &["client_ids"],
        Preset::Clerk | Preset::Entra => &[],
    }
}

/// Adds an error for each setting that the form does not take, and for each that it lacks.
pub(super) fn check(form: Form, given: &mut Given<'_, '_>) {
    let present = Table::try_from(given.section).unwrap_or_default();
    for name in present.keys().filter(|name| !form.takes(name)) {
        given.wrong(name, format_args!("is no setting of {}: leave it out", form.written()));
    }
    for (name, text) in form.needed() {
        if !present.contains_key(*name) && !given.has_error(name) {
            given.lacks(format_args!("needs {name}, {text}"));
        }
    }
    white_space(&present, given);
    audience(given);
}

/// White space at an end comes with a value that was copied, and no provider has it there.
fn white_space(present: &Table, given: &mut Given<'_, '_>) {
    // A prefix is the operator's own text, and a secret in the place of its file has a sentence of its own.
    let free = ["user_id_prefix", "client_secret_file", "private_key_file"];
    for (name, value) in present.iter().filter(|(name, _)| !free.contains(&name.as_str())) {
        let texts: Vec<&str> = match value {
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        };
        if texts.iter().any(|text| text.trim() != *text) {
            given.wrong(name, "begins or ends with white space: leave that out");
        }
    }
}

/// A token for nobody in particular is a token for somebody else.
fn audience(given: &mut Given<'_, '_>) {
    let section = given.section;
    for (name, texts) in [
        ("audience", &section.audience),
        ("client_ids", &section.client_ids),
        ("authorized_parties", &section.authorized_parties),
    ] {
        if texts.as_ref().is_some_and(|texts| texts.0.is_empty() || texts.0.iter().any(String::is_empty)) {
            given.wrong(
                name,
                "is empty: tokens that the provider made for anybody else would be accepted; give what they have for your app",
            );
        }
    }
}
