//! The process: development mode, signals, reload, inherited sockets, overload, and what becomes of a killed one.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::json;

use super::{
    cli::eventually,
    support::{
        service::{Service, run_json, run_with},
        verified_claims,
    },
};

#[tokio::test]
async fn dev_mode_says_all_a_developer_needs() {
    let service = Service::dev();
    let token = service.generate(service.api_key(), "u-1").await.ok().text("token");
    verified_claims(&token, service.ready["public_key"].as_str().unwrap());
    assert_eq!(service.ready["app"], "web");
    let metrics = service.get(&format!("{}/metrics", service.ops_url)).await.ok();
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(
        text.contains("# TYPE countersign_mints_total counter\ncountersign_mints_total{app=\"web\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("process_start_time_seconds ") && !text.contains("# EOF"), "{text}");
    service.get(&format!("{}/readyz", service.ops_url)).await.ok();
    let nothing = service.get(&format!("{}/docs", service.ops_url)).await.problem(404, "client_error");
    let detail =
        "there is nothing at this path; this listener has /metrics, /healthz, /readyz, /admin/v1/ and /console";
    assert_eq!(nothing.text("detail"), detail);
    let (status, _, _) = service.stop();
    assert!(status.success());
}

#[test]
fn the_banner_has_a_curl_line_that_works_as_printed() {
    use std::io::{BufRead, BufReader};
    let mut command = super::support::service::countersign();
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut curl = lines.find(|line| line.trim_start().starts_with("curl ")).unwrap();
    while curl.ends_with('\\') {
        curl.pop();
        curl.push_str(&lines.next().unwrap());
    }
    let answer = Command::new("sh").args(["-c", curl.trim()]).output();
    child.kill().unwrap();
    child.wait().unwrap();
    let answer = answer.unwrap();
    if answer.status.code() == Some(127) {
        // No curl on this machine: the words are checked at least, by the shell and by eye of the pattern.
        assert!(curl.contains("/v1/token/generate") && curl.contains("Authorization: Bearer csk1_"));
        return;
    }
    let json: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(json["status"], "success", "{curl}");
}

#[tokio::test]
async fn sigterm_lets_the_work_under_way_finish() {
    let service = Arc::new(Service::dev());
    let mut asking = tokio::task::JoinSet::new();
    for user in 0..20 {
        let service = service.clone();
        asking.spawn(async move {
            let body = json!({ "app": "web", "user_id": format!("u-{user}") });
            service.post("/v1/token/generate", Some(service.api_key()), &body).await
        });
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    service.signal(Signal::TERM);
    // A request either came too late to be taken, or was answered in full.
    for answer in asking.join_all().await.into_iter().flatten() {
        answer.ok();
    }
    let mut service = Arc::into_inner(service).unwrap();
    let (status, _, err) = service.wait();
    assert!(status.success(), "{err}");
    assert!(err.contains("drained"), "{err}");
}

/// Load balancers need time to notice that a service is not ready.
#[tokio::test]
async fn a_stopping_service_is_not_ready_before_it_closes_its_listener() {
    let with_delay = |delay: &'static str| {
        Service::dev_with(move |command| {
            command.env("COUNTERSIGN_SERVER__SHUTDOWN_DELAY", delay);
        })
    };
    let mut service = with_delay("1h");
    service.signal(Signal::TERM);
    for url in [&service.url, &service.ops_url] {
        while service.get(&format!("{url}/readyz")).await.status != 503 {}
    }
    for user in 0..5 {
        // A new connection each.
        std::net::TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
        service.generate(service.api_key(), &format!("u-{user}")).await.ok();
    }
    service.signal(Signal::TERM);
    let (status, _, err) = service.wait();
    assert!(status.success() && err.contains("drained"), "{err}");

    let service = with_delay("700ms");
    let begun = std::time::Instant::now();
    assert!(service.stop().0.success());
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
}

/// A length that no body has is refused at once.
#[tokio::test]
async fn a_body_that_will_be_too_large_is_not_waited_for() {
    use std::io::{Read, Write};
    let service = Service::dev();
    for length in ["16385", "99999999999", "18446744073709551615", "99999999999999999999999999"] {
        let mut stream = std::net::TcpStream::connect(service.url.trim_start_matches("http://")).unwrap();
        let head = format!(
            "POST /v1/token/refresh HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close\r\n"), "{length}: {answer}");
        assert!(
            answer.contains("problem+json") && answer.contains("too large") || answer.contains("larger"),
            "{answer}"
        );
    }
}

/// Who waits for the ready line, such as a supervisor, may send a signal at once.
#[test]
fn a_signal_right_after_the_ready_line_is_handled() {
    for _ in 0..8 {
        let mut service = Service::dev();
        service.signal(Signal::HUP);
        service.signal(Signal::TERM);
        let (status, _, err) = service.wait();
        assert!(status.success() && err.contains("drained"), "{status}: {err}");
    }
}

/// Waits until the service has refused its first reload.
async fn reload_is_refused(service: &Service) {
    let metrics = format!("{}/metrics", service.ops_url);
    eventually(async || {
        let text = String::from_utf8(service.get(&metrics).await.ok().body).unwrap();
        text.contains("countersign_alarms_total{kind=\"reload\"} 1\n")
    })
    .await;
}

#[tokio::test]
async fn sighup_reloads_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_json(&["init"], path);
    let config = path.join("countersign.toml");
    let original = fs::read_to_string(&config).unwrap();
    let key = run_json(&["clients", "create", "backend", "--app", "web"], path)["api_key"].as_str().unwrap().to_owned();
    let mut service = Service::of(&config);
    let life =
        async |service: &Service| service.generate(&key, "u-1").await.ok().json()["expires_in"].as_u64().unwrap();
    assert!(life(&service).await > 3000);

    fs::write(&config, original.replace("[apps.web]", "[apps.web]\nlifetime = \"5m\"")).unwrap();
    service.signal(Signal::HUP);
    for round in 0.. {
        if life(&service).await <= 300 {
            break;
        }
        assert!(round < 1200, "the new lifetime is not in force");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fs::write(&config, original.replace("[apps.web]", "[apps.web]\nlifetime = \"1s\"")).unwrap();
    service.signal(Signal::HUP);
    reload_is_refused(&service).await;
    assert!((200..=300).contains(&life(&service).await), "the old configuration stays");
    service.signal(Signal::TERM);
    let (status, _, err) = service.wait();
    assert!(status.success() && err.contains("reload refused") && err.contains("lifetime"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_too_much_work_requests_are_shed_and_health_answers() {
    let service = Arc::new(Service::dev_with(|command| {
        command.env("COUNTERSIGN_CUSTODY__THREADS", "1").env("COUNTERSIGN_CUSTODY__MAX_WAIT", "5ms");
    }));
    let mut by_status: HashMap<u16, usize> = HashMap::new();
    // Where the machine has other work, the requests of a round may come too slowly to be too many.
    for _ in 0..50 {
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let service = service.clone();
            asking.spawn(async move { service.generate(service.api_key(), "u-1").await });
        }
        service.get(&format!("{}/healthz", service.url)).await.ok();
        service.get(&format!("{}/metrics", service.ops_url)).await.ok();
        for answer in asking.join_all().await {
            *by_status.entry(answer.status).or_default() += 1;
            if answer.status == 503 {
                let problem = answer.problem(503, "overloaded");
                assert!(problem.header("retry-after").parse::<u64>().unwrap() >= 1);
                assert!(problem.json()["retry"].as_u64().unwrap() >= 1000);
            }
        }
        if by_status.contains_key(&503) {
            break;
        }
    }
    assert!(by_status.keys().all(|status| [200, 503].contains(status)), "{by_status:?}");
    assert!(by_status.contains_key(&200) && by_status.contains_key(&503), "{by_status:?}");
    service.generate(service.api_key(), "u-1").await.ok();
}

/// R64: what was answered is on disk. A client refreshes in a chain; the process is killed in the middle; afterwards the
/// last refresh token that was answered must go on without the store having lost its rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_in_the_middle_of_refreshes_loses_no_acknowledged_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_json(&["init"], path);
    let config = path.join("countersign.toml");
    let key = run_json(&["clients", "create", "backend", "--app", "web"], path)["api_key"].as_str().unwrap().to_owned();
    for round in 0..5u64 {
        let mut service = Service::of(&config);
        let mut chains = Vec::new();
        for user in 0..8 {
            chains.push(service.generate(&key, &format!("u-{round}-{user}")).await.ok().text("refresh_token"));
        }
        let shared = Arc::new(service.url.clone());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut running = tokio::task::JoinSet::new();
        for mut token in chains {
            let (url, client) = (shared.clone(), client.clone());
            running.spawn(async move {
                loop {
                    let body = json!({ "refresh_token": token });
                    let Ok(answer) = client.post(format!("{url}/v1/token/refresh")).json(&body).send().await else {
                        return token;
                    };
                    let Ok(answer) = answer.json::<serde_json::Value>().await else { return token };
                    match answer["refresh_token"].as_str() {
                        Some(next) => token = next.to_owned(),
                        // Shed under load: the same token is good for the next try.
                        None => assert!(
                            ["overloaded", "unavailable"].contains(&answer["code"].as_str().unwrap()),
                            "{answer}"
                        ),
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(150 + 70 * round)).await;
        service.child.kill().unwrap();
        service.child.wait().unwrap();
        let saved = running.join_all().await;

        let service = Service::of(&config);
        for token in saved {
            service.refresh(&token).await.unwrap().ok();
        }
        let metrics = service.get(&format!("{}/metrics", service.ops_url)).await;
        let text = String::from_utf8(metrics.body).unwrap();
        assert!(text.contains("countersign_alarms_total{kind=\"store_lost_writes\"} 0"), "{text}");
        assert!(!text.contains("decision=\"ahead\""), "an acknowledged rotation was lost: {text}");
    }
}

/// Binds a listener for each name and passes them on with these names, as systemd does; writes their ports into a file.
const PASS_SOCKETS: &str = r#"
import os, socket, sys
_, ports, names, *program = sys.argv
sockets = [socket.create_server(("127.0.0.1", 0), backlog=16) for _ in names.split(":")]
open(ports, "w").write(" ".join(str(it.getsockname()[1]) for it in sockets))
high = [os.dup(os.dup(os.dup(os.dup(it.detach())))) for it in sockets]
for number, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + number)
os.environ.update(LISTEN_FDS=str(len(high)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
os.execv(program[0], program)
"#;

/// Lets a command inherit sockets of these names.
fn inherit(command: &mut Command, ports: &Path, names: &str) {
    let own = std::mem::replace(command, Command::new("python3"));
    command.args(["-c", PASS_SOCKETS]).arg(ports).arg(names).arg(own.get_program()).args(own.get_args());
}

#[tokio::test]
async fn sockets_are_inherited_by_name_or_in_order() {
    if Command::new("python3").arg("--version").output().is_err() {
        // tests/provision.sh installs Python; without it there is nothing here that could hand sockets over.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ports = folder.path().join("ports");
    for (names, public, ops) in
        [("countersign.socket:countersign.socket", 0, Some(1)), ("ops:public", 1, Some(0)), ("public", 0, None)]
    {
        let service = Service::dev_with(|command| inherit(command, &ports, names));
        service.generate(service.api_key(), "u-1").await.ok();
        service.get(&format!("{}/metrics", service.ops_url)).await.ok();
        let text = fs::read_to_string(&ports).unwrap();
        let passed: Vec<String> = text.split(' ').map(|port| format!("http://127.0.0.1:{port}")).collect();
        assert_eq!(service.url, passed[public], "{names}");
        assert_eq!(passed.contains(&service.ops_url), ops.is_some(), "{names}");
        assert!(ops.is_none_or(|nth| passed[nth] == service.ops_url), "{names}");
    }
    for (names, nth) in [("a:b:c", 2), ("public:public", 1), ("ops:other", 1)] {
        let (code, _, err) = run_with(&["serve", "--dev"], folder.path(), |command| {
            inherit(command, &ports, names);
            command.current_dir(folder.path()).stdin(Stdio::null());
        });
        let expected =
            format!("socket {nth} of LISTEN_FDS is one too many: pass one named `public` and one named `ops`");
        assert!(code == 1 && err.contains(&expected), "{names}: {code} {err}");
    }
}

/// The limit of an outage stays until the restart: an app whose window is shorter would lose sessions to one.
#[tokio::test]
async fn a_retry_window_below_the_limit_in_force_waits_for_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    run_json(&["init"], folder.path());
    let config = folder.path().join("countersign.toml");
    let original = fs::read_to_string(&config).unwrap();
    let service = Service::of(&config);
    let short = original.replace("# retry_window = \"24h\"", "retry_window = \"10m\"");
    fs::write(&config, short.replace("[store]", "[store]\noutage_limit = \"10m\"")).unwrap();
    service.signal(Signal::HUP);
    reload_is_refused(&service).await;
    let (_, _, log) = service.stop();
    assert!(
        log.contains("apps.web.refresh.retry_window is shorter than the store.outage_limit that is in force"),
        "{log}"
    );
    run_json(&["config", "check"], folder.path());
}
