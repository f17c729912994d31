//! The log in the store: its tree, its checkpoints, its epochs.

use serde::{Deserialize, Serialize};

use super::{
    checkpoint::{BadCheckpoint, Checkpoint, Origin},
    keys::{AuditKeyError, AuditKeys},
    note::SignedNote,
    tree::{MerkleTree, TreeHash},
};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        ids::InstallationId,
    },
    store::{AuditHead, AuditLeaf, SavedCheckpoint, Store, StoreError},
};

/// Leaves that are read at once.
pub(super) const PAGE: u32 = 1000;

/// Reason why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] AuditKeyError),
    /// The store has no id yet.
    #[error("the store has no id of its installation yet: start the service first")]
    NoInstallation,
    /// The log is not the one that was signed, or that this process has seen.
    #[error("{0}")]
    Fork(String),
    /// A fork is on record.
    #[error(
        "no checkpoint is signed while a fork of the audit log is on record ({0}): look into it with `countersign audit \
         verify`, then begin a new epoch with `countersign audit checkpoint --new-epoch --why TEXT`"
    )]
    Forked(String),
}

impl AuditError {
    /// Fork, described in these words.
    pub(super) fn fork(description: impl Into<String>) -> Self {
        Self::Fork(description.into())
    }
}

/// Description of the log before an epoch, in the record that begins the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EpochRecord {
    /// Reason that an operator or a command gave.
    pub(super) why: String,
    /// Epoch that ended.
    pub(super) epoch: u32,
    /// Size at which it ended.
    pub(super) size: u64,
    /// Root at that size, in hexadecimal digits.
    pub(super) root: String,
    /// Fork that was on record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) fork: Option<String>,
}

impl EpochRecord {
    /// Returns true where this is the root of the log before the epoch.
    pub(super) fn describes(&self, size: u64, root: &TreeHash) -> bool {
        self.size == size && self.root == hex::encode(root)
    }
}

