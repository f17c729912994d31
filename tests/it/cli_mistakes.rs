//! What operators mistype: names that nothing knows, empty variables, short ids, ids that look like options, pasted
//! text around a value; and commands that cannot be undone, which ask.

use std::{fs, path::Path};

use serde_json::Value;

use super::support::{
    service::{Service, run, run_json},
    terminal::on_terminal,
};

/// A new service in a folder of its own, and the id of its key.
fn init() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let kid = run_json(&["init"], folder.path())["kid"].as_str().unwrap().to_owned();
    (folder, kid)
}

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a line in a shell; exit code, stdout and stderr together.
fn shell(line: &str, folder: &Path) -> (i32, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_countersign")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = std::process::Command::new("sh");
    let output = shell.args(["-c", line]).current_dir(folder).env("PATH", path).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code().unwrap_or(-1), text)
}

fn append(folder: &Path, text: &str) {
    let config = folder.join("countersign.toml");
    fs::write(&config, format!("{}\n{text}", fs::read_to_string(&config).unwrap())).unwrap();
}

#[test]
fn an_unknown_app_is_refused_everywhere_with_the_closest() {
    let (folder, kid) = init();
    let path = folder.path();
    let (_, token, _) = run(&["token", "mint", "--app", "web", "--user", "u-1"], path);
    let public = run_json(&["keys", "public"], path)["public_key"].as_str().unwrap().to_owned();
    fs::write(path.join("public.pem"), public).unwrap();
    for command in [
        &["users", "opt-out", "u-1", "--app", "wbe"][..],
        &["users", "opt-in", "u-1", "--app", "wbe"],
        &["users", "revoke", "u-1", "--app", "wbe"],
        &["users", "revoke", "--everyone", "--app", "wbe"],
        &["users", "revoke", "--everyone", "--app", "wbe", "--yes"],
        &["clients", "create", "backend", "--app", "web", "--app", "wbe"],
        &["keys", "confirm", &kid, "--public-key", "public.pem", "--app", "wbe"],
        &["keys", "confirm", &kid, "--deleted", "--app", "wbe"],
        &["token", "mint", "--user", "u-1", "--app", "wbe"],
        &["token", "inspect", token.trim(), "--app", "wbe"],
    ] {
        let (code, out, err) = run(command, path);
        assert_eq!((code, out.as_str()), (1, ""), "{command:?}: {err}");
        assert!(err.contains("there is no [apps.wbe]") && err.contains("did you mean web?"), "{command:?}: {err}");
    }
    let (code, _, err) = run(&["users", "opt-out", "u-1", "--app", "android"], path);
    assert!(code == 1 && err.contains("it has web"), "nothing is close: {err}");
    assert_eq!(run_json(&["clients", "list"], path), Value::Array(Vec::new()), "no API key was made");
}

