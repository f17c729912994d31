//! Answers of operators' operations are data: what is written is read again, and reads the same to people.

use std::fmt::Debug;

use countersign::{
    audit::VerifiedLog,
    domain::{
        key::{KeyLocation, KeyRecord},
        rotation::NodeReport,
    },
    operate::{
        About, AuditRecord, BrazeDiff, BrazeKeys, Check, ClientApiKey, CompromiseForecast, Configuration, ConfirmedKey,
        Consequences, CreatedClient, CreatedOperator, EndedSessions, FailureOverview, MovedKey, OperatorEntry,
        OptedOut, PrintedCheckpoint, ReplacedAuditKey, RingOutcome, RingPlan, RingStatus, UserSession,
    },
    store::{ActivityCount, FailureCount, Schema},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{cli::init, support::service::run};

const KID: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
const TOKEN: &str = "0123456789abcdef";

/// Reads an answer; it is written as it was.
fn read<T: Serialize + DeserializeOwned>(value: &Value) -> T {
    let text = value.to_string();
    let answer: T = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
    assert_eq!(serde_json::to_value(&answer).unwrap(), *value);
    answer
}

/// Reads an answer twice, by way of its own JSON; the two are equal.
fn read_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &Value) -> T {
    let answer: T = read(value);
    assert_eq!(serde_json::from_str::<T>(&serde_json::to_string(&answer).unwrap()).unwrap(), answer);
    answer
}

fn key() -> Value {
    json!({
        "kid": KID, "ring": "main", "state": "active", "bits": 2048, "public_key": "-----BEGIN PUBLIC KEY-----\n",
        "custody": "file", "locator": "k.pem", "created": 1, "changed": 2,
    })
}

fn event() -> Value {
    json!({
        "at": 5, "actor": "operator ana", "request_id": "r-1", "action": "activated", "ring": "main", "kid": KID,
        "app": null, "user": "ab".repeat(32), "session": "cd".repeat(16), "client": "backend", "api_key": TOKEN,
        "outcome": "done", "why": "asked for",
    })
}

#[test]
fn answers_about_keys_are_read_again() {
    read_again::<KeyRecord>(&key());
    read_again::<ConfirmedKey>(&json!({ "key": key(), "apps": ["web"] }));
    read::<MovedKey>(&json!({ "kid": KID, "ring": "main", "custody": "store", "waiting_for": ["node-1"] }));
    read_again::<KeyLocation>(&json!({ "custody": "file", "locator": "k.pem" }));
    read_again::<Consequences>(&json!({ "tokens_until": 5, "active": null }));
    read_again::<CompromiseForecast>(
        &json!({ "signs": true, "takes_over": KID, "tokens_until": null, "by_hand": ["ios"], "live_sessions": 3 }),
    );
}

