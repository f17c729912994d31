//! `[[apps.<name>.sign_in]]`: each mistake with its sentence and place, presets, and a dump that can be read again.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use countersign::{
    config::{Environment, Settings, check_text},
    domain::{
        client_authentication::ClientAuthentication,
        sign_in::{JwsAlgorithm, KeySource, OidcRules, SessionEndpointMethod, SignIn},
    },
};
use serde_json::json;

/// Sentences about the settings of one `sign_in` of the app `web`, as `line: sentence`.
fn told(settings: &str) -> Vec<String> {
    let text = format!("[apps.web]\n[[apps.web.sign_in]]\n{settings}\n");
    check_text(&text)
        .iter()
        .map(|error| format!("{}: {}", error.place.trim_start_matches("countersign.toml:"), error.text))
        .collect()
}

/// A folder with the secrets that these configurations name.
fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    secret("sealing.secret", &format!("1:{}\n", "0123456789abcdef".repeat(4)));
    secret("introspection.secret", "the client secret\n".replace(' ', "-").as_str());
    secret("introspection.pem", include_str!("../fixtures/keys/ec-p256.pkcs8.pem"));
    secret("empty.secret", "\n");
    secret("spaced.secret", "client secret\n");
    fs::write(folder.path().join("countersign.toml"), config).unwrap();
    folder
}

fn load(config: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
    let folder = folder(config);
    let environment = Environment::of(environment.iter().map(|(name, value)| (name.into(), value.into())));
    Settings::load(Some(&folder.path().join("countersign.toml")), &environment, &[])
        .map_err(|errors| errors.to_string())
}

fn sign_ins(settings: &Settings) -> Vec<SignIn> {
    settings.sign_ins().remove(&"web".parse().unwrap()).unwrap_or_default()
}

/// The rules of the only `sign_in` of an app with these settings.
fn oidc(settings: &str) -> OidcRules {
    let settings = load(&format!("[apps.web]\n[[apps.web.sign_in]]\n{settings}"), &[]).unwrap();
    match &sign_ins(&settings)[..] {
        [SignIn::Oidc(rules)] => rules.clone(),
        other => panic!("{other:?}"),
    }
}

const OIDC: &str = "kind = \"oidc\"\nissuer = \"https://login.test\"\naudience = \"app\"\n";
const INTROSPECTION: &str = "kind = \"introspection\"\nendpoint = \"https://login.test/i\"\nclient_id = \"c\"\nclient_secret_file = \"s\"\naudience = \"app\"\n";
const ENDPOINT: &str = "kind = \"session_endpoint\"\nurl = \"https://app.test/me\"\nuser_id = \"/id\"\n";
const ENTRA: &str = "preset = \"entra\"\naudience = \"00001111-aaaa-2222-bbbb-3333cccc4444\"\ntoken_use = \"id\"\n";

