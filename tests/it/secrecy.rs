//! Secrecy: no secret is in logs of any level, in metrics, in the store's files, or where another process could read it
//! (R24, R49, R50, R56).

use std::{fs, io::Write, path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::support::{
    Answer,
    jwt::{P256, RSA, TestProvider, published},
    key_files,
    service::{Service, run, run_json, run_with},
};

/// Signature of a JWT.
fn signature(token: &str) -> &str {
    token.rsplit('.').next().unwrap()
}

/// Contents of every file below a folder.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        if path.is_dir() { contents(&path) } else { vec![(path.display().to_string(), fs::read(&path).unwrap())] }
    };
    entries.flat_map(read).collect()
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

struct Flows {
    secrets: Vec<String>,
    logs: String,
    metrics: String,
    answers: String,
    folder: tempfile::TempDir,
}

/// Runs every flow against a service that logs everything; collects the secrets, logs, metrics and answers.
async fn every_flow() -> Flows {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let trace = |command: &mut Command| {
        command.env("COUNTERSIGN_LOG__LEVEL", "trace").env("COUNTERSIGN_LOG__FORMAT", "json");
        command.env("COUNTERSIGN_STORE__TIMEOUT", "1s").env("COUNTERSIGN_AUDIT__TOKENS", "true");
    };
    run_json(&["init"], path);
    let provider = TestProvider::start(&published()).await;
    let config = path.join("countersign.toml");
    fs::OpenOptions::new().append(true).open(&config).unwrap().write_all(provider.config("web").as_bytes()).unwrap();
    let mut secrets = Vec::new();
    let mut logs = String::new();
    let (_, made, err) = run_with(&["clients", "create", "backend", "--app", "web", "--json"], path, trace);
    logs.push_str(&err);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let key = made["api_key"].as_str().unwrap().to_owned();

    let service = Service::of_with(&config, trace);
    let user = "canary-user\r\n\u{1b}[31m".trim().replace(['\r', '\n', '\u{1b}'], "");
    let login = service.generate(&key, &user).await.ok();
    let first = login.text("refresh_token");
    let body = json!({ "refresh_token": first, "user_id": user, "failure": {
        "error_code": 22, "reason": "canary-reason\r\nforged=1 \u{1b}[31m", "signature": login.text("token"), "user_id": "canary-other" } });
    let refreshed = service.post("/v1/token/refresh", None, &body).await.unwrap().ok();
    let mut answers = String::new();
    for (bearer, body) in [
        (
            Some("csk1_0123456789abcdef_canarycanarycanarycanarycanarycanarycanary1"),
            json!({ "app": "web", "user_id": "u" }),
        ),
        (Some("canary-bearer"), json!({ "app": "web", "user_id": "u" })),
        (Some(key.as_str()), json!({ "app": "ios", "user_id": "u" })),
        (Some(key.as_str()), json!({ "app": "web", "user_id": "canary\u{1b}\r\nid" })),
    ] {
        let answer = service.post("/v1/token/generate", bearer, &body).await.unwrap();
        answers.push_str(&String::from_utf8(answer.body).unwrap());
    }
    let mismatch = json!({ "refresh_token": refreshed.text("refresh_token"), "user_id": "canary-mismatch" });
    answers
        .push_str(&String::from_utf8(service.post("/v1/token/refresh", None, &mismatch).await.unwrap().body).unwrap());
    let junk = service.refresh("csr1_canaryjunk").await.unwrap();
    answers.push_str(&String::from_utf8(junk.body).unwrap());
    for (refresh_token, reason) in [(refreshed.text("refresh_token"), "canary-report"), ("csr1_canaryjunk".into(), "x")]
    {
        let failure = json!({ "errorCode": 25, "reason": reason, "signature": refreshed.text("token") });
        let body = json!({ "refresh_token": refresh_token, "failure": failure });
        assert_eq!(service.post("/v1/failures", None, &body).await.unwrap().status, 204);
    }
    service
        .post("/v1/token/revoke", None, &json!({ "refresh_token": refreshed.text("refresh_token") }))
        .await
        .unwrap()
        .ok();
    answers.push_str(&String::from_utf8(service.refresh(&first).await.unwrap().body).unwrap());
    // Parts of a request that an access line must not repeat: a path, a query, headers that are not what they should be.
    let headers = [("x-request-id", "canary id"), ("traceparent", "00-canarytrace-00f067aa0ba902b7-01")];
    let odd = json!({ "refresh_token": "csr1_canaryjunk" });
    service.post_with("/v1/token/refresh?token=canaryquery", None, &odd, &headers).await.unwrap();
    service.get(&format!("{}/v1/token/canarypath", service.url)).await.problem(404, "client_error");
    let (credentials, refusals) = exchanges(&service, &provider, &user).await;
    secrets.extend(credentials);
    answers.push_str(&refusals);
    let without_store = without_the_store(&service, path, &key, &user).await;
    let metrics = String::from_utf8(service.get(&format!("{}/metrics", service.ops_url)).await.body).unwrap();
    let (_, _, err) = service.stop();
    logs.push_str(&err);

    secrets.extend(without_store.iter().flat_map(|answer| {
        [signature(&answer.text("token")).to_owned(), answer.text("refresh_token")[5..].to_owned()]
    }));
    secrets.extend([key[22..].to_owned(), first[5..].to_owned(), refreshed.text("refresh_token")[5..].to_owned()]);
    secrets.extend([login.text("token"), refreshed.text("token")].iter().map(|token| signature(token).to_owned()));
    let canaries =
        ["canary-bearer", "canary1", "canaryjunk", "canary-reason", "canary-report", "canary-other", "canary-mismatch"];
    secrets.extend(canaries.map(str::to_owned));
    secrets.extend(["canary id", "canarytrace", "canaryquery", "canarypath"].map(str::to_owned));
    secrets.push(user);
    let sealing = fs::read_to_string(path.join("sealing.secret")).unwrap();
    secrets.push(sealing.trim().split(':').nth(1).unwrap().to_owned());
    Flows { secrets, logs, metrics, answers, folder }
}

