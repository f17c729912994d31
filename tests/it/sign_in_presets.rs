//! Presets, with tokens in the shape of each provider's and keys of ours: who is signed in, and what is refused by
//! default because it is no logged-in user. The shapes are from the providers' documentation (docs/sign-in.md).

use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use countersign::{
    clock::{Clock, ClockGuard, UnixMillis},
    config::{Environment, Settings},
    domain::{
        ids::{AppName, UserIdRules},
        sign_in::{KeySource, SignIn},
    },
    identity::{Credential, NotSignedIn, SignIns},
};
use serde_json::{Value, json};

use crate::support::{
    jwt::{P256, ProviderKey, RSA, TestProvider, changed, published},
    test_service::TestClock,
};

const NOW: i64 = 1_795_000_000;

/// A provider's token: its preset, key, header and claims, the user that it signs in, and variants that are refused.
struct Case {
    name: &'static str,
    settings: &'static str,
    key: &'static ProviderKey,
    header: Value,
    claims: Value,
    user: &'static str,
    refused: Vec<(&'static str, Value, &'static str)>,
}

fn header(key: &ProviderKey) -> Value {
    key.header()
}

fn without_typ(key: &ProviderKey) -> Value {
    changed(&key.header(), "typ", Value::Null)
}

/// Claims with some replaced; `null` leaves one out.
fn with(claims: &Value, changes: &Value) -> Value {
    changes
        .as_object()
        .unwrap()
        .iter()
        .fold(claims.clone(), |claims, (name, value)| changed(&claims, name, value.clone()))
}

fn firebase() -> Case {
    let firebase = |provider: &str| json!({ "identities": { "email": ["a@app.test"] }, "sign_in_provider": provider });
    let mut of_tenant = firebase("password");
    of_tenant["tenant"] = "other-tenant".into();
    Case {
        name: "firebase",
        settings: "preset = \"firebase\"\nproject_id = \"my-app\"",
        key: &RSA,
        header: header(&RSA),
        claims: json!({
            "iss": "https://securetoken.google.com/my-app", "aud": "my-app", "auth_time": NOW - 60, "user_id": "Zx81",
            "sub": "Zx81", "iat": NOW, "exp": NOW + 3600, "email": "a@app.test", "email_verified": false,
            "firebase": firebase("password"),
        }),
        user: "Zx81",
        refused: vec![
            ("anonymous", json!({ "firebase": firebase("anonymous") }), "refused_claim"),
            ("of a tenant", json!({ "firebase": of_tenant }), "refused_claim"),
            ("of another project", json!({ "aud": "other-app" }), "audience"),
            (
                "a custom token",
                json!({ "iss": "sa@my-app.iam.gserviceaccount.com", "aud": "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit" }),
                "unknown_issuer",
            ),
            ("a session cookie", json!({ "iss": "https://session.firebase.google.com/my-app" }), "unknown_issuer"),
        ],
    }
}

fn cognito_access() -> Case {
    Case {
        name: "cognito, access token",
        settings: "preset = \"cognito\"\nuser_pool_id = \"eu-west-1_Abc\"\nclient_ids = \"our-client\"\ntoken_use = \"access\"",
        key: &RSA,
        header: without_typ(&RSA),
        claims: json!({
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Abc",
            "version": 2, "client_id": "our-client", "origin_jti": "o-1", "event_id": "e-1", "token_use": "access",
            "scope": "openid phone", "auth_time": NOW - 60, "iat": NOW, "exp": NOW + 3600, "jti": "j-1", "username": "ada",
        }),
        user: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        refused: vec![
            ("of another client", json!({ "client_id": "other-client" }), "audience"),
            ("for aud only", json!({ "client_id": null, "aud": "our-client" }), "audience"),
            (
                "an ID token",
                json!({ "token_use": "id", "username": null, "cognito:username": "ada" }),
                "required_claim",
            ),
            ("of a machine", json!({ "sub": "our-client", "username": null }), "required_claim"),
            (
                "of another pool",
                json!({ "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Xyz" }),
                "unknown_issuer",
            ),
        ],
    }
}