/// Settings, and the sentences about them.
fn mistakes() -> Vec<(String, &'static [&'static str])> {
    let in_oidc = |line: &str| format!("{OIDC}{line}");
    vec![
        (String::new(), &["2:1: apps.web.sign_in[0]: needs a preset, like preset = \"firebase\", or a kind, like kind = \"oidc\""]),
        ("kind = \"oidc\"\npreset = \"auth0\"".to_owned(), &["3:1: apps.web.sign_in[0].kind: is not for a preset, which chooses it: leave out one of them"]),
        ("preset = \"firebse\"".to_owned(), &["3:1: apps.web.sign_in[0].preset: \"firebse\" is none of \"firebase\", \"cognito\", \"auth0\", \"supabase\", \"clerk\", \"keycloak\" and \"entra\"; did you mean \"firebase\"?"]),
        ("kind = \"saml\"".to_owned(), &["3:1: apps.web.sign_in[0].kind: \"saml\" is none of \"oidc\", \"introspection\" and \"session_endpoint\"; any other OpenID provider is kind = \"oidc\""]),
        (in_oidc("audence = \"x\""), &["6:1: there is no setting apps.web.sign_in[0].audence; did you mean apps.<name>.sign_in.audience?"]),
        (in_oidc("project_id = \"x\""), &["6:1: apps.web.sign_in[0].project_id: is no setting of kind = \"oidc\": leave it out"]),
        (in_oidc("leeway = 5"), &["6:1: apps.web.sign_in[0].leeway: 5 has no unit: write it like \"5s\" or \"5m\" (units ms, s, m, h, d)"]),
        (in_oidc("leeway = \"31s\""), &["6:1: apps.web.sign_in[0].leeway: must be at most \"30s\": set the clocks instead"]),
        (in_oidc("max_age = \"0s\""), &["6:1: apps.web.sign_in[0].max_age: must be longer than 0s; write it like \"1h\""]),
        (in_oidc("jwks_max_stale = \"59s\""), &["6:1: apps.web.sign_in[0].jwks_max_stale: must be at least \"1m\": keys are fetched at most once in 30 s; write it like \"24h\""]),
        (format!("{INTROSPECTION}max_age = \"0s\""), &["8:1: apps.web.sign_in[0].max_age: must be longer than 0s; write it like \"1h\""]),
        (in_oidc("algorithms = \"HS256\""), &["6:1: apps.web.sign_in[0].algorithms: \"HS256\" is HMAC, whose verification key also signs: whoever verifies could sign in as anybody; switch the provider to RS256 or ES256"]),
        (in_oidc("algorithms = [\"none\"]"), &["6:1: apps.web.sign_in[0].algorithms: \"none\" is no signature: anybody could sign in as anybody"]),
        (in_oidc("algorithms = [\"rs256\"]"), &["6:1: apps.web.sign_in[0].algorithms: \"rs256\" is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"]),
        (in_oidc("algorithms = []"), &["6:1: apps.web.sign_in[0].algorithms: is empty: leave it out, or write it like [\"RS256\"]"]),
        (in_oidc("algorithms = [5]"), &["6:1: apps.web.sign_in[0].algorithms: [5] is not text in quotes, or a list of texts: write it like [\"RS256\", \"ES256\"]"]),
        (in_oidc("token_types = \"logout+jwt\""), &["6:1: apps.web.sign_in[0].token_types: \"logout+jwt\" is the type of logout tokens, which sign nobody in"]),
        (in_oidc("token_types = []"), &["6:1: apps.web.sign_in[0].token_types: is empty: leave it out, or write it like [\"jwt\"]; \"\" means a token without typ"]),
        (in_oidc("jwks_url = \"http://login.test/keys\""), &["6:1: apps.web.sign_in[0].jwks_url: must be https://…: plain HTTP goes to loopback only"]),
        (in_oidc("jwks_url = \"https://u:p@login.test/keys\""), &["6:1: apps.web.sign_in[0].jwks_url: has a user name or password: leave it out"]),
        (in_oidc("user_id_claim = \"email\""), &["6:1: apps.web.sign_in[0].user_id_claim: is an address, which people can give before they prove that it is theirs: set verified_email = true, so that email_verified must be true"]),
        (in_oidc("user_id_claim = \"\""), &["6:1: apps.web.sign_in[0].user_id_claim: is empty: give the name of a claim, like \"sub\", or a JSON pointer, like \"/user/id\""]),
        (in_oidc("required_claims = \"x\""), &["6:1: apps.web.sign_in[0].required_claims: \"x\" is not a table of claims and their values: write it like { tenant = \"acme\" }"]),
        (in_oidc("required_claims = { a = 1.5 }"), &["6:1: apps.web.sign_in[0].required_claims: { a = 1.5 } is not a table of claims and their values: write it like { tenant = \"acme\" }"]),
        (in_oidc("shared_user_ids = \"yes\""), &["6:1: apps.web.sign_in[0].shared_user_ids: \"yes\" is neither true nor false: write it without quotes, like false"]),
        ("kind = \"oidc\"".to_owned(), &[
            "2:1: apps.web.sign_in[0]: needs issuer, the provider's issuer, which its tokens have as iss: issuer = \"https://login.example.com\"",
            "2:1: apps.web.sign_in[0]: needs audience, the party that the tokens are for, which they have as aud, usually the app's client id at the provider: audience = \"my-client\"",
        ]),
        ("kind = \"oidc\"\nissuer = \"http://login.test\"\naudience = []".to_owned(), &[
            "5:1: apps.web.sign_in[0].audience: is empty: tokens that the provider made for anybody else would be accepted; give what they have for your app",
            "4:1: apps.web.sign_in[0].issuer: must be https://…: plain HTTP goes to loopback only (its discovery document is fetched from there; where it has none, give jwks_url)",
        ]),
        ("kind = \"oidc\"\nissuer = \"https://login.test/.well-known/openid-configuration\"\naudience = \"app\"".to_owned(), &["4:1: apps.web.sign_in[0].issuer: is the URL of the discovery document: write its issuer, the part before /.well-known"]),
        ("preset = \"firebase\"".to_owned(), &["2:1: apps.web.sign_in[0]: needs project_id, the project ID, from the Firebase console: Project settings > General: project_id = \"my-app-1a2b3\""]),
        ("preset = \"firebase\"\nproject_id = 5".to_owned(), &["4:1: apps.web.sign_in[0].project_id: 5 has no quotes: write \"5\""]),
        ("preset = \"firebase\"\nproject_id = \"p\"\nrefused_claims = { \"/firebase/sign_in_provider\" = \"x\" }".to_owned(), &["5:1: apps.web.sign_in[0].refused_claims: /firebase/sign_in_provider is set by the preset: leave it out, or write what `countersign config dump` shows and change it there"]),
        ("preset = \"cognito\"\nuser_pool_id = \"eu-west-1\"\nclient_ids = []\ntoken_use = \"both\"".to_owned(), &[
            "6:1: apps.web.sign_in[0].token_use: \"both\" is neither \"id\" nor \"access\"",
            "5:1: apps.web.sign_in[0].client_ids: is empty: tokens that the provider made for anybody else would be accepted; give what they have for your app",
            "4:1: apps.web.sign_in[0].user_pool_id: \"eu-west-1\" is no user pool ID: copy it from the Amazon Cognito console: User pools > the pool > Overview > User pool ID, like \"eu-west-1_AbCdEfGhI\" (not the ARN)",
        ]),
        ("preset = \"cognito\"\nuser_pool_id = \"eu-west-1_A\"\nregion = \"us-east-1\"\nclient_ids = \"c\"\ntoken_use = \"id\"".to_owned(), &["5:1: apps.web.sign_in[0].region: \"us-east-1\" is not the region of user_pool_id, which is \"eu-west-1\""]),
        ("preset = \"auth0\"\ndomain = \"https://t.auth0.com/\"\naudience = \"app\"".to_owned(), &["4:1: apps.web.sign_in[0].domain: \"https://t.auth0.com/\" is a URL: write the host only, like \"t.auth0.com\" (from the Auth0 dashboard: Applications > Applications > the app > Domain)"]),
        ("preset = \"auth0\"\ndomain = \"t.auth0.com\"\naudience = \"https://api.test\"".to_owned(), &["2:1: apps.web.sign_in[0]: needs client_ids, the apps that access tokens are given to, from the Auth0 dashboard: Applications > Applications > the app > Client ID: client_ids = [\"aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV\"]"]),
        ("preset = \"supabase\"".to_owned(), &["2:1: apps.web.sign_in[0]: needs project_ref, the project's ID, from the Supabase dashboard: Project Settings > General: project_ref = \"abcdefghijklmnopqrst\" (or url, where it has a domain of its own or is hosted by you)"]),
        ("preset = \"clerk\"\ndomain = \"Clerk.test\"\nauthorized_parties = [\"\"]".to_owned(), &[
            "5:1: apps.web.sign_in[0].authorized_parties: is empty: tokens that the provider made for anybody else would be accepted; give what they have for your app",
            "4:1: apps.web.sign_in[0].domain: \"Clerk.test\" is no host: write it in lower case, without a path or a port (from the Clerk dashboard: Configure > API keys > Frontend API URL)",
        ]),
        ("preset = \"keycloak\"\nurl = \"login.test\"\nrealm = \"r\"\naudience = \"app\"".to_owned(), &["4:1: apps.web.sign_in[0].url: \"login.test\" is no URL: write it with https://"]),
        (format!("{ENTRA}tenant_id = \"organizations\""), &["6:1: apps.web.sign_in[0].tenant_id: \"organizations\" stands for everybody who has a Microsoft account: give your own tenant's ID, from the Microsoft Entra admin center: Overview > Tenant ID"]),
        (format!("{ENTRA}tenant_id = \"9188040d-6c67-4c5b-b112-36a304b66dad\""), &["6:1: apps.web.sign_in[0].tenant_id: \"9188040d-6c67-4c5b-b112-36a304b66dad\" stands for everybody who has a Microsoft account: give your own tenant's ID, from the Microsoft Entra admin center: Overview > Tenant ID"]),
        (format!("{ENTRA}tenant_id = \"\""), &["6:1: apps.web.sign_in[0].tenant_id: \"\" is no tenant ID: copy it from the Microsoft Entra admin center: Overview > Tenant ID"]),
        (format!("{ENTRA}tenant_id = \" aaaabbbb-0000-cccc-1111-dddd2222eeee\""), &["6:1: apps.web.sign_in[0].tenant_id: begins or ends with white space: leave that out"]),
        (format!("{ENTRA}tenant_id = \"contoso.com\""), &["6:1: apps.web.sign_in[0].tenant_id: \"contoso.com\" is no tenant ID: copy it from the Microsoft Entra admin center: Overview > Tenant ID"]),
        ("kind = \"introspection\"\nendpoint = \"https://login.test/i\"\nclient_id = \"c\"\naudience = \"app\"".to_owned(), &["2:1: apps.web.sign_in[0]: needs client_secret_file, the file that holds the client secret from the provider's console (or private_key_file): client_secret_file = \"introspection.secret\""]),
        ("kind = \"introspection\"\nendpoint = \"https://login.test/i\"\nclient_id = \"c\"\naudience = \"app\"\nclient_secret_file = \"s\"\nprivate_key_id = \"k\"".to_owned(), &["8:1: apps.web.sign_in[0].private_key_id: is for authentication = \"private_key_jwt\""]),
        (in_oidc("user_id_claim = \"/user/~2id\""), &["6:1: apps.web.sign_in[0].user_id_claim: \"/user/~2id\" is no JSON pointer: in a name, ~ is written ~0, and / is written ~1"]),
        (in_oidc("refused_claims = { \"/a~\" = true }"), &["6:1: apps.web.sign_in[0].refused_claims: \"/a~\" is no JSON pointer: in a name, ~ is written ~0, and / is written ~1"]),
        (ENDPOINT.replace("/id", "/~") + "bearer = true", &["5:1: apps.web.sign_in[0].user_id: \"/~\" is no JSON pointer: in a name, ~ is written ~0, and / is written ~1"]),
        (OIDC.replace("\"app\"", "[\"app \"]"), &["5:1: apps.web.sign_in[0].audience: begins or ends with white space: leave that out"]),
        ("preset = \"okta\"".to_owned(), &["3:1: apps.web.sign_in[0].preset: \"okta\" is none of \"firebase\", \"cognito\", \"auth0\", \"supabase\", \"clerk\", \"keycloak\" and \"entra\"; any other OpenID provider is kind = \"oidc\""]),
        ("preset = \"oidc\"".to_owned(), &["3:1: apps.web.sign_in[0].preset: \"oidc\" is none of \"firebase\", \"cognito\", \"auth0\", \"supabase\", \"clerk\", \"keycloak\" and \"entra\"; write kind = \"oidc\""]),
        ("kind = \"clerk\"".to_owned(), &["3:1: apps.web.sign_in[0].kind: \"clerk\" is none of \"oidc\", \"introspection\" and \"session_endpoint\"; write preset = \"clerk\""]),
        (ENDPOINT.to_owned(), &["2:1: apps.web.sign_in[0]: needs the credential that is passed on: the names of cookies, like cookies = [\"session\"], or bearer = true"]),
        (format!("{ENDPOINT}cookies = [\"a b\"]"), &[
            "6:1: apps.web.sign_in[0].cookies: \"a b\" is no name of a cookie",
            "6:1: apps.web.sign_in[0].cookies: needs the app's allowed_origins, the pages that may send it: set allowed_origins in [apps.web], like allowed_origins = [\"https://www.example.com\"]",
        ]),
    ]
}

