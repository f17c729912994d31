//! `countersign sign-in test`, and doctor's look at providers.

use std::{fs, io::Write, path::Path, process::Stdio};

use serde_json::{Value, json};

use crate::{
    cli::init,
    support::{
        jwt::{AUDIENCE, P256, RSA, TestProvider, changed, published},
        service::{countersign, run, run_json},
    },
};

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// An installation whose app `web` accepts this provider's tokens.
fn installation(provider: &TestProvider, more: &str) -> tempfile::TempDir {
    let (folder, _) = init(&[]);
    let file = folder.path().join("countersign.toml");
    let config = fs::read_to_string(&file).unwrap();
    let sign_in = format!(
        "\n[[apps.web.sign_in]]\nkind = \"oidc\"\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\n{more}\n",
        provider.issuer
    );
    fs::write(file, config + &sign_in).unwrap();
    folder
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

    let folder = installation(&provider, "algorithms = [\"PS512\"]\njwks_url = \"http://127.0.0.1:1/keys\"");
    let path = folder.path().to_owned();
    let (code, out, _) = tokio::task::spawn_blocking(move || run(&["doctor"], &path)).await.unwrap();
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("WRONG    sign-in to web by"), "{out}");
}
