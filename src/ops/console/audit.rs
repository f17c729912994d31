//! Audit log: records with filters, page by page.

use axum::response::Response;
use strum::VariantArray;

use super::{
    html::{Markup, Prose, ShownTime},
    page::{Condition, Page, StateSentence, render},
    visit::Visit,
};
use crate::{
    domain::audit::{AuditAction, AuditEvent, AuditOutcome},
    operate::{AuditRecord, OperationError},
};

/// Records that are read for one page; the filters choose among them.
const READ: u32 = 1000;
/// Records on a page.
const SHOWN: usize = 100;

struct RecordRow {
    index: u64,
    at: ShownTime,
    actor: String,
    action: &'static str,
    outcome: Markup,
    target: String,
    why: Prose,
}

#[derive(askama::Template)]
#[template(path = "audit.html")]
struct AuditPage {
    page: Page,
    rows: Vec<RecordRow>,
    actions: Vec<(&'static str, bool)>,
    action: String,
    actor: String,
    /// Query of the page with older records.
    older: Option<String>,
    /// First record among which was searched.
    searched_from: u64,
}

/// Shows the page.
pub(super) async fn show(visit: Visit) -> Result<Response, OperationError> {
    let (action, actor) = (visit.query.trimmed("action").to_owned(), visit.query.trimmed("actor").to_owned());
    let before: Option<u64> =
        visit.query.trimmed("before").parse().ok().filter(|before| i64::try_from(*before).is_ok());
    let mut records = read(&visit, before).await?;
    let first = records.iter().map(|record| record.index).min();
    records.retain(|record| before.is_none_or(|before| record.index < before));
    records.sort_by_key(|record| std::cmp::Reverse(record.index));
    records.retain(|record| is_wanted(&record.event, &action, &actor));
    let is_cut = records.len() > SHOWN;
    records.truncate(SHOWN);
    let next = if is_cut { records.last().map(|record| record.index) } else { first };
    let older = next.filter(|next| *next > 0).map(|next| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("before", &next.to_string()).append_pair("action", &action).append_pair("actor", &actor);
        query.finish()
    });
    let sentence = match records.len() {
        0 => "No record is shown.".to_owned(),
        1 => "1 record is shown.".to_owned(),
        number => format!("{number} records are shown, the newest first."),
    };
    Ok(render(&AuditPage {
        page: visit.page("Audit", StateSentence::neutral(sentence)),
        rows: records.into_iter().map(row).collect(),
        actions: AuditAction::VARIANTS.iter().map(|one| (one.as_str(), one.as_str() == action)).collect(),
        action,
        actor,
        older,
        searched_from: first.unwrap_or_default(),
    }))
}

async fn read(visit: &Visit, before: Option<u64>) -> Result<Vec<AuditRecord>, OperationError> {
    match before {
        None => visit.operations.audit_records(None, READ).await,
        Some(before) => {
            let from = before.saturating_sub(u64::from(READ));
            let limit = u32::try_from(before - from).unwrap_or(READ).max(1);
            visit.operations.audit_records(Some(from), limit).await
        }
    }
}

fn is_wanted(event: &AuditEvent, action: &str, actor: &str) -> bool {
    (action.is_empty() || event.action.as_str() == action)
        && (actor.is_empty() || event.actor.name.to_lowercase().contains(&actor.to_lowercase()))
}

fn row(record: AuditRecord) -> RecordRow {
    let event = record.event;
    let condition = match event.outcome {
        AuditOutcome::Done => Condition::Serving,
        AuditOutcome::Failed | AuditOutcome::Unknown => Condition::Stopped,
        AuditOutcome::Refused => Condition::Attention,
        AuditOutcome::Intended | AuditOutcome::Unchanged => Condition::Neutral,
    };
    RecordRow {
        index: record.index,
        at: ShownTime(event.at),
        target: target(&event),
        actor: event.actor.name,
        action: event.action.as_str(),
        outcome: Markup(StateSentence::mark(condition, event.outcome.as_str())),
        why: Prose(event.why),
    }
}

/// Target in words. Users are named by the keyed hash that the log has.
fn target(event: &AuditEvent) -> String {
    let target = &event.target;
    let short = |text: String| text.chars().take(8).collect::<String>();
    let parts = [
        target.ring.as_ref().map(|ring| format!("ring {ring}")),
        target.kid.as_ref().map(|kid| format!("key {}", short(kid.to_string()))),
        target.app.as_ref().map(|app| format!("app {app}")),
        target.user.as_ref().map(|user| format!("user {}…", short(user.to_string()))),
        target.session.as_ref().map(|session| format!("session {}…", short(session.to_string()))),
        target.client.as_ref().map(|client| format!("caller {client}")),
        target.api_key.as_ref().map(|key| format!("API key {}…", short(key.to_string()))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