#[test]
fn answers_about_rotations_are_read_again_with_their_texts() {
    let idle = json!({ "ring": "main", "steps": [], "done": true, "waiting": [], "due": null });
    assert_eq!(read_again::<RingOutcome>(&idle).to_string(), "Idle: nothing is left to do.");
    let step = json!({ "step": "publish", "app": "web", "kid": KID });
    let next = json!({
        "ring": "main", "done": false, "next": step, "why": "so", "waiting": [],
        "steps": [{ "done": { "step": "activate", "kid": KID, "retiring": null }, "what": "sign", "why": "ready" }],
    });
    assert_eq!(read_again::<RingOutcome>(&next).to_string(), "Next: publish key AQEBAQEB at Braze for app web.");
    let blockers = json!([{ "blocker": "tokens", "kid": KID, "until": 60_000 }]);
    let wait = json!({
        "ring": "main", "steps": [], "done": false, "waiting": blockers,
        "texts": ["tokens of key AQEBAQEB are alive until 1970-01-01T00:01:00.000Z"], "until": 60_000,
    });
    let text = read_again::<RingOutcome>(&wait).to_string();
    assert!(text.starts_with("Waiting:\n  tokens of key AQEBAQEB") && text.contains("again from 1970"), "{text}");

    let status = json!({
        "ring": "main", "goal": "rotating", "done": false, "waiting": blockers, "until": 60_000,
        "texts": ["tokens of key AQEBAQEB are alive until 1970-01-01T00:01:00.000Z"],
        "keys": [{ "kid": KID, "state": "retired", "since": 7, "tokens_until": null, "destroyed": true }],
        "nodes": [{ "node": "n-1", "loaded": [KID] }], "audit_log": [event()],
    });
    let status: RingStatus = read_again(&status);
    assert_eq!(status.headline(), "Ring main (rotating), 1 live nodes");
    assert_eq!(status.keys[0].state_as_text(), "retired, destroyed");

    let recorded = json!({
        "source": "recorded", "app": "ios",
        "keys": [{ "kid": KID, "state": "active", "since": 1, "by": "ana", "at": 2, "why": "attested" }],
    });
    let sources = json!([recorded, { "source": "listed", "app": "web", "at": 9 }, { "source": "silent", "app": "tv", "why": "401" }]);
    let lines = json!([
        { "at": 1, "what": "make a new key", "why": "none is ready", "waits": false },
        { "at": 2, "what": "tokens are alive", "waits": true },
    ]);
    let stuck = json!([{ "blocker": "silent", "app": "tv", "why": "401" }]);
    let plan = json!({ "ring": "main", "plan": { "lines": lines, "due": null, "stuck": stuck }, "sources": sources });
    assert!(read_again::<RingPlan>(&plan).is_silent());

    let drift = json!([{ "drift": "unknown", "app": "web", "id": "b-1" }]);
    let diff: BrazeDiff = read_again(&json!({ "drift": drift, "sources": sources, "rotating": ["main"] }));
    assert_eq!(diff.entries()[1]["drift"], "not_compared");
    assert!(diff.to_string().contains("none of ours"), "{diff}");
    let at_braze = json!({
        "ring": "main", "app": "web", "id": "b-1", "kid": null, "is": "unknown", "state": null, "primary": false,
        "description": "who knows", "since": null,
    });
    read_again::<BrazeKeys>(&json!({ "keys": [at_braze], "sources": sources, "silent": [] }));
}

#[test]
fn answers_about_clients_operators_and_users_are_read_again() {
    let client = json!({
        "id": TOKEN, "client": "backend", "apps": ["web"], "created": 1, "expires": null, "revoked": 3, "last_used": 2,
    });
    read_again::<ClientApiKey>(&client);
    let mut created = client;
    created["api_key"] = json!("csk1_0123456789abcdef_secret");
    read::<CreatedClient>(&created);
    let operator =
        json!({ "name": "ana", "role": "viewer", "token": TOKEN, "created": 1, "expires": 9, "revoked": null });
    read_again::<OperatorEntry>(&operator);
    let mut created = operator;
    created["operator_token"] = json!("cso1_0123456789abcdef_secret");
    read::<CreatedOperator>(&created);
    read_again::<UserSession>(&json!({
        "session": "ab".repeat(16), "app": "web", "created": 1, "refreshed": 2, "refreshes": 3, "idle_expires": 4,
        "expires": 5, "ended": "logout",
    }));
    read_again::<OptedOut>(&json!({ "changed": true }));
    let pending = json!([{ "node": "n-1", "looked": 1, "serves_until": 2 }]);
    read_again::<EndedSessions>(&json!({ "ended": null, "pending": pending }));
    read_again::<EndedSessions>(&json!({ "ended": 3 }));
}

