//! Names by which the ops listener may be called (DNS rebinding).

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
};

use rustix::process::Signal;
use serde_json::Value;

use super::{
    cli::eventually,
    support::service::{Service, countersign, run, run_json},
};

/// Address of the service's ops listener.
fn address(service: &Service) -> SocketAddr {
    service.ops_url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// Status and body of the answer to a request with these lines before its end.
fn send(address: SocketAddr, target: &str, lines: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {target}\r\n{lines}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"));
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn status(address: SocketAddr, path: &str, host: &str) -> u16 {
    send(address, &format!("{path} HTTP/1.1"), &format!("Host: {host}\r\n")).0
}

fn with_hosts(hosts: &str) -> Service {
    Service::dev_with(|command| {
        command.env("COUNTERSIGN_SERVER__OPS_HOSTS", hosts);
    })
}

#[test]
fn only_its_own_names_reach_it() {
    let service = with_hosts("[\"Ops.example.com\", \"other.example.com:9090\", \"192.0.2.7\"]");
    let ops = address(&service);
    let port = ops.port();
    for (host, is_allowed) in [
        (format!("127.0.0.1:{port}"), true),
        ("127.0.0.1".to_owned(), true),
        // A tunnel has another port at its beginning.
        ("127.0.0.1:1".to_owned(), true),
        ("127.3.2.1".to_owned(), true),
        (format!("localhost:{port}"), true),
        ("LOCALHOST".to_owned(), true),
        ("[::1]:9090".to_owned(), true),
        ("ops.example.com".to_owned(), true),
        ("OPS.EXAMPLE.COM:1".to_owned(), true),
        ("other.example.com:9090".to_owned(), true),
        ("192.0.2.7:9090".to_owned(), true),
        ("other.example.com".to_owned(), false),
        ("other.example.com:9091".to_owned(), false),
        ("a.localhost".to_owned(), false),
        ("localhost.example.com".to_owned(), false),
        ("127.0.0.1.example.com".to_owned(), false),
        ("a.ops.example.com".to_owned(), false),
        ("attacker.example".to_owned(), false),
        (format!("attacker.example:{port}"), false),
        ("192.0.2.8".to_owned(), false),
        ("0.0.0.0".to_owned(), false),
        ("[2001:db8::1]".to_owned(), false),
    ] {
        let expected = if is_allowed { 200 } else { 421 };
        assert_eq!(status(ops, "/metrics", &host), expected, "{host}");
        let expected = if is_allowed { 404 } else { 421 };
        assert_eq!(status(ops, "/nothing", &host), expected, "{host}");
        for path in ["/healthz", "/readyz"] {
            assert_eq!(status(ops, path, &host), 200, "{path} of {host}");
        }
    }
}

#[test]
fn the_refusal_names_the_setting() {
    let service = Service::dev();
    let (status, body) = send(address(&service), "/metrics HTTP/1.1", "Host: attacker.example\r\n");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["status"], &problem["code"]), (421, &421.into(), &"client_error".into()));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("attacker.example") && detail.contains("`ops_hosts` in [server]"), "{detail}");
    assert!(!body.contains("countersign_mints_total"));
}

#[test]
fn the_target_counts_before_the_header_and_none_is_refused() {
    let service = Service::dev();
    let ops = address(&service);
    let loopback = "Host: 127.0.0.1\r\n";
    assert_eq!(send(ops, "http://attacker.example/metrics HTTP/1.1", loopback).0, 421);
    assert_eq!(send(ops, "http://127.0.0.1/metrics HTTP/1.1", "Host: attacker.example\r\n").0, 200);
    assert_eq!(send(ops, "/metrics HTTP/1.0", "").0, 421);
}

#[test]
fn the_public_listener_answers_to_every_name() {
    let service = Service::dev();
    let public = service.url.strip_prefix("http://").unwrap().parse().unwrap();
    assert_eq!(status(public, "/.well-known/jwks.json", "sign.example.com"), 200);
}

/// A listener on all addresses is called by the one at which the request arrived.
#[test]
fn on_all_addresses_the_reached_one_is_right() {
    // The kernel chooses the address that would send there; nothing is sent.
    let route = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.connect("192.0.2.1:9").map(|()| socket));
    let Ok(own) = route.and_then(|socket| socket.local_addr()) else {
        // This machine has no address but loopback; a test of `src/ops/allowed_hosts.rs` has the rule.
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    run_json(&["init"], folder.path());
    let config = folder.path().join("countersign.toml");
    let service = Service::of_with(&config, |command| {
        *command = countersign();
        command.env("COUNTERSIGN_SERVER__ALLOW_PLAINTEXT", "true");
        command
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--ops-listen", "0.0.0.0:0", "--config"])
            .arg(&config);
    });
    let port = address(&service).port();
    let (own, host) = (SocketAddr::from((own.ip(), port)), own.ip().to_string());
    assert_eq!(status(own, "/metrics", &format!("{host}:{port}")), 200);
    assert_eq!(status(own, "/metrics", "192.0.2.200"), 421);
    assert_eq!(status(SocketAddr::from(([127, 0, 0, 1], port)), "/metrics", &host), 421, "it was not reached there");
}

#[tokio::test]
async fn a_reload_takes_the_list() {
    let folder = tempfile::tempdir().unwrap();
    run_json(&["init"], folder.path());
    let config = folder.path().join("countersign.toml");
    let service = Service::of(&config);
    let ops = address(&service);
    assert_eq!(status(ops, "/metrics", "ops.example.com"), 421);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\n[server]\n", "\n[server]\nops_hosts = [\"ops.example.com\"]\n")).unwrap();
    service.signal(Signal::HUP);
    eventually(async || status(ops, "/metrics", "ops.example.com") == 200).await;
    let (_, _, log) = service.stop();
    assert!(!log.contains("take effect at the next start"), "{log}");
}

#[test]
fn wrong_values_are_named_with_a_right_one() {
    let folder = tempfile::tempdir().unwrap();
    run_json(&["init"], folder.path());
    let config = folder.path().join("countersign.toml");
    let text = fs::read_to_string(&config).unwrap();
    for (line, expected) in [
        ("ops_hosts = [\"http://a\"]", "server.ops_hosts: \"http://a\" is no host: write a name, or name:port"),
        ("ops_hosts = [\"*.example.com\"]", "server.ops_hosts: \"*.example.com\" is no host"),
        ("ops_hosts = \"a\"", "server.ops_hosts: \"a\" is no list: write [\"a\"]"),
        ("ops_hosts = [9090]", "server.ops_hosts: 9090 is no host"),
        ("ops_socket = \"ops.sock\"", "server.ops_socket: must be an absolute path in a folder of its own"),
        ("ops_socket = 5", "server.ops_socket: 5 has no quotes"),
    ] {
        fs::write(&config, text.replace("\n[server]\n", &format!("\n[server]\n{line}\n"))).unwrap();
        let (code, out, err) = run(&["config", "check"], folder.path());
        assert!(code == 78 && format!("{out}{err}").contains(expected), "{line}: {code} {out}{err}");
    }
}
