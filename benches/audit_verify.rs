//! Time of a verification of the audit log, against the time in which the same bytes are hashed.
//!
//! `cargo bench --bench audit_verify` makes a log of a million records (`AUDIT_RECORDS`), hashes the text of each, and verifies
//! the log with its columns and checkpoints, three times in turn. It fails where the best verification takes more than
//! four times as long as the best hashing.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program to measure with, which rounds for people"
)]

use std::{
    env,
    hint::black_box,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use countersign::{
    audit::{Checkpoint, Displayed, MerkleTree, Origin, Verification},
    clock::UnixMillis,
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget, Leaf},
        checkpoint_key::{CheckpointKey, CheckpointKeys},
        ids::{InstallationId, SessionId, UserHash},
    },
    secret::Secret,
    store::AuditHead,
};

/// Greatest ratio.
const LIMIT: f64 = 4.0;

fn main() {
    // `cargo test` starts this program, too.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let records: u64 = env::var("AUDIT_RECORDS").map_or(1_000_000, |text| text.parse().unwrap());
    let installation = InstallationId::new([7; 16]);
    let rows: Vec<(String, AuditEvent)> = (0..records).map(|index| row(installation, index)).collect();
    let bytes: usize = rows.iter().map(|(text, _)| text.len()).sum();
    let keys = CheckpointKeys::first(CheckpointKey::new(Secret::new([1; 32])));
    let notes = checkpoints(installation, &rows, &keys);
    let (mut hashing, mut verifying) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        let begin = Instant::now();
        for (text, _) in &rows {
            black_box(digest(&SHA256, text.as_bytes()));
        }
        hashing = hashing.min(begin.elapsed());
        let begin = Instant::now();
        let mut verification = Verification::new(Some(installation));
        for note in &notes {
            verification.compare_with("the store", note);
        }
        for (index, (text, event)) in (0..).zip(&rows) {
            verification.take(index, text, Displayed::Event(event));
        }
        let head = AuditHead { size: records, epoch: 1, epoch_begun_at: 0, waiting: 0, fork: None };
        let verified = verification.finish(Some(&head), &[keys.current.public()]);
        verifying = verifying.min(begin.elapsed());
        assert_eq!((verified.findings.count, verified.checkpoints), (0, notes.len() as u64));
    }
    let ratio = verifying.as_secs_f64() / hashing.as_secs_f64();
    println!("{records} records of {:.0} bytes", bytes as f64 / records as f64);
    println!(
        "hashed in    {:.3} s, {:.0} ns a record",
        hashing.as_secs_f64(),
        hashing.as_nanos() as f64 / records as f64
    );
    println!(
        "verified in  {:.3} s, {:.0} ns a record, {ratio:.2} times as long",
        verifying.as_secs_f64(),
        verifying.as_nanos() as f64 / records as f64
    );
    assert!(ratio <= LIMIT, "a verification takes more than {LIMIT} times as long as hashing");
}

/// Row of the log: the end of a session, as most are.
fn row(installation: InstallationId, index: u64) -> (String, AuditEvent) {
    let random = index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let at = UnixMillis(1_795_000_000_000 + i64::try_from(index).unwrap());
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&random.to_be_bytes());
    let target = AuditTarget {
        app: Some("web".parse().unwrap()),
        user: Some(UserHash([random.to_be_bytes()[0]; 32])),
        session: Some(SessionId::new(at, bytes)),
        ..AuditTarget::default()
    };
    let event = AuditEvent {
        at,
        actor: Actor::of_request("client shop", format!("{random:032x}")),
        action: AuditAction::SessionEnded,
        target,
        outcome: AuditOutcome::Done,
        why: "revoked".to_owned(),
    };
    let leaf = Leaf { installation: Some(installation), epoch: 1, index, event };
    (leaf.text(), leaf.event)
}

/// A thousand checkpoints of the log.
fn checkpoints(installation: InstallationId, rows: &[(String, AuditEvent)], keys: &CheckpointKeys) -> Vec<String> {
    let (mut tree, origin) = (MerkleTree::default(), Origin { installation, epoch: 1 });
    let mut notes = Vec::new();
    for (text, _) in rows {
        tree.append(text.as_bytes());
        if tree.size().is_multiple_of((rows.len() as u64 / 1000).max(1)) {
            notes.push(Checkpoint { origin, size: tree.size(), root: tree.root() }.sign(keys).to_string());
        }
    }
    notes
}