/// Logs in and refreshes while the store cannot be written, tries to log out, and refreshes once it can be written again.
async fn without_the_store(service: &Service, folder: &Path, key: &str, user: &str) -> Vec<Answer> {
    let lock = rusqlite::Connection::open(folder.join("countersign.db")).unwrap();
    // A node that has just started answers without the store only after the store has had its report.
    let login = async || {
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        let answer = service.generate(key, user).await;
        if answer.status != 200 {
            lock.execute_batch("ROLLBACK").unwrap();
        }
        answer
    };
    let login = once(200, login).await;
    let link = login.text("refresh_token");
    let refreshed = service.refresh(&link).await.unwrap().ok();
    for answer in [&login, &refreshed] {
        assert_eq!(answer.json()["degraded"], true);
    }
    let logout = service.post("/v1/token/revoke", None, &json!({ "refresh_token": link })).await.unwrap();
    logout.problem(503, "unavailable");
    lock.execute_batch("ROLLBACK").unwrap();
    let logout = async || service.post("/v1/token/revoke", None, &json!({ "refresh_token": link })).await.unwrap();
    once(200, logout).await;
    service.refresh(&link).await.unwrap().problem(401, "invalid_token");
    vec![login, refreshed]
}

/// Asks until the answer has this status: a node relies on what it knows, and on its store again, after a moment.
async fn once(status: u16, ask: impl AsyncFn() -> Answer) -> Answer {
    for _ in 0..1200 {
        let answer = ask().await;
        if answer.status == status {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no answer of {status}");
}

/// Exchanges credentials, good and bad, as header and as cookie; what must be secret of them, and the refusals.
async fn exchanges(service: &Service, provider: &TestProvider, user: &str) -> (Vec<String>, String) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = provider.claims(user, now.try_into().unwrap());
    let good = RSA.token(&claims);
    let body = json!({ "app": "web" });
    service.post("/v1/token/exchange", Some(&good), &body).await.unwrap().ok();
    let mut expired = claims;
    expired["exp"] = 1.into();
    let credentials = [P256.token(&expired), "canary-session".to_owned(), format!("{good}canaryend")];
    let mut refusals = String::new();
    for credential in &credentials {
        let answer = service.post("/v1/token/exchange", Some(credential), &body).await.unwrap();
        refusals.push_str(&String::from_utf8(answer.problem(401, "unauthorized").body).unwrap());
    }
    let headers = [("cookie", "sid=canary-cookie"), ("origin", "https://canary-origin.test")];
    let answer = service.post_with("/v1/token/exchange", None, &body, &headers).await.unwrap();
    refusals.push_str(&String::from_utf8(answer.body).unwrap());
    let parts = [&good, &credentials[0]].map(|token| token.split('.').skip(1).map(str::to_owned).collect::<Vec<_>>());
    let canaries = ["canary-session", "canaryend", "canary-cookie", "canary-origin"].map(str::to_owned);
    (parts.concat().into_iter().chain(canaries).collect(), refusals)
}

#[tokio::test]
async fn no_secret_is_written_down() {
    let flows = every_flow().await;
    assert!(
        flows.logs.contains("TRACE") || flows.logs.contains("DEBUG"),
        "the logs are at their most talkative: {}",
        flows.logs
    );
    assert_access_lines(&flows.logs);
    let pem = contents(&flows.folder.path().join("keys"));
    let key_lines: Vec<String> = pem
        .iter()
        .flat_map(|(_, bytes)| {
            String::from_utf8_lossy(bytes).lines().skip(1).take(20).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert!(key_lines.len() > 10);
    for secret in flows.secrets.iter().chain(&key_lines) {
        for (output, text) in [("logs", &flows.logs), ("metrics", &flows.metrics), ("answers", &flows.answers)] {
            assert!(!text.contains(secret.as_str()), "{secret} is in the {output}: {text}");
        }
    }
    let records = run_json(&["audit", "list", "--limit", "1000"], flows.folder.path()).to_string();
    for action in ["api_key_created", "session_ended", "tokens_issued"] {
        assert!(records.contains(action), "no {action} in {records}");
    }
    for secret in &flows.secrets {
        assert!(!records.contains(secret), "{secret} is in the audit log: {records}");
    }
    run_json(&["db", "backup", "--to", "backup.db"], flows.folder.path());
    let files: Vec<_> = contents(flows.folder.path()).into_iter().filter(|(path, _)| path.contains(".db")).collect();
    assert!(files.len() >= 2);
    for (path, bytes) in &files {
        for secret in &flows.secrets {
            assert!(!holds(bytes, secret), "{secret} is in {path}");
        }
    }
}

/// R24 for keys in the store: no byte of a private key is in what a service and a command log at their most talkative while
/// the key moves there and is loaded from there, nor in the store's files.
#[tokio::test]
async fn no_log_shows_a_key_that_moves_to_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let trace = |command: &mut Command| {
        command.env("COUNTERSIGN_LOG__LEVEL", "trace").env("COUNTERSIGN_LOG__FORMAT", "json");
    };
    run_json(&["init"], path);
    let pem = fs::read_to_string(&key_files(path)[0]).unwrap();
    let lines: Vec<&str> = pem.lines().filter(|line| line.len() == 64).collect();
    let der = STANDARD.decode(lines[..lines.len() / 4 * 4].concat()).unwrap();
    let config = path.join("countersign.toml");
    let service = Service::of_with(&config, trace);
    let (code, out, mut logs) = run_with(&["keys", "move", "--to", "store"], path, trace);
    assert!(code == 0 && key_files(path).is_empty(), "{code}: {out}");
    logs.push_str(&service.stop().2);
    let service = Service::of_with(&config, trace);
    service.get(&format!("{}/readyz", service.url)).await.ok();
    logs.push_str(&run_with(&["doctor"], path, trace).2);
    logs.push_str(&run_with(&["keys", "rewrap"], path, trace).2);
    logs.push_str(&service.stop().2);
    assert!(logs.contains("DEBUG") && logs.matches("\"custody\":\"store\"").count() >= 2, "{logs}");
    let bytes = der.windows(12).skip(300).step_by(50);
    let shown = bytes.flat_map(|some| [hex::encode(some), format!("{some:?}").trim_matches(['[', ']']).to_owned()]);
    for secret in lines.iter().skip(4).map(|line| (*line).to_owned()).chain(shown) {
        assert!(!logs.contains(&secret), "{secret} is in the logs");
    }
    for (file, found) in contents(path).into_iter().filter(|(file, _)| file.contains(".db")) {
        let is_there = |some: &[u8]| found.windows(some.len()).any(|window| window == some);
        assert!(!der.windows(16).skip(300).step_by(64).any(is_there), "the key is in {file}");
    }
}

/// The access lines of every flow are among the logs that are searched.
fn assert_access_lines(logs: &str) {
    let events = logs.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines = events.filter(|event| event["target"] == "countersign::access");
    let told: Vec<String> =
        lines.map(|line| format!("{} {}", line["spans"][0]["route"], line["spans"][0]["status"])).collect();
    for expected in [
        "\"/v1/token/generate\" 200",
        "\"/v1/token/generate\" 400",
        "\"/v1/token/generate\" 401",
        "\"/v1/token/generate\" 403",
        "\"/v1/token/exchange\" 200",
        "\"/v1/token/exchange\" 401",
        "\"/v1/token/refresh\" 200",
        "\"/v1/token/refresh\" 401",
        "\"/v1/token/refresh\" 409",
        "\"/v1/token/revoke\" 200",
        "\"/v1/token/revoke\" 503",
        "\"unmatched\" 404",
    ] {
        assert!(told.iter().any(|line| line == expected), "{expected}: {told:?}");
    }
}

#[tokio::test]
async fn logs_cannot_be_forged() {
    let flows = every_flow().await;
    for line in flows.logs.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("not one JSON event: {line}"));
        assert!(event.is_object());
    }
    assert!(!flows.logs.contains('\u{1b}'));
}

