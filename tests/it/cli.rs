//! The command line: set up, keys, clients, users, tokens, configuration, doctor, store; and a server that follows.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use serde_json::{Value, json};

use super::support::{
    key_files,
    service::{Service, countersign, run, run_ending, run_json, run_with},
    verified_claims,
};

/// A new service in a folder of its own; the answer of `init`.
pub(crate) fn init(arguments: &[&str]) -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let answer = run_json(&[&["init"], arguments].concat(), folder.path());
    (folder, answer)
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Waits until a question is answered with yes; a server must follow a change within 2 s, a slow machine gets more.
pub(crate) async fn eventually(mut question: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if question().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not happen within 60 s");
}

#[test]
fn init_makes_a_service_that_passes_its_own_doctor() {
    let (folder, answer) = init(&[]);
    let at = |name: &str| folder.path().join(name);
    for secret in ["sealing.secret", "countersign.toml", "countersign.db"] {
        assert_eq!(mode(&at(secret)), 0o600, "{secret}");
    }
    assert_eq!(mode(&at("keys")), 0o700);
    assert!(answer["public_key"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));
    let keys = run_json(&["keys", "list"], folder.path());
    assert_eq!(keys[0]["state"], "active");
    let (code, _, err) = run(&["keys", "compromise", ""], folder.path());
    assert!(code == 1 && err.contains("no key"), "no id is not the only key's: {code}: {err}");
    assert_eq!(keys[0]["kid"], answer["kid"]);
    let doctor = run_json(&["doctor"], folder.path());
    assert_eq!(doctor["health"], "ok", "{doctor}");
    run_json(&["config", "check"], folder.path());
    let stray = at("keys").join(format!("{}.pem", "A".repeat(43)));
    fs::write(&stray, "left behind").unwrap();
    fs::set_permissions(&stray, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, out, _) = run(&["doctor"], folder.path());
    assert!(code == 3 && out.contains("no record names it"), "{out}");
}

#[test]
fn init_overwrites_nothing() {
    let (folder, _) = init(&[]);
    let before: Vec<Vec<u8>> =
        ["countersign.toml", "sealing.secret"].iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect();
    let (code, _, err) = run(&["init"], folder.path());
    assert_eq!(code, 1);
    assert!(err.contains("exists already; nothing was written"), "{err}");
    let after: Vec<Vec<u8>> =
        ["countersign.toml", "sealing.secret"].iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect();
    assert_eq!(before, after);
    assert_eq!(key_files(folder.path()).len(), 1);
}

/// The second one waits, and does not take what the first one makes for its own, to remove it when it fails.
#[test]
fn two_at_once_make_one_service() {
    for _ in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| run(&["init"], path));
            (run(&["init"], path), other.join().unwrap())
        });
        let (made, refused) = if one.0 == 0 { (one, other) } else { (other, one) };
        assert_eq!((made.0, refused.0), (0, 1), "{made:?} {refused:?}");
        assert!(refused.2.contains("exists already; nothing was written"), "{refused:?}");
        let keys = run_json(&["keys", "list"], path);
        assert_eq!((keys.as_array().unwrap().len(), key_files(path).len()), (1, 1), "{keys}");
    }
}

#[test]
fn init_with_a_passphrase_encrypts_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = folder.path().join("passphrase");
    fs::write(&passphrase, "correct horse\n").unwrap();
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
    run_json(&["init", "--passphrase-file", "passphrase"], folder.path());
    assert!(
        fs::read_to_string(&key_files(folder.path())[0]).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    );
    assert_eq!(run_json(&["doctor"], folder.path())["health"], "ok");
    fs::write(&passphrase, "wrong horse\n").unwrap();
    let (code, out, _) = run(&["doctor"], folder.path());
    assert_eq!(code, 1);
    assert!(out.contains("passphrase"), "{out}");
}

