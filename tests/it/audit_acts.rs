//! Records of acts: each command of an operator and each act of a request leaves its own in the audit log, with actor,
//! target, outcome and request (issue 18).

use std::{collections::BTreeSet, path::Path};

use http::Request;
use serde_json::{Value, json};

use super::support::{
    Answer,
    service::{run, run_json},
    test_service::{CONFIG, TestService, post},
};

/// Records from this index on, as the command shows them.
fn listed(folder: &Path, from: usize) -> Vec<Value> {
    let listed = run_json(&["audit", "list", "--from", &from.to_string(), "--limit", "1000"], folder);
    listed.as_array().unwrap().iter().map(|record| record["event"].clone()).collect()
}

/// Action and outcome of each record.
fn acts(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| format!("{} {}", text(event, "action"), text(event, "outcome"))).collect()
}

fn text<'a>(event: &'a Value, member: &str) -> &'a str {
    event[member].as_str().unwrap_or_default()
}

/// An operator's command, its exit code, and the records that it leaves, each with a member of its target.
type Row<'a> = (&'a [&'a str], i32, &'a [(&'a str, &'a str)]);

#[test]
fn every_command_of_an_operator_leaves_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let kid = run_json(&["init"], path)["kid"].as_str().unwrap().to_owned();
    let made = listed(path, 0);
    let made: Vec<&Value> = made.iter().filter(|event| text(event, "ring") == "main").collect();
    assert_eq!(
        acts(&made.iter().map(|event| (*event).clone()).collect::<Vec<_>>()),
        ["created intended", "created done", "activated done"]
    );
    let client = run_json(&["clients", "create", "backend", "--app", "web"], path);
    let (id, secret) = (client["id"].as_str().unwrap(), &client["api_key"].as_str().unwrap()[22..]);
    let fingerprint = "ab".repeat(32);
    let user = "canary-user";
    let table: &[Row<'_>] = &[
        (&["clients", "create", "backend", "--app", "wbe"], 1, &[("api_key_created refused", "client")]),
        (&["clients", "revoke", id], 0, &[("api_key_revoked done", "api_key")]),
        (&["clients", "revoke", id], 1, &[("api_key_revoked unchanged", "api_key")]),
        (&["users", "opt-out", user], 0, &[("opted_out done", "user")]),
        (&["users", "opt-out", user, "--app", "web"], 0, &[("opted_out done", "app")]),
        (&["users", "opt-out", user, "--app", "web"], 0, &[("opted_out unchanged", "user")]),
        (&["users", "opt-out", user, "--app", "wbe"], 1, &[("opted_out refused", "user")]),
        (&["users", "opt-in", user], 0, &[("opted_in done", "user")]),
        (&["users", "opt-in", user], 0, &[("opted_in unchanged", "user")]),
        (&["users", "revoke", user], 0, &[("user_sessions_ended done", "user")]),
        (&["users", "revoke", user, "--app", "wbe"], 1, &[("user_sessions_ended refused", "app")]),
        (&["users", "revoke", "--everyone", "--yes"], 0, &[("app_sessions_ended done", "")]),
        (&["clock", "accept"], 0, &[("clock_accepted done", "")]),
        (&["keys", "generate"], 0, &[("created intended", "ring"), ("created done", "kid")]),
        (&["keys", "generate", "--ring", "mian"], 1, &[("created refused", "ring")]),
        (&["keys", "confirm", &kid, "--fingerprint", &fingerprint], 1, &[("refused refused", "kid")]),
        (&["keys", "confirm", &kid, "--deleted"], 1, &[("refused refused", "kid")]),
        // The first look at the records puts down that Braze is taken to hold the key that signs: nothing proves it.
        (&["rotate", "abort"], 1, &[("published unknown", "kid"), ("refused refused", "ring")]),
    ];
    for (command, code, expected) in table {
        let before = run_json(&["audit", "list", "--limit", "1"], path)[0]["index"].as_u64().unwrap();
        let (found, _, err) = run(command, path);
        assert_eq!(found, *code, "{command:?}: {err}");
        let events = listed(path, usize::try_from(before).unwrap() + 1);
        let names: Vec<&str> = expected.iter().map(|(act, _)| *act).collect();
        assert_eq!(acts(&events), names, "{command:?}");
        for (event, (_, member)) in events.iter().zip(*expected) {
            assert!(text(event, "actor").starts_with("operator (uid "), "{command:?}: {event}");
            assert!(member.is_empty() || !text(event, member).is_empty(), "{command:?}: no {member} in {event}");
            let needs_reason = ["refused", "unchanged"].contains(&text(event, "outcome"));
            assert!(!needs_reason || !text(event, "why").is_empty(), "{command:?}: {event}");
        }
    }
    let all = json!(listed(path, 0)).to_string();
    assert!(!all.contains(user) && !all.contains(secret), "a user id or an API key is in the audit log");
}

