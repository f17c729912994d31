//! Verification of the audit log: each change of its records is found. One by somebody who has the key, too, and computes
//! everything anew, is found by a checkpoint that was kept elsewhere, and by nothing else.

use countersign::{
    audit::{Checkpoint, Displayed, MerkleTree, Origin, Verification, VerifiedLog},
    clock::UnixMillis,
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget, Leaf},
        checkpoint_key::{CheckpointKey, CheckpointKeys},
        ids::{InstallationId, UserHash},
    },
    secret::Secret,
    store::AuditHead,
};
use proptest::{prelude::*, sample::Index};

fn installation() -> InstallationId {
    InstallationId::new([7; 16])
}

/// A log as a store has it.
#[derive(Clone, Debug)]
struct Log {
    /// Index, text and columns of each row.
    rows: Vec<(u64, String, AuditEvent)>,
    head: AuditHead,
    checkpoints: Vec<String>,
}

fn keys() -> CheckpointKeys {
    CheckpointKeys::first(CheckpointKey::new(Secret::new([1; 32])))
}

/// The event of a random number.
fn event(random: u32) -> AuditEvent {
    let actions = [AuditAction::OptedOut, AuditAction::Activated, AuditAction::ApiKeyCreated, AuditAction::Refused];
    let user = random.is_multiple_of(2).then_some(UserHash([random.to_be_bytes()[3]; 32]));
    AuditEvent {
        at: UnixMillis(1_795_000_000_000 + i64::from(random)),
        actor: Actor::named(format!("operator {}", random % 5)),
        action: actions[random as usize % actions.len()],
        target: AuditTarget { user, ..AuditTarget::default() },
        outcome: AuditOutcome::Done,
        why: format!("because \"{random}\"\n"),
    }
}

fn text(index: u64, event: &AuditEvent) -> String {
    Leaf { installation: Some(installation()), epoch: 1, index, event: event.clone() }.text()
}

impl Log {
    fn of(events: Vec<AuditEvent>, sizes: &[u64]) -> Self {
        let rows: Vec<_> = (0..).zip(events).map(|(index, event)| (index, text(index, &event), event)).collect();
        let size = rows.len() as u64;
        let head = AuditHead { size, epoch: 1, epoch_begun_at: 0, waiting: 0, fork: None };
        let mut log = Self { rows, head, checkpoints: Vec::new() };
        log.checkpoints = sizes.iter().map(|size| log.signed(*size)).collect();
        log
    }

    fn events(&self) -> Vec<AuditEvent> {
        self.rows.iter().map(|(_, _, event)| event.clone()).collect()
    }

    /// The checkpoint that somebody with the key signs at this size.
    fn signed(&self, size: u64) -> String {
        let mut tree = MerkleTree::default();
        self.rows.iter().take(usize::try_from(size).unwrap()).for_each(|(_, text, _)| tree.append(text.as_bytes()));
        let origin = Origin { installation: installation(), epoch: 1 };
        Checkpoint { origin, size: tree.size(), root: tree.root() }.sign(&keys()).to_string()
    }

    fn verified(&self, kept: &[&str]) -> VerifiedLog {
        let mut verification = Verification::new(Some(installation()));
        for note in &self.checkpoints {
            verification.compare_with("the store", note);
        }
        for note in kept {
            verification.compare_with("kept.txt", note);
        }
        for (index, text, event) in &self.rows {
            verification.take(*index, text, Displayed::Event(event));
        }
        verification.finish(Some(&self.head), &[keys().current.public()])
    }
}

/// A change of the rows by somebody who does not have the key.
#[derive(Clone, Debug)]
enum Change {
    /// Another text; the columns stay.
    Text(Index, u32),
    /// Other columns; the text stays.
    Columns(Index, u32),
    /// Another act, in text and columns alike.
    Both(Index, u32),
    /// One byte of a text.
    Byte(Index, Index),
    Delete(Index),
    /// A deletion after which every record has the index of its place.
    DeleteAndRenumber(Index),
    /// Texts and columns of two rows change places; the indexes of the rows stay.
    Swap(Index, Index),
    /// Two acts change places, and each text has the index of its place.
    SwapAndRenumber(Index, Index),
    /// The last records are gone, and the head knows it.
    Truncate(Index),
    /// The last records are gone.
    TruncateRowsOnly(Index),
    Insert(Index, u32),
}

fn changes() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u32>()).prop_map(|(at, new)| Change::Text(at, new)),
        (at(), any::<u32>()).prop_map(|(at, new)| Change::Columns(at, new)),
        (at(), any::<u32>()).prop_map(|(at, new)| Change::Both(at, new)),
        (at(), at()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        at().prop_map(Change::Delete),
        at().prop_map(Change::DeleteAndRenumber),
        (at(), at()).prop_map(|(one, other)| Change::Swap(one, other)),
        (at(), at()).prop_map(|(one, other)| Change::SwapAndRenumber(one, other)),
        at().prop_map(Change::Truncate),
        at().prop_map(Change::TruncateRowsOnly),
        (at(), any::<u32>()).prop_map(|(at, new)| Change::Insert(at, new)),
    ]
}

