//! Verification: the tree is computed from the stored bytes, and compared with everything that says something about them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    checkpoint::Checkpoint,
    findings::{LogFinding, LogFindings, NamedCheckpoint},
    keys::{KeyChange, trusted},
    log::EpochRecord,
    note::SignedNote,
    tree::{MerkleTree, TreeHash},
};
use crate::{
    domain::{
        audit::{AuditAction, AuditEvent, Leaf, record_of, text_of},
        ids::InstallationId,
    },
    store::AuditHead,
};

/// Checkpoint to compare the log with.
struct Mark {
    named: NamedCheckpoint,
    note: SignedNote,
    /// Root of the log at the checkpoint's size.
    root: Option<TreeHash>,
}

/// Act that the columns of a leaf display.
#[derive(Clone, Copy, Debug)]
pub enum Displayed<'a> {
    /// The columns hold this act.
    Event(&'a AuditEvent),
    /// The columns hold no act.
    Unreadable,
    /// There are no columns: the leaf is of an export.
    Nothing,
}

/// Verification of a log, which gets its leaves one by one, in their order.
pub struct Verification {
    installation: Option<InstallationId>,
    /// Its id as text.
    name: Option<String>,
    tree: MerkleTree,
    /// Index that the next leaf should have.
    expected: u64,
    /// Epochs, each with the index of its first record.
    epochs: Vec<(u32, u64)>,
    /// Checkpoints by their size; those before `reached` have a root.
    marks: Vec<Mark>,
    reached: usize,
    changes: Vec<KeyChange>,
    findings: LogFindings,
}

/// Outcome of a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifiedLog {
    /// Number of records.
    pub records: u64,
    /// Epoch of the last record.
    pub epoch: u32,
    /// Root of the tree, in hexadecimal digits.
    pub root: String,
    /// Number of checkpoints that the log agrees with.
    pub checkpoints: u64,
    pub findings: LogFindings,
}

impl VerifiedLog {
    /// Returns true where the log is not the one that it should be.
    pub fn is_wrong(&self) -> bool {
        self.findings.wrong > 0
    }
}

impl Verification {
    /// Verification of the log of this installation; `None`: of that which the first record names.
    pub fn new(installation: Option<InstallationId>) -> Self {
        Self {
            installation,
            name: installation.map(|installation| installation.to_string()),
            tree: MerkleTree::default(),
            expected: 0,
            epochs: Vec::new(),
            marks: Vec::new(),
            reached: 0,
            changes: Vec::new(),
            findings: LogFindings::default(),
        }
    }

    /// Adds a checkpoint to compare the log with, before the first leaf; `place` says where it is from.
    pub fn compare_with(&mut self, place: &str, note: &str) {
        let note: Option<SignedNote> = note.parse().ok();
        let read = note.and_then(|note| Some((Checkpoint::of(&note).ok()?, note)));
        let Some((checkpoint, note)) = read else {
            self.findings.add(&LogFinding::NoCheckpoint { place: place.to_owned() });
            return;
        };
        let named = NamedCheckpoint { place: place.to_owned(), checkpoint };
        let at = self.marks.partition_point(|mark| mark.named.checkpoint.size <= checkpoint.size);
        self.marks.insert(at, Mark { named, note, root: None });
    }

    /// Index that the next leaf should have.
    pub fn next_index(&self) -> u64 {
        self.expected
    }

    /// Takes the next leaf.
    pub fn take(&mut self, index: u64, text: &str, shown: Displayed<'_>) {
        self.note_roots();
        if index != self.expected {
            // A leaf that comes back is one that was there before: the index is the key of its row.
            let last = index.saturating_sub(1).max(self.expected);
            self.findings.add(&LogFinding::Missing { first: self.expected, last });
        }
        self.expected = index.saturating_add(1);
        if !self.is_as_expected(index, text, shown) {
            self.look_at(index, text, shown);
        }
        self.tree.append(text.as_bytes());
    }

    /// Returns true for the text that the columns make at this place of the log: there is nothing to explain then. It
    /// takes less time than to parse the text.
    fn is_as_expected(&self, index: u64, text: &str, shown: Displayed<'_>) -> bool {
        let Displayed::Event(event) = shown else { return false };
        let (Some(installation), Some((epoch, _))) = (&self.name, self.epochs.last()) else { return false };
        let is_special = matches!(event.action, AuditAction::EpochBegun | AuditAction::AuditKeyChanged);
        !is_special && text_of(Some(installation), *epoch, index, &record_of(event)) == text
    }

    /// Parses a leaf, and compares it with its place and with its columns.
    fn look_at(&mut self, index: u64, text: &str, shown: Displayed<'_>) {
        let leaf = match Leaf::parse(text) {
            Ok(leaf) => leaf,
            Err(why) => return self.findings.add(&LogFinding::Unreadable { index, why: why.to_string() }),
        };
        if leaf.index != index {
            self.findings.add(&LogFinding::Misplaced { index, says: leaf.index });
        }
        // A store of an old version had no id before its first append.
        if let Some(says) = leaf.installation
            && says != *self.installation.get_or_insert(says)
        {
            self.findings.add(&LogFinding::ForeignRecord { index, says: says.to_string() });
        }
        self.name = self.installation.map(|installation| installation.to_string());
        self.check_epoch(index, &leaf);
        if leaf.event.action == AuditAction::AuditKeyChanged {
            match KeyChange::of(&leaf.event.why) {
                Some(change) => self.changes.push(change),
                None => self.findings.add(&LogFinding::KeyRecord { index }),
            }
        }
        let columns = match shown {
            Displayed::Event(shown) => differing(&leaf.event, shown),
            Displayed::Unreadable => vec!["of the act"],
            Displayed::Nothing => Vec::new(),
        };
        if !columns.is_empty() {
            self.findings.add(&LogFinding::Columns { index, columns });
        }
    }