#[test]
fn each_mistake_has_its_sentence_and_its_place() {
    for (settings, sentences) in mistakes() {
        assert_eq!(told(&settings), sentences, "{settings}");
    }
}

/// Values that a preset does not take: its other settings, the setting, its value, and the beginning of the sentence.
fn values() -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    let firebase = "preset = \"firebase\"";
    let pool = "preset = \"cognito\"\ntoken_use = \"id\"\nuser_pool_id = \"eu-west-1_A\"";
    let auth0 = "preset = \"auth0\"\ndomain = \"t.auth0.com\"\naudience = \"https://api.test\"";
    let supabase = "preset = \"supabase\"";
    let clerk = "preset = \"clerk\"\ndomain = \"clerk.app.test\"";
    let keycloak = "preset = \"keycloak\"\naudience = \"app\"\nrealm = \"acme\"";
    let realm = "preset = \"keycloak\"\naudience = \"app\"\nurl = \"https://login.test\"";
    let firebase_id = "is no project ID: copy it from the Firebase console: Project settings > General > Project ID";
    let project = "is no project ID: copy it from the Supabase dashboard: Project Settings > General > Project ID";
    let base = "is more than the base: write the base URL of the server, which is before /realms or /admin";
    let app = "is no Application (client) ID, which tokens of version 2.0 have as aud: copy it from the Microsoft Entra admin center: App registrations > the app > Overview";
    vec![
        (firebase, "project_id", "https://my-app.firebaseapp.com", firebase_id),
        (firebase, "project_id", "My App", firebase_id),
        (firebase, "project_id", "1:123:web:abc", firebase_id),
        (firebase, "project_id", "123456789", firebase_id),
        (firebase, "project_id", "", firebase_id),
        (
            "preset = \"firebase\"\nproject_id = \"p\"",
            "tenant_id",
            "a/b",
            "is no tenant ID: copy it from the Google Cloud console",
        ),
        (
            "preset = \"cognito\"\ntoken_use = \"id\"\nclient_ids = \"c\"",
            "user_pool_id",
            "arn:aws:cognito-idp:eu-west-1:123:userpool/eu-west-1_Abc",
            "is no user pool ID: copy it from the Amazon Cognito console",
        ),
        (pool, "client_ids", "my client", "is no client ID: copy it from the Amazon Cognito console"),
        (auth0, "client_ids", "https://app.test", "is no Client ID: copy it from the Auth0 dashboard"),
        (supabase, "project_ref", "https://abcdefghijklmnopqrst.supabase.co", project),
        (supabase, "project_ref", "My project", project),
        (
            supabase,
            "url",
            "https://abcdefghijklmnopqrst.supabase.co/auth/v1",
            "is more than the base: write the base URL of the project, which is before /auth/v1",
        ),
        (
            supabase,
            "url",
            "https://supabase.com/dashboard/project/abcdefghijklmnopqrst",
            "is more than the base: write the base URL of the project",
        ),
        (
            clerk,
            "authorized_parties",
            "https://www.app.test/",
            "has more than scheme://host[:port]: no path, no slash at the end, no pattern",
        ),
        (clerk, "authorized_parties", "*", "would let every page in: list each origin"),
        (keycloak, "url", "https://login.test/realms/acme", base),
        (keycloak, "url", "https://login.test/auth/admin/", base),
        (
            realm,
            "realm",
            "my realm",
            "is no realm's name as its URLs have it: copy it from the Keycloak admin console: Realm settings > General > Realm name",
        ),
        (
            "preset = \"entra\"\ntenant_id = \"aaaabbbb-0000-cccc-1111-dddd2222eeee\"\ntoken_use = \"id\"",
            "audience",
            "api://x",
            app,
        ),
        (
            "preset = \"entra\"\ntenant_id = \"aaaabbbb-0000-cccc-1111-dddd2222eeee\"\ntoken_use = \"access\"",
            "audience",
            "api://x",
            app,
        ),
    ]
}