fn cognito_id() -> Case {
    Case {
        name: "cognito, ID token",
        settings: "preset = \"cognito\"\nuser_pool_id = \"eu-west-1_Abc\"\nclient_ids = \"our-client\"\ntoken_use = \"id\"",
        key: &RSA,
        header: without_typ(&RSA),
        claims: json!({
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Abc",
            "aud": "our-client", "cognito:username": "ada", "email": "a@app.test", "email_verified": true, "origin_jti": "o-1",
            "event_id": "e-1", "token_use": "id", "auth_time": NOW - 60, "iat": NOW, "exp": NOW + 3600, "jti": "j-1",
        }),
        user: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        refused: vec![
            ("of another client", json!({ "aud": "other-client" }), "audience"),
            ("of a client itself", json!({ "sub": "our-client", "client_id": "our-client" }), "user_id"),
            ("an access token", json!({ "token_use": "access" }), "required_claim"),
        ],
    }
}

fn auth0_access() -> Case {
    Case {
        name: "auth0, access token",
        settings: "preset = \"auth0\"\ndomain = \"t.eu.auth0.com\"\naudience = \"https://api.app.test\"\nclient_ids = \"our-client\"",
        key: &RSA,
        header: header(&RSA),
        claims: json!({
            "iss": "https://t.eu.auth0.com/", "sub": "auth0|123456", "azp": "our-client", "iat": NOW, "exp": NOW + 3600,
            "aud": ["https://api.app.test", "https://t.eu.auth0.com/userinfo"], "scope": "openid profile",
        }),
        user: "auth0|123456",
        refused: vec![
            ("for the user info only", json!({ "aud": "https://t.eu.auth0.com/userinfo" }), "audience"),
            ("of another app", json!({ "azp": "other-client" }), "required_claim"),
            (
                "of a machine",
                json!({ "gty": "client-credentials", "sub": "our-client@clients", "aud": "https://api.app.test" }),
                "refused_claim",
            ),
            ("of the issuer without its slash", json!({ "iss": "https://t.eu.auth0.com" }), "unknown_issuer"),
        ],
    }
}

fn auth0_id() -> Case {
    Case {
        name: "auth0, ID token",
        settings: "preset = \"auth0\"\ndomain = \"t.eu.auth0.com\"\naudience = \"our-client\"",
        key: &RSA,
        header: header(&RSA),
        claims: json!({
            "iss": "https://t.eu.auth0.com/", "sub": "google-oauth2|42", "aud": "our-client", "iat": NOW, "exp": NOW + 36000,
            "sid": "s-1", "nonce": "n-1", "email": "a@app.test", "email_verified": true,
        }),
        user: "google-oauth2|42",
        refused: vec![("of another app", json!({ "aud": "other-client" }), "audience")],
    }
}

fn supabase() -> Case {
    Case {
        name: "supabase",
        settings: "preset = \"supabase\"\nproject_ref = \"abcdefghijklmnopqrst\"",
        key: &P256,
        header: header(&P256),
        claims: json!({
            "iss": "https://abcdefghijklmnopqrst.supabase.co/auth/v1", "sub": "123e4567-e89b-12d3-a456-426614174000",
            "aud": "authenticated", "role": "authenticated", "aal": "aal1", "session_id": "s-1", "email": "a@app.test",
            "phone": "", "is_anonymous": false, "iat": NOW, "exp": NOW + 3600, "app_metadata": { "provider": "email" },
        }),
        user: "123e4567-e89b-12d3-a456-426614174000",
        refused: vec![
            ("anonymous", json!({ "is_anonymous": true }), "refused_claim"),
            ("for anon", json!({ "aud": "anon", "role": "anon" }), "audience"),
            ("of the service", json!({ "role": "service_role" }), "required_claim"),
            ("a project key", json!({ "iss": "supabase", "role": "anon", "aud": null }), "unknown_issuer"),
        ],
    }
}

fn clerk() -> Case {
    Case {
        name: "clerk",
        settings: "preset = \"clerk\"\ndomain = \"clerk.app.test\"\nauthorized_parties = [\"https://www.app.test\"]",
        key: &RSA,
        header: changed(&header(&RSA), "cat", "cl_B7d4PD111AAA".into()),
        claims: json!({
            "iss": "https://clerk.app.test", "sub": "user_2abc", "azp": "https://www.app.test", "sid": "sess_1", "v": 2,
            "sts": "active", "fva": [7, -1], "iat": NOW, "nbf": NOW - 10, "exp": NOW + 60, "jti": "j-1",
        }),
        user: "user_2abc",
        refused: vec![
            ("pending", json!({ "sts": "pending" }), "refused_claim"),
            (
                "of somebody who acts for the user",
                json!({ "act": { "sub": "user_2admin", "iss": "https://dashboard.clerk.com" } }),
                "refused_claim",
            ),
            ("of another origin", json!({ "azp": "https://evil.app.test" }), "audience"),
            ("without origin", json!({ "azp": null }), "audience"),
        ],
    }
}