#[test]
fn answers_about_failures_and_activity_are_read_again() {
    let example = json!({
        "at": 1, "platform": "ios", "code": "27", "key": KID, "keys": { KID: "active" }, "issue_to_end": 60,
        "issue_to_report": null,
    });
    let row = json!({
        "cause": "key_not_published", "app": "web", "platforms": ["web", "ios"], "codes": ["27"], "keys": [KID],
        "sessions": 4, "sessions_or_more": false, "reports": 5, "first": 1, "last": 2, "since": null,
        "changes": [{ "at": 1, "what": "key activated" }], "confidence": "likely", "sentence": "s", "fix": "f",
        "command": null, "example": example,
    });
    let versions = json!([{ "version": "6.13.0", "sessions": 2 }]);
    read::<FailureOverview>(&json!({ "since": 1, "until": 2, "failures": [row], "sdk_versions": versions }));
    read_again::<FailureCount>(&json!({
        "span": "minute", "since": 60_000, "app": "web", "platform": "web", "code": "22", "cause": "expired_offline",
        "kid": null, "reports": 2, "sessions": format!("{:0>256}", "8000000000000001"),
    }));
    read_again::<ActivityCount>(&json!({ "minute": 60_000, "app": "web", "mints": 1, "refreshes": 2, "refused": 3 }));
}

#[test]
fn answers_about_the_installation_are_read_again() {
    let checkpoint = json!({ "epoch": 1, "size": 2, "at": 3, "note": "signed\n" });
    read_again::<PrintedCheckpoint>(&checkpoint);
    read_again::<ReplacedAuditKey>(&json!({ "key": "k+1+x", "checkpoint": checkpoint }));
    read_again::<AuditRecord>(&json!({ "index": 7, "event": event() }));
    let finding = json!({ "kind": "missing", "warning": false, "says": "record 3 is missing" });
    let findings = json!({ "first": [finding], "count": 1, "wrong": 1 });
    let log: VerifiedLog =
        read_again(&json!({ "records": 3, "epoch": 1, "root": "00", "checkpoints": 0, "findings": findings }));
    assert!(log.is_wrong() && log.findings.first[0].to_string() == "record 3 is missing");
    read::<Check>(&json!({ "what": "store", "health": "warning", "text": "slow" }));
    read_again::<NodeReport>(&json!({ "node": "n-1", "seen": 1, "loaded": { KID: "file" } }));
    read_again::<Schema>(&json!({ "found": 11, "known": 11 }));
    read_again::<About>(&json!({
        "installation": "ab".repeat(16), "version": "0.1.0", "actor": "operator ana", "role": "operator", "now": 1,
    }));
    let (json, text) = (json!({ "server": {} }), "[server]\n");
    read_again::<Configuration>(&json!({ "json": json, "toml": text, "toml_with_origins": text, "warnings": [] }));
}

/// Prints an answer as JSON, and reads it.
fn printed<T: Serialize + DeserializeOwned>(arguments: &[&str], folder: &std::path::Path) -> T {
    let (_, out, err) = run(&[arguments, &["--json"]].concat(), folder);
    read(&serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}{err}")))
}

#[test]
fn what_the_command_line_prints_is_read_as_the_answer() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let keys: Vec<KeyRecord> = printed(&["keys", "list"], path);
    assert_eq!(keys.len(), 1);
    printed::<CreatedClient>(&["clients", "create", "backend", "--app", "web"], path);
    assert_eq!(printed::<Vec<ClientApiKey>>(&["clients", "list"], path).len(), 1);
    assert!(printed::<OptedOut>(&["users", "opt-out", "u-1"], path).changed);
    assert_eq!(printed::<EndedSessions>(&["users", "revoke", "u-1"], path).ended, Some(0));
    assert!(printed::<Vec<UserSession>>(&["users", "sessions", "u-1"], path).is_empty());
    assert_eq!(printed::<Vec<RingStatus>>(&["rotate", "status"], path)[0].keys.len(), 1);
    assert_eq!(printed::<Vec<RingPlan>>(&["rotate", "plan"], path).len(), 1);
    assert!(printed::<Vec<AuditRecord>>(&["audit", "list"], path).len() > 3);
    assert!(!printed::<VerifiedLog>(&["audit", "verify"], path).is_wrong());
    printed::<PrintedCheckpoint>(&["audit", "checkpoint"], path);
    printed::<ReplacedAuditKey>(&["audit", "key", "--replace", "--why", "test"], path);
    assert!(printed::<FailureOverview>(&["failures"], path).failures.is_empty());
}
