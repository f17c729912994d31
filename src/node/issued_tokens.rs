//! Records of issued tokens, where `audit.tokens` asks for them: requests count what they issue anyway, and the node writes
//! the difference about once a second, as one record.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Config, NodeAgent};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget},
        ids::AppName,
    },
    outage::Operation,
};

/// Tokens that are on record, by app and operation, and the time up to which they are.
#[derive(Default)]
pub(super) enum IssuedTokens {
    /// No second has passed since the start.
    #[default]
    Unknown,
    /// They are not recorded.
    Off,
    Recorded(Counts, UnixMillis),
}

/// Numbers of tokens by operation and app.
type Counts = BTreeMap<&'static str, BTreeMap<AppName, u64>>;

impl NodeAgent {
    /// Records the tokens that were issued since the last record, if there are any. Where that fails, the next record has
    /// them; only those of the last second of a process that is killed are on no record.
    pub(super) async fn record_issued_tokens(&mut self, config: &Config, now: UnixMillis) {
        let Some(apps) = &config.recorded_apps else {
            self.issued = IssuedTokens::Off;
            return;
        };
        let counts = self.issued_by_now(apps);
        let (before, since) = match std::mem::take(&mut self.issued) {
            IssuedTokens::Recorded(before, since) => (before, since),
            IssuedTokens::Unknown => (Counts::new(), now),
            // The setting was changed: what was issued before is on no record.
            IssuedTokens::Off => (counts.clone(), now),
        };
        let new = difference(&before, &counts);
        self.issued = if new.is_empty() || self.append(&new, since, now).await {
            IssuedTokens::Recorded(counts, now)
        } else {
            IssuedTokens::Recorded(before, since)
        };
    }

    fn issued_by_now(&self, apps: &[AppName]) -> Counts {
        let mut counts = Counts::new();
        for app in apps {
            for (operation, count) in self.node.metrics.issued(app.as_str()) {
                counts.entry(operation).or_default().insert(app.clone(), count);
            }
        }
        counts
    }

    async fn append(&self, new: &Counts, since: UnixMillis, until: UnixMillis) -> bool {
        let event = AuditEvent {
            at: until,
            actor: Actor::named(format!("node {}", self.node.name)),
            action: AuditAction::TokensIssued,
            target: AuditTarget::default(),
            outcome: AuditOutcome::Done,
            why: json!({ "since": since, "until": until, "tokens": new }).to_string(),
        };
        let write = self.node.store.append_events(vec![event]);
        // The check of the store reports a store that does not answer.
        self.node.outage.ask(Operation::Write, write).await.is_ok()
    }
}

/// Returns what is new, without zeros. An app may be new.
fn difference(before: &Counts, counts: &Counts) -> Counts {
    let mut new = Counts::new();
    for (operation, apps) in counts {
        for (app, count) in apps {
            let known = before.get(operation).and_then(|apps| apps.get(app)).copied().unwrap_or_default();
            if *count > known {
                new.entry(operation).or_default().insert(app.clone(), count - known);
            }
        }
    }
    new
}