/// Reads the leaves from `tree`'s size up to `size`, and appends them to it; `each` gets every leaf before.
///
/// # Errors
/// [`AuditError::Fork`] where one is missing.
pub(super) async fn extend(
    store: &dyn Store,
    tree: &mut MerkleTree,
    size: u64,
    mut each: impl FnMut(&AuditLeaf) + Send,
) -> Result<(), AuditError> {
    while tree.size() < size {
        let limit = u32::try_from(size - tree.size()).unwrap_or(PAGE).min(PAGE);
        let leaves = store.audit_leaves(tree.size(), limit).await?;
        if leaves.is_empty() {
            return Err(AuditError::fork(format!("record {} of the audit log is missing", tree.size())));
        }
        for leaf in leaves {
            if leaf.index != tree.size() {
                return Err(AuditError::fork(format!("record {} of the audit log is missing", tree.size())));
            }
            each(&leaf);
            tree.append(leaf.text.as_bytes());
        }
        // A long log: requests come first.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Returns the origin of checkpoints of this head.
///
/// # Errors
/// [`AuditError::NoInstallation`].
pub async fn origin(store: &dyn Store, head: &AuditHead) -> Result<Origin, AuditError> {
    Ok(Origin { installation: installation(store).await?, epoch: head.epoch })
}

async fn installation(store: &dyn Store) -> Result<InstallationId, AuditError> {
    store.installation_id().await?.ok_or(AuditError::NoInstallation)
}

/// Reads the checkpoint of a saved note.
///
/// # Errors
/// [`BadCheckpoint`].
pub(super) fn saved(saved: &SavedCheckpoint) -> Result<Checkpoint, BadCheckpoint> {
    Checkpoint::of(&saved.note.parse::<SignedNote>()?)
}

/// Computes the tree of the whole log, and compares it with the newest checkpoint of the head's epoch. Returns all three.
///
/// # Errors
/// [`AuditError::Fork`] where it differs; [`AuditError::Forked`] where a fork is on record.
async fn checked_tree(store: &dyn Store) -> Result<(AuditHead, MerkleTree, Option<SavedCheckpoint>), AuditError> {
    // The checkpoint first: the head is never of an older time.
    let newest = store.checkpoints(1).await?.pop();
    let (head, mut tree) = (store.audit_head().await?, MerkleTree::default());
    if let Some(fork) = head.fork {
        return Err(AuditError::Forked(fork));
    }
    let newest = newest.filter(|newest| newest.epoch == head.epoch);
    if let Some(newest) = &newest {
        advance_to(store, &mut tree, newest, &head).await?;
    }
    extend(store, &mut tree, head.size, |_| ()).await?;
    Ok((head, tree, newest))
}

/// Extends the tree to the size of a saved checkpoint of the same epoch, and compares it there.
///
/// # Errors
/// [`AuditError::Fork`] where the log is shorter or differs.
pub(super) async fn advance_to(
    store: &dyn Store,
    tree: &mut MerkleTree,
    newest: &SavedCheckpoint,
    head: &AuditHead,
) -> Result<(), AuditError> {
    let name = format!("the checkpoint of {} (epoch {}, size {})", newest.at, newest.epoch, newest.size);
    if newest.size > head.size {
        return Err(AuditError::fork(format!("{name} is of more records than the audit log has, {}", head.size)));
    }
    extend(store, tree, newest.size, |_| ()).await?;
    let root = saved(newest).ok().filter(|checkpoint| checkpoint.size == newest.size).map(|checkpoint| checkpoint.root);
    if root == Some(tree.root()) {
        Ok(())
    } else {
        Err(AuditError::fork(format!("the audit log is not the one of {name}")))
    }
}

/// Signs the head of the log and saves the checkpoint. The key before this one signs once more after a change.
pub(super) async fn sign(
    store: &dyn Store,
    keys: &AuditKeys,
    head: &AuditHead,
    tree: &MerkleTree,
    at: UnixMillis,
) -> Result<SavedCheckpoint, AuditError> {
    if let Some(fork) = &head.fork {
        return Err(AuditError::Forked(fork.clone()));
    }
    let checkpoint = Checkpoint { origin: origin(store, head).await?, size: tree.size(), root: tree.root() };
    let signing = keys.open().await?;
    let note = checkpoint.sign(&signing).to_string();
    let saved = SavedCheckpoint { epoch: head.epoch, size: tree.size(), at, note, subtrees: tree.subtrees() };
    store.save_checkpoint(saved.clone()).await?;
    keys.drop_previous(signing).await?;
    Ok(saved)
}

/// Signs the head of the whole log, which is computed anew and compared with the checkpoint before. Where that one is
/// of the same head, it is the answer.
///
/// # Errors
/// [`AuditError::Fork`] where the log is another; that is put on record.
pub async fn checkpoint(store: &dyn Store, keys: &AuditKeys, at: UnixMillis) -> Result<SavedCheckpoint, AuditError> {
    match checked_tree(store).await {
        // The one on record may have the signature of the key before, too.
        Ok((_, tree, Some(newest))) if newest.size == tree.size() => Ok(newest),
        Ok((head, tree, _)) => sign(store, keys, &head, &tree, at).await,
        Err(AuditError::Fork(description)) => {
            store.report_fork(&description).await?;
            Err(AuditError::Fork(description))
        }
        Err(error) => Err(error),
    }
}

/// Begins a new epoch, whose first record describes the log before. A fork on record is over then.
///
/// # Errors
/// [`AuditError`] where the store does not answer.
pub async fn begin_epoch(store: &dyn Store, actor: &Actor, why: &str, at: UnixMillis) -> Result<AuditHead, AuditError> {
    loop {
        let head = store.audit_head().await?;
        let mut tree = MerkleTree::default();
        let mut fork = head.fork.clone();
        match extend(store, &mut tree, head.size, |_| ()).await {
            // A log that has lost records must have a way to go on; `verify` names them.
            Err(AuditError::Fork(description)) => fork = fork.or(Some(description)),
            read => read?,
        }
        let root = hex::encode(tree.root());
        let record = EpochRecord { why: why.to_owned(), epoch: head.epoch, size: head.size, root, fork };
        let event = AuditEvent {
            at,
            actor: actor.clone(),
            action: AuditAction::EpochBegun,
            target: AuditTarget::default(),
            outcome: AuditOutcome::Done,
            why: serde_json::json!(record).to_string(),
        };
        if store.begin_epoch(head, event).await? {
            return Ok(store.audit_head().await?);
        }
    }
}
