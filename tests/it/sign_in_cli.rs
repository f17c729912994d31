//! `countersign sign-in test`, and doctor's look at providers.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use serde_json::{Value, json};

use crate::{
    cli::init,
    support::{
        endpoint::{TestEndpoint, response},
        jwt::{AUDIENCE, P256, RSA, TestProvider, changed, published},
        service::{countersign, run, run_json},
    },
};

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// An installation whose app `web` accepts this provider's tokens.
fn installation(provider: &TestProvider, more: &str) -> tempfile::TempDir {
    with_sign_in(&format!(
        "[[apps.web.sign_in]]\nkind = \"oidc\"\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\n{more}\n",
        provider.issuer
    ))
}

/// An installation whose app `web` has these ways to sign in.
fn with_sign_in(sign_ins: &str) -> tempfile::TempDir {
    let (folder, _) = init(&[]);
    let file = folder.path().join("countersign.toml");
    let config = fs::read_to_string(&file).unwrap();
    let origins = "\n[apps.web]\nallowed_origins = [\"https://www.example.com\"]\n";
    let config = config.replacen("\n[apps.web]\n", origins, 1);
    let secret = folder.path().join("client.secret");
    fs::write(&secret, "canary-client-secret\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(file, format!("{config}\n{sign_ins}")).unwrap();
    folder
}

/// An installation whose app `web` asks this endpoint by introspection.
fn introspecting(endpoint: &TestEndpoint) -> tempfile::TempDir {
    with_sign_in(&format!(
        "[[apps.web.sign_in]]\nkind = \"introspection\"\nendpoint = \"{}\"\nclient_id = \"countersign\"\n\
         client_secret_file = \"client.secret\"\naudience = \"our-api\"\n",
        endpoint.url
    ))
}

/// An installation whose app `web` asks this endpoint with its cookies.
fn with_session_endpoint(endpoint: &TestEndpoint) -> tempfile::TempDir {
    with_sign_in(&format!(
        "[[apps.web.sign_in]]\nkind = \"session_endpoint\"\nurl = \"{}\"\ncookies = [\"session\", \"__Host-s\"]\n\
         user_id = \"/id\"\n",
        endpoint.url
    ))
}

/// Doctor's finding about this endpoint: its health and its text.
async fn doctors_finding(folder: &Path, url: &str) -> (String, String) {
    let path = folder.to_owned();
    let (_, out, err) = tokio::task::spawn_blocking(move || run(&["doctor", "--json"], &path)).await.unwrap();
    let doctor: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let findings = doctor["findings"].as_array().unwrap();
    let is_of = |finding: &&Value| finding["what"].as_str().is_some_and(|what| what.contains(url));
    let finding = findings.iter().find(is_of).unwrap_or_else(|| panic!("{doctor}"));
    (finding["health"].as_str().unwrap().to_owned(), finding["text"].as_str().unwrap().to_owned())
}

/// Exit code, stdout and stderr of a trial with this on stdin.
async fn tried(arguments: &[&str], folder: &Path, credential: &str) -> (i32, String, String) {
    let (arguments, folder, credential) =
        (arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>(), folder.to_owned(), credential.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut child = countersign()
            .current_dir(&folder)
            .args(["sign-in", "test", "--app", "web"])
            .args(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(credential.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_credential_is_described() {
    let provider = TestProvider::start(&published()).await;
    let folder = installation(&provider, "user_id_prefix = \"p:\"");
    let token = RSA.token(&provider.claims("u-1", now()));
    let (code, out, err) = tried(&[], folder.path(), &format!("{token}\n")).await;
    assert_eq!(code, 0, "{out}{err}");
    for part in [
        "Accepted: a token for user \"p:u-1\" of app web would be minted, for 1h.",
        "Its session would end after 30d without a refresh, and after 180d in any case.",
        &format!("Verified by apps.web.sign_in[0], kind \"oidc\": issuer {}.", provider.issuer),
        "A logout at the provider names it by sub \"u-1\", sid \"s-1\"",
        "Not checked: opt-outs, logouts at the provider, rate limits.",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    let file = folder.path().join("credential");
    fs::write(&file, format!("Bearer {token}")).unwrap();
    let (code, out, _) = tried(&["--json", "--credential-file", file.to_str().unwrap()], folder.path(), "").await;
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["accepted"], &value["user_id"]), (0, &json!(true), &json!("p:u-1")));
    assert_eq!(value["sign_in"]["setting"], "apps.web.sign_in[0]");
    assert_eq!((&value["lifetime"], &value["session"]), (&json!(3600), &json!(180 * 86_400)));
    assert_eq!(value["login"]["sub"], "u-1");
    assert!(!out.contains(&token));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_rule_and_never_shows_the_credential() {
    let provider = TestProvider::start(&published()).await;
    let folder = installation(&provider, "");
    let claims = provider.claims("u-1", now());
    let other = RSA.token(&changed(&claims, "iss", "https://elsewhere.test".into()));
    let mut hmac = RSA.header();
    hmac["alg"] = "HS256".into();
    let cases = [
        (
            RSA.token(&changed(&claims, "aud", "someone".into())),
            "audience",
            true,
            "its aud is \"someone\", accepted: our-client",
        ),
        (other, "unknown_issuer", false, "unverified: its iss is \"https://elsewhere.test\""),
        (RSA.token(&changed(&claims, "exp", (now() - 60).into())), "expired", true, "its exp is "),
        (RSA.with_header(&hmac, &claims), "algorithm", false, "unverified: its alg is \"HS256\""),
        ("opaque-credential".to_owned(), "malformed", false, "unverified: "),
    ];
    for (token, reason, is_verified, part) in cases {
        let (code, out, _) = tried(&[], folder.path(), &token).await;
        assert_eq!(code, 1, "{out}");
        assert!(out.starts_with(&format!("Refused ({reason}): ")) && out.contains(part), "{out}");
        assert_eq!(out.contains("unverified: "), !is_verified, "{out}");
        let (code, json_out, _) = tried(&["--json"], folder.path(), &token).await;
        let value: Value = serde_json::from_str(&json_out).unwrap();
        assert_eq!((code, &value["accepted"], &value["reason"]), (1, &json!(false), &json!(reason)));
        assert_eq!(value["detail_is_verified"], is_verified);
        assert!(value["advice"].as_str().is_some_and(|advice| !advice.is_empty()));
        for shown in [&out, &json_out] {
            assert!(!shown.contains(&token) && !shown.contains(token.rsplit('.').next().unwrap()), "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_say_while_the_provider_is_away() {
    let provider = TestProvider::start(&published()).await;
    let folder = installation(&provider, "jwks_url = \"http://127.0.0.1:1/keys\"");
    let token = RSA.token(&provider.claims("u-1", now()));
    let (code, out, _) = tried(&[], folder.path(), &token).await;
    assert_eq!(code, 4, "{out}");
    assert!(out.contains("503") && out.contains("http://127.0.0.1:1/keys"), "{out}");
    let (code, out, _) = tried(&["--json"], folder.path(), &token).await;
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()["reason"].clone()), (4, json!("unavailable")));
}

const JSON: &str = "application/json";

#[tokio::test(flavor = "multi_thread")]
async fn the_fault_of_the_endpoint_that_was_asked_is_told_by_the_trial_and_by_doctor() {
    let other = TestProvider::start(&published()).await;
    let endpoint = TestEndpoint::start().await;
    let folder = introspecting(&endpoint);
    let file = folder.path().join("countersign.toml");
    // A provider that is away and was not asked is not blamed.
    let config = fs::read_to_string(&file)
        .unwrap()
        .replace("audience = \"our-api\"", "audience = \"our-api\"\nshared_user_ids = true");
    let away = format!(
        "[[apps.web.sign_in]]\nkind = \"oidc\"\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nshared_user_ids = true\n\
         jwks_url = \"http://127.0.0.1:1/keys\"\n",
        other.issuer
    );
    fs::write(&file, config + &away).unwrap();
    let faults = [
        (401, JSON, "{}", "compare client_id, and the client secret"),
        (400, JSON, "{}", "(400): compare client_id"),
        (500, JSON, "{}", "it answered 500 Internal Server Error instead of 200"),
        (301, JSON, "{}", "it answers with a redirect (301)"),
        (200, "text/html", "<html>", "text/html"),
        (200, JSON, r#"{"active":"true"}"#, "no boolean member active"),
    ];
    for (status, content_type, body, part) in faults {
        endpoint.answers(move |_| response(status, content_type, body));
        let (code, out, _) = tried(&[], folder.path(), "opaque").await;
        assert!(code == 4 && out.contains(part) && out.contains(&endpoint.url), "{out}");
        assert!(!out.contains("127.0.0.1:1/"), "{out}");
        let (health, text) = doctors_finding(folder.path(), &endpoint.url).await;
        assert!(health == "wrong" && text.contains(part), "{health} {text}");
    }
    endpoint.answers_json(&json!({ "active": false }));
    let (health, text) = doctors_finding(folder.path(), &endpoint.url).await;
    assert_eq!((&*health, &*text), ("ok", "it says that an unknown credential is not active"));
    assert!(endpoint.asked().last().unwrap().field("token").starts_with("countersign-doctor-"));
    for answer in [json!({ "active": true }), json!({ "active": true, "sub": "u-1", "aud": "our-api" })] {
        endpoint.answers_json(&answer);
        assert_eq!(doctors_finding(folder.path(), &endpoint.url).await.0, "wrong");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_endpoint_is_asked_by_doctor_about_an_unknown_session() {
    let endpoint = TestEndpoint::start().await;
    let folder = with_session_endpoint(&endpoint);
    let answers = [
        (401, "{}", "ok", "it refuses an unknown session (status 401)"),
        (403, "{}", "ok", "it refuses an unknown session (status 403)"),
        (200, "null", "ok", "it says that an unknown credential is not active"),
        (404, "{}", "warning", "is the path right?"),
        (301, "{}", "wrong", "it answers with a redirect (301)"),
        (500, "{}", "wrong", "it answered 500"),
        (200, r#"{"id":"u-1"}"#, "wrong", "a random credential"),
    ];
    for (status, body, expected, part) in answers {
        endpoint.answers(move |_| response(status, JSON, body));
        let (health, text) = doctors_finding(folder.path(), &endpoint.url).await;
        assert!(health == expected && text.contains(part), "{status}: {health} {text}");
        assert!(!text.contains("not followed"), "{text}");
    }
    assert!(endpoint.asked()[0].header("cookie").starts_with("session=countersign-doctor-"));
    endpoint.answers(|_| response(404, JSON, "{}"));
    let (_, out, _) = tried(&["--cookie", "session"], folder.path(), "c").await;
    assert!(
        out.contains("Refused (inactive)") && out.contains("Is the path of the session endpoint's url right?"),
        "{out}"
    );
    let (_, out, _) = tried(&["--cookie", "sess"], folder.path(), "c").await;
    assert!(out.contains("\nthe cookies of the session_endpoint are session, __Host-s\n"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_alone_is_named_by_its_look() {
    let provider = TestProvider::start(&published()).await;
    let folder = installation(&provider, "");
    let token = RSA.token(&provider.claims("u-1", now()));
    let (head, tail) = token.split_at(40);
    for (given, part) in [
        (format!(r#"{{"access_token":"{token}"}}"#), "it is JSON: give the token alone"),
        (format!("\"{token}\""), "it is in quotes"),
        (format!("Authorization: Bearer {token}"), "it is a whole header"),
        (format!("Bearer Bearer {token}"), "it is a whole header"),
        (format!("{head}\n{tail}"), "it has several lines"),
        (format!("{token}\n{token}"), "it has several lines"),
        (format!("{head} {tail}"), "it has a space in it"),
        ("opaque".to_owned(), "an opaque one, or not whole"),
        ("a.b.c.d.e".to_owned(), "an encrypted token"),
        ("x".repeat(9000), "it is too long"),
    ] {
        let (code, out, _) = tried(&[], folder.path(), &given).await;
        assert!(code == 1 && out.contains("Refused (malformed)") && out.contains(part), "{part}: {out}");
        assert!(out.contains("kind = \"introspection\" or kind = \"session_endpoint\""), "{out}");
        assert!(!out.contains(tail), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_fits_the_rule() {
    let provider = TestProvider::start(&published()).await;
    let folder = installation(&provider, "");
    let claims = provider.claims("u-1", now());
    let mut no_exp = claims.clone();
    no_exp.as_object_mut().unwrap().remove("exp");
    let mut several = changed(&claims, "aud", json!([AUDIENCE, "other"]));
    several.as_object_mut().unwrap().remove("azp");
    let mut hmac = RSA.header();
    hmac["alg"] = "HS256".into();
    let mut other_kid = RSA.header();
    other_kid["kid"] = "other".into();
    for (token, part, absent) in [
        (RSA.token(&no_exp), "Every token must have exp and iat", "required_claims"),
        (RSA.token(&several), "it has no azp that says which client got it: set audience_claim", "name it in"),
        (RSA.with_header(&hmac, &claims), "HS256, HS384, HS512 and none never", "or add the algorithm"),
        (RSA.with_header(&other_kid, &claims), "its kid is \"other\", its alg RS256", "Some("),
    ] {
        let (code, out, _) = tried(&[], folder.path(), &token).await;
        assert!(code == 1 && out.contains(part) && !out.contains(absent), "{out}");
    }
    let (_, out, _) = tried(&[], folder.path(), &RSA.with_header(&hmac, &claims)).await;
    assert_eq!(out.matches("Supabase").count(), 1, "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_its_use_are_told() {
    let (folder, _) = init(&[]);
    let (code, _, err) = tried(&[], folder.path(), "x").await;
    assert_eq!(code, 2);
    assert!(err.contains("app web has no sign_in: write [[apps.web.sign_in]]"), "{err}");
    let provider = TestProvider::start(&[&P256]).await;
    let folder = installation(&provider, "");
    let (code, _, err) = tried(&[], folder.path(), "\n").await;
    assert_eq!(code, 2);
    assert!(err.contains("there is no credential: give it on stdin or with --credential-file"), "{err}");
    let file = folder.path().join("credential");
    fs::write(&file, b"tok\xffen").unwrap();
    let (_, _, err) = tried(&["--credential-file", file.to_str().unwrap()], folder.path(), "").await;
    assert!(err.contains("not text in UTF-8") && err.contains(file.to_str().unwrap()), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_counts_the_keys_that_can_be_used() {
    let provider = TestProvider::start(&published()).await;
    let folder = installation(&provider, "algorithms = [\"RS256\"]");
    let path = folder.path().to_owned();
    let doctor = tokio::task::spawn_blocking(move || run_json(&["doctor"], &path)).await.unwrap();
    let what = format!("sign-in to web by {}", provider.issuer);
    let of_provider = |doctor: &Value| {
        doctor["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == *what).cloned().unwrap()
    };
    let finding = of_provider(&doctor);
    assert_eq!(finding["health"], "ok", "{finding}");
    let text = finding["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("{}/jwks.json has 4 keys, of which 1 can be used: ", provider.issuer)), "{text}");
    assert!(text.contains("1 × RSA"), "{text}");
    for key in published() {
        assert!(text.contains(&format!("{:?}", key.kid)), "{} in {text}", key.kid);
    }

    let folder = installation(&provider, "algorithms = [\"PS512\"]\njwks_url = \"http://127.0.0.1:1/keys\"");
    let path = folder.path().to_owned();
    let (code, out, _) = tokio::task::spawn_blocking(move || run(&["doctor"], &path)).await.unwrap();
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("WRONG    sign-in to web by"), "{out}");

    let one = TestProvider::start(&[&RSA]).await;
    let (_, text) = doctors_finding(installation(&one, "").path(), &one.issuer).await;
    assert!(text.contains("has 1 key, of which 1 can be used"), "{text}");
    let folder = installation(&one, "jwks_url = \"https://10.0.0.1/keys\"");
    let (health, text) = doctors_finding(folder.path(), &one.issuer).await;
    assert!(health == "wrong" && text.contains("allow_private_addresses = true"), "{text}");
    let folder = installation(&one, "jwks_url = \"https://idp.invalid/keys\"");
    let (health, text) = doctors_finding(folder.path(), &one.issuer).await;
    assert!(health == "wrong" && text.contains("see whether this machine can resolve it"), "{text}");
}