fn keycloak() -> Case {
    Case {
        name: "keycloak, access token",
        settings: "preset = \"keycloak\"\nurl = \"https://login.test\"\nrealm = \"acme\"\naudience = \"our-client\"",
        key: &RSA,
        header: header(&RSA),
        claims: json!({
            "iss": "https://login.test/realms/acme", "sub": "f:1:ada", "aud": ["our-client", "account"], "azp": "our-client",
            "typ": "Bearer", "sid": "s-1", "acr": "1", "scope": "openid email", "iat": NOW, "exp": NOW + 300, "jti": "j-1",
            "preferred_username": "ada",
        }),
        user: "f:1:ada",
        refused: vec![
            ("without the audience mapper", json!({ "aud": "account" }), "audience"),
            ("without any audience", json!({ "aud": null }), "audience"),
            ("given to another client", json!({ "azp": "other-client" }), "required_claim"),
            (
                "given to another client, for ours alone",
                json!({ "aud": "our-client", "azp": "other-client" }),
                "required_claim",
            ),
            ("without its client", json!({ "azp": null }), "required_claim"),
            ("a refresh token", json!({ "typ": "Refresh" }), "required_claim"),
            ("a logout token", json!({ "typ": "Logout" }), "required_claim"),
            (
                "of a service account",
                json!({ "client_id": "our-client", "preferred_username": "service-account-our-client" }),
                "refused_claim",
            ),
            ("of another realm", json!({ "iss": "https://login.test/realms/master" }), "unknown_issuer"),
        ],
    }
}

fn keycloak_id() -> Case {
    let access = keycloak();
    Case {
        name: "keycloak, ID token",
        claims: with(&access.claims, &json!({ "typ": "ID", "aud": "our-client", "nonce": "n-1" })),
        refused: vec![("given to another client", json!({ "azp": "other-client" }), "required_claim")],
        ..access
    }
}

fn keycloak_api() -> Case {
    let access = keycloak();
    Case {
        name: "keycloak, access token for an API",
        settings: "preset = \"keycloak\"\nurl = \"https://login.test\"\nrealm = \"acme\"\naudience = \"our-api\"\nclient_ids = \"our-client\"",
        claims: with(&access.claims, &json!({ "aud": ["our-api", "account"] })),
        refused: vec![("given to another client", json!({ "azp": "our-api" }), "required_claim")],
        ..access
    }
}