#[test]
fn a_value_that_no_console_shows_is_refused_where_it_was_written() {
    for (others, setting, value, sentence) in values() {
        let said = told(&format!("{others}\n{setting} = {value:?}"));
        let line = others.lines().count() + 3;
        let beginning = format!("{line}:1: apps.web.sign_in[0].{setting}: {value:?} {sentence}");
        assert!(said.len() == 1 && said[0].starts_with(&beginning), "{said:?}\n{beginning}");
    }
}

#[test]
fn an_introspection_without_audience_is_warned_of() {
    let config = OPAQUE.replace("audience = \"app\"\n", "");
    let warnings = load(&config, &[]).unwrap().warnings();
    let told = "apps.web.sign_in[0]: has no audience, so a token that any other app of the provider got signs its user in: set audience";
    assert!(warnings.iter().any(|warning| warning.starts_with(told)), "{warnings:?}");
    let warnings = load(OPAQUE, &[]).unwrap().warnings();
    assert!(warnings.iter().all(|warning| !warning.contains("audience")), "{warnings:?}");
}

#[test]
fn a_secret_in_the_place_of_its_file_is_not_shown() {
    for (written, sentence) in [
        ("GOCSPX-1a2B3c4D5e6F", "the file that it names does not exist: write the client secret there"),
        ("abc/d8Q~+xY==", "the file that it names does not exist: write the client secret there"),
        ("correct horse battery.staple", "the file that it names does not exist: write the client secret there"),
        ("-----BEGIN PRIVATE KEY-----", "holds the secret itself: it must name the file that holds it"),
        ("one\\ntwo", "holds the secret itself: it must name the file that holds it"),
    ] {
        let told = load(&OPAQUE.replace("introspection.secret", written), &[]).err().unwrap();
        assert!(told.contains(&format!("apps.web.sign_in[0].client_secret_file: {sentence}")), "{told}");
        assert!(!told.contains(written) && !told.contains("two"), "{told}");
    }
    // A name that looks like one is shown.
    let told = load(&OPAQUE.replace("introspection.secret", "other.secret"), &[]).err().unwrap();
    assert!(told.contains("/other.secret does not exist: write the client secret there"), "{told}");
    let told = load(&OPAQUE.replace("introspection.secret", "spaced.secret"), &[]).err().unwrap();
    assert!(told.contains("client_secret_file: has a space or several lines: write the client secret alone"), "{told}");
}