#[tokio::test]
async fn a_stolen_store_opens_nothing() {
    let flows = every_flow().await;
    fs::write(flows.folder.path().join("sealing.secret"), format!("1:{}", "0123456789abcdef".repeat(4))).unwrap();
    let (code, _, err) = run(&["users", "sessions", "canary-user"], flows.folder.path());
    assert!(code == 1 && err.contains("sealing secret"), "{err}");
}

/// R56: no private key stays in memory as PEM, and other processes of the same user cannot read the memory.
#[tokio::test]
async fn memory_holds_no_key_file_and_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    run_json(&["init"], folder.path());
    let key = fs::read(&key_files(folder.path())[0]).unwrap();
    let text = String::from_utf8(key).unwrap();
    let line = text.lines().nth(10).unwrap().to_owned();
    let der = STANDARD.decode(text.lines().filter(|line| !line.starts_with("-----")).collect::<String>()).unwrap();
    let service = Service::of(&folder.path().join("countersign.toml"));
    service.get(&format!("{}/readyz", service.url)).await.ok();
    let pid = service.child.id();
    let status = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = status.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let Ok(memory) = read_memory(pid) else {
        // Without root the memory cannot be read, which is the second half of the requirement.
        assert!(fs::read(format!("/proc/{pid}/maps")).is_err());
        return;
    };
    assert!(memory.len() > 1_000_000);
    assert!(!holds(&memory, &line), "a line of the key's PEM is in memory");
    assert!(!memory.windows(64).any(|window| window == &der[350..414]), "the key's DER is in memory");
}