#[test]
fn an_unknown_ring_is_refused_everywhere_with_the_closest() {
    let (folder, _) = init();
    let path = folder.path();
    let key = fixture("rsa-2048.pkcs8.pem");
    for command in [
        &["keys", "generate", "--ring", "mian"][..],
        &["keys", "import", &key, "--ring", "mian"],
        &["keys", "public", "--ring", "mian"],
        &["rotate", "plan", "--ring", "mian"],
        &["rotate", "run", "--ring", "mian", "--yes"],
        &["rotate", "status", "--ring", "mian"],
        &["rotate", "abort", "--ring", "mian"],
        &["rotate", "rollback", "--ring", "mian"],
        &["braze", "keys", "list", "--ring", "mian"],
        &["braze", "keys", "diff", "--ring", "mian"],
        &["braze", "keys", "apply", "--ring", "mian"],
    ] {
        let (code, _, err) = run(command, path);
        assert!(code == 1 && err.contains("did you mean main?"), "{command:?}: {code} {err}");
    }
    assert_eq!(run_json(&["keys", "list"], path).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn records_of_an_app_that_left_the_configuration_can_be_ended_and_undone() {
    let (folder, _) = init();
    let path = folder.path();
    append(path, "[apps.old]\nsdk_api_key = \"old\"\n");
    let config = path.join("countersign.toml");
    let with_both = fs::read_to_string(&config).unwrap();
    let key = run_json(&["clients", "create", "backend", "--app", "old"], path)["api_key"].as_str().unwrap().to_owned();
    let service = Service::of(&config);
    let body = serde_json::json!({ "app": "old", "user_id": "u-1" });
    let session = service.post("/v1/token/generate", Some(&key), &body).await.unwrap().ok().text("refresh_token");
    service.stop();

    fs::write(&config, with_both.replace("[apps.old]\nsdk_api_key = \"old\"\n", "")).unwrap();
    assert_eq!(run_json(&["users", "revoke", "u-1", "--app", "old"], path)["ended"], 1);
    assert_eq!(run_json(&["users", "opt-out", "u-1", "--app", "old"], path)["changed"], true);
    run_json(&["users", "revoke", "--everyone", "--app", "old", "--yes"], path);

    fs::write(&config, with_both).unwrap();
    let service = Service::of(&config);
    service.post("/v1/token/generate", Some(&key), &body).await.unwrap().problem(403, "opted_out");
    assert_eq!(run_json(&["users", "opt-in", "u-1", "--app", "old"], path)["changed"], true);
    service.refresh(&session).await.unwrap().problem(401, "invalid_token");
}

#[test]
fn a_key_is_stopped_by_enough_of_its_id_only() {
    let (folder, kid) = init();
    let path = folder.path();
    for (given, text) in [("", "no key id is given"), (&kid[..6], "at least 8 characters"), (&kid[..1], "8 characters")]
    {
        for command in [&["keys", "compromise", given, "--yes"][..], &["keys", "confirm", given, "--deleted"]] {
            let (code, _, err) = run(command, path);
            assert!(code == 1 && err.contains(text), "{command:?}: {code} {err}");
        }
    }
    for command in ["show", "public"] {
        let (code, _, err) = run(&["keys", command, ""], path);
        assert!(code == 1 && err.contains("no key id is given"), "{command}: {err}");
    }
    assert_eq!(run_json(&["keys", "show", &kid[..6]], path)["kid"], kid, "nothing is lost by a look");
    assert_eq!(run_json(&["keys", "list"], path)[0]["state"], "active");
    let (code, _, err) = run(&["keys", "compromise", &kid[..8], "--yes"], path);
    assert!(code == 3 && err.contains("signs no more"), "{code} {err}");
}

#[test]
fn an_ambiguous_beginning_lists_the_candidates() {
    let (folder, _) = init();
    let path = folder.path();
    let mut kids: Vec<String> = Vec::new();
    // 64 first characters: of 9 keys, and often fewer, two begin alike; a stored key is far quicker than a new one.
    let shared = loop {
        let kid = run_json(&["keys", "generate"], path)["kid"].as_str().unwrap().to_owned();
        let twin = kids.iter().find(|other| other[..1] == kid[..1]).cloned();
        kids.push(kid.clone());
        if let Some(twin) = twin {
            break [twin, kid];
        }
    };
    let (code, _, err) = run(&["keys", "show", &shared[0][..1]], path);
    assert_eq!(code, 1);
    for kid in &shared {
        assert!(err.contains(&format!("{kid} (pending, ring main)")), "{err}");
    }
}

#[test]
fn what_cannot_be_undone_asks_and_says_what_happens() {
    let (folder, kid) = init();
    let path = folder.path();
    let compromise = &["keys", "compromise", &kid][..];
    let everyone = &["users", "revoke", "--everyone"][..];
    let all = &["users", "revoke", "--everyone", "--app", "web"][..];
    let no_key = [
        "For web it is not deleted at Braze: delete it in the dashboard",
        "NO KEY IS READY",
        "503, until somebody has added a new key at Braze for web",
        "until then: 0.",
    ];
    for (command, texts) in [
        (compromise, &no_key[..]),
        (everyone, &["Every session of all apps is ended, 0 of them live", "must log in again"]),
        (all, &["Every session of app web is ended"]),
    ] {
        let (code, out, err) = run(command, path);
        assert_eq!((code, out.as_str()), (2, ""), "{command:?}: {err}");
        assert!(err.contains("no terminal to ask on") && err.contains("add --yes"), "{err}");
        assert!(texts.iter().all(|text| err.contains(text)), "{err}");
        let (code, _, err) = run(&[command, &["--json"]].concat(), path);
        let error: Value = serde_json::from_str(&err).unwrap();
        assert!(code == 2 && error["error"].as_str().unwrap().contains("--yes"), "{err}");
        for typed in ["n\n", "\n", "yes please\n", "\u{4}"] {
            let (code, shown) = on_terminal(command, path, typed);
            assert!(code == 1 && shown.contains("nothing was changed"), "{command:?} {typed:?}: {shown}");
            assert!(texts.iter().all(|text| shown.contains(text)) && shown.contains("Continue? [y/N]"), "{shown}");
        }
    }
    assert_eq!(run_json(&["keys", "list"], path)[0]["state"], "active", "nothing was changed");
    let (code, shown) = on_terminal(everyone, path, "y\n");
    assert!(code == 0 && shown.contains("Every session up to now is ended"), "{shown}");
    let (code, shown) = on_terminal(compromise, path, "yes\n");
    assert!(code == 3 && shown.contains("signs no more"), "{code} {shown}");
    assert_eq!(run_json(&["keys", "list"], path)[0]["state"], "compromised");
    let (code, _, err) = run(compromise, path);
    assert!(code == 1 && err.contains("compromised already"), "nothing is left to ask: {err}");
}

#[test]
fn a_rotation_asks_on_a_terminal_only() {
    let (folder, _) = init();
    let path = folder.path();
    let (code, shown) = on_terminal(&["rotate", "run"], path, "n\n");
    assert!(code == 1 && shown.contains("nothing was changed") && shown.contains("make a new key"), "{shown}");
    assert_eq!(run(&["rotate", "run"], path).0, 3, "a timer needs no --yes");
    let (code, out, _) = run(&["rotate", "abort"], path);
    assert!(code == 0 && out.starts_with("The rotation of ring main is aborted"), "{code} {out}");
    assert_eq!(run_json(&["rotate", "status"], path)[0]["goal"], "idle");
}

#[test]
fn ids_that_look_like_options_are_ids() {
    let (folder, _) = init();
    let path = folder.path();
    let imported = run_json(&["keys", "import", &fixture("rsa-2048.hyphen-kid.pem")], path);
    let kid = imported["kid"].as_str().unwrap();
    assert!(kid.starts_with("-c"), "like the option of the configuration: {kid}");
    let copy = path.join("copy.pem");
    fs::write(&copy, imported["public_key"].as_str().unwrap()).unwrap();
    for end in [8, kid.len()] {
        assert_eq!(run_json(&["keys", "show", &kid[..end]], path)["kid"], kid);
        assert_eq!(run_json(&["keys", "public", &kid[..end]], path)["kid"], kid);
    }
    // The command that the rotation prints, as it prints it.
    let (code, out, _) = run(&["rotate", "run"], path);
    let printed = out.split('`').find(|part| part.starts_with("countersign keys confirm")).unwrap();
    let line = printed.replace("--fingerprint …", "--public-key copy.pem");
    assert!(code == 3 && line.contains(&kid[..8]), "{out}");
    let (code, said) = shell(&line, path);
    assert!(code == 0 && said.contains("is confirmed for web"), "{line}: {said}");
    let (code, _, err) = run(&["keys", "compromise", kid, "--yes"], path);
    assert!((code == 0 || code == 3) && err.contains("signs no more"), "{code} {err}");
    let (code, out, _) = run(&["keys", "confirm", &kid[..8], "--deleted"], path);
    assert!(code == 0 && out.contains("deleted at Braze"), "{out}");

    for user in ["-Nabc", "-c", "--everyone", "-", "-h"] {
        let given = format!("--user={user}");
        assert_eq!(run_json(&["users", "opt-out", &given], path)["changed"], true);
        run_json(&["users", "sessions", &given], path);
        run_json(&["users", "revoke", &given, "--app", "web"], path);
        let (code, _, err) = run(&["token", "mint", "--app", "web", "--user", user], path);
        assert!(code == 1 && err.contains("opted out"), "{user}: {err}");
        let plain: Value = serde_json::from_str(&run(&["users", "opt-in", "--json", &given], path).1).unwrap();
        assert_eq!(plain["changed"], true);
    }
    assert_eq!(run_json(&["users", "opt-out", "-Nabc", "--app", "web"], path)["changed"], true, "without --user");
    for command in [&["users", "opt-out", "--everyone"][..], &["users", "opt-in", "-a"], &["users", "revoke", "--al"]] {
        let (code, _, err) = run(command, path);
        assert!(code == 2 && err.contains("--user="), "a mistyped option is no user: {err}");
    }
}

#[test]
fn a_fingerprint_is_confirmed_as_the_help_says() {
    let (folder, first) = init();
    let path = folder.path();
    let help = run(&["keys", "confirm", "--help"], path).1.split_whitespace().collect::<Vec<_>>().join(" ");
    let flag = help.split_once("--fingerprint \"$(").unwrap().1.split_once(")\"").unwrap().0;
    let flag = format!("--fingerprint \"$({flag})\"").replace("COPY", "copy.pem");
    for pipe in [None, Some("openssl dgst -sha256"), Some("openssl dgst -sha256 -c"), Some("openssl dgst -r -sha256")] {
        let (folder, _) = init();
        let path = folder.path();
        let new = run_json(&["keys", "generate"], path);
        fs::write(path.join("copy.pem"), new["public_key"].as_str().unwrap()).unwrap();
        let flag = pipe.map_or_else(|| flag.clone(), |pipe| flag.replace("sha256sum", pipe));
        let (code, said) = shell(&format!("countersign keys confirm {} {flag}", new["kid"].as_str().unwrap()), path);
        assert!(code == 0 && said.contains("is confirmed for web"), "{flag}: {said}");
    }
    let shown = run(&["keys", "show", &first], path).1;
    let fingerprint = run_json(&["keys", "show", &first], path)["fingerprint"].as_str().unwrap().to_owned();
    assert!(shown.contains(&fingerprint), "{shown}");
    let command = shown.split('`').nth(1).unwrap();
    assert_eq!(shell(command, path).1, format!("{fingerprint}  -\n"), "{command}");

    let (code, said) =
        shell(&format!("countersign keys confirm {first} --fingerprint \"$(cat nowhere | sha256sum)\""), path);
    assert!(code == 2 && said.contains("SHA-256 of no data"), "{said}");
    let (code, _, err) = run(&["keys", "confirm", &first, "--fingerprint", ""], path);
    assert!(code == 2 && err.contains("64 hexadecimal digits"), "{err}");
}

#[test]
fn a_token_is_inspected_as_people_have_it() {
    let (folder, kid) = init();
    let path = folder.path();
    let answer = run(&["token", "mint", "--app", "web", "--user", "u-1", "--json"], path).1;
    let token = serde_json::from_str::<Value>(&answer).unwrap()["token"].as_str().unwrap().to_owned();
    let refresh = answer.replace("\"token\"", "\"refresh_token\":\"csr1_x\",\"token\"");
    for text in [
        format!("Bearer {token}"),
        format!("\"{token}\""),
        format!("'Authorization: Bearer {token}'"),
        format!("{token}\n"),
        answer.clone(),
        refresh,
    ] {
        let inspected = run_json(&["token", "inspect", &text, "--app", "web", "--user", "u-1"], path);
        assert_eq!((&inspected["accepted"], &inspected["claims"]["sub"]), (&true.into(), &"u-1".into()), "{text}");
        fs::write(path.join("text"), &text).unwrap();
        let (code, said) = shell("countersign token inspect - --app web < text", path);
        assert!(code == 0 && said.contains(&format!("verified with key {kid}")), "{said}");
    }
    for (text, expected) in [("csr1_abc", "refresh token"), ("Bearer csk1_abc", "API key"), ("{}", "\"token\"")] {
        let (code, out, err) = run(&["token", "inspect", text], path);
        assert!(code == 1 && out.is_empty() && err.contains(expected), "{text}: {err}");
    }
}

#[test]
fn the_fitting_one_of_several_keys_in_a_file_is_found() {
    let (folder, _) = init();
    let path = folder.path();
    let token = run(&["token", "mint", "--app", "web", "--user", "u-1"], path).1;
    let ours = run_json(&["keys", "public"], path)["public_key"].as_str().unwrap().to_owned();
    let other = fs::read_to_string(fixture("rsa-2048.public.pem")).unwrap();
    fs::write(path.join("keys.pem"), format!("of Braze:\n{other}{other}\n{ours}")).unwrap();
    let (code, out, _) = run(&["token", "inspect", &token, "--public-key", "keys.pem"], path);
    assert!(code == 0 && out.contains("verified with key 3 of keys.pem"), "{out}");
    let found = run_json(&["token", "inspect", &token, "--public-key", "keys.pem"], path);
    assert_eq!(found["verified_with"], "key 3 of keys.pem");
    fs::write(path.join("keys.pem"), format!("{other}{other}")).unwrap();
    let (code, out, _) = run(&["token", "inspect", &token, "--public-key", "keys.pem"], path);
    assert!(code == 1 && out.contains("none of the 2 public keys"), "{out}");
    fs::write(path.join("keys.pem"), "a note").unwrap();
    let (code, _, err) = run(&["token", "inspect", &token, "--public-key", "keys.pem"], path);
    assert!(code == 1 && err.contains("keys.pem: no key in PEM"), "{err}");
}

#[test]
fn wrong_usage_is_json_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    for (command, text) in [
        (&["--json", "frobnicate"][..], "frobnicate"),
        (&["keys", "confirm", "--json"], "--fingerprint"),
        (&["users", "revoke", "u-1", "--session", "zz", "--json"], "not a session id"),
        (&["keys", "--json"], "subcommand"),
        (&["healthcheck", "https://127.0.0.1/readyz", "--json"], "plain HTTP"),
    ] {
        let (code, out, err) = run(command, folder.path());
        let error: Value = serde_json::from_str(&err).unwrap_or_else(|_| panic!("{command:?}: not JSON: {err}"));
        let error = error["error"].as_str().unwrap();
        assert!(code == 2 && out.is_empty() && error.contains(text), "{command:?}: {error}");
        assert!(!error.contains('\n') && !error.contains("Usage"), "{error}");
    }
    let (code, out, _) = run(&["--json", "--help"], folder.path());
    assert!(code == 0 && out.contains("Usage"), "help is help");
    let (code, _, err) = run(&["frobnicate"], folder.path());
    assert!(code == 2 && err.contains("Usage"), "people get the usage too: {err}");
}

#[test]
fn no_configuration_at_all_names_init() {
    let folder = tempfile::tempdir().unwrap();
    for command in [&["keys", "list"][..], &["serve"], &["healthcheck"], &["-c", "nowhere.toml", "doctor"]] {
        let (code, _, err) = run(command, folder.path());
        assert!(code == 78 && err.contains("`countersign init`"), "{command:?}: {code} {err}");
    }
}

#[test]
fn a_check_with_warnings_exits_with_3() {
    let (folder, _) = init();
    assert_eq!(run(&["config", "check"], folder.path()).0, 0);
    append(folder.path(), "[rings.spare]\n");
    let (code, out, _) = run(&["config", "check"], folder.path());
    assert!(code == 3 && out.contains("warning: no app uses [rings.spare]"), "{code} {out}");
    let (code, out, _) = run(&["config", "check", "--json"], folder.path());
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["ok"], answer["warnings"].as_array().unwrap().len()), (3, &true.into(), 1));
}