#[test]
fn a_part_of_a_list_cannot_be_given_by_the_environment() {
    let file = format!("[apps.web]\n[[apps.web.sign_in]]\n{OIDC}");
    for (variable, sentence) in [
        (
            "COUNTERSIGN_APPS__WEB__SIGN_IN__0__AUDIENCE",
            "apps.web.sign_in: a list cannot be changed by parts: give the whole list in COUNTERSIGN_APPS__WEB__SIGN_IN",
        ),
        (
            "COUNTERSIGN_APPS__WEB__SIGN_IN__ISSUER",
            "apps.web.sign_in: a list cannot be changed by parts: give the whole list in COUNTERSIGN_APPS__WEB__SIGN_IN",
        ),
        (
            "COUNTERSIGN_SERVER__TRUSTED_PROXIES__0",
            "server.trusted_proxies: a list cannot be changed by parts: give the whole list in COUNTERSIGN_SERVER__TRUSTED_PROXIES",
        ),
    ] {
        let told = load(&file, &[(variable, "x")]).err().unwrap();
        assert_eq!(told, format!("the configuration has a mistake\n  environment {variable}: {sentence}"));
    }
}

#[test]
fn a_list_of_sections_is_written_as_one() {
    let told = |text: &str| {
        check_text(text).iter().map(|error| format!("{}: {}", error.place, error.text)).collect::<Vec<_>>()
    };
    for (text, at) in [("[apps.web]\nsign_in = \"x\"", "2:1"), ("[apps.web.sign_in]\npreset = \"clerk\"", "1:11")] {
        let sentence =
            "apps.web.sign_in: is a list of sections: write [[apps.web.sign_in]], and the settings of each below";
        assert_eq!(told(text), [format!("countersign.toml:{at}: {sentence}")]);
    }
    let sentence =
        "apps.web.sign_in[1]: is a list of sections: write [[apps.web.sign_in]], and the settings of each below";
    let text = "[apps.web]\nsign_in = [{ preset = \"firebase\", project_id = \"p\", shared_user_ids = true }, 1]";
    assert_eq!(told(text), [format!("countersign.toml:2:1: {sentence}")]);
}