/// Log with the change; its checkpoints are those of before.
fn changed(log: &Log, change: &Change) -> Log {
    let (mut log, size) = (log.clone(), log.rows.len());
    let renumbered = |events: Vec<AuditEvent>, log: &Log| {
        let new = Log::of(events, &[]);
        Log { checkpoints: log.checkpoints.clone(), ..new }
    };
    match change {
        Change::Text(at, new) => {
            let (index, text_of_row, _) = &mut log.rows[at.index(size)];
            *text_of_row = text(*index, &event(*new));
        }
        Change::Columns(at, new) => log.rows[at.index(size)].2 = event(*new),
        Change::Both(at, new) => {
            let row = &mut log.rows[at.index(size)];
            *row = (row.0, text(row.0, &event(*new)), event(*new));
        }
        Change::Byte(at, byte) => {
            let (_, text, _) = &mut log.rows[at.index(size)];
            let mut bytes = text.clone().into_bytes();
            let at = byte.index(bytes.len());
            bytes[at] ^= 1;
            *text = String::from_utf8(bytes).unwrap();
        }
        Change::Delete(at) => drop(log.rows.remove(at.index(size))),
        Change::DeleteAndRenumber(at) => {
            let mut events = log.events();
            events.remove(at.index(size));
            return renumbered(events, &log);
        }
        Change::Swap(one, other) => {
            let (one, other) = (one.index(size), other.index(size));
            log.rows.swap(one, other);
            for (index, row) in (0..).zip(&mut log.rows) {
                row.0 = index;
            }
        }
        Change::SwapAndRenumber(one, other) => {
            let mut events = log.events();
            events.swap(one.index(size), other.index(size));
            return renumbered(events, &log);
        }
        Change::Truncate(at) => {
            log.rows.truncate(at.index(size));
            log.head.size = log.rows.len() as u64;
        }
        Change::TruncateRowsOnly(at) => log.rows.truncate(at.index(size)),
        Change::Insert(at, new) => {
            let mut events = log.events();
            events.insert(at.index(size), event(*new));
            return renumbered(events, &log);
        }
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_change_is_found(events in prop::collection::vec(any::<u32>(), 1..60), at in any::<Index>(), change in changes()) {
        let events: Vec<AuditEvent> = events.into_iter().map(event).collect();
        let size = events.len() as u64;
        let earlier = at.index(events.len()) as u64;
        let log = Log::of(events, &[earlier, size]);
        let whole = log.verified(&[]);
        prop_assert_eq!((whole.findings.count, whole.checkpoints, whole.records), (0, 2, size));
        let changed = changed(&log, &change);
        let is_same = changed.rows == log.rows && changed.head == log.head;
        prop_assert_eq!(changed.verified(&[]).is_wrong(), !is_same, "{:?}", changed.verified(&[]));
    }

    #[test]
    fn a_change_by_somebody_with_the_key_is_found_by_an_older_checkpoint_only(
        events in prop::collection::vec(any::<u32>(), 1..60),
        at in any::<Index>(),
        change in changes(),
    ) {
        let events: Vec<AuditEvent> = events.into_iter().map(event).collect();
        let size = events.len() as u64;
        let log = Log::of(events, &[size]);
        let kept = log.signed(at.index(log.rows.len()) as u64 + 1);
        prop_assert_eq!(log.verified(&[&kept]).findings.count, 0);
        // Everything is made anew from the changed acts: texts, columns, indexes, head, checkpoints.
        let acts = match &change {
            Change::Text(at, new) | Change::Columns(at, new) => changed(&log, &Change::Both(*at, *new)).events(),
            Change::Byte(at, _) => changed(&log, &Change::Both(*at, 7)).events(),
            change => changed(&log, change).events(),
        };
        let forged = Log::of(acts, &[]);
        let forged = Log { checkpoints: vec![forged.signed(forged.head.size)], ..forged };
        prop_assert_eq!(forged.verified(&[]).findings.count, 0, "nothing in the store shows it");
        let Checkpoint { size: covered, .. } = Checkpoint::of(&kept.parse().unwrap()).unwrap();
        let first = |log: &Log| log.rows.iter().take(covered.try_into().unwrap()).cloned().collect::<Vec<_>>();
        let is_same = first(&forged) == first(&log);
        prop_assert_eq!(forged.verified(&[&kept]).is_wrong(), !is_same);
    }
}

#[test]
fn a_checkpoint_is_judged_by_its_key_its_installation_and_its_epoch() {
    let log = Log::of((0..9).map(event).collect(), &[]);
    let signed = |installation: InstallationId, epoch, keys: &CheckpointKeys| {
        let mut tree = MerkleTree::default();
        log.rows.iter().for_each(|(_, text, _)| tree.append(text.as_bytes()));
        let origin = Origin { installation, epoch };
        Checkpoint { origin, size: 9, root: tree.root() }.sign(keys).to_string()
    };
    let other_key = CheckpointKeys::first(CheckpointKey::new(Secret::new([2; 32])));
    let cases = [
        (signed(installation(), 1, &keys()), ""),
        (signed(installation(), 1, &other_key), "no key of this installation has signed"),
        (signed(InstallationId::new([8; 16]), 1, &keys()), "is of another installation"),
        (signed(installation(), 2, &keys()), "an old state of the store was put back"),
        ("not a note".to_owned(), "is no checkpoint of countersign"),
    ];
    for (note, part) in cases {
        let findings = log.verified(&[&note]).findings.first;
        let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(said.is_empty(), part.is_empty(), "{said:?}");
        assert!(said.iter().all(|sentence| sentence.contains(part)), "{part}: {said:?}");
    }
}
