//! Doctor: the checks of the installation, the worst first.

use axum::response::Response;

use super::{
    braze_answers::BrazeQuestions,
    html::{Markup, Prose},
    page::{Condition, Page, StateSentence, render},
    visit::Visit,
};
use crate::operate::{Check, Health, OperationError};

struct CheckRow {
    mark: Markup,
    what: Prose,
    text: Prose,
}

#[derive(askama::Template)]
#[template(path = "doctor.html")]
struct Doctor {
    page: Page,
    rows: Vec<CheckRow>,
    warnings: Vec<Prose>,
    hidden: usize,
}

/// Largest number of checks on the page.
const MOST: usize = 150;

/// Shows the page.
pub(super) async fn show(visit: Visit) -> Result<Response, OperationError> {
    // Doctor works where the keys cannot be read, too.
    let keys = visit.operations.keys().await.unwrap_or_default();
    let mut questions = BrazeQuestions::new(&visit, &keys);
    let answer = questions.checks().await?;
    let (mut checks, asked): (Vec<&Check>, _) = (answer.iter().collect(), questions.asked());
    let warnings = visit.operations.configuration().await?.warnings.into_iter().map(Prose).collect();
    checks.sort_by_key(|check| std::cmp::Reverse(check.health));
    let count = |health| checks.iter().filter(|check| check.health == health).count();
    let (wrong, doubtful) = (count(Health::Wrong), count(Health::Warning));
    let state = match (wrong, doubtful) {
        (0, 0) => StateSentence::new(Condition::Serving, format!("All {} checks pass.", checks.len()), asked),
        (0, _) => {
            StateSentence::new(Condition::Attention, format!("{doubtful} of {} checks warn.", checks.len()), asked)
        }
        _ => StateSentence::new(
            Condition::Stopped,
            format!("{wrong} of {} checks are wrong, {doubtful} warn.", checks.len()),
            asked,
        ),
    };
    let hidden = checks.len().saturating_sub(MOST);
    let rows = checks.into_iter().take(MOST).map(|check| {
        let (condition, word) = match check.health {
            Health::Ok => (Condition::Serving, "ok"),
            Health::Warning => (Condition::Attention, "warning"),
            Health::Wrong => (Condition::Stopped, "wrong"),
        };
        CheckRow {
            mark: Markup(StateSentence::mark(condition, word)),
            what: Prose(check.what.clone()),
            text: Prose(check.text.clone()),
        }
    });
    Ok(render(&Doctor { page: visit.page("Doctor", state), rows: rows.collect(), warnings, hidden }))
}