#[test]
fn several_sign_ins_have_user_ids_of_their_own() {
    let pair = |one: &str, two: &str| {
        let other = OIDC.replace("login.test", "other.test");
        let text = format!("[apps.web]\n[[apps.web.sign_in]]\n{OIDC}{one}\n[[apps.web.sign_in]]\n{other}{two}\n");
        check_text(&text).iter().map(|error| format!("{}: {}", error.place, error.text)).collect::<Vec<_>>()
    };
    let needed = |at: &str, which: usize, named: &str| {
        vec![format!(
            "countersign.toml:{at}: apps.web.sign_in[{which}].user_id_prefix: is needed in {named}, since the app has several: somebody at one provider could have the user id of somebody else at another; give each a prefix of its own, like user_id_prefix = \"google:\", or, where both know the same people by the same ids, set shared_user_ids = true in each"
        )]
    };
    let prefix = |text: &str| format!("user_id_prefix = \"{text}\"");
    let shared = "shared_user_ids = true";
    assert_eq!(pair("", ""), needed("2:1", 0, "sign_in[0] and sign_in[1]"));
    assert_eq!(pair(&prefix("a:"), ""), needed("7:1", 1, "sign_in[1]"));
    assert_eq!(pair(shared, "shared_user_ids = false"), needed("7:1", 1, "sign_in[1]"));
    // An id of the second may begin with "a:".
    assert_eq!(pair(&prefix("a:"), shared), needed("7:1", 1, "sign_in[1]"));
    for (one, two) in [(prefix("a:"), prefix("b:")), (shared.to_owned(), shared.to_owned())] {
        assert_eq!(pair(&one, &two), Vec::<String>::new());
    }
    for (one, two) in [("a:", "a:"), ("a:", "a:b:"), ("a:b:", "a:")] {
        let sentence = format!(
            "apps.web.sign_in[1].user_id_prefix: {two:?} and {one:?} of sign_in[0]: none may be the beginning of the other, so that no two people get one user id"
        );
        assert_eq!(pair(&prefix(one), &prefix(two)), [format!("countersign.toml:11:1: {sentence}")]);
    }
}

#[test]
fn an_issuer_and_each_opaque_kind_is_there_once() {
    let twice = |settings: &str| {
        let one = format!("[[apps.web.sign_in]]\n{settings}shared_user_ids = true\n");
        check_text(&format!("[apps.web]\n{one}{one}")).to_string()
    };
    let same = twice(OIDC);
    assert!(same.contains("countersign.toml:9:1: apps.web.sign_in[1].issuer: sign_in[0] has the same issuer, https://login.test: an issuer has one sign_in in an app"), "{same}");
    let same = twice(&format!("{ENDPOINT}bearer = true\n"));
    assert!(
        same.contains("apps.web.sign_in[1].kind: sign_in[0] is \"session_endpoint\" too: an app has at most one"),
        "{same}"
    );
    let same = twice(
        "kind = \"introspection\"\nendpoint = \"https://login.test/i\"\nclient_id = \"c\"\naudience = \"app\"\nclient_secret_file = \"s\"\n",
    );
    assert!(same.contains("apps.web.sign_in[1].kind: sign_in[0] is \"introspection\" too"), "{same}");
}

