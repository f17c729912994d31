//! Behind proxies: the address that limits count, and the warnings where proxies hide their clients.

use std::{net::SocketAddr, time::Instant};

use axum::extract::ConnectInfo;
use countersign::config::{Environment, Settings};
use serde_json::json;

use super::support::{
    in_less_than_a_second,
    service::Service,
    test_service::{TestService, post},
};

/// Each address may ask once.
const LIMITS: &str = "[limits]\nper_address = { per_second = 1, burst = 1 }\n[apps.web]\n";

/// Forms of one client's address in `X-Forwarded-For`, as proxies were seen to send them.
const X_FORWARDED_FOR: [&str; 7] = [
    "203.0.113.9:51234",
    "[2001:db8:0:9::9]:51234",
    "[2001:db8:0:9::9]",
    "\"203.0.113.9\"",
    "203.0.113.9,",
    "203.0.113.9",
    "2001:db8:0:9::9",
];

/// The forms of RFC 7239.
const FORWARDED: [&str; 4] = [
    "for=203.0.113.9",
    "for=\"[2001:db8:0:9::9]:51234\";proto=https",
    "by=10.0.0.1;For=\"203.0.113.9:51234\"",
    "for=198.51.100.1, for=203.0.113.9",
];

/// Status of a refresh that comes from this peer with these headers.
async fn ask(service: &TestService, peer: &str, headers: &[(&'static str, &str)]) -> u16 {
    let mut request = post("/v1/token/refresh", &json!({ "refresh_token": "junk" }));
    let peer: SocketAddr = format!("{peer}:1000").parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    service.send(request).await.status
}

async fn behind_proxies(header: &str) -> TestService {
    TestService::with(&format!(
        "[server]\ntrusted_proxies = [\"10.0.0.0/8\"]\nforwarded_header = \"{header}\"\n{LIMITS}"
    ))
    .await
}

#[tokio::test]
async fn forty_clients_behind_a_proxy_are_forty_addresses() {
    for (header, forms) in [("x-forwarded-for", &X_FORWARDED_FOR[..]), ("forwarded", &FORWARDED)] {
        for form in forms {
            let service = behind_proxies(header).await;
            let ask_as = async |client: u8| {
                // Two networks apart, in either family.
                let form = form
                    .replace("203.0.113.9", &format!("203.0.113.{client}"))
                    .replace(":9::9", &format!(":{client}::9"));
                ask(&service, "10.0.0.1", &[(header, &form)]).await
            };
            for client in 1..=40 {
                assert_eq!(ask_as(client).await, 401, "{header}: {form}");
            }
            let mut client = 40;
            let statuses = in_less_than_a_second(async || {
                client += 1;
                (Instant::now(), [ask_as(client).await, ask_as(client).await])
            });
            assert_eq!(statuses.await, [401, 429], "{header}: {form}");
        }
    }
}

#[tokio::test]
async fn a_client_can_choose_neither_its_address_nor_the_header() {
    let statuses = in_less_than_a_second(async || {
        let service = behind_proxies("x-forwarded-for").await;
        (Instant::now(), forged_statuses(&service).await)
    })
    .await;
    assert_eq!(statuses[0], 401);
    assert!(statuses[1..].iter().all(|status| *status == 429), "{statuses:?}");
}

/// Statuses of requests that pretend other addresses each, all of one client.
async fn forged_statuses(service: &TestService) -> Vec<u16> {
    let mut statuses = Vec::new();
    for forged in 1..=5 {
        let forged = format!("198.51.100.{forged}");
        // What the proxy appends is last; `Forwarded` passes it as the client sent it.
        let appended = format!("{forged}, 203.0.113.9");
        let headers = [("x-forwarded-for", appended.as_str()), ("forwarded", &format!("for={forged}"))];
        statuses.push(ask(service, "10.0.0.1", &headers).await);
        statuses.push(ask(service, "203.0.113.9", &[("x-forwarded-for", &forged)]).await);
    }
    statuses
}

/// Sends three requests with these headers; the lines of the log that speak of proxies.
async fn warnings(service: Service, headers: &[(&str, &str)]) -> Vec<String> {
    for _ in 0..3 {
        let body = json!({ "refresh_token": "junk" });
        service.post_with("/v1/token/refresh", None, &body, headers).await.unwrap().problem(401, "invalid_token");
    }
    let (_, _, log) = service.stop();
    log.lines().filter(|line| line.contains("WARN") && line.contains("prox")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_proxy_that_is_not_trusted_is_warned_about_once() {
    for header in ["x-forwarded-for", "forwarded"] {
        let [warning] = &warnings(Service::dev(), &[(header, "for=203.0.113.9")]).await[..] else {
            panic!("one warning");
        };
        assert!(warning.contains("trusted_proxies = [\"127.0.0.1\"]"), "{warning}");
    }
    assert_eq!(warnings(Service::dev(), &[]).await, [""; 0]);
}

#[tokio::test]
async fn a_proxy_that_sets_the_other_header_is_warned_about() {
    let trusting = || {
        Service::dev_with(|command| {
            command.env("COUNTERSIGN_SERVER__TRUSTED_PROXIES", "[\"127.0.0.1\"]");
        })
    };
    let [warning] = &warnings(trusting(), &[("forwarded", "for=203.0.113.9")]).await[..] else { panic!("one warning") };
    assert!(warning.contains("forwarded_header = \"forwarded\""), "{warning}");
    assert_eq!(warnings(trusting(), &[("x-forwarded-for", "203.0.113.9")]).await, [""; 0]);
}

#[test]
fn proxies_that_may_be_anybody_are_warned_about() {
    let warnings = |networks: &str| {
        let folder = tempfile::tempdir().unwrap();
        let layout = countersign::app::Layout::of(folder.path());
        layout.create(&format!("[server]\ntrusted_proxies = [{networks}]\n[apps.web]\n")).unwrap();
        Settings::load(Some(&layout.config), &Environment::empty(), &[]).unwrap().warnings()
    };
    for network in ["0.0.0.0/0", "::/0", "0.0.0.0/1", "2000::/3"] {
        let [warning] = &warnings(&format!("\"10.0.0.1\", \"{network}\""))[..] else { panic!("one warning") };
        assert!(warning.contains(network) && warning.contains("trusts everybody"), "{warning}");
    }
    assert_eq!(warnings("\"10.0.0.0/8\", \"fc00::/7\", \"192.0.2.1\""), [""; 0]);
}
