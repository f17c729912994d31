//! Both kinds as the configuration file says them, beside a provider of JWTs.

use std::{fs, os::unix::fs::PermissionsExt};

use countersign::{
    app::Layout,
    config::{Environment, Settings},
};
use http::{Request, header};
use serde_json::json;

use super::{NOW, exchange, exchange_request, minted};
use crate::support::{
    Answer,
    endpoint::TestEndpoint,
    jwt::{AUDIENCE, RSA, TestProvider, published},
    test_service::{CONFIG, TestService},
};

/// A service whose app `web` has these ways to sign in, and the folder of its client secret.
async fn configured(sign_ins: &str) -> (TestService, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("client.secret");
    fs::write(&secret, "canary-client-secret\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let sign_ins = sign_ins.replace("SECRET", secret.to_str().unwrap());
    (TestService::with(&format!("{CONFIG}{sign_ins}")).await, folder)
}

fn introspection(endpoint: &TestEndpoint) -> String {
    format!(
        r#"
[[apps.web.sign_in]]
kind = "introspection"
endpoint = "{}"
client_id = "countersign"
client_secret_file = "SECRET"
audience = "our-api"
user_id_claim = "username"
shared_user_ids = true
"#,
        endpoint.url
    )
}

#[tokio::test]
async fn an_introspection_is_configured() {
    let endpoint = TestEndpoint::start().await;
    endpoint.answers_json(&json!({ "active": true, "username": "anna", "aud": "our-api" }));
    let (service, _folder) = configured(&introspection(&endpoint)).await;
    let answer = exchange(&service, "opaque").await.ok();
    let refreshed = service.refresh(&answer.text("refresh_token")).await;
    assert_eq!(minted(refreshed)["sub"], "anna");
    assert_eq!(endpoint.asked()[0].header("authorization"), "Basic Y291bnRlcnNpZ246Y2FuYXJ5LWNsaWVudC1zZWNyZXQ=");
    // A token of ours is shown to nobody (R04).
    exchange(&service, &answer.text("token")).await.problem(401, "unauthorized");
    assert_eq!(endpoint.asked().len(), 1);
    endpoint.answers_json(&json!({ "active": true, "username": "anna", "aud": "other-api" }));
    exchange(&service, "for-another").await.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_session_endpoint_is_configured() {
    let endpoint = TestEndpoint::start().await;
    endpoint.answers_json(&json!({ "user": { "id": "anna" } }));
    let url = &endpoint.url;
    let section = format!(
        "\n[[apps.web.sign_in]]\nkind = \"session_endpoint\"\nurl = \"{url}\"\ncookies = [\"session\"]\nuser_id = \"/user/id\"\n"
    );
    let (service, _folder) = configured(&section).await;
    let origin = (header::ORIGIN, "https://app.example.com");
    let answer = service.send(exchange_request("web", &[origin, (header::COOKIE, "a=1; session=s-1")])).await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(minted(answer)["sub"], "anna");
    assert_eq!(endpoint.asked()[0].header("cookie"), "session=s-1");
    exchange(&service, "s-1").await.problem(401, "unauthorized");
    assert_eq!(endpoint.asked().len(), 1);
}

#[test]
fn the_examples_of_the_document_are_accepted() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sign-in-opaque.md")).unwrap();
    let examples: Vec<&str> = text.split("```toml\n").skip(1).map(|part| part.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 3);
    let [(pem, ..), _] = super::introspection::client_keys();
    for example in examples {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(folder.path());
        layout.create(&format!("{CONFIG}{example}")).unwrap();
        for (name, text) in [("introspection.secret", "client-secret\n"), ("introspection.pem", &pem)] {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let settings = Settings::load(Some(&layout.config), &Environment::empty(), &[]);
        let sign_ins = settings.unwrap_or_else(|errors| panic!("{example}\n{errors}")).sign_ins();
        assert_eq!(sign_ins[&"web".parse().unwrap()].len(), 1);
    }
}

async fn log_out(service: &TestService, logout_token: &str) -> Answer {
    let body = format!("logout_token={logout_token}");
    let request = Request::post("/v1/sign-out/backchannel/web")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.into())
        .unwrap();
    service.send(request).await
}

#[tokio::test]
async fn a_logout_at_the_provider_ends_an_introspected_login() {
    let provider = TestProvider::start(&published()).await;
    let endpoint = TestEndpoint::start().await;
    endpoint.answers_json(&json!({ "active": true, "username": "anna", "aud": "our-api", "iat": NOW - 60,
        "iss": provider.issuer, "sub": "subject-of-anna", "sid": "sid-1" }));
    let oidc = provider.config("web");
    let (service, _folder) = configured(&format!("{oidc}{}", introspection(&endpoint))).await;
    let session = exchange(&service, "opaque").await.ok().text("refresh_token");
    let logout_token = RSA.token(&json!({
        "iss": provider.issuer, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 120, "jti": "logout-1", "sid": "sid-1",
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    }));
    log_out(&service, &logout_token).await.ok();
    service.refresh(&session).await.problem(401, "invalid_token");
    // The answer about this credential is still kept, and does not help.
    exchange(&service, "opaque").await.problem(401, "unauthorized");
    assert_eq!(endpoint.asked().len(), 1);
}

/// An endpoint's reader may be laxer than the rules for JWTs.
#[tokio::test]
async fn a_jwt_in_another_form_is_shown_to_no_endpoint() {
    let provider = TestProvider::start(&published()).await;
    let endpoint = TestEndpoint::start().await;
    endpoint.answers_json(&json!({ "active": true, "username": "anna", "aud": "our-api" }));
    let (service, _folder) = configured(&format!("{}{}", provider.config("web"), introspection(&endpoint))).await;
    let jwt = RSA.token(&json!({ "iss": provider.issuer, "sub": "u", "exp": NOW - 3600, "iat": NOW - 7200 }));
    let (head, rest) = jwt.split_once('.').unwrap();
    for odd in [jwt.clone(), format!("{jwt}."), format!("{head}=.{rest}"), format!("\"{jwt}\""), head.to_owned() + "."]
    {
        exchange(&service, &odd).await.problem(401, "unauthorized");
    }
    assert_eq!(endpoint.asked().len(), 0);
    exchange(&service, "opaque").await.ok();
}