/// A preset's settings, and what they stand for.
fn presets() -> Vec<(&'static str, serde_json::Value)> {
    vec![
        (
            "preset = \"firebase\"\nproject_id = \"my-app\"",
            json!({
                "issuer": "https://securetoken.google.com/my-app", "audience": ["my-app"], "algorithms": ["RS256"],
                "jwks_url": "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
                "refused_claims": { "/firebase/sign_in_provider": ["anonymous"], "/firebase/tenant": [] },
            }),
        ),
        (
            "preset = \"firebase\"\nproject_id = \"my-app\"\ntenant_id = \"t-1\"",
            json!({ "required_claims": { "/firebase/tenant": ["t-1"] }, "refused_claims": { "/firebase/sign_in_provider": ["anonymous"] } }),
        ),
        (
            "preset = \"cognito\"\nuser_pool_id = \"eu-west-1_Abc\"\nclient_ids = [\"c1\", \"c2\"]\ntoken_use = \"access\"",
            json!({
                "issuer": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Abc", "audience": ["c1", "c2"],
                "audience_claim": "client_id", "token_types": ["", "jwt"],
                "jwks_url": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Abc/.well-known/jwks.json",
                "required_claims": { "token_use": ["access"], "username": [] }, "refused_claims": null,
            }),
        ),
        (
            "preset = \"cognito\"\nregion = \"us-east-1\"\nuser_pool_id = \"us-east-1_Abc\"\nclient_ids = \"c1\"\ntoken_use = \"id\"",
            json!({ "audience_claim": "aud", "required_claims": { "token_use": ["id"] } }),
        ),
        (
            "preset = \"auth0\"\ndomain = \"t.eu.auth0.com\"\naudience = \"https://api.test\"\nclient_ids = \"c1\"",
            json!({
                "issuer": "https://t.eu.auth0.com/", "jwks_url": "https://t.eu.auth0.com/.well-known/jwks.json",
                "algorithms": ["RS256", "PS256"], "required_claims": { "azp": ["c1"] },
                "refused_claims": { "gty": ["client-credentials"] },
            }),
        ),
        (
            "preset = \"supabase\"\nproject_ref = \"abcdefghijklmnopqrst\"",
            json!({
                "issuer": "https://abcdefghijklmnopqrst.supabase.co/auth/v1", "audience": ["authenticated"],
                "jwks_url": "https://abcdefghijklmnopqrst.supabase.co/auth/v1/.well-known/jwks.json",
                "algorithms": ["ES256", "RS256", "EdDSA"], "required_claims": { "role": ["authenticated"] },
                "refused_claims": { "is_anonymous": [true] },
            }),
        ),
        (
            "preset = \"supabase\"\nurl = \"https://auth.app.test/\"",
            json!({ "issuer": "https://auth.app.test/auth/v1" }),
        ),
        (
            "preset = \"clerk\"\ndomain = \"clerk.app.test\"\nauthorized_parties = [\"https://www.app.test\"]",
            json!({
                "issuer": "https://clerk.app.test", "jwks_url": "https://clerk.app.test/.well-known/jwks.json",
                "audience": ["https://www.app.test"], "audience_claim": "azp",
                "refused_claims": { "sts": ["pending"], "act": [] },
            }),
        ),
        (
            "preset = \"keycloak\"\nurl = \"https://login.test/\"\nrealm = \"acme\"\naudience = \"app\"",
            json!({
                "issuer": "https://login.test/realms/acme", "token_types": ["jwt", "at+jwt"],
                "jwks_url": "https://login.test/realms/acme/protocol/openid-connect/certs",
                "required_claims": { "typ": ["Bearer", "ID"], "azp": ["app"] }, "refused_claims": { "client_id": [], "clientId": [] },
            }),
        ),
        (
            "preset = \"entra\"\ntenant_id = \"AAAABBBB-0000-cccc-1111-dddd2222eeee\"\naudience = \"00001111-aaaa-2222-bbbb-3333cccc4444\"\ntoken_use = \"id\"",
            json!({
                "issuer": "https://login.microsoftonline.com/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0",
                "jwks_url": null, "user_id_claim": "oid", "refused_claims": { "idtyp": ["app"], "azp": [] },
            }),
        ),
        (
            "preset = \"entra\"\ntenant_id = \"aaaabbbb-0000-cccc-1111-dddd2222eeee\"\naudience = \"00001111-aaaa-2222-bbbb-3333cccc4444\"\ntoken_use = \"access\"\nuser_id_claim = \"sub\"",
            json!({ "user_id_claim": "sub", "required_claims": { "scp": [] }, "refused_claims": { "idtyp": ["app"] } }),
        ),
    ]
}

#[test]
fn the_dump_shows_what_a_preset_stands_for_and_can_be_read_again() {
    for (settings, expected) in presets() {
        let given = load(&format!("[apps.web]\n[[apps.web.sign_in]]\n{settings}"), &[]).unwrap();
        let shown = &given.to_json()["apps"]["web"]["sign_in"][0];
        assert_eq!((&shown["kind"], shown.get("preset")), (&json!("oidc"), None), "{settings}");
        for (setting, value) in expected.as_object().unwrap() {
            assert_eq!(&shown[setting], value, "{settings}: {setting}");
        }
        let again = load(&given.dump(false), &[]).unwrap();
        assert_eq!(sign_ins(&again), sign_ins(&given), "{settings}");
        assert_eq!(again.to_json(), given.to_json());
        assert!(given.dump(true).contains("kind = \"oidc\"  # countersign.toml:3:1"), "{}", given.dump(true));
    }
}

#[test]
fn the_defaults_of_oidc_are_safe() {
    let rules = oidc(OIDC);
    assert_eq!(rules.keys, KeySource::Discovery);
    assert_eq!((rules.audience.claim.as_str(), rules.user_id.claim.0.as_str()), ("aud", "sub"));
    assert_eq!(rules.token_types, ["jwt", "at+jwt", ""]);
    assert_eq!(rules.algorithms.len(), 9);
    assert!((rules.leeway, rules.max_age, rules.allow_private_addresses) == (Duration::from_secs(10), None, false));
    let rules = oidc(&format!(
        "{OIDC}algorithms = [\"ES256\", \"EdDSA\"]\ntoken_types = \"application/AT+jwt\"\nuser_id_claim = \"/user/id\"\nrequired_claims = {{ n = 5, b = [true, \"x\"], any = [] }}"
    ));
    assert_eq!(rules.algorithms, [JwsAlgorithm::ES256, JwsAlgorithm::EdDSA]);
    assert_eq!(rules.token_types, ["at+jwt"]);
    let claims: Vec<_> =
        rules.required_claims.iter().map(|rule| (rule.claim.0.as_str(), rule.values.clone())).collect();
    assert_eq!(claims, [("any", vec![]), ("b", vec![json!(true), json!("x")]), ("n", vec![json!(5)])]);
}