#[test]
fn moves_and_rewraps_of_keys_have_intents_and_outcomes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_json(&["init"], path);
    let begin = listed(path, 0).len();
    run_json(&["keys", "move", "--to", "store"], path);
    run_json(&["keys", "rewrap"], path);
    let events = listed(path, begin);
    let expected = ["moved intended", "moved done", "erased intended", "erased done", "rewrapped intended"];
    assert_eq!(acts(&events)[..5], expected);
    assert!(["rewrapped done", "rewrapped unchanged"].contains(&acts(&events)[5].as_str()), "{events:?}");
    assert!(events.iter().all(|event| !text(event, "kid").is_empty()), "{events:?}");
}

#[test]
fn a_compromise_is_followed_to_the_destruction_of_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let kid = run_json(&["init"], path)["kid"].as_str().unwrap().to_owned();
    let begin = listed(path, 0).len();
    run(&["keys", "compromise", &kid, "--yes", "--why", "a laptop was lost"], path);
    let events = listed(path, begin);
    let of_key: Vec<Value> = events.iter().filter(|event| text(event, "kid") == kid).cloned().collect();
    let stopped = of_key.iter().position(|event| text(event, "action") == "compromised").unwrap();
    assert_eq!((text(&of_key[stopped], "outcome"), text(&of_key[stopped], "why")), ("done", "a laptop was lost"));
    let (code, _, _) = run(&["keys", "compromise", &kid, "--yes"], path);
    assert_eq!(code, 1);
    assert_eq!(acts(&listed(path, begin)).last().unwrap(), "refused refused");
}

/// Sends a request with an id.
async fn send(service: &TestService, path: &str, body: &Value, id: &str) -> Answer {
    let (mut parts, body) = post(path, body).into_parts();
    parts.headers.insert("x-request-id", id.parse().unwrap());
    service.send(Request::from_parts(parts, body)).await
}

/// Events from this index on.
async fn events(service: &TestService, from: u64) -> Vec<Value> {
    let leaves = service.services.store().audit_leaves(from, 1000).await.unwrap();
    leaves.iter().map(|leaf| serde_json::to_value(leaf.shown.as_ref().unwrap()).unwrap()).collect()
}

async fn size(service: &TestService) -> u64 {
    service.services.store().audit_head().await.unwrap().size
}

#[tokio::test]
async fn acts_of_requests_name_the_app_and_the_request() {
    let service = TestService::new().await;
    let begin = size(&service).await;
    let first = service.session("canary-user").await;
    let second = service.refresh(&first).await.ok().text("refresh_token");
    assert_eq!(size(&service).await, begin, "neither a login nor a refresh is recorded");
    let body = json!({ "refresh_token": second });
    send(&service, "/v1/token/revoke", &body, "logout-1").await.ok();
    send(&service, "/v1/token/revoke", &body, "logout-2").await.ok();
    let stolen = service.session("canary-user").await;
    let next = service.refresh(&stolen).await.ok().text("refresh_token");
    service.refresh(&next).await.ok();
    service.clock.forward(std::time::Duration::from_mins(5));
    send(&service, "/v1/token/refresh", &json!({ "refresh_token": stolen }), "reuse-1")
        .await
        .problem(401, "invalid_token");
    let events = events(&service, begin).await;
    assert_eq!(acts(&events), ["session_ended done", "reuse_detected done"], "a second logout changes nothing");
    for (event, id) in events.iter().zip(["logout-1", "reuse-1"]) {
        assert_eq!(text(event, "request_id"), id);
        assert_eq!(text(event, "actor"), "app web, presenter of its refresh token");
        assert!(!text(event, "session").is_empty(), "{event}");
    }
    let sessions: BTreeSet<&str> = events.iter().map(|event| text(event, "session")).collect();
    assert_eq!(sessions.len(), 2);
    let leaves = service.services.store().audit_leaves(0, 1000).await.unwrap();
    for leaf in &leaves {
        for secret in [&first[5..], &stolen[5..], &service.api_key[22..], "canary-user"] {
            assert!(!leaf.text.contains(secret), "{}", leaf.text);
        }
    }
}

#[tokio::test]
async fn issued_tokens_are_recorded_only_where_that_is_asked_for() {
    let silent = TestService::new().await;
    let begin = size(&silent).await;
    silent.session("u-1").await;
    silent.run(2).await;
    assert_eq!(size(&silent).await, begin);

    let service = TestService::with(&format!("[audit]\ntokens = true\n{CONFIG}")).await;
    service.tick().await;
    let begin = size(&service).await;
    let token = service.session("canary-user").await;
    service.session("u-2").await;
    service.refresh(&token).await.ok();
    service.refresh(&token).await.ok();
    service.run(1).await;
    service.run(3).await;
    let recorded = events(&service, begin).await;
    assert_eq!(acts(&recorded), ["tokens_issued done"], "one record of all, and none of nothing");
    assert!(text(&recorded[0], "actor").starts_with("node "), "{recorded:?}");
    let batch: Value = serde_json::from_str(text(&recorded[0], "why")).unwrap();
    assert_eq!(batch["tokens"], json!({ "mint": { "web": 2 }, "refresh": { "web": 2 } }));
    assert!(batch["since"].as_i64().unwrap() < batch["until"].as_i64().unwrap());
    assert!(!json!(recorded).to_string().contains("canary-user"));
}