/// Reads all readable memory of a process; needs the permission for it.
fn read_memory(pid: u32) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = fs::File::open(format!("/proc/{pid}/mem"))?;
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap().min(64 << 20)];
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            all.extend(bytes);
        }
    }
    Ok(all)
}

/// A private key in the store is there only sealed, in no log, and gone from the file when it was moved or destroyed.
#[test]
fn a_private_key_in_the_store_is_in_no_file_and_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_json(&["init", "--custody", "store"], path);
    let pem = crate::custody::fixture_path("rsa-2048.pkcs8.pem");
    let trace = |command: &mut Command| {
        command.env("COUNTERSIGN_LOG__LEVEL", "trace").env("COUNTERSIGN_LOG__FORMAT", "json");
    };
    let mut said = String::new();
    let mut traced = |arguments: &[&str]| {
        let (code, out, err) = run_with(arguments, path, trace);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        said.push_str(&(out + &err));
    };
    traced(&["keys", "import", pem.to_str().unwrap()]);
    traced(&["db", "backup", "--to", "backup.db"]);
    traced(&["doctor"]);
    // The second half of PKCS#1 has private numbers only.
    let der = crate::custody::fixture("rsa-2048.pkcs1.der");
    let private = &der[der.len() / 2..][..48];
    let forms = [private.to_vec(), hex::encode(private).into_bytes()];
    let base64 = (0..3).map(|shift| STANDARD.encode(&private[shift..shift + 45]).as_bytes()[4..56].to_vec());
    let needles: Vec<Vec<u8>> = forms.into_iter().chain(base64).collect();
    let found = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let held = |bytes: &[u8]| needles.iter().any(|needle| found(bytes, needle));
    assert!(held(&der), "the test looks for the right bytes");
    for (file, bytes) in contents(path) {
        assert!(!held(&bytes), "{file}");
    }

    let sealed: Vec<Vec<u8>> = {
        let store = rusqlite::Connection::open(path.join("countersign.db")).unwrap();
        let mut query = store.prepare("SELECT sealed FROM sealed_keys").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let in_store = |sealed: &[u8]| {
        let store = fs::read(path.join("countersign.db")).unwrap();
        [&sealed[16..48], &sealed[sealed.len() - 32..]].iter().any(|part| found(&store, part))
    };
    assert!(sealed.len() == 2 && sealed.iter().all(|sealed| in_store(sealed)));
    fs::create_dir(path.join("keys")).unwrap();
    fs::set_permissions(path.join("keys"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    traced(&["keys", "move", "--to", "file"]);
    assert!(!sealed.iter().any(|sealed| in_store(sealed)), "its pages are overwritten");
    assert!(!held(said.as_bytes()));
}