    fn check_epoch(&mut self, index: u64, leaf: &Leaf) {
        let last = self.epochs.last().copied();
        if leaf.event.action == AuditAction::EpochBegun {
            let record: Option<EpochRecord> = serde_json::from_str(&leaf.event.why).ok();
            let is_whole = record.is_some_and(|record| record.describes(index, &self.tree.root()));
            if !is_whole || last.is_some_and(|(before, _)| leaf.epoch <= before) {
                self.findings.add(&LogFinding::EpochRecord { index });
            }
            self.epochs.push((leaf.epoch, index));
            return;
        }
        match last {
            None => self.epochs.push((leaf.epoch, index)),
            Some((expected, _)) if expected != leaf.epoch => {
                self.findings.add(&LogFinding::WrongEpoch { index, says: leaf.epoch, expected });
            }
            Some(_) => {}
        }
    }

    /// Notes the root at the sizes of checkpoints that the tree has now.
    fn note_roots(&mut self) {
        while let Some(mark) = self.marks.get_mut(self.reached)
            && mark.named.checkpoint.size <= self.tree.size()
        {
            mark.root = (mark.named.checkpoint.size == self.tree.size()).then(|| self.tree.root());
            self.reached += 1;
        }
    }

    /// Ends the verification of a log; `head` is the head row of a store. Checkpoints are signed by one of these public
    /// keys, or by one that the log says to have replaced one of them, or to have been replaced by it.
    pub fn finish(mut self, head: Option<&AuditHead>, keys: &[[u8; 32]]) -> VerifiedLog {
        self.note_roots();
        if let Some(head) = head {
            self.check_head(head);
        }
        let keys = trusted(keys, &self.changes);
        let epoch = self.epochs.last().map_or(head.map_or(1, |head| head.epoch), |(epoch, _)| *epoch);
        let mut agreed = 0;
        for mark in std::mem::take(&mut self.marks) {
            match self.judge(mark, epoch, &keys) {
                None => agreed += 1,
                Some(finding) => self.findings.add(&finding),
            }
        }
        let root = hex::encode(self.tree.root());
        VerifiedLog { records: self.tree.size(), epoch, root, checkpoints: agreed, findings: self.findings }
    }

    fn check_head(&mut self, head: &AuditHead) {
        let (epoch, begun) = self.epochs.last().copied().unwrap_or((head.epoch, head.epoch_begun_at));
        // A missing record has its own finding; the head counts indexes.
        let found = [
            ("that the size is", head.size, self.expected),
            ("that the epoch is", head.epoch.into(), epoch.into()),
            ("that the epoch began at record", head.epoch_begun_at, begun),
        ];
        for (what, says, found) in found.into_iter().filter(|(_, says, found)| says != found) {
            self.findings.add(&LogFinding::Head { what, says, found });
        }
        if let Some(description) = head.fork.clone() {
            self.findings.add(&LogFinding::Fork { description });
        }
        if head.waiting > 0 {
            self.findings.add(&LogFinding::Waiting { acts: head.waiting });
        }
    }

    /// Compares the log with a checkpoint; `None` where they agree.
    fn judge(&self, mark: Mark, epoch: u32, keys: &[[u8; 32]]) -> Option<LogFinding> {
        let Mark { named, note, root } = mark;
        let Checkpoint { origin, size, root: signed } = named.checkpoint;
        if self.installation.is_some_and(|installation| installation != origin.installation) {
            return Some(LogFinding::ForeignCheckpoint { of: named });
        }
        if !keys.iter().any(|key| note.is_signed_by(&named.checkpoint.verifier(*key))) {
            return Some(LogFinding::Signature { of: named });
        }
        if origin.epoch > epoch {
            return Some(LogFinding::LaterEpoch { of: named, epoch });
        }
        // The first record of the epoch after the checkpoint's.
        let next = self.epochs.iter().find(|(number, _)| *number > origin.epoch);
        match next {
            Some((epoch, ended)) if size > *ended => {
                Some(LogFinding::Restored { by: named, ended: *ended, epoch: *epoch })
            }
            None if size > self.tree.size() => Some(LogFinding::Shorter { by: named, have: self.tree.size() }),
            _ if root != Some(signed) => Some(LogFinding::Root { by: named }),
            _ => None,
        }
    }
}

/// Names of the columns in which a row differs from the text of its leaf.
fn differing(text: &AuditEvent, shown: &AuditEvent) -> Vec<&'static str> {
    let (ours, theirs) = (&text.target, &shown.target);
    let columns = [
        ("at", text.at == shown.at),
        ("actor", text.actor.name == shown.actor.name),
        ("request_id", text.actor.request_id == shown.actor.request_id),
        ("action", text.action == shown.action),
        ("outcome", text.outcome == shown.outcome),
        ("ring", ours.ring == theirs.ring),
        ("kid", ours.kid == theirs.kid),
        ("app", ours.app == theirs.app),
        ("user", ours.user == theirs.user),
        ("session", ours.session == theirs.session),
        ("client", ours.client == theirs.client),
        ("api_key", ours.api_key == theirs.api_key),
        ("why", text.why == shown.why),
    ];
    columns.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}