#[test]
fn small_answers_say_what_is_not_obvious() {
    let (folder, _) = init();
    let path = folder.path();
    let (_, key, err) = run(&["clients", "create", "backend", "--app", "web"], path);
    assert!(err.contains("within 2 s"), "{err}");
    let (_, out, err) = run(&["clients", "revoke", &key[5..21]], path);
    assert!(out.contains("within 2 s") && err.contains("backend has no live API key now"), "{out}{err}");
    run_json(&["db", "backup", "--to", "backup.db"], path);
    let (code, _, err) = run(&["db", "backup", "--to", "backup.db"], path);
    assert!(code == 1 && err.contains("backup.db") && err.contains("is not overwritten"), "{err}");
    let (code, _, err) = run(&["users", "opt-out", "--a b"], path);
    assert!(code == 2 && err.contains("--user='--a b'"), "{err}");
    let spaced = path.join("my services");
    fs::create_dir(&spaced).unwrap();
    let (_, _, err) = run(&["init", "--dir", "my services"], path);
    let line = err.lines().find_map(|line| line.trim().strip_prefix("3. ")).unwrap().replace("   (", " # (");
    let (code, said) = shell(&line, path);
    assert!(code == 0 && said.contains("csk1_"), "{line}: {said}");
    let (_, new, err) = run(&["-c", "my services/countersign.toml", "keys", "generate"], path);
    fs::write(path.join("copy.pem"), new).unwrap();
    let line = err.lines().find_map(|line| line.trim().strip_prefix("2. ")).unwrap();
    let line = line.replace("--fingerprint …", "--public-key copy.pem").replace("   (", " # (");
    let (code, said) = shell(&line, path);
    assert!(code == 0 && said.contains("is confirmed for web"), "{line}: {said}");
    let next = said.split('`').nth(1).unwrap();
    assert_eq!(shell(next, path).0, 3, "{next}");
}