fn entra_id() -> Case {
    Case {
        name: "entra, ID token",
        settings: "preset = \"entra\"\ntenant_id = \"aaaabbbb-0000-cccc-1111-dddd2222eeee\"\naudience = \"00001111-aaaa-2222-bbbb-3333cccc4444\"\ntoken_use = \"id\"",
        key: &RSA,
        header: header(&RSA),
        claims: json!({
            "iss": "https://login.microsoftonline.com/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0",
            "aud": "00001111-aaaa-2222-bbbb-3333cccc4444", "tid": "aaaabbbb-0000-cccc-1111-dddd2222eeee", "ver": "2.0",
            "oid": "bbbbbbbb-0000-1111-2222-cccccccccccc", "sub": "pairwise", "iat": NOW, "nbf": NOW, "exp": NOW + 3600,
            "preferred_username": "ada@app.test", "rh": "0.A", "uti": "u",
        }),
        user: "bbbbbbbb-0000-1111-2222-cccccccccccc",
        refused: vec![
            ("for another app", json!({ "aud": "00000003-0000-0000-c000-000000000000" }), "audience"),
            (
                "an access token",
                json!({ "azp": "00001111-aaaa-2222-bbbb-3333cccc4444", "scp": "access" }),
                "refused_claim",
            ),
            ("without the scope profile", json!({ "oid": null }), "user_id"),
            (
                "of another tenant",
                json!({ "iss": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0" }),
                "unknown_issuer",
            ),
            (
                "of version 1.0",
                json!({ "iss": "https://sts.windows.net/aaaabbbb-0000-cccc-1111-dddd2222eeee/", "ver": "1.0" }),
                "unknown_issuer",
            ),
        ],
    }
}

fn entra_access() -> Case {
    let id = entra_id();
    Case {
        name: "entra, access token",
        settings: "preset = \"entra\"\ntenant_id = \"aaaabbbb-0000-cccc-1111-dddd2222eeee\"\naudience = \"00001111-aaaa-2222-bbbb-3333cccc4444\"\ntoken_use = \"access\"",
        claims: with(
            &id.claims,
            &json!({ "azp": "dddddddd-1111-2222-3333-444444444444", "azpacr": "0", "scp": "access_as_user" }),
        ),
        refused: vec![
            (
                "of an application",
                json!({ "scp": null, "roles": ["Daemon"], "oid": "eeeeeeee-1111-2222-3333-444444444444" }),
                "required_claim",
            ),
            ("of an application that says so", json!({ "idtyp": "app" }), "refused_claim"),
            ("an ID token", json!({ "azp": null, "azpacr": null, "scp": null }), "required_claim"),
        ],
        ..id
    }
}

/// Verifiers of this preset, whose keys are the test's.
fn verifiers(settings: &str, jwks_url: &str) -> SignIns {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("sealing.secret");
    fs::write(&secret, format!("1:{}\n", "0123456789abcdef".repeat(4))).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let file = folder.path().join("countersign.toml");
    fs::write(&file, format!("[apps.web]\n[[apps.web.sign_in]]\n{settings}\n")).unwrap();
    let mut sign_ins = Settings::load(Some(&file), &Environment::empty(), &[]).unwrap().sign_ins();
    for sign_in in sign_ins.get_mut(&web()).unwrap() {
        let SignIn::Oidc(rules) = sign_in else { panic!("{sign_in:?}") };
        rules.keys = KeySource::Url(jwks_url.to_owned());
    }
    let clock: Arc<dyn Clock> = Arc::new(TestClock::at(UnixMillis(NOW * 1000)));
    SignIns::new(HashMap::from_iter(sign_ins), Arc::new(ClockGuard::new(clock, Duration::from_mins(10))))
}

fn web() -> AppName {
    "web".parse().unwrap()
}

async fn outcome(verifiers: &SignIns, token: &str) -> Result<String, &'static str> {
    match verifiers.sign_in(&web(), UserIdRules::default(), Credential::Bearer(token), None).await {
        Ok(signed_in) => Ok(signed_in.user().as_str().to_owned()),
        Err(NotSignedIn::Refused(refusal)) => Err(refusal.reason.as_str()),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn each_preset_signs_its_users_in_and_nobody_else() {
    let provider = TestProvider::start(&published()).await;
    let jwks_url = format!("{}/jwks.json", provider.issuer);
    let cases = [
        firebase(),
        cognito_access(),
        cognito_id(),
        auth0_access(),
        auth0_id(),
        supabase(),
        clerk(),
        keycloak(),
        keycloak_id(),
        keycloak_api(),
        entra_id(),
        entra_access(),
    ];
    for case in cases {
        let verifiers = verifiers(case.settings, &jwks_url);
        let token = |claims: &Value| case.key.with_header(&case.header, claims);
        assert_eq!(outcome(&verifiers, &token(&case.claims)).await, Ok(case.user.to_owned()), "{}", case.name);
        let of_all = [
            ("expired", json!({ "exp": NOW - 11 }), "expired"),
            ("without exp", json!({ "exp": null }), "required_claim"),
            ("of tomorrow", json!({ "iat": NOW + 86_400 }), "not_yet_valid"),
        ];
        for (variant, changes, reason) in of_all.iter().chain(&case.refused) {
            let refused = outcome(&verifiers, &token(&with(&case.claims, changes))).await;
            assert_eq!(refused, Err(*reason), "{}: {variant}", case.name);
        }
        for (typ, reason) in [("logout+jwt", "token_type"), ("dpop+jwt", "token_type")] {
            let header = changed(&case.header, "typ", typ.into());
            assert_eq!(
                outcome(&verifiers, &case.key.with_header(&header, &case.claims)).await,
                Err(reason),
                "{}",
                case.name
            );
        }
        let hmac = changed(&case.header, "alg", "HS256".into());
        assert_eq!(
            outcome(&verifiers, &case.key.with_header(&hmac, &case.claims)).await,
            Err("algorithm"),
            "{}",
            case.name
        );
    }
}