#[tokio::test]
async fn a_running_server_follows_the_command_line() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let config = path.join("countersign.toml");
    let hasty = format!("{}\n[rings.main.rotation]\nsoak = \"0s\"\n", fs::read_to_string(&config).unwrap());
    fs::write(&config, hasty).unwrap();
    let service = Service::of(&config);

    let made = run_json(&["clients", "create", "backend", "--app", "web"], path);
    let key = made["api_key"].as_str().unwrap().to_owned();
    eventually(async || service.generate(&key, "u-1").await.status == 200).await;

    let first = run_json(&["keys", "public"], path)["public_key"].as_str().unwrap().to_owned();
    let new = run_json(&["keys", "generate", "--bits", "3072"], path);
    assert_eq!((new["state"].as_str(), new["bits"].as_u64()), (Some("pending"), Some(3072)));
    let token = service.generate(&key, "u-1").await.ok().text("token");
    verified_claims(&token, &first);
    let kid = new["kid"].as_str().unwrap();
    let (code, out, err) = run(&["rotate", "run", "--yes", "--json"], path);
    let waiting: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, waiting["waiting"][0]["blocker"].as_str()), (3, Some("paste")), "{out}{err}");
    let (code, _, err) = run(&["keys", "confirm", kid, "--fingerprint", &"ab".repeat(32)], path);
    assert!(code == 1 && err.contains("not the fingerprint"), "{err}");
    fs::write(path.join("copy.pem"), new["public_key"].as_str().unwrap()).unwrap();
    let confirmed = run_json(&["keys", "confirm", &kid[..8], "--public-key", "copy.pem"], path);
    assert_eq!((&confirmed["key"]["state"], &confirmed["apps"]), (&json!("published"), &json!(["web"])));
    let second = new["public_key"].as_str().unwrap().to_owned();
    eventually(async || {
        let token = service.generate(&key, "u-1").await.ok().text("token");
        let key = jsonwebtoken::DecodingKey::from_rsa_pem(second.as_bytes()).unwrap();
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        rules.validate_exp = false;
        jsonwebtoken::decode::<Value>(&token, &key, &rules).is_ok()
    })
    .await;
    let (code, out, _) = run(&["rotate", "run", "--yes"], path);
    assert!(code == 3 && out.contains("alive until"), "the old key's tokens are waited for: {out}");
    let set = service.get(&format!("{}/.well-known/jwks.json", service.url)).await.ok().json();
    assert_eq!(set["keys"].as_array().unwrap().len(), 2, "the retiring key's tokens are alive");

    let refresh_token = service.generate(&key, "u-1").await.ok().text("refresh_token");
    run_ending(&["users", "opt-out", "u-1"], path);
    service.refresh(&refresh_token).await.unwrap().problem(403, "opted_out");
    run_json(&["users", "opt-in", "u-1"], path);
    service.refresh(&refresh_token).await.unwrap().ok();
    let sessions = run_json(&["users", "sessions", "u-1"], path);
    assert!(sessions.as_array().unwrap().len() > 2);
    run_ending(&["users", "revoke", "u-1", "--app", "web"], path);
    service.refresh(&refresh_token).await.unwrap().problem(401, "invalid_token");

    run_json(&["clients", "revoke", made["id"].as_str().unwrap()], path);
    eventually(async || service.generate(&key, "u-1").await.status == 401).await;
    let (status, _, _) = service.stop();
    assert!(status.success());
}

#[test]
fn a_client_has_two_live_keys_at_most_and_secrets_are_shown_once() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let first = run_json(&["clients", "create", "backend", "--app", "web"], path);
    let second = run_json(&["clients", "create", "backend", "--app", "web", "--expires", "90d"], path);
    assert!(second["expires"].as_i64().unwrap() > second["created"].as_i64().unwrap());
    let (code, _, err) = run(&["clients", "create", "backend", "--app", "web"], path);
    assert_eq!(code, 1);
    assert!(err.contains("clients list"), "{err}");
    run_json(&["clients", "revoke", first["id"].as_str().unwrap()], path);
    run_json(&["clients", "create", "backend", "--app", "web"], path);
    let listed = run_json(&["clients", "list"], path).to_string();
    for made in [&first, &second] {
        let secret = made["api_key"].as_str().unwrap();
        assert!(secret.starts_with("csk1_") && secret.len() == 5 + 16 + 1 + 43, "{secret}");
        assert!(!listed.contains(&secret[22..]), "a secret is in the list");
    }
    let (code, _, err) = run(&["clients", "create", "x", "--app", "nope"], path);
    assert!(code == 1 && err.contains("[apps.nope]"), "{err}");
    let (code, _, _) = run(&["clients", "revoke", "0123456789abcdef"], path);
    assert_eq!(code, 1);
}

#[test]
fn keys_come_in_and_others_are_refused_by_name() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys");
    let import = |name: &str| run(&["keys", "import", fixtures.join(name).to_str().unwrap(), "--json"], path);
    let (code, out, err) = import("rsa-2048.pkcs1.pem");
    assert_eq!(code, 0, "{err}");
    let imported: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(imported["state"], "pending");
    let (code, _, err) = import("rsa-2048.pkcs1.pem");
    assert!(code == 1 && err.contains("on record already"), "{err}");
    let (code, _, err) = import("ec-p256.pkcs8.pem");
    assert!(code == 1 && err.contains("EC key"), "{err}");
    let (code, _, err) = import("no-such-file.pem");
    assert!(code == 1 && err.contains("no-such-file.pem"), "{err}");
    assert_eq!(run_json(&["keys", "show", imported["kid"].as_str().unwrap()], path)["kid"], imported["kid"]);
    let (code, _, err) = run(&["keys", "show", "zzzz"], path);
    assert!(code == 1 && err.contains("keys list"), "{err}");
}

