//! Routes of the audit log.

use super::super::route::{AdminRoute, Answer, Call, Fault, QueryMember, changes, reads, schema};
use crate::operate::wire::{ListPart, Reason, SignAudit, VerifyAudit};

/// Records of an answer by default.
const LIMIT: u32 = 100;

/// Most records of an answer.
const FIRST: QueryMember = QueryMember {
    name: "from",
    description: "Index of the first record; absent: the last ones.",
    range: Some((0, i64::MAX as u64)),
    required: false,
};
const NUMBER: QueryMember = QueryMember {
    name: "limit",
    description: "Most records of the answer; 100 by default.",
    range: Some((1, 1000)),
    required: false,
};

pub(super) const ROUTES: &[AdminRoute] = &[
    AdminRoute {
        query: &[FIRST, NUMBER],
        handler: |call| Box::pin(records(call)),
        ..reads("/audit/records", "audit_records", "Records with their indexes, oldest first")
    },
    AdminRoute {
        query: &[FIRST, NUMBER],
        handler: |call| Box::pin(leaves(call)),
        ..reads(
            "/audit/leaves",
            "audit_leaves",
            "Exact text of records, as the tree has it; from the first record where `from` is absent",
        )
    },
    AdminRoute {
        method: "POST",
        body: Some(schema::<VerifyAudit>),
        handler: |call| Box::pin(verify(call)),
        ..reads("/audit/verify", "verify_audit", "Verifies the log, with checkpoints that were kept elsewhere")
    },
    AdminRoute {
        body: Some(schema::<SignAudit>),
        handler: |call| Box::pin(checkpoint(call)),
        ..changes(
            "/audit/checkpoint",
            "audit_checkpoint",
            "Signs the head of the log; begins a new epoch first, where a reason is given",
        )
    },
    AdminRoute {
        handler: |call| Box::pin(key(call)),
        ..reads("/audit/key", "audit_key", "Key that verifies checkpoints")
    },
    AdminRoute {
        body: Some(schema::<Reason>),
        handler: |call| Box::pin(replace_key(call)),
        ..changes(
            "/audit/key",
            "replace_audit_key",
            "Replaces the key that signs checkpoints; answers with the new key and a checkpoint",
        )
    },
];

impl Call {
    fn limit(&self) -> Result<u32, Fault> {
        Ok(self.member("limit")?.unwrap_or(LIMIT))
    }
}

async fn records(call: Call) -> Result<Answer, Fault> {
    let (from, limit) = (call.member::<u64>("from")?, call.limit()?);
    let items = call.operations.audit_records(from, limit).await?;
    let next = match from {
        // A record that cannot be read is not among the items, and does not end the list.
        Some(from) => {
            let after_last = items.last().map_or(0, |record| record.index + 1);
            let next = after_last.max(from.saturating_add(limit.into()));
            let may_be = i64::try_from(next).is_ok();
            (may_be && !call.operations.audit_leaves(next, 1).await?.is_empty()).then_some(next)
        }
        // The newest record is the last one.
        None => None,
    };
    Answer::of(&ListPart { items, next })
}

async fn leaves(call: Call) -> Result<Answer, Fault> {
    let (from, limit) = (call.member("from")?.unwrap_or(0), call.limit()?);
    let items = call.operations.audit_leaves(from, limit).await?;
    let is_full = items.len() as u64 >= u64::from(limit);
    let next = is_full.then_some(from + items.len() as u64);
    Answer::of(&ListPart { items, next })
}

async fn verify(call: Call) -> Result<Answer, Fault> {
    let VerifyAudit { checkpoints, keys } = call.body()?;
    let kept: Vec<(String, String)> =
        checkpoints.unwrap_or_default().into_iter().map(|kept| (kept.place, kept.note)).collect();
    Answer::of(&call.operations.verify_audit(&kept, &keys.unwrap_or_default()).await?)
}

async fn checkpoint(call: Call) -> Result<Answer, Fault> {
    let SignAudit { new_epoch } = call.body()?;
    Answer::of(&call.operations.audit_checkpoint(new_epoch.as_deref()).await?)
}

async fn key(call: Call) -> Result<Answer, Fault> {
    Answer::of(&call.operations.audit_key().await?)
}

async fn replace_key(call: Call) -> Result<Answer, Fault> {
    let Reason { why } = call.body()?;
    Answer::of(&call.operations.replace_audit_key(&why).await?)
}
