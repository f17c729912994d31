//! Findings of a verification, each with a sentence that says what it means.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

use super::checkpoint::Checkpoint;

/// Most findings that are reported one by one.
const MAX_FINDINGS: usize = 100;

/// Checkpoint that the log is compared with, and the place that it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCheckpoint {
    /// Place: a file, or the store.
    pub place: String,
    pub checkpoint: Checkpoint,
}

impl fmt::Display for NamedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, checkpoint } = self;
        write!(f, "the checkpoint in {place} (epoch {}, size {})", checkpoint.origin.epoch, checkpoint.size)
    }
}

/// Difference between a log and what it says about itself, or what a checkpoint says about it.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum LogFinding {
    /// The text of a record is none.
    Unreadable { index: u64, why: String },
    /// A record says another place in the log.
    Misplaced { index: u64, says: u64 },
    /// A record of another installation.
    ForeignRecord { index: u64, says: String },
    /// A record says an epoch that is not the log's there.
    WrongEpoch { index: u64, says: u32, expected: u32 },
    /// Displayed columns are not those of the text.
    Columns { index: u64, columns: Vec<&'static str> },
    /// Records are missing.
    Missing { first: u64, last: u64 },
    /// A record that begins an epoch does not describe the log before it.
    EpochRecord { index: u64 },
    /// A record of a changed key does not have the signatures of both.
    KeyRecord { index: u64 },
    /// The head row differs from the records.
    Head { what: &'static str, says: u64, found: u64 },
    /// The first records are not those that a checkpoint covers.
    Root { by: NamedCheckpoint },
    /// A checkpoint covers more records than there are.
    Shorter { by: NamedCheckpoint, have: u64 },
    /// No key of this installation has signed a checkpoint.
    Signature { of: NamedCheckpoint },
    /// Text that is no checkpoint.
    NoCheckpoint { place: String },
    /// A checkpoint of another installation.
    ForeignCheckpoint { of: NamedCheckpoint },
    /// A checkpoint of an epoch that this log has not begun.
    LaterEpoch { of: NamedCheckpoint, epoch: u32 },
    /// A fork is on record.
    Fork { description: String },
    /// A checkpoint covers records that a restore lost.
    Restored { by: NamedCheckpoint, ended: u64, epoch: u32 },
    /// Acts took effect and wait for their records.
    Waiting { acts: u64 },
}

impl LogFinding {
    /// Returns true where the log is whole all the same.
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::Restored { .. } | Self::Waiting { .. })
    }

    /// Name of the kind.
    pub fn kind(&self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for LogFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { index, why } => write!(f, "record {index} cannot be read: {why}"),
            Self::Misplaced { index, says } => {
                write!(f, "record {index} says that it is record {says}: records were moved, added or removed")
            }
            Self::ForeignRecord { index, says } => write!(f, "record {index} is of another installation, {says}"),
            Self::WrongEpoch { index, says, expected } => {
                write!(f, "record {index} says epoch {says}, and the log is in epoch {expected} there")
            }
            Self::Columns { index, columns } => write!(
                f,
                "record {index}: the columns {} show something else than its text: the columns were changed",
                columns.join(", ")
            ),
            Self::Missing { first, last } if first == last => write!(f, "record {first} is missing"),
            Self::Missing { first, last } => write!(f, "records {first} to {last} are missing"),
            Self::EpochRecord { index } => write!(
                f,
                "record {index} begins an epoch and describes another log than the one before it: that one was changed"
            ),
            Self::KeyRecord { index } => {
                write!(f, "record {index}, of a changed key, does not have the signatures of both keys")
            }
            Self::Head { what, says, found } => {
                write!(f, "the head of the log says {what} {says}, and the records say {found}")
            }
            Self::Root { by } => write!(
                f,
                "the first {} records are not those of {by}: one of them was changed, removed, added or moved since",
                by.checkpoint.size
            ),
            Self::Shorter { by, have } => {
                write!(f, "the log has {have} records, and {by} covers more: the last ones were removed")
            }
            Self::Signature { of } => write!(f, "no key of this installation has signed {of}"),
            Self::NoCheckpoint { place } => write!(f, "what is in {place} is no checkpoint of countersign"),
            Self::ForeignCheckpoint { of } => {
                write!(f, "{of} is of another installation, {}", of.checkpoint.origin.installation)
            }
            Self::LaterEpoch { of, epoch } => write!(
                f,
                "{of} is of a later epoch than the log, which is in epoch {epoch}: an old state of the store was put \
                 back without `countersign db restore` or `countersign db restored`"
            ),
            Self::Fork { description } => write!(f, "a fork is on record: {description}"),
            Self::Restored { by, ended, epoch } => write!(
                f,
                "restored, records {ended} to {} lost: {by} covers them, and epoch {epoch} began at record {ended}",
                by.checkpoint.size - 1
            ),
            Self::Waiting { acts } => write!(f, "{acts} acts took effect and wait for their records"),
        }
    }
}

/// Finding as it is reported: its kind, and the sentence that says what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportedFinding {
    /// Name of the kind.
    pub kind: String,
    /// The log is whole all the same.
    pub warning: bool,
    pub says: String,
}

impl From<&LogFinding> for ReportedFinding {
    fn from(finding: &LogFinding) -> Self {
        Self { kind: finding.kind().to_owned(), warning: finding.is_warning(), says: finding.to_string() }
    }
}

impl fmt::Display for ReportedFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

/// Findings: the first of them, and the number of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogFindings {
    pub first: Vec<ReportedFinding>,
    pub count: u64,
    /// Number of those that are no warnings.
    pub wrong: u64,
}

impl LogFindings {
    /// Adds a finding.
    pub(super) fn add(&mut self, finding: &LogFinding) {
        self.count += 1;
        self.wrong += u64::from(!finding.is_warning());
        if self.first.len() < MAX_FINDINGS {
            self.first.push(finding.into());
        }
    }
}