#[test]
fn tokens_are_minted_and_inspected() {
    let (folder, answer) = init(&[]);
    let path = folder.path();
    let minted = run_json(&["token", "mint", "--app", "web", "--user", "u-1", "--ttl", "5m"], path);
    let token = minted["token"].as_str().unwrap();
    verified_claims(token, answer["public_key"].as_str().unwrap());

    let good = run_json(&["token", "inspect", token, "--app", "web", "--user", "u-1"], path);
    assert_eq!((good["accepted"].as_bool(), good["findings"].as_array().unwrap().len()), (Some(true), 0), "{good}");
    assert_eq!(good["claims"]["sub"], "u-1");

    let (code, out, _) = run(&["token", "inspect", token, "--app", "web", "--user", "U-1"], path);
    assert_eq!(code, 1);
    assert!(out.contains("21 SUBJECT_MISMATCH") && out.contains("case"), "{out}");

    let other = run_json(&["keys", "generate"], path)["public_key"].as_str().unwrap().to_owned();
    fs::write(path.join("other.pem"), other).unwrap();
    let (code, out, _) = run(&["token", "inspect", token, "--public-key", "other.pem"], path);
    assert!(code == 1 && out.contains("27 NO_MATCHING_PUBLIC_KEYS"), "{out}");

    // {"alg":"HS256","typ":"JWT"}.{"sub":7,"exp":1}
    let bad = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOjcsImV4cCI6MX0.c2ln";
    let elsewhere = tempfile::tempdir().unwrap();
    let (code, out, _) = run(&["token", "inspect", bad], elsewhere.path());
    assert_eq!(code, 1, "no configuration is needed");
    for part in ["24 INCORRECT_ALGORITHM", "22 EXPIRED", "21 SUBJECT_MISMATCH"] {
        assert!(out.contains(part), "{out}");
    }
    let (code, _, err) = run(&["token", "mint", "--app", "nope", "--user", "u-1"], path);
    assert!(code == 1 && err.contains("[apps.nope]"), "{err}");
}

#[test]
fn a_wrong_configuration_is_told_whole_and_ends_with_78() {
    let (folder, _) = init(&[]);
    let config = folder.path().join("countersign.toml");
    fs::write(&config, "[server]\nlisten = 7\n[apps.web]\nlifetime = \"1 fortnight\"\ncolour = \"red\"\n").unwrap();
    for command in [&["config", "check"][..], &["serve"], &["keys", "list"], &["doctor"]] {
        let (code, _, err) = run(command, folder.path());
        assert_eq!(code, 78, "{command:?}: {err}");
        for part in ["countersign.toml:2", "countersign.toml:4", "countersign.toml:5", "colour"] {
            assert!(err.contains(part), "{part} is not in: {err}");
        }
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&["serve"], elsewhere.path());
    assert!(code != 0 && err.contains("countersign init"), "{err}");
}

#[test]
fn the_configuration_is_shown_without_secrets() {
    let (folder, _) = init(&[]);
    let secret = fs::read_to_string(folder.path().join("sealing.secret")).unwrap();
    let digits = secret.trim().split(':').nth(1).unwrap().to_owned();
    let (code, out, err) = run(&["config", "dump", "--show-origin"], folder.path());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("listen") && !out.contains(&digits));
    assert!(!run_json(&["config", "dump"], folder.path()).to_string().contains(&digits));
    let (_, sample, _) = run(&["config", "default"], folder.path());
    let kept = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/countersign.toml")).unwrap();
    assert_eq!(sample.trim_end(), kept.trim_end());
}

#[test]
fn another_sealing_secret_is_noticed() {
    let (folder, _) = init(&[]);
    fs::write(folder.path().join("sealing.secret"), format!("1:{}\n", "0123456789abcdef".repeat(4))).unwrap();
    let (code, out, _) = run(&["doctor"], folder.path());
    assert!(code == 1 && out.contains("sealing secret"), "{out}");
    let (code, _, err) = run(&["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"], folder.path());
    assert!(code == 1 && err.contains("sealing secret"), "{err}");
}

