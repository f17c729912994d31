//! Verification and export of the log in a store, page by page, and verification of an export.

use std::io::{self, BufRead};

use super::{
    keys::AuditKeys,
    log::{AuditError, PAGE},
    note::VerifierKey,
    verify::{Displayed, Verification, VerifiedLog},
};
use crate::store::Store;

/// Newest saved checkpoints that a verification compares the log with; each covers all records before it.
pub const MAX_CHECKPOINTS: u32 = 10_000;

/// Verifies the log in a store: its records and columns, its head, its checkpoints, and checkpoints that were kept
/// elsewhere, each with the name of its place. `anchors` are trusted keys in place of the one in the store.
///
/// # Errors
/// [`AuditError`] where the store does not answer, or has no key and none is given.
pub async fn verify(
    store: &dyn Store,
    keys: &AuditKeys,
    given: &[(String, String)],
    anchors: &[VerifierKey],
) -> Result<VerifiedLog, AuditError> {
    let anchors = if anchors.is_empty() {
        vec![keys.read().await?.current.public()]
    } else {
        anchors.iter().map(VerifierKey::public).collect()
    };
    let mut verification = Verification::new(store.installation_id().await?);
    for saved in store.checkpoints(MAX_CHECKPOINTS).await? {
        verification.compare_with(&format!("the store, of {}", saved.at), &saved.note);
    }
    for (place, note) in given {
        verification.compare_with(place, note);
    }
    // Records are appended meanwhile: the end is where the head is no longer ahead.
    loop {
        while read_page(store, &mut verification).await? {}
        let head = store.audit_head().await?;
        let grew = head.size > verification.next_index() && read_page(store, &mut verification).await?;
        if !grew {
            return Ok(verification.finish(Some(&head), &anchors));
        }
    }
}

/// Reads the next page; `false` where there is none.
async fn read_page(store: &dyn Store, verification: &mut Verification) -> Result<bool, AuditError> {
    let leaves = store.audit_leaves(verification.next_index(), PAGE).await?;
    for leaf in &leaves {
        let shown = leaf.shown.as_ref().map_or(Displayed::Unreadable, Displayed::Event);
        verification.take(leaf.index, &leaf.text, shown);
    }
    Ok(!leaves.is_empty())
}

/// Gives the text of every leaf to `write`, in their order. Returns their number.
///
/// # Errors
/// [`AuditError`] where the store does not answer; the error of `write`.
pub async fn export<E: From<AuditError>>(
    store: &dyn Store,
    mut write: impl FnMut(&str) -> Result<(), E>,
) -> Result<u64, E> {
    let mut next = 0;
    loop {
        let leaves = store.audit_leaves(next, PAGE).await.map_err(AuditError::from)?;
        let Some(last) = leaves.last() else { return Ok(next) };
        next = last.index + 1;
        for leaf in &leaves {
            write(&leaf.text)?;
        }
    }
}

/// Verifies an export, one leaf a line, against checkpoints, each with the name of its place.
///
/// # Errors
/// Those of reading the lines.
pub fn verify_lines(
    lines: impl BufRead,
    given: &[(String, String)],
    anchors: &[VerifierKey],
) -> io::Result<VerifiedLog> {
    let mut verification = Verification::new(None);
    for (place, note) in given {
        verification.compare_with(place, note);
    }
    for (index, line) in (0..).zip(lines.lines()) {
        verification.take(index, &line?, Displayed::Nothing);
    }
    let anchors: Vec<_> = anchors.iter().map(VerifierKey::public).collect();
    Ok(verification.finish(None, &anchors))
}