const OPAQUE: &str = "[apps.web]\nallowed_origins = [\"https://www.app.test\"]
[[apps.web.sign_in]]
kind = \"introspection\"
endpoint = \"https://login.test/introspect\"
client_id = \"countersign\"
client_secret_file = \"introspection.secret\"
audience = \"app\"
user_id_prefix = \"i:\"
[[apps.web.sign_in]]
kind = \"session_endpoint\"
url = \"https://app.test/me\"
method = \"POST\"
cookies = \"__Host-session\"
user_id = \"/user/id\"
user_id_prefix = \"s:\"
";

#[test]
fn secrets_are_read_and_never_shown() {
    let settings = load(OPAQUE, &[]).unwrap();
    let all = sign_ins(&settings);
    let [SignIn::Introspection(introspection), SignIn::SessionEndpoint(endpoint)] = &all[..] else { panic!("{all:?}") };
    let ClientAuthentication::Basic(secret) = &introspection.authentication else { panic!("no secret") };
    assert_eq!(secret.expose(), "the-client-secret");
    assert_eq!(
        (endpoint.method, &endpoint.cookies[..]),
        (SessionEndpointMethod::POST, &["__Host-session".to_owned()][..])
    );
    for shown in [settings.dump(true), settings.to_json().to_string(), format!("{all:?}")] {
        assert!(!shown.contains("the-client-secret"), "{shown}");
    }
    let again = load(&settings.dump(false), &[]).unwrap();
    assert_eq!(sign_ins(&again), all);

    let by_key = OPAQUE.replace(
        "client_secret_file = \"introspection.secret\"",
        "private_key_file = \"introspection.pem\"\nprivate_key_id = \"k-1\"",
    );
    let all = sign_ins(&load(&by_key, &[]).unwrap());
    let [SignIn::Introspection(introspection), _] = &all[..] else { panic!("{all:?}") };
    let ClientAuthentication::PrivateKeyJwt(key) = &introspection.authentication else { panic!("no key") };
    assert_eq!(key.kid.as_deref(), Some("k-1"));

    for (file, sentence) in [
        ("nowhere", "does not exist: write the client secret there, as the provider's console shows it"),
        ("empty.secret", "holds no client secret: one line, without spaces"),
    ] {
        let told = load(&OPAQUE.replace("introspection.secret", file), &[]).err().unwrap();
        assert!(told.contains("countersign.toml:7:1: apps.web.sign_in[0].client_secret_file: "), "{told}");
        assert!(told.contains(sentence), "{told}");
    }
    let told = load(&by_key.replace("introspection.pem", "introspection.secret"), &[]).err().unwrap();
    assert!(told.contains("apps.web.sign_in[0].private_key_file: holds no private key in PEM"), "{told}");
}

#[test]
fn the_environment_replaces_the_whole_list() {
    let file = format!("[apps.web]\n[[apps.web.sign_in]]\n{OIDC}");
    for text in
        ["[{ preset = \"firebase\", project_id = \"p\" }]", "[{\"preset\": \"firebase\", \"project_id\": \"p\"}]"]
    {
        let settings = load(&file, &[("COUNTERSIGN_APPS__WEB__SIGN_IN", text)]).unwrap();
        let all = sign_ins(&settings);
        let [SignIn::Oidc(rules)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(rules.issuer, "https://securetoken.google.com/p");
        assert!(
            settings.dump(true).contains(
                "issuer = \"https://securetoken.google.com/p\"  # environment COUNTERSIGN_APPS__WEB__SIGN_IN"
            )
        );
    }
    let told = load(&file, &[("COUNTERSIGN_APPS__WEB__SIGN_IN", "[{ preset = \"firebase\", projectid = \"p\" }]")])
        .err()
        .unwrap();
    for sentence in [
        "environment COUNTERSIGN_APPS__WEB__SIGN_IN: there is no setting apps.web.sign_in[0].projectid; did you mean apps.<name>.sign_in.project_id?",
        "environment COUNTERSIGN_APPS__WEB__SIGN_IN: apps.web.sign_in[0]: needs project_id",
    ] {
        assert!(told.contains(sentence), "{told}");
    }
}

/// Blocks of a document that are TOML.
fn toml_blocks(document: &str) -> Vec<String> {
    document.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_configurations_of_the_documents_are_good() {
    let origins = "allowed_origins = [\"https://www.example.com\"]";
    let documents = [include_str!("../../docs/sign-in.md"), include_str!("../../docs/sign-in-opaque.md")];
    let blocks: Vec<String> = documents.iter().flat_map(|document| toml_blocks(document)).collect();
    assert!(blocks.len() >= 12, "{}", blocks.len());
    for block in blocks {
        let settings = load(&format!("[apps.web]\n{origins}\n{block}"), &[]).unwrap();
        assert_eq!(sign_ins(&settings).len(), 1, "{block}");
    }
}

#[test]
fn the_documents_name_every_reason() {
    use strum::VariantNames;
    let document = include_str!("../../docs/sign-in.md");
    for reason in countersign::identity::RefusedCredential::VARIANTS {
        assert!(document.contains(&format!("`{reason}`")), "{reason}");
    }
}