#[test]
fn the_program_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let version = run_json(&["version"], folder.path());
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completions", shell], folder.path());
        assert!(code == 0 && out.contains("countersign"));
    }
    let (code, out, _) = run(&["man"], folder.path());
    assert!(code == 0 && out.contains(".TH countersign"));
    run(&["man", "--out", "."], folder.path());
    assert!(folder.path().join("countersign-keys-confirm.1").is_file());
    let (code, _, _) = run(&["frobnicate"], folder.path());
    assert_eq!(code, 2);
    let help = countersign().args(["keys", "confirm", "--help"]).output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("error 27"));
}

#[tokio::test]
async fn healthcheck_tells_ready_from_not() {
    let service = Service::dev();
    let folder = tempfile::tempdir().unwrap();
    for url in [format!("{}/readyz", service.url), format!("{}/readyz", service.ops_url)] {
        assert_eq!(run(&["healthcheck", &url], folder.path()).0, 0);
    }
    let gone = format!("{}/readyz", service.url);
    service.stop();
    assert_eq!(run(&["healthcheck", &gone], folder.path()).0, 4);
    for url in ["ftp://x", "https://127.0.0.1:1/readyz", "127.0.0.1"] {
        let (code, _, err) = run(&["healthcheck", url], folder.path());
        assert!(code == 2 && err.contains("http://127.0.0.1:9090/readyz"), "{url}: {code} {err}");
    }
}

#[test]
fn dev_is_for_this_machine_only() {
    let folder = tempfile::tempdir().unwrap();
    for flag in ["--listen", "--ops-listen"] {
        let (code, _, err) = run(&["serve", "--dev", flag, "0.0.0.0:0"], folder.path());
        assert_ne!(code, 0);
        assert!(err.contains("loopback"), "{err}");
    }
    let elsewhere = |command: &mut std::process::Command| {
        command.env("COUNTERSIGN_STORE__PATH", "postgres://db/x");
    };
    let (code, _, err) = run_with(&["serve", "--dev"], folder.path(), elsewhere);
    assert!(code != 0 && err.contains("embedded"), "{err}");
    let mistaken = |command: &mut std::process::Command| {
        command.env("COUNTERSIGN_LOG__LEVEL", "loud=&");
    };
    let (code, _, err) = run_with(&["serve", "--dev"], folder.path(), mistaken);
    assert!(code == 78 && err.contains("log.level"), "{code}: {err}");
    assert_eq!(json!(fs::read_dir(folder.path()).unwrap().count()), 0, "nothing is left behind");
}

#[test]
fn a_build_without_the_sandbox_has_no_stand_in_for_braze() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["sandbox", "demo"] {
        let (code, out, err) = run(&[command, "--help"], folder.path());
        let expected = if cfg!(feature = "sandbox") { 0 } else { 2 };
        assert_eq!(code, expected, "{out}{err}");
    }
}

/// The last use of each API key, as `clients list --json` shows it.
fn last_uses(folder: &Path) -> Vec<Option<i64>> {
    let listed = run_json(&["clients", "list"], folder);
    listed.as_array().unwrap().iter().map(|key| key["last_used"].as_i64()).collect()
}

#[tokio::test]
async fn the_last_use_of_an_api_key_is_listed_and_survives_a_restart() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let keys = [0, 1].map(|_| run_json(&["clients", "create", "backend", "--app", "web"], path));
    let keys = keys.map(|key| key["api_key"].as_str().unwrap().to_owned());
    assert_eq!(last_uses(path), [None, None]);
    let service = Service::of(&path.join("countersign.toml"));
    for _ in 0..20 {
        service.generate(&keys[0], "u-1").await.ok();
    }
    let mut listed = Vec::new();
    eventually(async || {
        listed = last_uses(path);
        listed.iter().any(Option::is_some)
    })
    .await;
    let used = listed.iter().flatten().copied().collect::<Vec<_>>();
    assert_eq!(used.len(), 1, "{listed:?}");
    assert_eq!(used[0] % 60_000, 0, "to the minute");
    // The next write would be due in a minute; the end of the process does not wait for it.
    service.generate(&keys[1], "u-1").await.ok();
    assert!(service.stop().0.success());
    assert!(last_uses(path).iter().all(Option::is_some));
    assert!(Service::of(&path.join("countersign.toml")).stop().0.success());
    assert!(last_uses(path).iter().all(Option::is_some));
    let (_, table, _) = run(&["clients", "list"], path);
    assert!(table.contains("LAST USED") && table.contains(":00Z"), "{table}");
}
