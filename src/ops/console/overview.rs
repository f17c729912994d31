//! Overview: the state of every app in one sentence each, activity, failures, keys, nodes, store, version.

use axum::response::Response;

use super::{
    page::{Condition, Page, StateSentence, render},
    visit::Visit,
};
use crate::operate::OperationError;

#[derive(askama::Template)]
#[template(path = "overview.html")]
struct Overview {
    page: Page,
    version: String,
}

/// Shows the page.
pub(super) async fn show(visit: Visit) -> Result<Response, OperationError> {
    let about = visit.operations.about().await?;
    let state = StateSentence::new(Condition::Serving, "This installation answers.", visit.now);
    Ok(render(&Overview { page: visit.page("Overview", state), version: about.version }))
}
